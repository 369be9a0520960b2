/* Writing keys and values into their cells. K is kept transposed inside a page, so that scores of
 * 64 keys are computed side by side; see kernels.h for the layout. */
#include <math.h>

#include "backend/cpu/cpu.h"
#include "quant/quant.h"

typedef struct {
    cpu_backend *c;
    const jl_tensor *k, *v;
    const jl_kv_layer *kv;
    const jl_kv_batch *batch;
} store_args;

/* One value per step bytes of the page, for K and V alike. */
static void store_plain(jl_cell_type type, void *page, size_t first, size_t step, const float *x,
                        size_t n)
{
    float *f32 = page;
    uint16_t *f16 = page;

    if (type == JL_CELL_F32)
        for (size_t e = 0; e < n; e++)
            f32[first + e * step] = x[e];
    else
        for (size_t e = 0; e < n; e++)
            f16[first + e * step] = jl_f32_to_f16(x[e]);
}

/* Q8_0: d = F16(amax / 127), q = round_half_even(x * (1 / d)). */
static void store_q8(void *page, size_t first, size_t step, size_t d_first, size_t d_step,
                     const float *x, size_t n)
{
    int8_t *q = page;
    uint16_t *d = (uint16_t *)(void *)(q + n * JL_KV_BLOCK);

    for (size_t b = 0; b < n / 32; b++) {
        float amax = 0.0f;
        for (size_t i = 0; i < 32; i++)
            amax = fmaxf(amax, fabsf(x[b * 32 + i]));

        const uint16_t d16 = jl_f32_to_f16(amax / 127.0f);
        const float scale = jl_f16_to_f32(d16);
        const float inv = scale > 0.0f && isfinite(scale) ? 1.0f / scale : 0.0f;
        d[d_first + b * d_step] = d16;
        for (size_t i = 0; i < 32; i++) {
            const float r = rintf(x[b * 32 + i] * inv);
            const float lim = r > 127.0f ? 127.0f : r < -127.0f ? -127.0f : r;
            q[first + (b * 32 + i) * step] = (int8_t)(lim == lim ? lim : 0.0f);
        }
    }
}

static void store_head(const store_args *a, size_t t, size_t h)
{
    const jl_kv_layer *kv = a->kv;
    const size_t d = kv->head_dim;
    const size_t cell = (size_t)a->batch->pos[t] % JL_KV_BLOCK;
    const int32_t page = a->batch->pages[t][a->batch->pos[t] / JL_KV_BLOCK];
    uint8_t *base = kv->buf->host + kv->offset + (uint64_t)page * kv->page_bytes;
    const float *k = jl_tensor_row(a->k, t) + h * d;
    const float *v = jl_tensor_row(a->v, t) + h * d;
    void *kp = base + h * kv->k_head_bytes;
    void *vp = base + kv->v_offset + h * kv->v_head_bytes;

    if (kv->type_k == JL_CELL_Q8_0)
        store_q8(kp, cell, JL_KV_BLOCK, cell, JL_KV_BLOCK, k, d);
    else
        store_plain((jl_cell_type)kv->type_k, kp, cell, JL_KV_BLOCK, k, d);
    if (kv->type_v == JL_CELL_Q8_0)
        store_q8(vp, cell * d, 1, cell * (d / 32), 1, v, d);
    else
        store_plain((jl_cell_type)kv->type_v, vp, cell * d, 1, v, d);
}

static void store_heads(void *ctx, int ith, int nth)
{
    const store_args *a = ctx;
    const size_t n_head = a->kv->n_head_kv;
    const jl_range heads = jl_split(a->batch->n_tokens * n_head, 1, ith, nth);

    for (size_t i = heads.begin; i < heads.end; i++)
        store_head(a, i / n_head, i % n_head);
}

void jl_cpu_kv_store(jl_backend *be, const jl_tensor *k, const jl_tensor *v, const jl_kv_layer *kv,
                     const jl_kv_batch *batch)
{
    cpu_backend *c = cpu_of(be);
    store_args a = {.c = c, .k = k, .v = v, .kv = kv, .batch = batch};

    /* Every value of a key has a cache line of its own: the 2,048 of one token take the caller
     * alone 49 us, longer than the others wait before they sleep. */
    if ((uint64_t)batch->n_tokens * k->ne[0] < 1024)
        store_heads(&a, 0, 1);
    else
        jl_pool_run(c->pool, store_heads, &a);
}
