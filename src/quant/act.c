/* Activations for quantised products: docs/numerics.md section 1. */
#include <float.h>

#include "quant/float16.h"
#include "quant/quant.h"

/* 1.5 * 2^23: adding it to |v| < 2^22 leaves round_half_even(v) in the low bits of the sum, in the
 * default rounding mode and without SSE4.1. */
#define ROUND_MAGIC 0x1.8p23f

static void quantize_block(const float *x, int n, int8_t *q, float *d)
{
    int32_t top = 0; /* bits of |x| order like the values, infinity and NaN last */
    for (int i = 0; i < n; i++) {
        const int32_t bits = (int32_t)(jl_f32_bits(x[i]) & 0x7fffffffu);
        top = bits > top ? bits : top;
    }

    const float amax = jl_f32_from_bits((uint32_t)top);
    const float id = amax > 0.0f ? 127.0f / amax : 0.0f;
    if (top >= 0x7f800000 || !(id <= FLT_MAX) || id == 0.0f) {
        memset(q, 0, (size_t)n);
        *d = top >= 0x7f800000 ? jl_f32_from_bits(0x7fc00000u) : 0.0f;
        return;
    }
    *d = amax / 127.0f;
    for (int i = 0; i < n; i++) {
        const float shifted = x[i] * id + ROUND_MAGIC;
        q[i] = (int8_t)((int32_t)jl_f32_bits(shifted) - 0x4b400000);
    }
}

void jl_act_quantize(const float *x, size_t n, int8_t *q, float *d, int16_t *sum)
{
    for (size_t b = 0; b < n / JL_ACT_BLOCK; b++) {
        int8_t *qb = q + b * JL_ACT_BLOCK;

        quantize_block(x + b * JL_ACT_BLOCK, JL_ACT_BLOCK, qb, d + b);
        for (int h = 0; h < 2; h++) {
            int s = 0;
            for (int i = 0; i < 16; i++)
                s += qb[16 * h + i];
            sum[2 * b + (size_t)h] = (int16_t)s;
        }
    }
}

void jl_act_quantize_wide(const float *x, size_t n, int8_t *q, float *d, int16_t *sum)
{
    for (size_t i = 0; i < n; i += JL_ACT_WIDE) {
        const size_t len = n - i < JL_ACT_WIDE ? n - i : JL_ACT_WIDE;

        quantize_block(x + i, (int)len, q + i, d + i / JL_ACT_WIDE);
    }
    for (size_t i = 0; i < n; i += JL_ACT_WIDE_SUM) {
        int s = 0;

        for (size_t j = i; j < n && j < i + JL_ACT_WIDE_SUM; j++)
            s += q[j];
        sum[i / JL_ACT_WIDE_SUM] = (int16_t)s;
    }
}
