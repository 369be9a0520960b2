/* IQ3_S for mm_avx2_inl.h. Indices of 9 bits are put together in vectors and looked up one by one,
 * which is about as fast as a gather instruction where that is fast, and much faster where it is
 * not. */
#ifndef JL_BACKEND_CPU_X86_MM_IQ3S_AVX2_INL_H
#define JL_BACKEND_CPU_X86_MM_IQ3S_AVX2_INL_H

#include <stddef.h>

#include "backend/cpu/x86/mm_avx2_inl.h"
#include "quant/iq_tables.h"

enum { IQ3S_BIAS = 16 }; /* magnitudes are odd numbers below 16: stored bytes have 5 bits */

/* The 64 grid indices of a super-block of one row; block b's eight at 8 * iq3s_place(b). */
typedef struct {
    _Alignas(32) uint16_t index[64];
} iq3s_index;

ALWAYS size_t iq3s_place(size_t b)
{
    return b / 4 * 4 + b % 2 * 2 + b / 2 % 2; /* unpacking works in halves of 16 bytes */
}

ALWAYS void iq3s_indices(const uint8_t *p, iq3s_index *out)
{
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    int64_t qh;

    memcpy(&qh, p + offsetof(jl_block_iq3_s, qh), sizeof qh);
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        const __m256i byte = _mm256_add_epi8(
            _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2,
                             3, 3, 3, 3, 3, 3, 3, 3), _mm256_set1_epi8((char)(4 * i)));
        const __m256i low = _mm256_loadu_si256(
            (const __m256i *)(const void *)(p + offsetof(jl_block_iq3_s, qs) + 32 * i));
        const __m256i bits = _mm256_shuffle_epi8(_mm256_set1_epi64x(qh), byte);
        const __m256i top = _mm256_and_si256(
            _mm256_cmpeq_epi8(_mm256_and_si256(bits, bit), bit), _mm256_set1_epi8(1));
        __m256i *to = (__m256i *)(void *)out->index + 2 * i;
        _mm256_store_si256(to, _mm256_unpacklo_epi8(low, top));
        _mm256_store_si256(to + 1, _mm256_unpackhi_epi8(low, top));
    }
}

ALWAYS __m128i iq3s_entries(const uint16_t *index)
{
    const __m128i a = _mm_cvtsi32_si128((int)jl_iq3s_grid[index[0]]);
    const __m128i b = _mm_insert_epi32(a, (int)jl_iq3s_grid[index[1]], 1);
    const __m128i c = _mm_insert_epi32(b, (int)jl_iq3s_grid[index[2]], 2);

    return _mm_insert_epi32(c, (int)jl_iq3s_grid[index[3]], 3);
}

/* Block ib of a super-block: 32 weights + IQ3S_BIAS. */
ALWAYS __m256i iq3s_weights(const uint8_t *p, const iq3s_index *x, size_t ib)
{
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    const __m256i byte =
        _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3,
                         3, 3, 3, 3, 3, 3, 3);
    const uint16_t *index = x->index + 8 * iq3s_place(ib);
    const __m256i magnitude = _mm256_set_m128i(iq3s_entries(index + 4), iq3s_entries(index));
    const __m256i signs = _mm256_shuffle_epi8(
        _mm256_set1_epi32(load_i32(p + offsetof(jl_block_iq3_s, signs) + 4 * ib)), byte);
    const __m256i minus = _mm256_cmpeq_epi8(_mm256_and_si256(signs, bit), bit);

    /* (magnitude ^ minus) - minus is the weight */
    return _mm256_add_epi8(_mm256_xor_si256(magnitude, minus),
                           _mm256_sub_epi8(_mm256_set1_epi8(IQ3S_BIAS), minus));
}

ALWAYS void iq3s_pairs(const row_set *rows, const iq3s_index x[8], size_t at, size_t ib,
                       mm_pairs *w)
{
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m256i a = iq3s_weights(row_at(rows, i, at), &x[i], ib);
        const __m256i b = iq3s_weights(row_at(rows, 4 + i, at), &x[4 + i], ib);
        w->lo[i] = _mm256_permute2x128_si256(a, b, 0x20);
        w->hi[i] = _mm256_permute2x128_si256(a, b, 0x31);
    }
}

/* Indices, d and the eight 4-bit scales of 8 rows. */
ALWAYS void iq3s_head(const row_set *rows, size_t at, iq3s_index x[8], mm_head *h)
{
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        iq3s_indices(row_at(rows, i, at), &x[i]);
    h->x = load_halves(rows, at + offsetof(jl_block_iq3_s, d));
    h->a = load_words(rows, at + offsetof(jl_block_iq3_s, scales));
}

/* dw = d * (1 + 2 ls), exact */
ALWAYS __m256 iq3s_scale(const mm_head *h, size_t ib)
{
    const __m256i ls = _mm256_and_si256(
        _mm256_srl_epi32(h->a, _mm_cvtsi32_si128((int)(4 * ib))), _mm256_set1_epi32(15));
    const __m256i odd = _mm256_add_epi32(_mm256_slli_epi32(ls, 1), _mm256_set1_epi32(1));

    return _mm256_mul_ps(h->x, _mm256_cvtepi32_ps(odd));
}

static const mm_format fmt_iq3_s = {
    sizeof(jl_block_iq3_s), 8, IQ3S_BIAS, SPAN_5, false, false, 0, 0, 0};

ALWAYS __m256 gemv8_iq3_s(const mm_format *f, const row_set *rows, const mm_col *col,
                          size_t n_blocks, const void *scratch)
{
    __m256 acc = _mm256_setzero_ps();
    (void)scratch;

    for (size_t b = 0; b < n_blocks; b += 8) {
        const size_t at = b / 8 * sizeof(jl_block_iq3_s);
        iq3s_index x[8];
        mm_head h;
        prefetch_rows(rows, at, sizeof(jl_block_iq3_s));
        iq3s_head(rows, at, x, &h);
#pragma GCC unroll 1
        for (size_t ib = 0; ib < 8; ib++) {
            mm_pairs w;
            mm_scale s = {.dw = iq3s_scale(&h, ib)};
            iq3s_pairs(rows, x, at, ib, &w);
            acc = gemv_step(f, &w, &s, col, b + ib, acc);
        }
    }
    return acc;
}

static void expand_iq3_s(const row_set *rows, size_t first_block, size_t n_blocks, mm_tile *tile,
                         int half)
{
    iq3s_index x[8];
    mm_head h;

    iq3s_head(rows, first_block / 8 * sizeof(jl_block_iq3_s), x, &h);
    for (size_t b = 0; b < n_blocks; b++) {
        const size_t at = (first_block + b) / 8 * sizeof(jl_block_iq3_s);
        const size_t ib = (first_block + b) % 8;
        mm_pairs w;
        if (ib == 0)
            iq3s_head(rows, at, x, &h);
        mm_scale s = {.dw = iq3s_scale(&h, ib)};
        iq3s_pairs(rows, x, at, ib, &w);
        expand_step(&fmt_iq3_s, &w, &s, tile, b, half);
    }
}

static void mm_iq3_s(const jl_mm_args *a)
{
    if (a->n_cols == 1)
        mm_gemv(&fmt_iq3_s, a, gemv8_iq3_s);
    else
        MM_GEMM(&fmt_iq3_s, expand_iq3_s, a);
}

#endif
