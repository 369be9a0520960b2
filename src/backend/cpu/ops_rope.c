/* Per-head norm and rotary position embedding, on pairs half a head apart or adjacent. */
#include <math.h>

#include "backend/cpu/cpu.h"

typedef struct {
    cpu_backend *c;
    const jl_tensor *x, *w;
    float eps;
    uint32_t head_dim;
    int slot;
    const float *inv_freq;
    const int32_t *pos;
    float mscale, scale;
    uint32_t n_tokens;
} rope_args;

static void prepare_rows(void *ctx, int ith, int nth)
{
    const rope_args *a = ctx;
    const jl_range rows = jl_split(a->n_tokens, 1, ith, nth);
    const uint32_t half = a->head_dim / 2;

    for (size_t t = rows.begin; t < rows.end; t++) {
        float *cs = a->c->rope[a->slot] + t * a->head_dim;
        for (uint32_t i = 0; i < half; i++) {
            const float angle = (float)a->pos[t] * a->inv_freq[i];
            cs[i] = (float)cos((double)angle) * a->mscale;
            cs[i + half] = (float)sin((double)angle) * a->mscale;
        }
    }
}

void jl_cpu_rope_prepare(jl_backend *be, int slot, const float *inv_freq, uint32_t head_dim,
                         float mscale, const int32_t *pos, uint32_t n_tokens)
{
    cpu_backend *c = cpu_of(be);
    rope_args a = {.c = c,
                   .slot = slot,
                   .inv_freq = inv_freq,
                   .head_dim = head_dim,
                   .mscale = mscale,
                   .pos = pos,
                   .n_tokens = n_tokens};

    if (n_tokens == 1)
        prepare_rows(&a, 0, 1);
    else
        jl_pool_run(c->pool, prepare_rows, &a);
}

static void norm_rope_rows(void *ctx, int ith, int nth)
{
    const rope_args *a = ctx;
    const uint32_t n_head = a->x->ne[0] / a->head_dim;
    const jl_range rows = jl_split(a->x->ne[1], 1, ith, nth);
    const float *w = a->w && a->w->buf ? jl_tensor_f32(a->w) : NULL;

    for (size_t t = rows.begin; t < rows.end; t++) {
        for (uint32_t h = 0; h < n_head; h++) {
            float *x = jl_tensor_row(a->x, t) + h * a->head_dim;
            if (a->w)
                a->c->k.rms_norm(x, w, x, a->head_dim, a->eps);
            if (a->slot >= 0)
                a->c->k.rope(x, a->c->rope[a->slot] + t * a->head_dim, a->head_dim);
        }
    }
}

void jl_cpu_head_norm_rope(jl_backend *be, const jl_tensor *x, const jl_tensor *w, float eps,
                           uint32_t head_dim, int slot)
{
    cpu_backend *c = cpu_of(be);
    rope_args a = {.c = c, .x = x, .w = w, .eps = eps, .head_dim = head_dim, .slot = slot};

    if ((uint64_t)x->ne[0] * x->ne[1] < 16384)
        norm_rope_rows(&a, 0, 1);
    else
        jl_pool_run(c->pool, norm_rope_rows, &a);
}

static void rope_adjacent_rows(void *ctx, int ith, int nth)
{
    const rope_args *a = ctx;
    const uint32_t n_head = a->x->ne[0] / a->head_dim;
    const jl_range rows = jl_split(a->x->ne[1], 1, ith, nth);

    for (size_t t = rows.begin; t < rows.end; t++)
        for (uint32_t h = 0; h < n_head; h++)
            a->c->k.rope_adjacent(jl_tensor_row(a->x, t) + h * a->head_dim,
                                  a->c->rope[a->slot] + t * a->head_dim, a->head_dim, a->scale);
}

void jl_cpu_rope_adjacent(jl_backend *be, const jl_tensor *x, uint32_t head_dim, int slot,
                          float scale)
{
    cpu_backend *c = cpu_of(be);
    rope_args a = {.c = c, .x = x, .head_dim = head_dim, .slot = slot, .scale = scale};

    if ((uint64_t)x->ne[0] * x->ne[1] < 16384)
        rope_adjacent_rows(&a, 0, 1);
    else
        jl_pool_run(c->pool, rope_adjacent_rows, &a);
}
