/* One forward pass of a model over a micro-batch. */
#ifndef JL_MODEL_GRAPH_H
#define JL_MODEL_GRAPH_H

#include <stdatomic.h>

#include "model/kv.h"
#include "model/model.h"

/* Activations of a micro-batch, F32, in one buffer of the backend. Rows are tokens. */
typedef struct {
    jl_tensor x;            /* [n_embd] residual stream */
    jl_tensor h;            /* [n_embd] normed input of a block */
    jl_tensor f, f2;        /* [n_embd] block outputs */
    jl_tensor q, o;         /* [n_head * head_dim] */
    jl_tensor k, v;         /* [n_head_kv * head_dim] */
    jl_tensor gate, up;     /* [n_ff] */
    jl_tensor ids, weights; /* [n_expert_used] */
    jl_tensor ple;          /* [n_layer * n_embd_per_layer] per-layer inputs */
    jl_tensor ple_t;        /* the same size, scratch */
    jl_tensor out;          /* [n_embd] rows wanted for logits, normed */
    jl_tensor logits;       /* [n_vocab][n_logits_max] */
} jl_activations;

/* Bytes of all activations, and the views into buf (NULL: only measure). */
uint64_t jl_activations_layout(const jl_model *m, uint32_t n_tokens, uint32_t n_logits,
                               jl_buffer *buf, jl_activations *out);

typedef struct jl_graph {
    const jl_model *m;
    jl_backend *be;
    const jl_kv *kv;
    const jl_activations *act;
    const float *inv_freq, *inv_freq_swa; /* [head_dim / 2] of global and window layers */
    float mscale;

    uint32_t n_tokens;
    const int32_t *tokens;                     /* [n_tokens] */
    const int32_t *pos;                        /* [n_tokens] */
    const int32_t *const *pages[JL_KV_GROUPS]; /* [n_tokens] */
    const uint32_t *out_rows;                  /* [n_out] tokens whose logits are wanted */
    uint32_t n_out;

    atomic_bool *cancel;
    jl_layer_fn *observe;
    void *observe_ctx;
    /* Called between layers, where a pass may pause; NULL: none. Returns whether another pass ran
     * meanwhile: then what the backend holds of this one is prepared again. */
    bool (*layer_done)(void *ctx);
    void *layer_done_ctx;
} jl_graph;

/* Fills act->out and act->logits rows 0 .. n_out-1. JL_CANCELLED between layers. */
JL_MUST_CHECK jl_status jl_graph_forward(const jl_graph *g, jl_error *err);

/* Logits of other rows of the same micro-batch (act->x still holds it): act->logits again. */
JL_MUST_CHECK jl_status jl_graph_head(const jl_graph *g, jl_error *err);

/* gemma4.c, llama.c: the passes of the architectures. */
JL_MUST_CHECK jl_status jl_gemma4_forward(const jl_graph *g, jl_error *err);
JL_MUST_CHECK jl_status jl_llama_forward(const jl_graph *g, jl_error *err);

#endif
