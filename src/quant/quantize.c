/* Simple quantisers: one pass per block, the rounding of the format's reference quantiser. A block
 * holding a NaN or infinity gets the scale NaN, so that the damage stays visible. */
#include <math.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/quant.h"
#include "quant/quantizer.h"

#define F16_NAN 0x7e00u

/* The value of largest magnitude, sign kept, first of equals; NaN if any value is not finite. */
static float extreme(const float x[32])
{
    float top = 0.0f;

    for (int i = 0; i < 32; i++) {
        if (!isfinite(x[i]))
            return NAN;
        if (fabsf(x[i]) > fabsf(top))
            top = x[i];
    }
    return top;
}

/* 1 / d, or 0 where that is no finite number: d is 0, NaN, or too small to divide by. */
static float reciprocal(float d)
{
    const float id = 1.0f / d;

    return isfinite(id) ? id : 0.0f;
}

/* trunc(v) within 0 .. top; v is finite. */
static uint8_t to_level(float v, int top)
{
    const int level = (int)v;

    return (uint8_t)(level < 0 ? 0 : level > top ? top : level);
}

static void pack_nibbles(const uint8_t level[32], uint8_t qs[16])
{
    for (int j = 0; j < 16; j++)
        qs[j] = (uint8_t)((level[j] & 15) | (level[j + 16] & 15) << 4);
}

static void pack_fifth_bits(const uint8_t level[32], uint8_t qh[4])
{
    for (int k = 0; k < 4; k++) {
        unsigned byte = 0;
        for (int i = 0; i < 8; i++)
            byte |= (unsigned)(level[8 * k + i] >> 4 & 1) << i;
        qh[k] = (uint8_t)byte;
    }
}

/* Levels 0 .. 2 half - 1 around half; the extreme value maps to level 0. Returns the scale. */
static uint16_t levels_signed(const float x[32], int half, uint8_t level[32])
{
    const float d = extreme(x) / (float)-half;
    const float id = reciprocal(d);

    const float middle = (float)half + 0.5f;

    for (int i = 0; i < 32; i++)
        level[i] = isnan(d) ? (uint8_t)half : to_level(x[i] * id + middle, 2 * half - 1);
    return jl_f32_to_f16(d);
}

/* Levels 0 .. top from the smallest to the largest value. Fills the scale and the minimum. */
static void levels_min(const float x[32], int top, uint8_t level[32], uint16_t scale_min[2])
{
    float lo = x[0];
    float hi = x[0];
    for (int i = 1; i < 32; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }

    const bool finite = isfinite(extreme(x)) && isfinite(hi - lo);
    const float d = finite ? (hi - lo) / (float)top : NAN;
    const float id = reciprocal(d);
    for (int i = 0; i < 32; i++)
        level[i] = finite ? to_level((x[i] - lo) * id + 0.5f, top) : 0;
    scale_min[0] = jl_f32_to_f16(d);
    scale_min[1] = finite ? jl_f32_to_f16(lo) : F16_NAN;
}

static void quant_q4_0(const float *x, void *dst)
{
    jl_block_q4_0 *b = dst;
    uint8_t level[32];

    b->d = levels_signed(x, 8, level);
    pack_nibbles(level, b->qs);
}

static void quant_q5_0(const float *x, void *dst)
{
    jl_block_q5_0 *b = dst;
    uint8_t level[32];

    b->d = levels_signed(x, 16, level);
    pack_nibbles(level, b->qs);
    pack_fifth_bits(level, b->qh);
}

static void quant_q4_1(const float *x, void *dst)
{
    jl_block_q4_1 *b = dst;
    uint8_t level[32];
    uint16_t scale_min[2];

    levels_min(x, 15, level, scale_min);
    b->d = scale_min[0];
    b->m = scale_min[1];
    pack_nibbles(level, b->qs);
}

static void quant_q5_1(const float *x, void *dst)
{
    jl_block_q5_1 *b = dst;
    uint8_t level[32];
    uint16_t scale_min[2];

    levels_min(x, 31, level, scale_min);
    b->d = scale_min[0];
    b->m = scale_min[1];
    pack_nibbles(level, b->qs);
    pack_fifth_bits(level, b->qh);
}

static void quant_q8_0(const float *x, void *dst)
{
    jl_block_q8_0 *b = dst;
    const float d = fabsf(extreme(x)) / 127.0f;
    const float id = reciprocal(d);

    b->d = jl_f32_to_f16(d);
    for (int i = 0; i < 32; i++)
        b->qs[i] = isnan(d) ? 0 : (int8_t)roundf(x[i] * id);
}

static void quant_halves(jl_type type, const float *src, uint16_t *dst, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = type == JL_TYPE_F16 ? jl_f32_to_f16(src[i]) : jl_f32_to_bf16(src[i]);
}

typedef void quant_fn(const float *x, void *dst);

/* Quantises one block of the format. */
static quant_fn *quantiser(jl_type type)
{
    switch (type) {
    case JL_TYPE_Q4_0:
        return quant_q4_0;
    case JL_TYPE_Q4_1:
        return quant_q4_1;
    case JL_TYPE_Q5_0:
        return quant_q5_0;
    case JL_TYPE_Q5_1:
        return quant_q5_1;
    case JL_TYPE_Q8_0:
        return quant_q8_0;
    default:
        return NULL;
    }
}

int jl_quant_row(jl_type type, const float *src, void *dst, size_t n)
{
    if (type == JL_TYPE_F32) {
        memcpy(dst, src, n * sizeof *src);
        return 1;
    }
    if (type == JL_TYPE_F16 || type == JL_TYPE_BF16) {
        quant_halves(type, src, dst, n);
        return 1;
    }

    jl_quantizer search;
    quant_fn *fn = quantiser(type);
    if (!fn && !jl_quantizer_plain(type, &search))
        return 0;
    if (!fn) {
        jl_quantizer_row(&search, src, NULL, dst, n);
        return 1;
    }
    const jl_type_info *info = jl_type_get((uint32_t)type);
    for (size_t b = 0; b < n / info->block_len; b++)
        fn(src + b * info->block_len, (uint8_t *)dst + b * info->block_bytes);
    return 1;
}
