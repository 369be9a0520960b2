/* What the evaluating commands share: a model with its session, progress, tables of figures. */
#ifndef JL_TOOLS_FIGURES_H
#define JL_TOOLS_FIGURES_H

#include "joule/eval.h"
#include "load.h"
#include "opt.h"
#include "ui.h"

typedef struct {
    const opts *o;
    jl_model *model;
    jl_session *session;
    ui_progress progress;
    const char *unit; /* what progress counts: "chunks" */
    const char *label; /* of the value so far: "perplexity"; NULL: none */
} eval_run;

/* Opens the model of -m and a session of n_ctx tokens and n_seq sequences. Ctrl-C cancels the
 * session from then on. On failure nothing is left open. */
JL_MUST_CHECK jl_status eval_open(const opts *o, eval_run *run, uint32_t n_ctx, uint32_t n_seq,
                                  jl_error *err);
/* The session alone, for a model that is open. */
JL_MUST_CHECK jl_status eval_open_session(eval_run *run, uint32_t n_ctx, uint32_t n_seq,
                                          jl_error *err);
void eval_close(eval_run *run);
/* As jl_eval_text's progress; ctx is the eval_run. */
bool eval_progress(void *ctx, size_t done, size_t total, double so_far);

/* A table of named figures in the format of -o. Values are scaled for people in md only. */
typedef struct {
    const char *name;  /* "kl_mean", of csv and json */
    const char *label; /* "KL mean (nats)", of md */
    double value, error; /* error NAN: none */
    bool count;          /* a whole number */
} figure;
void print_figures(const opts *o, const figure *rows, size_t n);

#endif
