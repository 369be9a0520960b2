/* Golden cases: the tiny seeded models of scripts/make-goldens and what the reference computed. */
#ifndef JL_TESTS_GOLDEN_H
#define JL_TESTS_GOLDEN_H

#include "gguf/gguf.h"
#include "joule/joule.h"

enum { GOLDEN_MAX_MASKED = 16, GOLDEN_MAX_POSITIONS = 64 };

typedef struct {
    const char *name; /* "e2b" */
    jl_gguf *file;
    uint32_t n_vocab, n_embd, n_layer;
    size_t n_tokens;
    const int32_t *tokens; /* [n_tokens] */
    const float *logits;   /* [n_tokens][n_vocab], F64 reference rounded to F32 */
    /* [n_layer + 2][n_positions][n_embd]: scaled embedding, each layer, final norm */
    const float *hidden;
    size_t n_positions;
    size_t positions[GOLDEN_MAX_POSITIONS]; /* tokens whose hidden states are kept, ascending */
    size_t n_masked;
    int32_t masked[GOLDEN_MAX_MASKED]; /* tokens whose logit is -inf */
} golden_case;

/* Opens folder/name.gguf; name must outlive the case. Ends the test on failure. */
void golden_open(golden_case *c, const char *folder, const char *name);
void golden_close(golden_case *c);
/* "layer 3 (sliding)" and the like, for a layer -1 .. n_layer. */
void golden_layer_name(const golden_case *c, int layer, char *text, size_t cap);

/* Makes the model file of a case at path: matrices of the given type. Types with a quantiser are
 * quantised from the case's F32 weights, others get random valid blocks of the same spread. As in
 * published files, vectors and the router stay F32, the per-layer projection F16, and rows that do
 * not fill a block get a type of 32. */
void golden_write_model(const golden_case *c, const char *path, jl_type type);
/* Opens a case and its model in Q8_0, which it makes as work_folder/file. */
void golden_open_model(golden_case *c, const char *folder, const char *name,
                       const char *work_folder, const char *file, jl_model **out);
/* Makes a model of the F32 values of such a file's matrices. */
void golden_widen_model(const golden_case *c, const char *from, const char *path);

/* How a sequence is run. Zero-initialised: all at once, defaults of the session, F16 cache. */
typedef struct {
    size_t piece; /* tokens per call; 0: all in one */
    uint32_t n_threads, n_ubatch;
    jl_kv_type kv;
    const char *cpu_mask;
    const char *device; /* as in jl_session_params */
    jl_layer_fn *observe;
    void *observe_ctx;
} golden_plan;

/* Runs tokens and returns the logits of each, [n_tokens][n_vocab], to be freed by the caller. */
float *golden_run(jl_model *model, const int32_t *tokens, size_t n_tokens, const golden_plan *plan);

/* Kullback-Leibler divergence KL(p || q) of the softmax of two sets of rows, nats, over the rows. A
 * row whose expert choice flips diverges by far more than the others: the median does not see it.
 * */
typedef struct {
    double mean, median, max;
    size_t n_other_top; /* rows whose best token differs */
} golden_kl;
golden_kl golden_divergence(const float *p, const float *q, size_t n_rows, size_t n_vocab);

size_t golden_argmax(const float *row, size_t n);

/* Ends the test unless two sets of logits are the same bits; what names the runs. */
void golden_assert_same(const float *a, const float *b, size_t n_rows, size_t n_vocab,
                        const char *what);

#endif
