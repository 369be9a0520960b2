/* Quantisers of the formats of 32 weights: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL. */
#include <math.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/float16.h"
#include "quant/quantizer.h"

static const jl_levels levels4 = {-8, 7, NULL};
static const jl_levels levels5 = {-16, 15, NULL};
static const jl_levels levels8 = {-127, 127, NULL};
static const jl_levels levels_iq4 = {-127, 113, jl_iq4_values};

/* Scale and levels of 32 values, the levels chosen for the scale as stored. */
static uint16_t one_scale(const jl_fit_block *b, const jl_levels *levels, int8_t q[32])
{
    memset(q, 0, 32);
    if (!(b->amax > 0.0f))
        return jl_f32_bits(b->amax) ? 0x7e00u : 0; /* NaN or zero */
    const uint16_t d = jl_fit_half(jl_fit_scale(b->unit, b->w, 32, levels) * b->amax);
    jl_fit_levels(b->unit, b->w, 32, levels, jl_half_widen(d) / b->amax, q);
    return d;
}

static void pack_nibbles(const int8_t *level, int offset, uint8_t qs[16])
{
    for (int j = 0; j < 16; j++)
        qs[j] = (uint8_t)(((level[j] + offset) & 15) | ((level[j + 16] + offset) & 15) << 4);
}

static void pack_fifth_bits(const int8_t *level, int offset, uint8_t qh[4])
{
    for (int i = 0; i < 32; i++)
        qh[i / 8] = (uint8_t)(qh[i / 8] | ((level[i] + offset) >> 4 & 1) << i % 8);
}

void jl_quantize_q4_0(const jl_quantizer *q, const jl_fit_block *b, void *dst)
{
    jl_block_q4_0 *out = dst;
    int8_t level[32];

    (void)q;
    out->d = one_scale(b, &levels4, level);
    pack_nibbles(level, 8, out->qs);
}

void jl_quantize_q5_0(const jl_quantizer *q, const jl_fit_block *b, void *dst)
{
    jl_block_q5_0 *out = dst;
    int8_t level[32];

    (void)q;
    out->d = one_scale(b, &levels5, level);
    pack_nibbles(level, 16, out->qs);
    pack_fifth_bits(level, 16, out->qh);
}

void jl_quantize_q8_0(const jl_quantizer *q, const jl_fit_block *b, void *dst)
{
    jl_block_q8_0 *out = dst;

    (void)q;
    out->d = one_scale(b, &levels8, out->qs);
}

void jl_quantize_iq4_nl(const jl_quantizer *q, const jl_fit_block *b, void *dst)
{
    jl_block_iq4_nl *out = dst;
    int8_t level[32];

    (void)q;
    out->d = one_scale(b, &levels_iq4, level);
    pack_nibbles(level, 0, out->qs);
}

/* Scale, minimum and levels of 32 values. */
static void scale_and_min(const jl_fit_block *b, int top, uint16_t dm[2], int8_t level[32])
{
    uint8_t q[32] = {0};

    dm[0] = dm[1] = b->amax == 0.0f ? 0 : 0x7e00u;
    if (b->amax > 0.0f) {
        const jl_affine f = jl_fit_affine(b->unit, b->w, 32, top, 1);
        dm[0] = jl_fit_half(f.scale * b->amax);
        dm[1] = jl_fit_half(-f.min * b->amax);
        const jl_affine stored = {jl_half_widen(dm[0]) / b->amax, -jl_half_widen(dm[1]) / b->amax};
        jl_affine_levels(b->unit, b->w, 32, top, stored, q);
    }
    memcpy(level, q, 32);
}

void jl_quantize_q4_1(const jl_quantizer *q, const jl_fit_block *b, void *dst)
{
    jl_block_q4_1 *out = dst;
    int8_t level[32];
    uint16_t dm[2];

    (void)q;
    scale_and_min(b, 15, dm, level);
    out->d = dm[0];
    out->m = dm[1];
    pack_nibbles(level, 0, out->qs);
}

void jl_quantize_q5_1(const jl_quantizer *q, const jl_fit_block *b, void *dst)
{
    jl_block_q5_1 *out = dst;
    int8_t level[32];
    uint16_t dm[2];

    (void)q;
    scale_and_min(b, 31, dm, level);
    out->d = dm[0];
    out->m = dm[1];
    pack_nibbles(level, 0, out->qs);
    pack_fifth_bits(level, 0, out->qh);
}
