/* Super-block formats for mm_avx2_inl.h: Q2_K .. Q6_K, IQ4_XS and IQ3_S4. */
#ifndef JL_BACKEND_CPU_X86_MM_K_AVX2_INL_H
#define JL_BACKEND_CPU_X86_MM_K_AVX2_INL_H

#include <stddef.h>

#include "backend/cpu/x86/mm_avx2_inl.h"

/* Bits [shift, shift + bits) of every lane as a float. */
ALWAYS __m256i lane_bits(__m256i v, int shift, int bits)
{
    return _mm256_and_si256(_mm256_srli_epi32(v, shift),
                            _mm256_set1_epi32((1 << bits) - 1));
}

ALWAYS __m256 lane_float(__m256i v, int shift, int bits)
{
    return _mm256_cvtepi32_ps(lane_bits(v, shift, bits));
}

/* Low bits of bytes: (byte >> shift) & (2^bits - 1). */
ALWAYS __m256i byte_bits(__m256i v, int shift, int bits)
{
    return _mm256_and_si256(_mm256_srli_epi16(v, shift),
                            _mm256_set1_epi8((char)((1 << bits) - 1)));
}

/* F16 numbers in the low and high half of each lane; the second negated. */
ALWAYS void d_and_min(__m256i both, mm_head *h)
{
    h->x = low_half(both);
    h->y = _mm256_xor_ps(high_half(both), _mm256_set1_ps(-0.0f));
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
    __m256i sc = lane_bits(h->a, byte, 6);
    __m256i mn = lane_bits(h->b, byte, 6);

    if (ib >= 4) {
        sc = _mm256_or_si256(lane_bits(h->c, byte, 4),
                             _mm256_slli_epi32(lane_bits(h->a, byte + 6, 2), 4));
        mn = _mm256_or_si256(lane_bits(h->c, byte + 4, 4),
                             _mm256_slli_epi32(lane_bits(h->b, byte + 6, 2), 4));
    }
    s->dw = _mm256_mul_ps(h->x, _mm256_cvtepi32_ps(sc));
    s->mw = _mm256_mul_ps(h->y, _mm256_cvtepi32_ps(mn));
}

ALWAYS void weights_q4_k(const row_set *rows, size_t at, int ib, const mm_head *h, mm_pairs *w)
{
    const size_t qs = at + offsetof(jl_block_q4_k, qs) + 32 * (size_t)(ib / 2);

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        w->lo[i] = byte_bits(load_pair(rows, i, qs), 4 * (ib % 2), 4);
        w->hi[i] = byte_bits(load_pair(rows, i, qs + 16), 4 * (ib % 2), 4);
    }
}

ALWAYS void weights_q5_k(const row_set *rows, size_t at, int ib, const mm_head *h, mm_pairs *w)
{
    const size_t qs = at + offsetof(jl_block_q5_k, qs) + 32 * (size_t)(ib / 2);
    const size_t qh = at + offsetof(jl_block_q5_k, qh);

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m256i top0 = byte_bits(load_pair(rows, i, qh), ib, 1);
        const __m256i top1 = byte_bits(load_pair(rows, i, qh + 16), ib, 1);
        w->lo[i] = _mm256_or_si256(byte_bits(load_pair(rows, i, qs), 4 * (ib % 2), 4),
                                   _mm256_slli_epi16(top0, 4));
        w->hi[i] = _mm256_or_si256(byte_bits(load_pair(rows, i, qs + 16), 4 * (ib % 2), 4),
                                   _mm256_slli_epi16(top1, 4));
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
    const __m256i word = ib / 2 == 0 ? h->a : ib / 2 == 1 ? h->b : ib / 2 == 2 ? h->c : h->e;

    s->dw = h->x;
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        const int byte = 2 * (ib % 2) + i;
        s->sc[i] = _mm256_cvtepi32_ps(
            _mm256_srai_epi32(_mm256_slli_epi32(word, (24 - 8 * byte)), 24));
    }
}

ALWAYS void weights_q6_k(const row_set *rows, size_t at, int ib, const mm_head *h, mm_pairs *w)
{
    const size_t half = (size_t)(ib / 4);
    const size_t ql = at + offsetof(jl_block_q6_k, ql) + 64 * half + 32 * (size_t)(ib % 2);
    const size_t qh = at + offsetof(jl_block_q6_k, qh) + 32 * half;

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m256i top0 = byte_bits(load_pair(rows, i, qh), 2 * (ib % 4), 2);
        const __m256i top1 = byte_bits(load_pair(rows, i, qh + 16), 2 * (ib % 4), 2);
        w->lo[i] = _mm256_or_si256(byte_bits(load_pair(rows, i, ql), 4 * (ib / 2 % 2), 4),
                                   _mm256_slli_epi16(top0, 4));
        w->hi[i] = _mm256_or_si256(byte_bits(load_pair(rows, i, ql + 16), 4 * (ib / 2 % 2), 4),
                                   _mm256_slli_epi16(top1, 4));
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
    const __m256i word = ib / 2 == 0 ? h->a : ib / 2 == 1 ? h->b : ib / 2 == 2 ? h->c : h->e;

    s->dw = h->x;
    s->mw = h->y;
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        s->sc[i] = lane_float(word, 16 * (ib % 2) + 8 * i, 4);
        s->mn[i] = lane_float(word, 16 * (ib % 2) + 8 * i + 4, 4);
    }
}

ALWAYS void weights_q2_k(const row_set *rows, size_t at, int ib, const mm_head *h, mm_pairs *w)
{
    const size_t qs = at + offsetof(jl_block_q2_k, qs) + 32 * (size_t)(ib / 4);

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        w->lo[i] = byte_bits(load_pair(rows, i, qs), 2 * (ib % 4), 2);
        w->hi[i] = byte_bits(load_pair(rows, i, qs + 16), 2 * (ib % 4), 2);
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
        const __m256i low = lane_bits(k % 8 < 4 ? h->a : h->b, 8 * (k % 4) + 4 * (k / 8), 4);
        const __m256i high = lane_bits(h->c, 8 * (k % 4) + 2 * (k / 4), 2);
        const __m256i both = _mm256_or_si256(low, _mm256_slli_epi32(high, 4));
        s->sc[i] = _mm256_cvtepi32_ps(_mm256_sub_epi32(both, _mm256_set1_epi32(32)));
    }
}

ALWAYS void weights_q3_k(const row_set *rows, size_t at, int ib, const mm_head *h, mm_pairs *w)
{
    const size_t qs = at + offsetof(jl_block_q3_k, qs) + 32 * (size_t)(ib / 4);

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m256i top0 = byte_bits(load_pair(rows, i, at), ib, 1);
        const __m256i top1 = byte_bits(load_pair(rows, i, at + 16), ib, 1);
        w->lo[i] = _mm256_or_si256(byte_bits(load_pair(rows, i, qs), 2 * (ib % 4), 2),
                                   _mm256_slli_epi16(top0, 2));
        w->hi[i] = _mm256_or_si256(byte_bits(load_pair(rows, i, qs + 16), 2 * (ib % 4), 2),
                                   _mm256_slli_epi16(top1, 2));
    }
}

/* ---- IQ4_XS: a holds d and scales_h, b scales_l */

ALWAYS void head_iq4_xs(const row_set *rows, size_t at, mm_head *h)
{
    h->a = load_words(rows, at);
    h->b = load_words(rows, at + 4);
    h->x = low_half(h->a);
}

ALWAYS void scale_iq4_xs(const mm_head *h, int ib, mm_scale *s)
{
    const __m256i ls = _mm256_or_si256(lane_bits(h->b, 4 * ib, 4),
                                       _mm256_slli_epi32(lane_bits(h->a, 16 + 2 * ib, 2), 4));

    s->dw = _mm256_mul_ps(h->x,
                          _mm256_cvtepi32_ps(_mm256_sub_epi32(ls, _mm256_set1_epi32(32))));
}

ALWAYS void weights_iq4_xs(const row_set *rows, size_t at, int ib, const mm_head *h, mm_pairs *w)
{
    const size_t qs = at + offsetof(jl_block_iq4_xs, qs) + 16 * (size_t)ib;
    const __m256i table = biased_table(jl_iq4_values, BYTE_BIAS);

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m256i v = load_pair(rows, i, qs);
        w->lo[i] = _mm256_shuffle_epi8(table, byte_bits(v, 0, 4));
        w->hi[i] = _mm256_shuffle_epi8(table, byte_bits(v, 4, 4));
    }
}

/* 2 * code, which is the weight + 15. */
ALWAYS void weights_iq3_s4(const row_set *rows, size_t at, int ib, const mm_head *h, mm_pairs *w)
{
    const size_t qs = at + offsetof(jl_block_iq3_s4, qs) + 16 * (size_t)ib;
    const __m256i even = _mm256_set1_epi8(0x1e);

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m256i v = load_pair(rows, i, qs);
        w->lo[i] = _mm256_and_si256(_mm256_slli_epi16(v, 1), even);
        w->hi[i] = _mm256_and_si256(_mm256_srli_epi16(v, 3), even);
    }
}

#define FORMAT_K(name, block, bias, span, has_min, halves, head)                               \
    static const mm_format fmt_##name = {sizeof(block), 8,      bias, span,           has_min, \
                                         halves,        head, weights_##name, scale_##name};   \
    MM_KERNEL(name)

#define scale_q5_k scale_q4_k
#define scale_iq3_s4 scale_iq4_xs
FORMAT_K(q2_k, jl_block_q2_k, 0, SPAN_4, true, true, head_q2_k)
FORMAT_K(q3_k, jl_block_q3_k, 4, SPAN_4, false, true, head_q3_k)
FORMAT_K(q4_k, jl_block_q4_k, 0, SPAN_4, true, false, head_q4_k)
FORMAT_K(q5_k, jl_block_q5_k, 0, SPAN_5, true, false, head_q4_k)
FORMAT_K(q6_k, jl_block_q6_k, 32, SPAN_6, false, true, head_q6_k)
FORMAT_K(iq4_xs, jl_block_iq4_xs, BYTE_BIAS, SPAN_SIGNED, false, false, head_iq4_xs)
FORMAT_K(iq3_s4, jl_block_iq3_s4, 15, SPAN_5, false, false, head_iq4_xs)
#undef scale_q5_k
#undef scale_iq3_s4

ALWAYS void mm_k_init(jl_cpu_kernels *k)
{
    k->mm[JL_TYPE_Q2_K] = mm_q2_k;
    k->mm[JL_TYPE_Q3_K] = mm_q3_k;
    k->mm[JL_TYPE_Q4_K] = mm_q4_k;
    k->mm[JL_TYPE_Q5_K] = mm_q5_k;
    k->mm[JL_TYPE_Q6_K] = mm_q6_k;
    k->mm[JL_TYPE_IQ4_XS] = mm_iq4_xs;
    k->mm[JL_TYPE_IQ3_S4] = mm_iq3_s4;
}

#endif
