/* Quantised matrix products on Arm, lanes = weight rows. A format says how 32 weights of one row
 * become signed bytes, and what the scales of 4 rows are; the products are made here and in
 * mm_gemm_neon_inl.h, in three forms of the same code: plain NEON, dotprod (`sdot`) and i8mm
 * (`smmla`).
 *
 * One column (gemv): 8 rows side by side, one block of 32 at a time. The four partial sums of each
 * row are added pairwise into 4 exact block sums, lanes = rows, and one fma per block extends 4
 * chains. Signed bytes need no bias. */
#ifndef JL_BACKEND_CPU_ARM_MM_NEON_INL_H
#define JL_BACKEND_CPU_ARM_MM_NEON_INL_H

#include <arm_neon.h>
#include <stddef.h>
#include <string.h>

#include "backend/cpu/kernels.h"
#include "quant/blocks.h"
#include "quant/unpack.h"

#define ALWAYS static inline __attribute__((always_inline))

enum { TILE_ROWS = 64, TILE_BLOCKS = 96 /* of 32 weights */, GROUP = 8 /* rows at a time */ };

/* Addresses of 4 rows. */
typedef struct {
    const uint8_t *p[4];
} row_set;

/* What is decoded once per block of the format for 4 rows; each format uses the fields as it
 * likes. */
typedef struct {
    uint32x4_t a, b, c, e;
    float32x4_t x, y;
} mm_head;

/* Scales of a block of 32, lanes = rows. halves: isum = sc[0] * s0 + sc[1] * s1; with a minimum,
 * msum = mn[0] * sum0 + mn[1] * sum1, else mn is not used. */
typedef struct {
    float32x4_t dw, mw;
    int32x4_t sc[2], mn[2];
} mm_scale;

typedef struct {
    size_t bytes; /* of a block of the format */
    int per;      /* blocks of 32 in it */
    bool has_min;
    bool halves;
    void (*head)(const row_set *rows, size_t at, mm_head *h);
    /* 32 weights of one row; p is the block of the format */
    void (*weights)(const uint8_t *p, int ib, int8x16_t w[2]);
    void (*scale)(const mm_head *h, int ib, mm_scale *s);
} mm_format;

ALWAYS uint16_t load_u16(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

ALWAYS uint32_t load_u32(const void *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

/* 4 F16 numbers at the same offset of 4 rows. */
ALWAYS float32x4_t load_halves(const row_set *r, size_t at)
{
    uint16x4_t v = vdup_n_u16(load_u16(r->p[0] + at));

    v = vset_lane_u16(load_u16(r->p[1] + at), v, 1);
    v = vset_lane_u16(load_u16(r->p[2] + at), v, 2);
    v = vset_lane_u16(load_u16(r->p[3] + at), v, 3);
    return vcvt_f32_f16(vreinterpret_f16_u16(v));
}

/* 4 bytes at the same offset of 4 rows. */
ALWAYS uint32x4_t load_words(const row_set *r, size_t at)
{
    uint32x4_t v = vdupq_n_u32(load_u32(r->p[0] + at));

    v = vsetq_lane_u32(load_u32(r->p[1] + at), v, 1);
    v = vsetq_lane_u32(load_u32(r->p[2] + at), v, 2);
    return vsetq_lane_u32(load_u32(r->p[3] + at), v, 3);
}

/* The F16 number in the low half of each lane. */
ALWAYS float32x4_t low_half(uint32x4_t v)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(v)));
}

/* Bits [shift, shift + bits) of every lane. */
ALWAYS int32x4_t lane_bits(uint32x4_t v, int shift, int bits)
{
    const uint32x4_t low = vshlq_u32(v, vdupq_n_s32(-shift));

    return vreinterpretq_s32_u32(vandq_u32(low, vdupq_n_u32((1u << bits) - 1)));
}

/* Bits [shift, shift + bits) of every byte. */
ALWAYS uint8x16_t byte_bits(uint8x16_t v, int shift, int bits)
{
    const uint8x16_t low = vshlq_u8(v, vdupq_n_s8((int8_t)-shift));

    return vandq_u8(low, vdupq_n_u8((uint8_t)((1 << bits) - 1)));
}

/* ---- exact integer sums */

/* acc[i] + the 4 products of lane i */
ALWAYS int32x4_t dot4(int32x4_t acc, int8x16_t w, int8x16_t q)
{
#ifdef __ARM_FEATURE_DOTPROD
    return vdotq_s32(acc, w, q);
#else
    const int16x8_t lo = vmull_s8(vget_low_s8(w), vget_low_s8(q));
    const int16x8_t hi = vmull_high_s8(w, q);

    return vpadalq_s16(acc, vpaddq_s16(lo, hi)); /* a pair is at most 2 * 128 * 127 */
#endif
}

/* Partial sums of 4 rows to 4 sums, lane = row. */
ALWAYS int32x4_t tree4(const int32x4_t t[4])
{
    return vpaddq_s32(vpaddq_s32(t[0], t[1]), vpaddq_s32(t[2], t[3]));
}

/* The column's activations. */
typedef struct {
    const int8_t *q;
    const float *d;
    const int16_t *sum;
} mm_col;

ALWAYS mm_col mm_column(const jl_mm_args *a, size_t c)
{
    const size_t row = a->cols ? a->cols[c] : c;
    const size_t blocks = a->n_in / 32;

    return (mm_col){a->q + row * a->n_in, a->d + row * blocks, a->sum + row * 2 * blocks};
}

/* ---- one column */

/* One block of 4 rows: two fma chains where there is a minimum, one otherwise. */
ALWAYS float32x4_t gemv_step(const mm_format *f, const row_set *rows, size_t at, int ib,
                             const mm_scale *s, const mm_col *col, size_t b, float32x4_t acc)
{
    const int8x16_t q0 = vld1q_s8(col->q + 32 * b);
    const int8x16_t q1 = vld1q_s8(col->q + 32 * b + 16);
    const int32x4_t zero = vdupq_n_s32(0);
    const float da = col->d[b];
    int32x4_t t0[4];
    int32x4_t t1[4];
    int32x4_t isum;

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        int8x16_t w[2];
        f->weights(rows->p[i] + at, ib, w);
        t0[i] = dot4(zero, w[0], q0);
        t1[i] = dot4(f->halves ? zero : t0[i], w[1], q1);
    }
    if (f->halves)
        isum = vmlaq_s32(vmulq_s32(tree4(t0), s->sc[0]), tree4(t1), s->sc[1]);
    else
        isum = tree4(t1);
    acc = vfmaq_f32(acc, vcvtq_f32_s32(isum), vmulq_n_f32(s->dw, da));
    if (f->has_min) {
        const int16_t *sum = col->sum + 2 * b;
        float32x4_t msum;
        if (f->halves)
            msum = vcvtq_f32_s32(vmlaq_n_s32(vmulq_n_s32(s->mn[0], sum[0]), s->mn[1], sum[1]));
        else
            msum = vdupq_n_f32((float)(sum[0] + sum[1]));
        acc = vfmaq_f32(acc, msum, vmulq_n_f32(s->mw, da));
    }
    return acc;
}

/* 8 rows times one column. */
ALWAYS void gemv_rows(const mm_format *f, const row_set rows[2], const mm_col *col, size_t n_blocks,
                      float y[GROUP])
{
    float32x4_t acc[2] = {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};

    for (size_t b = 0; b < n_blocks; b += (size_t)f->per) {
        const size_t at = b / (size_t)f->per * f->bytes;
        mm_head h[2];
#pragma GCC unroll 2
        for (int g = 0; g < 2; g++)
            f->head(&rows[g], at, &h[g]);
#pragma GCC unroll 8
        for (int ib = 0; ib < f->per; ib++)
#pragma GCC unroll 2
            for (int g = 0; g < 2; g++) {
                mm_scale s;
                f->scale(&h[g], ib, &s);
                acc[g] = gemv_step(f, &rows[g], at, ib, &s, col, b + (size_t)ib, acc[g]);
            }
    }
    vst1q_f32(y, acc[0]);
    vst1q_f32(y + 4, acc[1]);
}

/* One column over all rows. Lane i takes an eighth of the rows, so that it reads one contiguous
 * piece of memory; for the rest, the last row is repeated to make up 8. */
ALWAYS void mm_gemv(const mm_format *f, const jl_mm_args *a)
{
    const mm_col col = mm_column(a, 0);
    const size_t each = a->n_rows / GROUP;
    const size_t left = a->n_rows % GROUP;

    for (size_t r = 0; r < each + (left > 0); r++) {
        row_set rows[2];
        float y[GROUP];
        for (size_t i = 0; i < GROUP; i++) {
            const size_t rest = GROUP * each + (i < left ? i : left - 1);
            rows[i / 4].p[i % 4] = a->w + (r < each ? i * each + r : rest) * a->w_stride;
        }
        gemv_rows(f, rows, &col, a->n_in / 32, y);
        for (size_t i = 0; i < (r < each ? GROUP : left); i++)
            a->y[r < each ? i * each + r : GROUP * each + i] = y[i];
    }
}

#endif
