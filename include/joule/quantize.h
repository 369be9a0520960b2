/* Quantising model files: a plan says which tensor gets which type, then the file is written. */
#ifndef JL_JOULE_QUANTIZE_H
#define JL_JOULE_QUANTIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "joule/joule.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct jl_quant_plan jl_quant_plan;

/* What a plan does with a tensor. Strings are the plan's. */
typedef struct {
    const char *name;
    const char *kind;     /* the name without layer and ending: "ffn_down_exps" */
    const char *from, *to; /* types; equal: copied */
    const char *note;     /* why, where that is not obvious; "" */
    bool matrix;          /* may be quantised; others are always copied */
    uint64_t n_params;
    uint64_t from_bytes, to_bytes;
    double share_per_token; /* of to_bytes read to decode one token at batch 1 */
    double damage;          /* KL that the budget search expects of it, nats; NAN: not measured */
} jl_quant_entry;

/* Opens a model file with every tensor copied, as yet. imatrix_path: importance of the columns,
 * from joule imatrix or llama-imatrix (GGUF), or NULL. Refused by name: importance whose length
 * fits no tensor of its name, or that is not a number. */
JL_API JL_MUST_CHECK jl_status jl_quant_plan_open(const char *path, const char *imatrix_path,
                                                  jl_quant_plan **out, jl_error *err);
JL_API void jl_quant_plan_close(jl_quant_plan *plan); /* NULL is fine */

/* A mix (Q4_K_M, Q5_K_M, IQ4_XS, UD-IQ4_XS, UD-Q4_K_M, JQ4) or one type for all matrices; then LM
 * head and tied embeddings take Q6_K where the type has fewer bits, unless pure. */
JL_API JL_MUST_CHECK jl_status jl_quant_plan_set_mix(jl_quant_plan *plan, const char *name,
                                                     bool pure, jl_error *err);
/* "REGEX=TYPE" (PCRE2, anywhere in the name): the matrices that match get the type. JL_INVALID if
 * none does. */
JL_API JL_MUST_CHECK jl_status jl_quant_plan_set_rule(jl_quant_plan *plan, const char *rule,
                                                      jl_error *err);
/* Plan files: lines "TYPE NAME" and "drop ..." (below), # starts a comment. Loading sets the types
 * of the tensors it names; a name or type that does not exist is refused with its line. */
JL_API JL_MUST_CHECK jl_status jl_quant_plan_load(jl_quant_plan *plan, const char *path,
                                                  jl_error *err);
JL_API JL_MUST_CHECK jl_status jl_quant_plan_save(const jl_quant_plan *plan, const char *path,
                                                  const char *comment, jl_error *err);
/* Gives matrices whose rows do not fit their type's blocks another one: the smallest with blocks of
 * 32 whose measured error is no larger than that of the wanted type on the same values. */
JL_API JL_MUST_CHECK jl_status jl_quant_plan_settle(jl_quant_plan *plan, jl_error *err);

/* What makes an expert matter: router weight times norm of the output, summed over the tokens that
 * were routed to it, or their mean; or the number of those tokens. */
typedef enum { JL_DROP_BY_TOTAL = 0, JL_DROP_BY_MEAN, JL_DROP_BY_USE } jl_drop_by;
/* Leaves out the n experts of each layer that matter least. The imatrix must be one of joule
 * imatrix. As many stay as a token uses, or more; else JL_INVALID, which says how many can go.
 * Before the types are chosen. A plan file keeps the choice: lines
 * "drop blk.LAYER EXPERT,EXPERT,...". */
JL_API JL_MUST_CHECK jl_status jl_quant_plan_drop_experts(jl_quant_plan *plan, uint32_t n,
                                                          jl_drop_by by, jl_error *err);
typedef struct {
    uint32_t layer;
    uint32_t n, n_expert;    /* dropped, of how many */
    const uint32_t *experts; /* [n] ascending, the plan's */
    double share;            /* of the layer's whole that they had; NAN: not known */
} jl_quant_dropped;
JL_API size_t jl_quant_plan_drops(const jl_quant_plan *plan); /* layers that lose experts */
JL_API void jl_quant_plan_drop_at(const jl_quant_plan *plan, size_t i, jl_quant_dropped *out);

JL_API size_t jl_quant_plan_length(const jl_quant_plan *plan);
JL_API void jl_quant_plan_entry(const jl_quant_plan *plan, size_t i, jl_quant_entry *out);
JL_API bool jl_quant_plan_has_imatrix(const jl_quant_plan *plan);
/* Bytes of all tensors, those read per token at batch 1, and parameters. */
typedef struct {
    uint64_t n_params, bytes;
    double bytes_per_token;
    uint32_t n_without_importance; /* matrices to be quantised below 5 bits without an imatrix */
} jl_quant_size;
JL_API void jl_quant_plan_measure(const jl_quant_plan *plan, jl_quant_size *out);

/* ---- mixes by measurement ------------------------------------------------------------------ */

typedef struct {
    uint32_t struct_size; /* sizeof(jl_quant_budget) */
    /* One of the two: bytes of the file, or bytes of weights read per token at batch 1. */
    double bytes, bytes_per_token;
    const int32_t *tokens; /* [n_tokens] calibration text; NULL: damage is the importance-weighted
                            * error alone, which is fast and knows nothing of the model's layers */
    size_t n_tokens;
    uint32_t n_ctx; /* tokens of a chunk; 0: 256 */
    uint32_t n_threads; /* for the errors of types; 0: one per physical core */
    /* Matrices measured and in all; return false to stop (JL_CANCELLED). */
    bool (*progress)(void *ctx, size_t done, size_t total, double so_far);
    void *ctx;
} jl_quant_budget;

/* Chooses the type of every matrix so that the expected damage is smallest within the budget.
 * Each matrix in turn is quantised alone, to a small type, and the divergence of the output from
 * that of the model as it is measured on the calibration text; the divergence of other types is
 * taken as proportional to their error on the matrix, and divergences add up. The session must
 * be one of the plan's own file, with a context of at least n_ctx. What a loaded plan says of a
 * matrix's sensitivity is not measured again: with jl_quant_plan_is_measured neither text nor model
 * nor session is needed. JL_INVALID says the smallest budget there is,
 * before anything is measured. */
JL_API JL_MUST_CHECK jl_status jl_quant_plan_budget(jl_quant_plan *plan, jl_model *model,
                                                    jl_session *session,
                                                    const jl_quant_budget *budget, jl_error *err);

/* Whether the plan file had the sensitivity of every matrix, from an earlier search. */
JL_API bool jl_quant_plan_is_measured(const jl_quant_plan *plan);

/* ---- writing ------------------------------------------------------------------------------- */

typedef struct {
    uint32_t struct_size; /* sizeof(jl_quant_write_params) */
    uint32_t n_threads;   /* 0: one per physical core */
    bool fresh;           /* do not continue an interrupted run */
    /* Called between slices with the parameters done and in all and the tensor at work; return
     * false to stop: JL_CANCELLED, and PATH.partial stays for the next run. */
    bool (*progress)(void *ctx, uint64_t done, uint64_t total, const char *tensor);
    void *progress_ctx;
} jl_quant_write_params;

/* Writes the file of a settled plan. It appears at path when it is whole; the disk space is taken
 * first. A tensor with a value that is not a finite number is refused by name (JL_FORMAT), in
 * copied tensors, too. The same plan gives the same bytes on any number of threads. A run that was
 * stopped is continued: tensors in PATH.partial are taken over if a sample of their rows comes out
 * the same. *resumed (may be NULL): bytes taken over. */
JL_API JL_MUST_CHECK jl_status jl_quantize_write(const jl_quant_plan *plan, const char *path,
                                                 const jl_quant_write_params *params,
                                                 uint64_t *resumed, jl_error *err);

/* ---- importance ---------------------------------------------------------------------------- */

typedef struct {
    uint32_t struct_size; /* sizeof(jl_imatrix_params) */
    const int32_t *tokens; /* [n_tokens], the calibration text */
    size_t n_tokens;
    uint32_t n_ctx;    /* tokens of a chunk; 0: 512 */
    uint32_t n_chunks; /* at most; 0: all */
    const char *dataset; /* named in the file; NULL: none */
    /* Chunks done and in all; return false to stop (JL_CANCELLED, no file). */
    bool (*progress)(void *ctx, size_t done, size_t total, double unused);
    /* Experts that no token reached, per tensor; called after the run, before the file is
     * written. */
    void (*unseen)(void *ctx, const char *tensor, uint32_t n_unseen, uint32_t n_expert);
    void *ctx;
} jl_imatrix_params;

/* Runs the text through sequence 0 of the session and writes the mean squares of every matrix's
 * inputs in llama.cpp's GGUF format: for experts over the tokens that were routed to them. */
JL_API JL_MUST_CHECK jl_status jl_imatrix_write(jl_session *session,
                                                const jl_imatrix_params *params, const char *path,
                                                jl_error *err);

#ifdef __cplusplus
}
#endif
#endif
