/* Attention over one block of 64 keys, and the merge of two partial results: docs/numerics.md,
 * section 4, one operation at a time. */
#include <math.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/mathf.h"
#include "backend/cpu/scalar/scalar.h"
#include "quant/quant.h"

size_t jl_attn_scratch(size_t head_dim)
{
    /* keys and values of a block as F32, scores and one block's output per query row */
    const size_t floats = 2 * JL_KV_BLOCK * head_dim + JL_ATTN_ROWS * (JL_KV_BLOCK + head_dim);
    return floats * sizeof(float) + 4096;
}

static float k_at(const jl_attn_args *a, size_t e, size_t j)
{
    const size_t i = e * JL_KV_BLOCK + j;

    if (a->type_k == JL_CELL_F32)
        return ((const float *)a->k)[i];
    if (a->type_k == JL_CELL_F16)
        return jl_f16_to_f32(((const uint16_t *)a->k)[i]);

    const int8_t *q = a->k;
    const uint16_t *d = (const uint16_t *)(q + a->head_dim * JL_KV_BLOCK);
    return (float)q[i] * jl_f16_to_f32(d[e / 32 * JL_KV_BLOCK + j]);
}

static float v_at(const jl_attn_args *a, size_t j, size_t e)
{
    const size_t i = j * a->head_dim + e;

    if (a->type_v == JL_CELL_F32)
        return ((const float *)a->v)[i];
    if (a->type_v == JL_CELL_F16)
        return jl_f16_to_f32(((const uint16_t *)a->v)[i]);

    const int8_t *q = a->v;
    const uint16_t *d = (const uint16_t *)(q + a->head_dim * JL_KV_BLOCK);
    return (float)q[i] * jl_f16_to_f32(d[j * (a->head_dim / 32) + e / 32]);
}

static void attn_row(const jl_attn_args *a, size_t row)
{
    const float *q = a->q + a->q_offset[row];
    const int32_t pos = a->pos[row];
    float p[JL_KV_BLOCK];
    bool seen[JL_KV_BLOCK];
    float m = -INFINITY;

    for (size_t j = 0; j < JL_KV_BLOCK; j++) {
        const int32_t key = a->first + (int32_t)j;
        seen[j] = key <= pos && pos - key < a->window;
        if (!seen[j])
            continue;
        float s = 0.0f;
        for (size_t e = 0; e < a->head_dim; e++)
            s = fmaf(q[e], k_at(a, e, j), s);
        p[j] = s;
        m = s > m ? s : m;
    }
    if (m == -INFINITY)
        return; /* no key of this block is visible (or no score is a number) */

    float lane[16] = {0};
    for (size_t j = 0; j < JL_KV_BLOCK; j++) {
        p[j] = seen[j] ? jl_expf(p[j] - m) : 0.0f;
        lane[j % 16] += p[j];
    }
    for (size_t half = 8; half > 0; half /= 2)
        for (size_t l = 0; l < half; l++)
            lane[l] += lane[l + half];

    float *o = a->scratch;
    for (size_t e = 0; e < a->head_dim; e++) {
        o[e] = 0.0f;
        for (size_t j = 0; j < JL_KV_BLOCK; j++)
            if (seen[j])
                o[e] = fmaf(p[j], v_at(a, j, e), o[e]);
    }
    jl_scalar_attn_merge(&a->m[row], &a->l[row], a->o + row * a->head_dim, m, lane[0], o,
                         a->head_dim);
}

void jl_scalar_attn_block(const jl_attn_args *a)
{
    for (size_t row = 0; row < a->n_q; row++)
        attn_row(a, row);
}

void jl_scalar_attn_merge(float *m, float *l, float *o, float m2, float l2, const float *o2,
                          size_t n)
{
    if (*m == -INFINITY) {
        *m = m2;
        *l = l2;
        for (size_t e = 0; e < n; e++)
            o[e] = o2[e];
        return;
    }

    const float top = m2 > *m ? m2 : *m;
    const float a = jl_expf(*m - top);
    const float c = jl_expf(m2 - top);

    *m = top;
    *l = fmaf(*l, a, l2 * c);
    for (size_t e = 0; e < n; e++)
        o[e] = fmaf(o[e], a, o2[e] * c);
}
