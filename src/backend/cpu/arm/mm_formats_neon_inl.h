/* Block-quantised formats for mm_neon_inl.h. */
#ifndef JL_BACKEND_CPU_ARM_MM_FORMATS_NEON_INL_H
#define JL_BACKEND_CPU_ARM_MM_FORMATS_NEON_INL_H

#include "backend/cpu/arm/mm_neon_inl.h"
#include "quant/iq_tables.h"

/* ---- blocks of 32 with an F16 scale in front, some with an F16 minimum behind it */

ALWAYS void head_d(const row_set *rows, size_t at, mm_head *h)
{
    h->x = load_halves(rows, at);
}

ALWAYS void scale_d(const mm_head *h, int ib, mm_scale *s)
{
    s->dw = h->x;
}

ALWAYS void head_d_m(const row_set *rows, size_t at, mm_head *h)
{
    const uint32x4_t both = load_words(rows, at);

    h->x = low_half(both);
    h->y = low_half(vshrq_n_u32(both, 16));
}

ALWAYS void scale_d_m(const mm_head *h, int ib, mm_scale *s)
{
    s->dw = h->x;
    s->mw = h->y;
}

/* Nibbles of 16 bytes: low ones are weights 0..15, high ones 16..31. */
ALWAYS void nibbles(const uint8_t *p, uint8x16_t w[2])
{
    const uint8x16_t v = vld1q_u8(p);

    w[0] = vandq_u8(v, vdupq_n_u8(15));
    w[1] = vshrq_n_u8(v, 4);
}

ALWAYS void look_up(const uint8_t *p, const int8_t values[16], int8x16_t w[2])
{
    const int8x16_t table = vld1q_s8(values);
    uint8x16_t n[2];

    nibbles(p, n);
    w[0] = vqtbl1q_s8(table, n[0]);
    w[1] = vqtbl1q_s8(table, n[1]);
}

ALWAYS void subtract(const uint8x16_t n[2], int bias, int8x16_t w[2])
{
    const int8x16_t b = vdupq_n_s8((int8_t)bias);

    w[0] = bias ? vsubq_s8(vreinterpretq_s8_u8(n[0]), b) : vreinterpretq_s8_u8(n[0]);
    w[1] = bias ? vsubq_s8(vreinterpretq_s8_u8(n[1]), b) : vreinterpretq_s8_u8(n[1]);
}

/* 16 bytes: 0xff where the bit of the two bytes at p is set. */
ALWAYS uint8x16_t bit_mask(const uint8_t *p)
{
    static const uint8_t spread[16] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
    static const uint8_t bit[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t two = vreinterpretq_u8_u16(vdupq_n_u16(load_u16(p)));

    return vtstq_u8(vqtbl1q_u8(two, vld1q_u8(spread)), vld1q_u8(bit));
}

/* Bit j of the 4 bytes at qh is the fifth bit of weight j. */
ALWAYS void fifth_bits(const uint8_t *qh, uint8x16_t w[2])
{
    for (int i = 0; i < 2; i++)
        w[i] = vorrq_u8(w[i], vandq_u8(bit_mask(qh + 2 * i), vdupq_n_u8(16)));
}

ALWAYS void weights_q4_0(const uint8_t *p, int ib, int8x16_t w[2])
{
    uint8x16_t n[2];

    nibbles(p + 2, n);
    subtract(n, 8, w);
}

ALWAYS void weights_awq4(const uint8_t *p, int ib, int8x16_t w[2])
{
    uint8x16_t n[2];

    nibbles(p + 3, n);
    subtract(n, p[2] & 15, w);
}

ALWAYS void weights_q4_1(const uint8_t *p, int ib, int8x16_t w[2])
{
    uint8x16_t n[2];

    nibbles(p + 4, n);
    subtract(n, 0, w);
}

ALWAYS void weights_q5_0(const uint8_t *p, int ib, int8x16_t w[2])
{
    uint8x16_t n[2];

    nibbles(p + 6, n);
    fifth_bits(p + 2, n);
    subtract(n, 16, w);
}

ALWAYS void weights_q5_1(const uint8_t *p, int ib, int8x16_t w[2])
{
    uint8x16_t n[2];

    nibbles(p + 8, n);
    fifth_bits(p + 4, n);
    subtract(n, 0, w);
}

ALWAYS void weights_q8_0(const uint8_t *p, int ib, int8x16_t w[2])
{
    w[0] = vreinterpretq_s8_u8(vld1q_u8(p + 2));
    w[1] = vreinterpretq_s8_u8(vld1q_u8(p + 18));
}

ALWAYS void weights_iq4_nl(const uint8_t *p, int ib, int8x16_t w[2])
{
    look_up(p + 2, jl_iq4_values, w);
}

/* 2^(e - 128), denormal for e < 2 (as jl_unpack32_mxfp4). */
ALWAYS void head_mxfp4(const row_set *r, size_t at, mm_head *h)
{
    uint32x4_t e = vdupq_n_u32(r->p[0][at]);

    e = vsetq_lane_u32(r->p[1][at], e, 1);
    e = vsetq_lane_u32(r->p[2][at], e, 2);
    e = vsetq_lane_u32(r->p[3][at], e, 3);
    const uint32x4_t bits = vshlq_n_u32(vsubq_u32(e, vdupq_n_u32(1)), 23);
    const uint32x4_t low = vshlq_u32(vdupq_n_u32(0x00200000), vreinterpretq_s32_u32(e));
    h->x = vreinterpretq_f32_u32(vbslq_u32(vcltq_u32(e, vdupq_n_u32(2)), low, bits));
}

ALWAYS void weights_mxfp4(const uint8_t *p, int ib, int8x16_t w[2])
{
    look_up(p + 1, jl_mxfp4_values, w);
}

/* ---- Q4_K and Q5_K: a, b, c hold scale bytes 0-3, 4-7, 8-11 (see jl_q4k_scale_min) */

ALWAYS void d_and_min(uint32x4_t both, mm_head *h)
{
    h->x = low_half(both);
    h->y = vnegq_f32(low_half(vshrq_n_u32(both, 16)));
}

ALWAYS void head_q4_k(const row_set *rows, size_t at, mm_head *h)
{
    const size_t scales = at + offsetof(jl_block_q4_k, scales);

    d_and_min(load_words(rows, at), h);
    h->a = load_words(rows, scales);
    h->b = load_words(rows, scales + 4);
    h->c = load_words(rows, scales + 8);
}

ALWAYS void scale_q4_k(const mm_head *h, int ib, mm_scale *s)
{
    const int byte = 8 * (ib % 4);
    int32x4_t sc = lane_bits(h->a, byte, 6);
    int32x4_t mn = lane_bits(h->b, byte, 6);

    if (ib >= 4) {
        sc = vorrq_s32(lane_bits(h->c, byte, 4), vshlq_n_s32(lane_bits(h->a, byte + 6, 2), 4));
        mn = vorrq_s32(lane_bits(h->c, byte + 4, 4), vshlq_n_s32(lane_bits(h->b, byte + 6, 2), 4));
    }
    s->dw = vmulq_f32(h->x, vcvtq_f32_s32(sc));
    s->mw = vmulq_f32(h->y, vcvtq_f32_s32(mn));
}

ALWAYS void weights_q4_k(const uint8_t *p, int ib, int8x16_t w[2])
{
    const uint8_t *qs = p + offsetof(jl_block_q4_k, qs) + 32 * (ib / 2);

    for (int i = 0; i < 2; i++)
        w[i] = vreinterpretq_s8_u8(byte_bits(vld1q_u8(qs + 16 * i), 4 * (ib % 2), 4));
}

ALWAYS void weights_q5_k(const uint8_t *p, int ib, int8x16_t w[2])
{
    const uint8_t *qs = p + offsetof(jl_block_q5_k, qs) + 32 * (ib / 2);
    const uint8_t *qh = p + offsetof(jl_block_q5_k, qh);

    for (int i = 0; i < 2; i++) {
        const uint8x16_t low = byte_bits(vld1q_u8(qs + 16 * i), 4 * (ib % 2), 4);
        const uint8x16_t top = byte_bits(vld1q_u8(qh + 16 * i), ib, 1);
        w[i] = vreinterpretq_s8_u8(vorrq_u8(low, vshlq_n_u8(top, 4)));
    }
}

/* ---- Q6_K: a, b, c, e hold the 16 signed scales */

ALWAYS void head_q6_k(const row_set *rows, size_t at, mm_head *h)
{
    const size_t scales = at + offsetof(jl_block_q6_k, scales);

    h->x = load_halves(rows, at + offsetof(jl_block_q6_k, d));
    h->a = load_words(rows, scales);
    h->b = load_words(rows, scales + 4);
    h->c = load_words(rows, scales + 8);
    h->e = load_words(rows, scales + 12);
}

ALWAYS uint32x4_t scale_word(const mm_head *h, int i)
{
    return i == 0 ? h->a : i == 1 ? h->b : i == 2 ? h->c : h->e;
}

ALWAYS void scale_q6_k(const mm_head *h, int ib, mm_scale *s)
{
    const int32x4_t word = vreinterpretq_s32_u32(scale_word(h, ib / 2));

    s->dw = h->x;
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        const int byte = 2 * (ib % 2) + i;
        s->sc[i] = vshrq_n_s32(vshlq_s32(word, vdupq_n_s32(24 - 8 * byte)), 24);
    }
}

ALWAYS void weights_q6_k(const uint8_t *p, int ib, int8x16_t w[2])
{
    const uint8_t *ql = p + offsetof(jl_block_q6_k, ql) + 64 * (ib / 4) + 32 * (ib % 2);
    const uint8_t *qh = p + offsetof(jl_block_q6_k, qh) + 32 * (ib / 4);
    uint8x16_t n[2];

    for (int i = 0; i < 2; i++) {
        const uint8x16_t low = byte_bits(vld1q_u8(ql + 16 * i), 4 * (ib / 2 % 2), 4);
        const uint8x16_t top = byte_bits(vld1q_u8(qh + 16 * i), 2 * (ib % 4), 2);
        n[i] = vorrq_u8(low, vshlq_n_u8(top, 4));
    }
    subtract(n, 32, w);
}

/* ---- Q2_K: a, b, c, e hold the 16 scale bytes, scale low nibble, minimum high */

ALWAYS void head_q2_k(const row_set *rows, size_t at, mm_head *h)
{
    d_and_min(load_words(rows, at + offsetof(jl_block_q2_k, d)), h);
    h->a = load_words(rows, at);
    h->b = load_words(rows, at + 4);
    h->c = load_words(rows, at + 8);
    h->e = load_words(rows, at + 12);
}

ALWAYS void scale_q2_k(const mm_head *h, int ib, mm_scale *s)
{
    const uint32x4_t word = scale_word(h, ib / 2);

    s->dw = h->x;
    s->mw = h->y;
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        s->sc[i] = lane_bits(word, 16 * (ib % 2) + 8 * i, 4);
        s->mn[i] = lane_bits(word, 16 * (ib % 2) + 8 * i + 4, 4);
    }
}

ALWAYS void weights_q2_k(const uint8_t *p, int ib, int8x16_t w[2])
{
    const uint8_t *qs = p + offsetof(jl_block_q2_k, qs) + 32 * (ib / 4);

    for (int i = 0; i < 2; i++)
        w[i] = vreinterpretq_s8_u8(byte_bits(vld1q_u8(qs + 16 * i), 2 * (ib % 4), 2));
}

/* ---- Q3_K: a, b, c hold scale bytes 0-3, 4-7, 8-11; weight = q + 4 * high bit - 4 */

ALWAYS void head_q3_k(const row_set *rows, size_t at, mm_head *h)
{
    const size_t scales = at + offsetof(jl_block_q3_k, scales);

    h->x = load_halves(rows, at + offsetof(jl_block_q3_k, d));
    h->a = load_words(rows, scales);
    h->b = load_words(rows, scales + 4);
    h->c = load_words(rows, scales + 8);
}

ALWAYS void scale_q3_k(const mm_head *h, int ib, mm_scale *s)
{
    s->dw = h->x;
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        const int k = 2 * ib + i;
        const int32x4_t low = lane_bits(k % 8 < 4 ? h->a : h->b, 8 * (k % 4) + 4 * (k / 8), 4);
        const int32x4_t high = lane_bits(h->c, 8 * (k % 4) + 2 * (k / 4), 2);
        s->sc[i] = vsubq_s32(vorrq_s32(low, vshlq_n_s32(high, 4)), vdupq_n_s32(32));
    }
}

ALWAYS void weights_q3_k(const uint8_t *p, int ib, int8x16_t w[2])
{
    const uint8_t *qs = p + offsetof(jl_block_q3_k, qs) + 32 * (ib / 4);
    uint8x16_t n[2];

    for (int i = 0; i < 2; i++) {
        const uint8x16_t low = byte_bits(vld1q_u8(qs + 16 * i), 2 * (ib % 4), 2);
        const uint8x16_t top = byte_bits(vld1q_u8(p + 16 * i), ib, 1);
        n[i] = vorrq_u8(low, vshlq_n_u8(top, 2));
    }
    subtract(n, 4, w);
}

/* ---- IQ4_XS and IQ3_S4: a holds d and scales_h, b scales_l */

ALWAYS void head_iq4_xs(const row_set *rows, size_t at, mm_head *h)
{
    h->a = load_words(rows, at);
    h->b = load_words(rows, at + 4);
    h->x = low_half(h->a);
}

ALWAYS void scale_iq4_xs(const mm_head *h, int ib, mm_scale *s)
{
    const int32x4_t ls = vorrq_s32(lane_bits(h->b, 4 * ib, 4),
                                   vshlq_n_s32(lane_bits(h->a, 16 + 2 * ib, 2), 4));

    s->dw = vmulq_f32(h->x, vcvtq_f32_s32(vsubq_s32(ls, vdupq_n_s32(32))));
}

ALWAYS void weights_iq4_xs(const uint8_t *p, int ib, int8x16_t w[2])
{
    look_up(p + offsetof(jl_block_iq4_xs, qs) + 16 * ib, jl_iq4_values, w);
}

ALWAYS void weights_iq3_s4(const uint8_t *p, int ib, int8x16_t w[2])
{
    look_up(p + offsetof(jl_block_iq3_s4, qs) + 16 * ib, jl_iq3_s4_values, w);
}

/* ---- IQ3_S: b holds the scales; magnitudes by table, signs from bits */

ALWAYS void head_iq3_s(const row_set *rows, size_t at, mm_head *h)
{
    h->x = load_halves(rows, at);
    h->b = load_words(rows, at + offsetof(jl_block_iq3_s, scales));
}

ALWAYS void scale_iq3_s(const mm_head *h, int ib, mm_scale *s)
{
    const int32x4_t odd = vaddq_s32(vshlq_n_s32(lane_bits(h->b, 4 * ib, 4), 1), vdupq_n_s32(1));

    s->dw = vmulq_f32(h->x, vcvtq_f32_s32(odd));
}

ALWAYS void weights_iq3_s(const uint8_t *p, int ib, int8x16_t w[2])
{
    const uint8_t *qs = p + offsetof(jl_block_iq3_s, qs) + 8 * ib;
    const unsigned top = p[offsetof(jl_block_iq3_s, qh) + (size_t)ib];
    const uint8_t *signs = p + offsetof(jl_block_iq3_s, signs) + 4 * ib;

#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        uint32x4_t m = vdupq_n_u32(0);
#define GRID(k) jl_iq3s_grid[qs[4 * i + (k)] | (top << (8 - 4 * i - (k)) & 256)]
        m = vsetq_lane_u32(GRID(0), m, 0);
        m = vsetq_lane_u32(GRID(1), m, 1);
        m = vsetq_lane_u32(GRID(2), m, 2);
        m = vsetq_lane_u32(GRID(3), m, 3);
#undef GRID
        const uint8x16_t minus = bit_mask(signs + 2 * i);
        w[i] = vreinterpretq_s8_u8(vsubq_u8(veorq_u8(vreinterpretq_u8_u32(m), minus), minus));
    }
}

#define FORMAT_LIST(X)                                                                             \
    X(Q4_0, q4_0, 18, 1, false, false, d, d)                                                       \
    X(Q4_1, q4_1, 20, 1, true, false, d_m, d_m)                                                    \
    X(Q5_0, q5_0, 22, 1, false, false, d, d)                                                       \
    X(Q5_1, q5_1, 24, 1, true, false, d_m, d_m)                                                    \
    X(Q8_0, q8_0, 34, 1, false, false, d, d)                                                       \
    X(IQ4_NL, iq4_nl, 18, 1, false, false, d, d)                                                   \
    X(MXFP4, mxfp4, 17, 1, false, false, mxfp4, d)                                                 \
    X(AWQ4, awq4, 19, 1, false, false, d, d)                                                       \
    X(Q2_K, q2_k, 84, 8, true, true, q2_k, q2_k)                                                   \
    X(Q3_K, q3_k, 110, 8, false, true, q3_k, q3_k)                                                 \
    X(Q4_K, q4_k, 144, 8, true, false, q4_k, q4_k)                                                 \
    X(Q5_K, q5_k, 176, 8, true, false, q4_k, q4_k)                                                 \
    X(Q6_K, q6_k, 210, 8, false, true, q6_k, q6_k)                                                 \
    X(IQ4_XS, iq4_xs, 136, 8, false, false, iq4_xs, iq4_xs)                                        \
    X(IQ3_S4, iq3_s4, 136, 8, false, false, iq4_xs, iq4_xs)                                        \
    X(IQ3_S, iq3_s, 110, 8, false, false, iq3_s, iq3_s)

/* Formats whose weights come from larger grids: the scalar definition unpacks them. */
#define GRID_LIST(X)                                                                               \
    X(IQ1_S, iq1_s, 50, false)                                                                     \
    X(IQ1_M, iq1_m, 56, true)                                                                      \
    X(IQ2_XXS, iq2_xxs, 66, false)                                                                 \
    X(IQ2_XS, iq2_xs, 74, true)                                                                    \
    X(IQ2_S, iq2_s, 82, true)                                                                      \
    X(IQ3_XXS, iq3_xxs, 98, false)

#define FORMAT_CONST(type, name, bytes, per, has_min, halves, head, scale)                         \
    static const mm_format fmt_##name = {bytes,      per,           has_min,     halves,           \
                                         head_##head, weights_##name, scale_##scale};
FORMAT_LIST(FORMAT_CONST)

#endif
