/* Super-block formats for mm_avx512_inl.h: Q2_K .. Q6_K. */
#ifndef JL_BACKEND_CPU_X86_MM_K_AVX512_INL_H
#define JL_BACKEND_CPU_X86_MM_K_AVX512_INL_H

#include <stddef.h>

#include "backend/cpu/x86/mm_expand_avx512_inl.h"

/* Bits [shift, shift + bits) of every lane as a float. */
ALWAYS __m512i lane_bits(__m512i v, int shift, int bits)
{
    return _mm512_and_si512(_mm512_srli_epi32(v, (unsigned)shift),
                            _mm512_set1_epi32((1 << bits) - 1));
}

ALWAYS __m512 lane_float(__m512i v, int shift, int bits)
{
    return _mm512_cvtepi32_ps(lane_bits(v, shift, bits));
}

/* Low bits of bytes: (byte >> shift) & (2^bits - 1). */
ALWAYS __m512i byte_bits(__m512i v, int shift, int bits)
{
    return _mm512_and_si512(_mm512_srli_epi16(v, (unsigned)shift),
                            _mm512_set1_epi8((char)((1 << bits) - 1)));
}

/* F16 numbers in the low and high half of each lane; the second negated. */
ALWAYS void d_and_min(__m512i both, mm_head *h)
{
    h->x = low_half(both);
    h->y = _mm512_xor_ps(low_half(_mm512_srli_epi32(both, 16)), _mm512_set1_ps(-0.0f));
}

/* ---- Q4_K and Q5_K: a, b, c hold scale bytes 0-3, 4-7, 8-11 (see jl_q4k_scale_min) */

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
    __m512i sc = lane_bits(h->a, byte, 6);
    __m512i mn = lane_bits(h->b, byte, 6);

    if (ib >= 4) {
        sc = _mm512_or_si512(lane_bits(h->c, byte, 4),
                             _mm512_slli_epi32(lane_bits(h->a, byte + 6, 2), 4));
        mn = _mm512_or_si512(lane_bits(h->c, byte + 4, 4),
                             _mm512_slli_epi32(lane_bits(h->b, byte + 6, 2), 4));
    }
    s->dw = _mm512_mul_ps(h->x, _mm512_cvtepi32_ps(sc));
    s->mw = _mm512_mul_ps(h->y, _mm512_cvtepi32_ps(mn));
}

ALWAYS void weights_q4_k(const row_set *rows, size_t at, int ib, const mm_head *h, mm_quads *w)
{
    const size_t qs = at + offsetof(jl_block_q4_k, qs) + 32 * (size_t)(ib / 2);

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        w->lo[i] = byte_bits(load_quad(rows, i, qs), 4 * (ib % 2), 4);
        w->hi[i] = byte_bits(load_quad(rows, i, qs + 16), 4 * (ib % 2), 4);
    }
}

ALWAYS void weights_q5_k(const row_set *rows, size_t at, int ib, const mm_head *h, mm_quads *w)
{
    const size_t qs = at + offsetof(jl_block_q5_k, qs) + 32 * (size_t)(ib / 2);
    const size_t qh = at + offsetof(jl_block_q5_k, qh);

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512i top0 = byte_bits(load_quad(rows, i, qh), ib, 1);
        const __m512i top1 = byte_bits(load_quad(rows, i, qh + 16), ib, 1);
        w->lo[i] = _mm512_or_si512(byte_bits(load_quad(rows, i, qs), 4 * (ib % 2), 4),
                                   _mm512_slli_epi16(top0, 4));
        w->hi[i] = _mm512_or_si512(byte_bits(load_quad(rows, i, qs + 16), 4 * (ib % 2), 4),
                                   _mm512_slli_epi16(top1, 4));
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

ALWAYS void scale_q6_k(const mm_head *h, int ib, mm_scale *s)
{
    const __m512i word = ib / 2 == 0 ? h->a : ib / 2 == 1 ? h->b : ib / 2 == 2 ? h->c : h->e;

    s->dw = h->x;
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        const int byte = 2 * (ib % 2) + i;
        s->sc[i] = _mm512_cvtepi32_ps(
            _mm512_srai_epi32(_mm512_slli_epi32(word, (unsigned)(24 - 8 * byte)), 24));
    }
}

ALWAYS void weights_q6_k(const row_set *rows, size_t at, int ib, const mm_head *h, mm_quads *w)
{
    const size_t half = (size_t)(ib / 4);
    const size_t ql = at + offsetof(jl_block_q6_k, ql) + 64 * half + 32 * (size_t)(ib % 2);
    const size_t qh = at + offsetof(jl_block_q6_k, qh) + 32 * half;

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512i top0 = byte_bits(load_quad(rows, i, qh), 2 * (ib % 4), 2);
        const __m512i top1 = byte_bits(load_quad(rows, i, qh + 16), 2 * (ib % 4), 2);
        w->lo[i] = _mm512_or_si512(byte_bits(load_quad(rows, i, ql), 4 * (ib / 2 % 2), 4),
                                   _mm512_slli_epi16(top0, 4));
        w->hi[i] = _mm512_or_si512(byte_bits(load_quad(rows, i, ql + 16), 4 * (ib / 2 % 2), 4),
                                   _mm512_slli_epi16(top1, 4));
    }
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
    const __m512i word = ib / 2 == 0 ? h->a : ib / 2 == 1 ? h->b : ib / 2 == 2 ? h->c : h->e;

    s->dw = h->x;
    s->mw = h->y;
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        s->sc[i] = lane_float(word, 16 * (ib % 2) + 8 * i, 4);
        s->mn[i] = lane_float(word, 16 * (ib % 2) + 8 * i + 4, 4);
    }
}

ALWAYS void weights_q2_k(const row_set *rows, size_t at, int ib, const mm_head *h, mm_quads *w)
{
    const size_t qs = at + offsetof(jl_block_q2_k, qs) + 32 * (size_t)(ib / 4);

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        w->lo[i] = byte_bits(load_quad(rows, i, qs), 2 * (ib % 4), 2);
        w->hi[i] = byte_bits(load_quad(rows, i, qs + 16), 2 * (ib % 4), 2);
    }
}

/* ---- Q3_K: a, b, c hold scale bytes 0-3, 4-7, 8-11; stored byte = q + 4 * high bit, bias 4 */

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
        const __m512i low = lane_bits(k % 8 < 4 ? h->a : h->b, 8 * (k % 4) + 4 * (k / 8), 4);
        const __m512i high = lane_bits(h->c, 8 * (k % 4) + 2 * (k / 4), 2);
        const __m512i both = _mm512_or_si512(low, _mm512_slli_epi32(high, 4));
        s->sc[i] = _mm512_cvtepi32_ps(_mm512_sub_epi32(both, _mm512_set1_epi32(32)));
    }
}

ALWAYS void weights_q3_k(const row_set *rows, size_t at, int ib, const mm_head *h, mm_quads *w)
{
    const size_t qs = at + offsetof(jl_block_q3_k, qs) + 32 * (size_t)(ib / 4);

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512i top0 = byte_bits(load_quad(rows, i, at), ib, 1);
        const __m512i top1 = byte_bits(load_quad(rows, i, at + 16), ib, 1);
        w->lo[i] = _mm512_or_si512(byte_bits(load_quad(rows, i, qs), 2 * (ib % 4), 2),
                                   _mm512_slli_epi16(top0, 2));
        w->hi[i] = _mm512_or_si512(byte_bits(load_quad(rows, i, qs + 16), 2 * (ib % 4), 2),
                                   _mm512_slli_epi16(top1, 2));
    }
}

#define FORMAT_K(name, block, bias, has_min, halves, head)                                   \
    static const mm_format fmt_##name = {sizeof(block), 8,    bias,           has_min,       \
                                         halves,        head, weights_##name, scale_##name}; \
    MM_KERNEL(name)

#define scale_q5_k scale_q4_k
FORMAT_K(q2_k, jl_block_q2_k, 0, true, true, head_q2_k)
FORMAT_K(q3_k, jl_block_q3_k, 4, false, true, head_q3_k)
FORMAT_K(q4_k, jl_block_q4_k, 0, true, false, head_q4_k)
FORMAT_K(q5_k, jl_block_q5_k, 0, true, false, head_q4_k)
FORMAT_K(q6_k, jl_block_q6_k, 32, false, true, head_q6_k)
#undef scale_q5_k

ALWAYS void mm_k_init(jl_cpu_kernels *k, bool amx)
{
    k->mm[JL_TYPE_Q2_K] = MM_BEST(q2_k, amx);
    k->mm[JL_TYPE_Q3_K] = MM_BEST(q3_k, amx);
    k->mm[JL_TYPE_Q4_K] = MM_BEST(q4_k, amx);
    k->mm[JL_TYPE_Q5_K] = MM_BEST(q5_k, amx);
    k->mm[JL_TYPE_Q6_K] = MM_BEST(q6_k, amx);
}

#endif
