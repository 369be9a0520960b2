/* Quantised matrix products on AVX-512, lanes = weight rows. A format says how to load a block of
 * 32 from 16 rows as unsigned bytes and their scales; the products are made here, in two forms:
 *
 * One column (gemv16): 16 rows side by side, one block of 32 at a time. A vector holds 16 bytes of
 * 4 rows, a tree of transposing additions turns the partial sums of 4 such vectors into 16 exact
 * block sums, and one fma per block extends 16 chains.
 *
 * Several columns (gemm): 32 rows are expanded to bytes in the order [block][2][8][16 rows][4 k]
 * with their scales (mm_expand_avx512_inl.h), which mm_gemm_<isa>.c multiplies.
 *
 * Weights are made unsigned by a bias; -bias * sum(q) is added back in integers. */
#ifndef JL_BACKEND_CPU_X86_MM_AVX512_INL_H
#define JL_BACKEND_CPU_X86_MM_AVX512_INL_H

#include <immintrin.h>
#include <string.h>

#include "backend/cpu/kernels.h"
#include "quant/blocks.h"

#define ALWAYS static inline __attribute__((always_inline))

enum { TILE_BLOCKS = 128 /* of 32 weights */, AHEAD = 512 /* bytes, see prefetch_rows */ };

/* ---- what a format provides */

/* Addresses of 16 rows a fixed stride apart. */
typedef struct {
    const uint8_t *base[4]; /* rows 0, 4, 8, 12 */
    size_t stride, stride3;
} row_set;

/* 32 weights of 16 rows as u8: lane L of lo[i] is row 4 L + i, weights 0..15; hi 16..31. */
typedef struct {
    __m512i lo[4], hi[4];
} mm_quads;

/* What is decoded once per block of the format; each format uses the fields as it likes. */
typedef struct {
    __m512i a, b, c, e;
    __m512 x, y;
} mm_head;

/* Scales of a block of 32, lanes = rows. halves: isum = sc[0] * s0 + sc[1] * s1; with a minimum,
 * msum = mn[0] * sum0 + mn[1] * sum1, else mn is not used. */
typedef struct {
    __m512 dw, mw;
    __m512 sc[2], mn[2];
} mm_scale;

typedef struct {
    size_t bytes;     /* of a block of the format */
    int per;          /* blocks of 32 in it */
    int bias;         /* stored byte = weight + bias */
    bool has_min;
    bool halves;
    void (*head)(const row_set *rows, size_t at, mm_head *h);
    void (*weights)(const row_set *rows, size_t at, int ib, const mm_head *h, mm_quads *w);
    void (*scale)(const mm_head *h, int ib, mm_scale *s);
} mm_format;

/* Expanded weights of up to 32 rows: row r is lane r % 16 of half r / 16. */
typedef struct {
    _Alignas(64) uint8_t w[TILE_BLOCKS][2][8][64];
    float dw[TILE_BLOCKS][2][16], mw[TILE_BLOCKS][2][16];
    float sc[TILE_BLOCKS][2][2][16], mn[TILE_BLOCKS][2][2][16];
    int minus; /* what expansion takes from the stored bytes: 0, or the bias for signed weights */
} mm_tile;

ALWAYS row_set rows_at(const uint8_t *w, size_t stride)
{
    return (row_set){{w, w + 4 * stride, w + 8 * stride, w + 12 * stride}, stride, 3 * stride};
}

ALWAYS const uint8_t *row_at(const row_set *rows, int i, size_t offset)
{
    const uint8_t *p = rows->base[i / 4] + offset;

    switch (i % 4) {
    case 0: return p;
    case 1: return p + rows->stride;
    case 2: return p + 2 * rows->stride;
    default: return p + rows->stride3;
    }
}

ALWAYS uint16_t load_u16(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

ALWAYS int32_t load_i32(const void *p)
{
    int32_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

ALWAYS long long load_i64(const void *p)
{
    long long v;

    memcpy(&v, p, sizeof v);
    return v;
}

/* 16 bytes of rows i, 4 + i, 8 + i, 12 + i. */
ALWAYS __m512i load_quad(const row_set *rows, int i, size_t offset)
{
#define Q(r) _mm_loadu_si128((const __m128i *)row_at(rows, r, offset))
    __m512i v = _mm512_castsi128_si512(Q(i));
    v = _mm512_mask_broadcast_i32x4(v, 0x00f0, Q(4 + i));
    v = _mm512_mask_broadcast_i32x4(v, 0x0f00, Q(8 + i));
    return _mm512_mask_broadcast_i32x4(v, 0xf000, Q(12 + i));
#undef Q
}

/* 16 F16 numbers at the same offset of 16 rows. */
ALWAYS __m512 load_halves(const row_set *rows, size_t offset)
{
#define H(i) ((uint64_t)load_u16(row_at(rows, i, offset)) << 16 * ((i) % 4))
#define H4(i) (long long)(H(i) | H(i + 1) | H(i + 2) | H(i + 3))
    return _mm512_cvtph_ps(_mm256_setr_epi64x(H4(0), H4(4), H4(8), H4(12)));
#undef H
#undef H4
}

/* 4 bytes at the same offset of 16 rows. */
ALWAYS __m512i load_words(const row_set *rows, size_t offset)
{
#define W(i) load_i32(row_at(rows, i, offset))
    return _mm512_setr_epi32(W(0), W(1), W(2), W(3), W(4), W(5), W(6), W(7), W(8), W(9), W(10),
                             W(11), W(12), W(13), W(14), W(15));
#undef W
}

/* The F16 number in the low half of each lane. */
ALWAYS __m512 low_half(__m512i v)
{
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v));
}

/* ---- exact integer sums */

/* acc + u8 * s8 products in groups of 4 */
ALWAYS __m512i dot4(__m512i acc, __m512i u8, __m512i s8)
{
#ifdef __AVX512VNNI__
    return _mm512_dpbusd_epi32(acc, u8, s8);
#else
    const __m512i even = _mm512_madd_epi16(_mm512_and_si512(u8, _mm512_set1_epi16(0xff)),
                                           _mm512_srai_epi16(_mm512_slli_epi16(s8, 8), 8));
    const __m512i odd = _mm512_madd_epi16(_mm512_srli_epi16(u8, 8), _mm512_srai_epi16(s8, 8));
    return _mm512_add_epi32(acc, _mm512_add_epi32(even, odd));
#endif
}

/* -bias * (sum[0] + sum[1]) in every lane */
ALWAYS __m512i unbias(const int16_t *sum, int bias)
{
    return _mm512_madd_epi16(_mm512_set1_epi32(load_i32(sum)), _mm512_set1_epi16((short)-bias));
}

/* -bias * sum[h] in every lane, and sum[h] as a float */
ALWAYS __m512i unbias_half(const int16_t *sum, int h, int bias)
{
    return _mm512_set1_epi32(-bias * sum[h]);
}

ALWAYS __m512 half_sum(const int16_t *sum, int h)
{
    return _mm512_set1_ps((float)sum[h]);
}

/* Partial sums of 4 quads to 16 sums, lane r = row r. */
ALWAYS __m512i tree4(const __m512i t[4])
{
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(t[0], t[1]),
                                        _mm512_unpackhi_epi32(t[0], t[1]));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(t[2], t[3]),
                                        _mm512_unpackhi_epi32(t[2], t[3]));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

/* Lane g of x[L] becomes lane L of the result g. */
ALWAYS void lanes_transpose(const __m512i x[4], __m512i out[4])
{
    const __m512i a = _mm512_shuffle_i64x2(x[0], x[1], 0x88);
    const __m512i b = _mm512_shuffle_i64x2(x[2], x[3], 0x88);
    const __m512i c = _mm512_shuffle_i64x2(x[0], x[1], 0xdd);
    const __m512i d = _mm512_shuffle_i64x2(x[2], x[3], 0xdd);

    out[0] = _mm512_shuffle_i64x2(a, b, 0x88);
    out[2] = _mm512_shuffle_i64x2(a, b, 0xdd);
    out[1] = _mm512_shuffle_i64x2(c, d, 0x88);
    out[3] = _mm512_shuffle_i64x2(c, d, 0xdd);
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

/* ---- the chains: one step per block of 32 */

/* (float)isum of scaled halves: every intermediate value is an integer below 2^24, so exact. */
ALWAYS __m512 halves_sum(__m512i s0, __m512i s1, const __m512 sc[2])
{
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(s1), sc[1],
                           _mm512_mul_ps(_mm512_cvtepi32_ps(s0), sc[0]));
}

ALWAYS __m512 add_min(bool halves, const mm_scale *s, const int16_t *sum, __m512 da,
                      __m512 acc)
{
    __m512 msum;

    if (halves)
        msum = _mm512_fmadd_ps(s->mn[1], half_sum(sum, 1),
                               _mm512_mul_ps(s->mn[0], half_sum(sum, 0)));
    else
        msum = _mm512_cvtepi32_ps(unbias(sum, -1));
    return _mm512_fmadd_ps(msum, _mm512_mul_ps(s->mw, da), acc);
}

/* ---- one column */

ALWAYS __m512 gemv_step(const mm_format *f, const mm_quads *w, const mm_scale *s, const mm_col *col,
                        size_t b, __m512 acc)
{
    const int16_t *sum = col->sum + 2 * b;
    const __m512 da = _mm512_set1_ps(col->d[b]);
    const __m512i zero = _mm512_setzero_si512();
    const __m512i q0 =
        _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(col->q + 32 * b)));
    const __m512i q1 =
        _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(col->q + 32 * b + 16)));
    __m512i t0[4];
    __m512i t1[4];
    __m512 isum;

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        t0[i] = dot4(zero, w->lo[i], q0);
        t1[i] = dot4(f->halves ? zero : t0[i], w->hi[i], q1);
    }
    if (f->halves) {
        const __m512i s0 = _mm512_add_epi32(tree4(t0), unbias_half(sum, 0, f->bias));
        const __m512i s1 = _mm512_add_epi32(tree4(t1), unbias_half(sum, 1, f->bias));
        isum = halves_sum(s0, s1, s->sc);
    } else {
        const __m512i s1 = tree4(t1);
        isum = _mm512_cvtepi32_ps(f->bias ? _mm512_add_epi32(s1, unbias(sum, f->bias)) : s1);
    }
    acc = _mm512_fmadd_ps(isum, _mm512_mul_ps(s->dw, da), acc);
    return f->has_min ? add_min(f->halves, s, sum, da, acc) : acc;
}

/* Brings what the rows need AHEAD bytes later to the first-level cache: hardware prefetchers lose
 * 16 streams that advance by fractions of a line. Past the end of a row is the next one of its
 * lane. */
ALWAYS void prefetch_rows(const row_set *rows, size_t at, size_t n_bytes)
{
    for (size_t o = 0; o < n_bytes; o += 64)
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            _mm_prefetch((const char *)row_at(rows, i, at + o + AHEAD), _MM_HINT_T0);
}

/* 16 rows times one column; scratch is the call's. */
typedef __m512 mm_gemv16_fn(const mm_format *f, const row_set *rows, const mm_col *col,
                            size_t n_blocks, const void *scratch);

ALWAYS __m512 gemv16_any(const mm_format *f, const row_set *rows, const mm_col *col,
                         size_t n_blocks, const void *scratch)
{
    __m512 acc = _mm512_setzero_ps();

    for (size_t b = 0; b < n_blocks; b += (size_t)f->per) {
        const size_t at = b / (size_t)f->per * f->bytes;
        mm_head h;
        if (f->bytes >= 64 || at % 64 < f->bytes)
            prefetch_rows(rows, at, f->bytes);
        f->head(rows, at, &h);
#pragma GCC unroll 8
        for (int ib = 0; ib < f->per; ib++) {
            mm_quads w;
            mm_scale s;
            f->weights(rows, at, ib, &h, &w);
            f->scale(&h, ib, &s);
            acc = gemv_step(f, &w, &s, col, b + (size_t)ib, acc);
        }
    }
    return acc;
}

/* One column over all rows. Lane i takes a sixteenth of the rows, so that it reads one contiguous
 * piece of memory. (16 neighbours at a time are slower in whole models: docs/performance.md,
 * "Kernels".) A rest of fewer than 16 rows reaches back to be full; fewer than 16 rows in all are
 * taken one by one, 16 times the same row with stride 0. */
ALWAYS void mm_gemv(const mm_format *f, const jl_mm_args *a, mm_gemv16_fn *gemv16)
{
    const mm_col col = mm_column(a, 0);
    const size_t n_blocks = a->n_in / 32;
    const size_t each = a->n_rows / 16;
    float y[16];

    for (size_t r = 0; r < each; r++) {
        const row_set rows = rows_at(a->w + r * a->w_stride, each * a->w_stride);
        _mm512_storeu_ps(y, gemv16(f, &rows, &col, n_blocks, a->scratch));
        for (size_t i = 0; i < 16; i++)
            a->y[i * each + r] = y[i];
    }
    if (each > 0 && 16 * each < a->n_rows) {
        const size_t first = a->n_rows - 16;
        const row_set rows = rows_at(a->w + first * a->w_stride, a->w_stride);
        _mm512_storeu_ps(a->y + first, gemv16(f, &rows, &col, n_blocks, a->scratch));
    }
    for (size_t r = 0; r < a->n_rows && each == 0; r++) {
        const row_set rows = rows_at(a->w + r * a->w_stride, 0);
        _mm512_storeu_ps(y, gemv16(f, &rows, &col, n_blocks, a->scratch));
        a->y[r] = y[0];
    }
}

#endif
