/* Generating text: one sequence, its sampler, and what it cost. */
#ifndef JL_TOOLS_GEN_H
#define JL_TOOLS_GEN_H

#include "joule/joule.h"
#include "load.h"
#include "opt.h"
#include "power_cli.h"
#include "ui.h"

typedef struct {
    double load_s;
    size_t n_prompt, n_cached; /* prompt tokens computed, and found in the cache */
    double prompt_s;
    size_t n_generated;
    double decode_s, decode_cpu_s;
    jl_power_totals energy; /* when these statistics began */
} gen_stats;

typedef struct {
    const opts *o;
    jl_model *model;
    jl_session *session;
    jl_sampler *sampler;
    jl_power *power;
    token_list history; /* tokens of the sequence; room for the whole context */
    uint32_t n_ctx;
    gen_stats stats;
    ui_progress *progress; /* while the prompt is read */
    size_t n_before, n_total; /* prompt tokens computed before this call, and to compute */
} gen;

/* Opens the model, compares its need with free memory, makes session and sampler. On failure
 * nothing is left open. */
JL_MUST_CHECK jl_status gen_open(const opts *o, gen *g, jl_error *err);
void gen_close(gen *g);

/* Makes the sequence hold exactly these tokens, reusing what it holds already, ready to sample. On
 * failure or Ctrl-C the sequence keeps a length that matches its history. */
JL_MUST_CHECK jl_status gen_prefill(gen *g, const int32_t *tokens, size_t n, jl_error *err);

typedef enum { GEN_EOG, GEN_LIMIT, GEN_CONTEXT_FULL, GEN_INTERRUPTED } gen_end;

/* Receives each token, the end-of-generation one included. false stops. */
typedef bool gen_token_fn(void *ctx, int32_t token);

/* Samples and evaluates until the model ends, -n is reached, the context is full, Ctrl-C, or fn
 * says stop (counts as GEN_LIMIT). */
JL_MUST_CHECK jl_status gen_run(gen *g, gen_token_fn *fn, void *ctx, gen_end *end, jl_error *err);

/* Statistics on stderr unless -q, then counts from zero again. */
void gen_print_stats(gen *g);

#endif
