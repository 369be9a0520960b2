/* Formats of 32 weights per block for mm_avx2_inl.h. */
#ifndef JL_BACKEND_CPU_X86_MM_LEGACY_AVX2_INL_H
#define JL_BACKEND_CPU_X86_MM_LEGACY_AVX2_INL_H

#include "backend/cpu/x86/mm_avx2_inl.h"

enum { D_AT = 0, M_AT = 2 }; /* F16 scale and minimum of a block */

ALWAYS void head_d(const row_set *rows, size_t at, mm_head *h)
{
    h->x = load_halves(rows, at + D_AT);
}

ALWAYS void scale_d(const mm_head *h, int ib, mm_scale *s)
{
    s->dw = h->x;
}

ALWAYS void head_d_m(const row_set *rows, size_t at, mm_head *h)
{
    const __m256i both = load_words(rows, at + D_AT);

    h->x = low_half(both);
    h->y = high_half(both);
}

ALWAYS void scale_d_m(const mm_head *h, int ib, mm_scale *s)
{
    s->dw = h->x;
    s->mw = h->y;
}

/* Nibbles of 16 bytes at `offset`: low ones are weights 0..15, high ones 16..31. */
ALWAYS void load_nibbles(const row_set *rows, size_t offset, mm_pairs *w)
{
    const __m256i low = _mm256_set1_epi8(15);

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m256i v = load_pair(rows, i, offset);
        w->lo[i] = _mm256_and_si256(v, low);
        w->hi[i] = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
    }
}

ALWAYS void look_up(mm_pairs *w, __m256i table)
{
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        w->lo[i] = _mm256_shuffle_epi8(table, w->lo[i]);
        w->hi[i] = _mm256_shuffle_epi8(table, w->hi[i]);
    }
}

/* Bit j of the 4 bytes at `offset` is the fifth bit of weight j. */
ALWAYS void add_fifth_bits(const row_set *rows, size_t offset, mm_pairs *w)
{
    const __m256i bits = load_words(rows, offset); /* lane L, word i: row 4 L + i */
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    const __m256i five = _mm256_set1_epi8(16);
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0,
                                            0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m256i at = _mm256_add_epi8(spread, _mm256_set1_epi8((char)(4 * i)));
        const __m256i lo = _mm256_and_si256(_mm256_shuffle_epi8(bits, at), bit);
        const __m256i hi = _mm256_and_si256(
            _mm256_shuffle_epi8(bits, _mm256_add_epi8(at, _mm256_set1_epi8(2))), bit);
        w->lo[i] = _mm256_or_si256(w->lo[i], _mm256_and_si256(_mm256_cmpeq_epi8(lo, bit), five));
        w->hi[i] = _mm256_or_si256(w->hi[i], _mm256_and_si256(_mm256_cmpeq_epi8(hi, bit), five));
    }
}

ALWAYS void weights_q4_0(const row_set *rows, size_t at, int ib, const mm_head *h, mm_pairs *w)
{
    load_nibbles(rows, at + 2, w);
}

ALWAYS void weights_q4_1(const row_set *rows, size_t at, int ib, const mm_head *h, mm_pairs *w)
{
    load_nibbles(rows, at + 4, w);
}

ALWAYS void weights_q5_0(const row_set *rows, size_t at, int ib, const mm_head *h, mm_pairs *w)
{
    load_nibbles(rows, at + 6, w);
    add_fifth_bits(rows, at + 2, w);
}

ALWAYS void weights_q5_1(const row_set *rows, size_t at, int ib, const mm_head *h, mm_pairs *w)
{
    load_nibbles(rows, at + 8, w);
    add_fifth_bits(rows, at + 4, w);
}

ALWAYS void weights_q8_0(const row_set *rows, size_t at, int ib, const mm_head *h, mm_pairs *w)
{
    const __m256i flip = _mm256_set1_epi8((char)BYTE_BIAS);

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        w->lo[i] = _mm256_xor_si256(load_pair(rows, i, at + 2), flip);
        w->hi[i] = _mm256_xor_si256(load_pair(rows, i, at + 18), flip);
    }
}

ALWAYS void weights_iq4_nl(const row_set *rows, size_t at, int ib, const mm_head *h, mm_pairs *w)
{
    load_nibbles(rows, at + 2, w);
    look_up(w, biased_table(jl_iq4_values, BYTE_BIAS));
}

/* 2^(e - 128), denormal for e < 2 (as jl_unpack32_mxfp4). */
ALWAYS void head_mxfp4(const row_set *rows, size_t at, mm_head *h)
{
#define E(i) *row_at(rows, i, at)
    const __m256i e = _mm256_setr_epi32(E(0), E(1), E(2), E(3), E(4), E(5), E(6), E(7));
#undef E
    const __m256i tiny = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    const __m256i bits = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    const __m256i low = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);

    h->x = _mm256_castsi256_ps(_mm256_blendv_epi8(bits, low, tiny));
}

ALWAYS void weights_mxfp4(const row_set *rows, size_t at, int ib, const mm_head *h, mm_pairs *w)
{
    load_nibbles(rows, at + 1, w);
    look_up(w, biased_table(jl_mxfp4_values, 12));
}

/* q - zero + 15, 0..30. */
ALWAYS void weights_awq4(const row_set *rows, size_t at, int ib, const mm_head *h, mm_pairs *w)
{
    const __m256i zeros = _mm256_and_si256(load_words(rows, at + 2), _mm256_set1_epi32(15));
    const __m256i top = _mm256_set1_epi8(15);

    load_nibbles(rows, at + 3, w);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) { /* lane L, word i: row 4 L + i */
        const __m256i zero = _mm256_shuffle_epi8(zeros, _mm256_set1_epi8((char)(4 * i)));
        const __m256i shift = _mm256_sub_epi8(top, zero);
        w->lo[i] = _mm256_add_epi8(w->lo[i], shift);
        w->hi[i] = _mm256_add_epi8(w->hi[i], shift);
    }
}

#define FORMAT(name, bytes, bias, span, has_min, head, scale)                                    \
    static const mm_format fmt_##name = {bytes, 1,    bias,           span, has_min,             \
                                         false, head, weights_##name, scale};                    \
    MM_KERNEL(name)

FORMAT(q4_0, 18, 8, SPAN_4, false, head_d, scale_d)
FORMAT(q4_1, 20, 0, SPAN_4, true, head_d_m, scale_d_m)
FORMAT(q5_0, 22, 16, SPAN_5, false, head_d, scale_d)
FORMAT(q5_1, 24, 0, SPAN_5, true, head_d_m, scale_d_m)
FORMAT(q8_0, 34, BYTE_BIAS, SPAN_SIGNED, false, head_d, scale_d)
FORMAT(iq4_nl, 18, BYTE_BIAS, SPAN_SIGNED, false, head_d, scale_d)
FORMAT(mxfp4, 17, 12, SPAN_5, false, head_mxfp4, scale_d)
FORMAT(awq4, 19, 15, SPAN_5, false, head_d, scale_d)

ALWAYS void mm_legacy_init(jl_cpu_kernels *k)
{
    k->mm[JL_TYPE_Q4_0] = mm_q4_0;
    k->mm[JL_TYPE_Q4_1] = mm_q4_1;
    k->mm[JL_TYPE_Q5_0] = mm_q5_0;
    k->mm[JL_TYPE_Q5_1] = mm_q5_1;
    k->mm[JL_TYPE_Q8_0] = mm_q8_0;
    k->mm[JL_TYPE_IQ4_NL] = mm_iq4_nl;
    k->mm[JL_TYPE_MXFP4] = mm_mxfp4;
    k->mm[JL_TYPE_AWQ4] = mm_awq4;
    k->mm_scratch = sizeof(mm_tile);
    k->mm_tile_rows = 64;
    k->mm_tile_rows_1 = 512;
}

#endif
