/* Where the activations of a micro-batch lie. */
#include "model/graph.h"

static uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

typedef struct {
    jl_buffer *buf;
    uint64_t used;
} cursor;

static jl_tensor take(cursor *c, uint64_t n, uint64_t n_rows)
{
    const jl_tensor t = {.buf = c->buf,
                         .offset = c->used,
                         .type = JL_TYPE_F32,
                         .ne = {(uint32_t)n, (uint32_t)n_rows, 1},
                         .row_bytes = n * sizeof(float)};

    c->used += (n * n_rows * sizeof(float) + 63) / 64 * 64;
    return t;
}

uint64_t jl_activations_layout(const jl_model *m, uint32_t n_tokens, uint32_t n_logits,
                               jl_buffer *buf, jl_activations *out)
{
    const jl_hparams *hp = &m->hp;
    const uint64_t n_q = (uint64_t)hp->n_head * max_u32(hp->head_dim, hp->head_dim_swa);
    const uint64_t ple = (uint64_t)hp->n_layer * hp->n_embd_per_layer;
    uint32_t n_kv = 0;
    uint32_t n_ff = 0;
    cursor c = {.buf = buf};

    for (uint32_t il = 0; il < hp->n_layer; il++) {
        n_kv = max_u32(n_kv, m->layers[il].n_head_kv * m->layers[il].head_dim);
        n_ff = max_u32(n_ff, m->layers[il].n_ff);
    }
    *out = (jl_activations){
        .x = take(&c, hp->n_embd, n_tokens),
        .h = take(&c, hp->n_embd, n_tokens),
        .f = take(&c, hp->n_embd, n_tokens),
        .f2 = take(&c, hp->n_embd, n_tokens),
        .q = take(&c, n_q, n_tokens),
        .o = take(&c, n_q, n_tokens),
        .k = take(&c, n_kv, n_tokens),
        .v = take(&c, n_kv, n_tokens),
        .gate = take(&c, n_ff, n_tokens),
        .up = take(&c, n_ff, n_tokens),
        .ids = take(&c, hp->n_expert_used, n_tokens),
        .weights = take(&c, hp->n_expert_used, n_tokens),
        .ple = take(&c, ple, n_tokens),
        .ple_t = take(&c, ple, n_tokens),
        .out = take(&c, hp->n_embd, n_logits),
        .logits = take(&c, hp->n_vocab, n_logits),
    };
    return c.used ? c.used : 64;
}
