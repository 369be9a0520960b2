/* Simple quantisers: one pass per block, the rounding of the format's reference quantiser. A block
 * holding a NaN or infinity gets the scale NaN, so that the damage stays visible. */
#include <math.h>

#include "quant/blocks.h"
#include "quant/float16.h"
#include "quant/quant.h"
#include "quant/quantize_k.h"

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

/* Index of the IQ4 value nearest to v, the lower one of equals: the number of midpoints below v. */
static uint8_t nearest_iq4(float v)
{
    static const float middle[15] = {-115.5f, -93.5f, -74.0f, -57.0f, -42.0f, -28.5f, -16.0f, -4.5f,
                                     7.0f,    19.0f,  31.5f,  45.5f,  61.0f,  79.0f,  101.0f};
    int below = 0;

    for (int k = 0; k < 15; k++)
        below += v > middle[k];
    return (uint8_t)below;
}

/* The scale that fits the chosen levels best, squared error weighted by x^2 (large weights matter
 * more); *gain is the part of the weighted energy it explains. */
static float fit_scale(const float x[32], const uint8_t level[32], float *gain)
{
    float sum_qx = 0.0f;
    float sum_qq = 0.0f;

    for (int i = 0; i < 32; i++) {
        const float q = (float)jl_iq4_values[level[i]];
        const float weight = x[i] * x[i];
        sum_qx += weight * q * x[i];
        sum_qq += weight * q * q;
    }
    const float d = sum_qq > 0.0f ? sum_qx / sum_qq : 0.0f;
    *gain = d * sum_qx;
    return d;
}

/* Tries the extreme value at several places of both ends of the table, keeps the best fit, and
 * picks the nearest levels for the scale as stored. */
static void quant_iq4_nl(const float *x, void *dst)
{
    jl_block_iq4_nl *b = dst;
    uint8_t level[32];
    float unit[32];
    const float top = extreme(x);
    const float id = reciprocal(top);
    float best_d = 0.0f;
    float best_gain = 0.0f;

    for (int i = 0; i < 32; i++)
        unit[i] = isnan(top) ? 0.0f : x[i] * id; /* extreme value 1: squares cannot overflow */
    for (int step = -7; step <= 7; step++) {
        for (int end = 0; end < 16; end += 15) {
            const float stretch = (float)jl_iq4_values[end] + (float)step;
            float gain;
            for (int i = 0; i < 32; i++)
                level[i] = nearest_iq4(unit[i] * stretch);
            const float d = fit_scale(unit, level, &gain);
            if (gain > best_gain) {
                best_gain = gain;
                best_d = d;
            }
        }
    }

    b->d = isnan(top) ? F16_NAN : jl_f32_to_f16(best_d * top);
    const float stored_id = reciprocal(jl_half_widen(b->d));
    for (int i = 0; i < 32; i++)
        level[i] = nearest_iq4(isnan(top) ? 0.0f : x[i] * stored_id);
    pack_nibbles(level, b->qs);
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
    case JL_TYPE_IQ4_NL:
        return quant_iq4_nl;
    case JL_TYPE_Q4_K:
        return jl_quant_q4_k;
    case JL_TYPE_Q5_K:
        return jl_quant_q5_k;
    case JL_TYPE_Q6_K:
        return jl_quant_q6_k;
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

    quant_fn *fn = quantiser(type);
    if (!fn)
        return 0;
    const jl_type_info *info = jl_type_get((uint32_t)type);
    for (size_t b = 0; b < n / info->block_len; b++)
        fn(src + b * info->block_len, (uint8_t *)dst + b * info->block_bytes);
    return 1;
}
