/* Formats of 32 weights per block for mm_avx512_inl.h. */
#ifndef JL_BACKEND_CPU_X86_MM_LEGACY_AVX512_INL_H
#define JL_BACKEND_CPU_X86_MM_LEGACY_AVX512_INL_H

#include "backend/cpu/x86/mm_expand_avx512_inl.h"

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
    const __m512i both = load_words(rows, at + D_AT);

    h->x = low_half(both);
    h->y = low_half(_mm512_srli_epi32(both, 16));
}

ALWAYS void scale_d_m(const mm_head *h, int ib, mm_scale *s)
{
    s->dw = h->x;
    s->mw = h->y;
}

/* Nibbles of 16 bytes at `offset`: low ones are weights 0..15, high ones 16..31. */
ALWAYS void load_nibbles(const row_set *rows, size_t offset, mm_quads *w)
{
    const __m512i low = _mm512_set1_epi8(15);

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512i v = load_quad(rows, i, offset);
        w->lo[i] = _mm512_and_si512(v, low);
        w->hi[i] = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
    }
}

ALWAYS void look_up(mm_quads *w, __m512i table)
{
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        w->lo[i] = _mm512_shuffle_epi8(table, w->lo[i]);
        w->hi[i] = _mm512_shuffle_epi8(table, w->hi[i]);
    }
}

/* A table of 16 values + bias, in every 128-bit lane. */
ALWAYS __m512i biased_table(const int8_t values[16], int bias)
{
    const __m128i v = _mm_loadu_si128((const __m128i *)values);

    return _mm512_broadcast_i32x4(_mm_add_epi8(v, _mm_set1_epi8((char)bias)));
}

/* Bit j of the 4 bytes at `offset` is the fifth bit of weight j. */
ALWAYS void add_fifth_bits(const row_set *rows, size_t offset, mm_quads *w)
{
    const __m512i bits = load_words(rows, offset); /* lane L, word i: row 4 L + i */
    const __m512i bit = _mm512_set1_epi64((long long)0x8040201008040201);
    const __m512i five = _mm512_set1_epi8(16);
    const __m512i spread = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1));

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512i at = _mm512_add_epi8(spread, _mm512_set1_epi8((char)(4 * i)));
        const __m512i lo = _mm512_shuffle_epi8(bits, at);
        const __m512i hi = _mm512_shuffle_epi8(bits, _mm512_add_epi8(at, _mm512_set1_epi8(2)));
        w->lo[i] = _mm512_mask_add_epi8(w->lo[i], _mm512_test_epi8_mask(lo, bit), w->lo[i], five);
        w->hi[i] = _mm512_mask_add_epi8(w->hi[i], _mm512_test_epi8_mask(hi, bit), w->hi[i], five);
    }
}

ALWAYS void weights_q4_0(const row_set *rows, size_t at, int ib, const mm_head *h, mm_quads *w)
{
    load_nibbles(rows, at + 2, w);
}

ALWAYS void weights_q4_1(const row_set *rows, size_t at, int ib, const mm_head *h, mm_quads *w)
{
    load_nibbles(rows, at + 4, w);
}

ALWAYS void weights_q5_0(const row_set *rows, size_t at, int ib, const mm_head *h, mm_quads *w)
{
    load_nibbles(rows, at + 6, w);
    add_fifth_bits(rows, at + 2, w);
}

ALWAYS void weights_q5_1(const row_set *rows, size_t at, int ib, const mm_head *h, mm_quads *w)
{
    load_nibbles(rows, at + 8, w);
    add_fifth_bits(rows, at + 4, w);
}

ALWAYS void weights_q8_0(const row_set *rows, size_t at, int ib, const mm_head *h, mm_quads *w)
{
    const __m512i flip = _mm512_set1_epi8((char)0x80);

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        w->lo[i] = _mm512_xor_si512(load_quad(rows, i, at + 2), flip);
        w->hi[i] = _mm512_xor_si512(load_quad(rows, i, at + 18), flip);
    }
}

ALWAYS void weights_iq4_nl(const row_set *rows, size_t at, int ib, const mm_head *h, mm_quads *w)
{
    load_nibbles(rows, at + 2, w);
    look_up(w, biased_table(jl_iq4_values, 128));
}

/* 2^(e - 128), denormal for e < 2 (as jl_unpack32_mxfp4). */
ALWAYS void head_mxfp4(const row_set *rows, size_t at, mm_head *h)
{
#define E(i) *row_at(rows, i, at)
    const __m512i e = _mm512_setr_epi32(E(0), E(1), E(2), E(3), E(4), E(5), E(6), E(7), E(8), E(9),
                                        E(10), E(11), E(12), E(13), E(14), E(15));
#undef E
    const __mmask16 tiny = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
    const __m512i bits = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    const __m512i low = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);

    h->x = _mm512_castsi512_ps(_mm512_mask_mov_epi32(bits, tiny, low));
}

ALWAYS void weights_mxfp4(const row_set *rows, size_t at, int ib, const mm_head *h, mm_quads *w)
{
    load_nibbles(rows, at + 1, w);
    look_up(w, biased_table(jl_mxfp4_values, 12));
}

/* q - zero + 15, 0..30. */
ALWAYS void weights_awq4(const row_set *rows, size_t at, int ib, const mm_head *h, mm_quads *w)
{
    const __m512i zeros = _mm512_and_si512(load_words(rows, at + 2), _mm512_set1_epi32(15));
    const __m512i top = _mm512_set1_epi8(15);

    load_nibbles(rows, at + 3, w);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) { /* lane L, word i: row 4 L + i */
        const __m512i zero = _mm512_shuffle_epi8(zeros, _mm512_set1_epi8((char)(4 * i)));
        const __m512i shift = _mm512_sub_epi8(top, zero);
        w->lo[i] = _mm512_add_epi8(w->lo[i], shift);
        w->hi[i] = _mm512_add_epi8(w->hi[i], shift);
    }
}

static const mm_format fmt_q4_0 = {18, 1, 8, false, false, head_d, weights_q4_0, scale_d};
static const mm_format fmt_q4_1 = {20, 1, 0, true, false, head_d_m, weights_q4_1, scale_d_m};
static const mm_format fmt_q5_0 = {22, 1, 16, false, false, head_d, weights_q5_0, scale_d};
static const mm_format fmt_q5_1 = {24, 1, 0, true, false, head_d_m, weights_q5_1, scale_d_m};
static const mm_format fmt_q8_0 = {34, 1, 128, false, false, head_d, weights_q8_0, scale_d};
static const mm_format fmt_iq4_nl = {18, 1, 128, false, false, head_d, weights_iq4_nl, scale_d};
static const mm_format fmt_mxfp4 = {17, 1, 12, false, false, head_mxfp4, weights_mxfp4, scale_d};
static const mm_format fmt_awq4 = {19, 1, 15, false, false, head_d, weights_awq4, scale_d};

MM_KERNEL(q4_0)
MM_KERNEL(q4_1)
MM_KERNEL(q5_0)
MM_KERNEL(q5_1)
MM_KERNEL(q8_0)
MM_KERNEL(iq4_nl)
MM_KERNEL(mxfp4)
MM_KERNEL(awq4)

ALWAYS void mm_legacy_init(jl_cpu_kernels *k, bool amx)
{
    k->mm[JL_TYPE_Q4_0] = MM_BEST(q4_0, amx);
    k->mm[JL_TYPE_Q4_1] = MM_BEST(q4_1, amx);
    k->mm[JL_TYPE_Q5_0] = MM_BEST(q5_0, amx);
    k->mm[JL_TYPE_Q5_1] = MM_BEST(q5_1, amx);
    k->mm[JL_TYPE_Q8_0] = MM_BEST(q8_0, amx);
    k->mm[JL_TYPE_IQ4_NL] = MM_BEST(iq4_nl, amx);
    k->mm[JL_TYPE_MXFP4] = MM_BEST(mxfp4, amx);
    k->mm[JL_TYPE_AWQ4] = MM_BEST(awq4, amx);
    k->mm_scratch = sizeof(mm_tile);
    k->mm_tile_rows = 64;
    k->mm_tile_rows_1 = 512;
}

#endif
