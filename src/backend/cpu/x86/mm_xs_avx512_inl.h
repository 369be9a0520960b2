/* IQ4_XS and IQ3_S4, which share a layout, for mm_avx512_inl.h.
 *
 * One column: a vector holds 64 bytes of codes of one row, which are 4 blocks of 32 side by side:
 * the low nibbles are the first halves of the blocks, the high ones the second. So nothing is put
 * together from several rows before the products are made, and the sums of 16 rows are transposed
 * once for 4 blocks: 33 GB/s in cache where the quads of mm_avx512_inl.h give 25 (Zen 4). */
#ifndef JL_BACKEND_CPU_X86_MM_XS_AVX512_INL_H
#define JL_BACKEND_CPU_X86_MM_XS_AVX512_INL_H

#include <stddef.h>

#include "backend/cpu/x86/mm_expand_avx512_inl.h"

enum { XS_BYTES = sizeof(jl_block_iq4_xs), XS_QS = offsetof(jl_block_iq4_xs, qs) };

/* The 16 values + bias, repeated. */
ALWAYS __m512i xs_table(const int8_t values[16], int bias)
{
    return _mm512_broadcast_i32x4(_mm_add_epi8(_mm_loadu_si128((const __m128i *)values),
                                               _mm_set1_epi8((char)bias)));
}

/* table[code] of 64 codes in the low nibbles. (The permutation of VBMI needs no mask and is as
 * fast.) */
ALWAYS __m512i xs_weights(__m512i table, __m512i codes)
{
    return _mm512_shuffle_epi8(table, _mm512_and_si512(codes, _mm512_set1_epi8(15)));
}

/* a: d and scales_h, b: scales_l */
ALWAYS void head_xs(const row_set *rows, size_t at, mm_head *h)
{
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));

#define Q(i) load_i64(row_at(rows, i, at))
    const __m512i low = _mm512_setr_epi64(Q(0), Q(1), Q(2), Q(3), Q(4), Q(5), Q(6), Q(7));
    const __m512i high = _mm512_setr_epi64(Q(8), Q(9), Q(10), Q(11), Q(12), Q(13), Q(14), Q(15));
#undef Q
    h->a = _mm512_permutex2var_epi32(low, even, high);
    h->b = _mm512_permutex2var_epi32(low, odd, high);
    h->x = low_half(h->a);
}

/* d * (ls - 32): the 6 bits of ls become the lowest of a float 2^23 + ls. */
ALWAYS void scale_xs(const mm_head *h, int ib, mm_scale *s)
{
    const __m512i low = _mm512_srli_epi32(h->b, (unsigned)(4 * ib));
    const __m512i high = _mm512_srli_epi32(h->a, (unsigned)(12 + 2 * ib));
    const __m512i ls = /* bits of low where the first mask has ones, else of high */
        _mm512_ternarylogic_epi32(_mm512_set1_epi32(15), low, high, 0xca);
    const __m512i sum = /* ls & 63 | 2^23 as a float */
        _mm512_ternarylogic_epi32(ls, _mm512_set1_epi32(63), _mm512_set1_epi32(0x4b000000), 0xea);

    s->dw = _mm512_mul_ps(h->x,
                          _mm512_sub_ps(_mm512_castsi512_ps(sum), _mm512_set1_ps(8388640.0f)));
}

ALWAYS void quads_xs(const row_set *rows, size_t at, int ib, __m512i table, mm_quads *w)
{
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512i v = load_quad(rows, i, at + XS_QS + 16 * (size_t)ib);
        w->lo[i] = xs_weights(table, v);
        w->hi[i] = xs_weights(table, _mm512_srli_epi16(v, 4));
    }
}

/* ---- one column */

/* Activations of 4 blocks: first and second halves, one block per 128-bit lane, and the integers
 * that take the bias of the weights back. */
typedef struct {
    __m512i first, second, unbias;
} xs_column;

ALWAYS xs_column column_xs(const int8_t *q, int bias)
{
    const __m512i zero = _mm512_setzero_si512();
    const __m512i all = _mm512_set1_epi8((char)bias);
    const __m512i a = _mm512_loadu_si512(q);
    const __m512i b = _mm512_loadu_si512(q + 64);
    xs_column c;

    c.first = _mm512_shuffle_i64x2(a, b, 0x88);
    c.second = _mm512_shuffle_i64x2(a, b, 0xdd);
    c.unbias = _mm512_sub_epi32(zero, dot4(dot4(zero, all, c.first), all, c.second));
    return c;
}

/* Exact sums of the 4 blocks whose codes start at `qs`, lanes = rows. */
ALWAYS void sums_xs(const row_set *rows, size_t qs, __m512i table, const xs_column *c,
                    __m512i sums[4])
{
    __m512i part[4];

#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        __m512i t[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const __m512i v = _mm512_loadu_si512(row_at(rows, 4 * k + i, qs));
            t[i] = dot4(dot4(c->unbias, xs_weights(table, v), c->first),
                        xs_weights(table, _mm512_srli_epi16(v, 4)), c->second);
        }
        part[k] = tree4(t);
    }
    lanes_transpose(part, sums);
}

ALWAYS __m512 gemv16_xs(const row_set *rows, const mm_col *col, size_t n_blocks, __m512i table,
                        int bias)
{
    __m512 acc = _mm512_setzero_ps();

    for (size_t b = 0; b < n_blocks; b += 8) {
        const size_t at = b / 8 * XS_BYTES;
        mm_head h;
        prefetch_rows(rows, at, XS_BYTES);
        head_xs(rows, at, &h);
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            const size_t first = b + 4 * (size_t)half;
            const xs_column c = column_xs(col->q + 32 * first, bias);
            __m512i sums[4];
            sums_xs(rows, at + XS_QS + 64 * (size_t)half, table, &c, sums);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                mm_scale s;
                scale_xs(&h, 4 * half + i, &s);
                s.dw = _mm512_mul_ps(s.dw, _mm512_set1_ps(col->d[first + (size_t)i]));
                acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[i]), s.dw, acc);
            }
        }
    }
    return acc;
}

/* ---- the two formats: values of the codes and what makes them unsigned */

#define FORMAT_XS(name, values, bias)                                                              \
    ALWAYS void weights_##name(const row_set *rows, size_t at, int ib, const mm_head *h,           \
                               mm_quads *w)                                                        \
    {                                                                                              \
        quads_xs(rows, at, ib, xs_table(values, bias), w);                                         \
    }                                                                                              \
    static __m512 gemv16_##name(const mm_format *f, const row_set *rows, const mm_col *col,        \
                                size_t n_blocks, const void *scratch)                              \
    {                                                                                              \
        return gemv16_xs(rows, col, n_blocks, xs_table(values, bias), bias);                       \
    }                                                                                              \
    static const mm_format fmt_##name = {XS_BYTES, 8,       bias,           false,                 \
                                         false,    head_xs, weights_##name, scale_xs};             \
    MM_KERNEL_GEMV(name, gemv16_##name)

FORMAT_XS(iq4_xs, jl_iq4_values, 128)
FORMAT_XS(iq3_s4, jl_iq3_s4_values, 15)

ALWAYS void mm_xs_init(jl_cpu_kernels *k, bool amx)
{
    k->mm[JL_TYPE_IQ4_XS] = MM_BEST(iq4_xs, amx);
    k->mm[JL_TYPE_IQ3_S4] = MM_BEST(iq3_s4, amx);
}

#endif
