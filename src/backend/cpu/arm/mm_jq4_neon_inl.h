/* JQ4 with NEON (docs/jq4.md): a vector of tiles holds 4 rows x 8 columns as nibbles and has one
 * table, so two table look-ups give two vectors of 4 rows x 4 columns. Sums of a segment stay in
 * integers. Here: what all Arm kernels of JQ4 share, and the product with one column. */
#ifndef JL_BACKEND_CPU_ARM_MM_JQ4_NEON_INL_H
#define JL_BACKEND_CPU_ARM_MM_JQ4_NEON_INL_H

#include <arm_neon.h>
#include <stdbool.h>

#include "backend/cpu/arm/arm.h"
#include "backend/cpu/mm_jq4_inl.h"

enum { QUADS = 4 };

/* Rows 4 quad .. 4 quad + 3 x 4 columns, twice: columns 8 g .. 8 g + 7. */
ALWAYS void expand8(const jq4_group *w, size_t g, int quad, int8x16_t out[2])
{
    const uint8_t *code = w->codes + 3 * g;
    const uint32_t packed = (uint32_t)code[0] | (uint32_t)code[1] << 8 | (uint32_t)code[2] << 16;
    const int8x16_t table = vld1q_s8(jl_jq4_values[packed >> 6 * quad & 63]);
    const uint8x16_t v = vld1q_u8(w->tiles + 64 * g + 16 * (size_t)quad);

    out[0] = vqtbl1q_s8(table, vandq_u8(v, vdupq_n_u8(15)));
    out[1] = vqtbl1q_s8(table, vshrq_n_u8(v, 4));
}

/* The same for columns 16 g .. 16 g + 15 and all quads, whose 8 codes are c (bits above those are
 * not looked at): columns 4 j .. of rows 4 quad .. are out[j]. The mask, 63 * 16, is in a register,
 * where it can be combined with a shifted number; as a constant it costs one more instruction. */
ALWAYS void expand16(const jq4_group *w, size_t g, uint64_t c, uint64_t mask, int quad,
                     int8x16_t out[4])
{
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        const int n = 4 * i + quad;
        const uint64_t at = (n ? c >> (6 * n - 4) : c << 4) & mask;
        const int8x16_t table = vld1q_s8(jl_jq4_values[0] + at);
        const uint8x16_t v = vld1q_u8(w->tiles + 128 * g + 64 * (size_t)i + 16 * (size_t)quad);
        out[2 * i] = vqtbl1q_s8(table, vandq_u8(v, vdupq_n_u8(15)));
        out[2 * i + 1] = vqtbl1q_s8(table, vshrq_n_u8(v, 4));
    }
}

/* The codes of columns 16 g .. 16 g + 15 in the low 48 bits; behind the last codes lie the tiles,
 * so that 8 bytes can be read. */
ALWAYS uint64_t codes16(const jq4_group *w, size_t g)
{
    uint64_t c;

    __builtin_memcpy(&c, w->codes + 6 * g, sizeof c);
    return c;
}

ALWAYS float32x4_t row_scales(const jq4_group *w, int quad)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(w->scales + 8 * quad)));
}

ALWAYS size_t segment_end(const jl_mm_args *a, size_t k)
{
    return a->n_in - k < SEGMENT ? a->n_in : k + SEGMENT;
}

/* acc + w * activations 4 lane .. 4 lane + 3, lanes = rows. The lane is part of the instruction.
 * Without sdot: both factors are at most 127, so a sum of two products fits 16 bits. */
#ifdef __ARM_FEATURE_DOTPROD
#define DOT_LANE(acc, w, q, lane) vdotq_laneq_s32(acc, w, q, lane)
#else
ALWAYS int32x4_t dot4(int32x4_t acc, int8x16_t w, int8x16_t q)
{
    const int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(q));

    return vpadalq_s16(acc, vpaddq_s16(low, vmull_high_s8(w, q)));
}
#define DOT_LANE(acc, w, q, lane)                                                                  \
    dot4(acc, w, vreinterpretq_s8_s32(vdupq_laneq_s32(vreinterpretq_s32_s8(q), lane)))
#endif

/* ---- one column */

ALWAYS void gemv(const jl_mm_args *a)
{
    const jq4_col col = column_at(a, 0);
    uint64_t mask = (JL_JQ4_TABLES - 1) * 16;

    __asm__("" : "+r"(mask));
    for (size_t r = 0; r < a->n_rows; r += JL_JQ4_ROWS) {
        const jq4_group w = group_at(a, r);
        float32x4_t acc[QUADS] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
        for (size_t k = 0; k < a->n_in; k += SEGMENT) {
            const size_t end = segment_end(a, k);
            const float32x4_t d = vdupq_n_f32(col.d[k / SEGMENT]);
            int32x4_t sums[QUADS] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0),
                                     vdupq_n_s32(0)};
            for (size_t i = k; i < end; i += 16) {
                const int8x16_t q = vld1q_s8(col.q + i);
                const uint64_t c = codes16(&w, i / 16);
#pragma GCC unroll 4
                for (int quad = 0; quad < QUADS; quad++) {
                    int8x16_t v[4];
                    expand16(&w, i / 16, c, mask, quad, v);
                    sums[quad] = DOT_LANE(sums[quad], v[0], q, 0);
                    sums[quad] = DOT_LANE(sums[quad], v[1], q, 1);
                    sums[quad] = DOT_LANE(sums[quad], v[2], q, 2);
                    sums[quad] = DOT_LANE(sums[quad], v[3], q, 3);
                }
            }
#pragma GCC unroll 4
            for (int quad = 0; quad < QUADS; quad++)
                acc[quad] = vfmaq_f32(acc[quad], vcvtq_f32_s32(sums[quad]), d);
        }
        for (int quad = 0; quad < QUADS; quad++)
            vst1q_f32(a->y + r + 4 * (size_t)quad, vmulq_f32(row_scales(&w, quad), acc[quad]));
    }
}

#endif
