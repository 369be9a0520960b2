/* Quantised matrix products on AVX2, lanes = weight rows. A format says how to load a block of 32
 * from 8 rows as bytes and their scales; the products are made here, in two forms:
 *
 * One column (gemv8): 8 rows side by side, one block of 32 at a time. A vector holds 16 bytes of 2
 * rows, a tree of transposing additions turns the partial sums of 4 such vectors into 8 exact block
 * sums, and one fma per block extends 8 chains.
 *
 * Several columns (mm_gemm_avx2_inl.h): 16 rows are expanded to bytes in the order
 * [block][2][8][8 rows][4 k] with their scales, then multiplied with a few columns at a time: a
 * broadcast of 4 activations meets 8 rows x 4 k.
 *
 * vpmaddubsw multiplies unsigned by signed bytes and adds pairs in 16 bits, which saturate. So
 * weights are made unsigned by a bias (-bias * sum(q) is added back in integers), and the largest
 * byte of a format says how many pairs 16 bits hold: SPAN_4 .. SPAN_7. Weights of 8 bits stay
 * signed (SPAN_SIGNED): |a| * (b with the sign of a), which fits as |q| <= 127. With AVX-VNNI none
 * of this is needed: vpdpbusd adds four products in 32 bits, 8-bit weights get the bias 128. */
#ifndef JL_BACKEND_CPU_X86_MM_AVX2_INL_H
#define JL_BACKEND_CPU_X86_MM_AVX2_INL_H

#include <immintrin.h>
#include <string.h>

#include "backend/cpu/kernels.h"
#include "quant/blocks.h"

#define ALWAYS static inline __attribute__((always_inline))

enum { TILE_BLOCKS = 32 /* of 32 weights */, AHEAD = 512 /* bytes, see prefetch_rows */ };

/* Bits of the stored bytes. Of 2^n - 1 times 127, 16 bits hold 2 * (1, 2, 4, 8) products. */
typedef enum { SPAN_SIGNED = 0, SPAN_7 = 1, SPAN_6 = 2, SPAN_5 = 4, SPAN_4 = 8 } mm_span;

#ifdef __AVXVNNI__
enum { BYTE_BIAS = 128 }; /* of 8-bit weights, which become unsigned */
#else
enum { BYTE_BIAS = 0 };
#endif

/* ---- what a format provides */

/* Addresses of 8 rows a fixed stride apart. */
typedef struct {
    const uint8_t *base[2]; /* rows 0 and 4 */
    size_t stride, stride3;
} row_set;

/* 32 weights of 8 rows as bytes: lane L of lo[i] is row 4 L + i, weights 0..15; hi 16..31. */
typedef struct {
    __m256i lo[4], hi[4];
} mm_pairs;

/* What is decoded once per block of the format; each format uses the fields as it likes. */
typedef struct {
    __m256i a, b, c, e;
    __m256 x, y;
} mm_head;

/* Scales of a block of 32, lanes = rows. halves: isum = sc[0] * s0 + sc[1] * s1; with a minimum,
 * msum = mn[0] * sum0 + mn[1] * sum1, else mn is not used. */
typedef struct {
    __m256 dw, mw;
    __m256 sc[2], mn[2];
} mm_scale;

typedef struct {
    size_t bytes;     /* of a block of the format */
    int per;          /* blocks of 32 in it */
    int bias;         /* stored byte = weight + bias */
    mm_span span;
    bool has_min;
    bool halves;
    void (*head)(const row_set *rows, size_t at, mm_head *h);
    void (*weights)(const row_set *rows, size_t at, int ib, const mm_head *h, mm_pairs *w);
    void (*scale)(const mm_head *h, int ib, mm_scale *s);
} mm_format;

/* Expanded weights of 16 rows: row r is lane r % 8 of half r / 8. */
typedef struct {
    uint8_t w[TILE_BLOCKS][2][8][32];
    uint8_t magnitude[TILE_BLOCKS][2][8][32]; /* SPAN_SIGNED */
    float dw[TILE_BLOCKS][2][8], mw[TILE_BLOCKS][2][8];
    float sc[TILE_BLOCKS][2][2][8], mn[TILE_BLOCKS][2][2][8];
} mm_tile;

ALWAYS row_set rows_at(const uint8_t *w, size_t stride)
{
    return (row_set){{w, w + 4 * stride}, stride, 3 * stride};
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

/* 16 bytes of rows i and 4 + i. */
ALWAYS __m256i load_pair(const row_set *rows, int i, size_t offset)
{
#define P(r) _mm_loadu_si128((const __m128i *)(const void *)row_at(rows, r, offset))
    return _mm256_inserti128_si256(_mm256_castsi128_si256(P(i)), P(4 + i), 1);
#undef P
}

/* 8 F16 numbers at the same offset of 8 rows. */
ALWAYS __m256 load_halves(const row_set *rows, size_t offset)
{
#define H(i) ((uint64_t)load_u16(row_at(rows, i, offset)) << 16 * ((i) % 4))
#define H4(i) (long long)(H(i) | H(i + 1) | H(i + 2) | H(i + 3))
    return _mm256_cvtph_ps(_mm_set_epi64x(H4(4), H4(0)));
#undef H
#undef H4
}

/* 4 bytes at the same offset of 8 rows. */
ALWAYS __m256i load_words(const row_set *rows, size_t offset)
{
#define W(i) load_i32(row_at(rows, i, offset))
    return _mm256_setr_epi32(W(0), W(1), W(2), W(3), W(4), W(5), W(6), W(7));
#undef W
}

/* The F16 number in the low (high) half of each lane. */
ALWAYS __m256 low_half(__m256i v)
{
    const __m256i low = _mm256_and_si256(v, _mm256_set1_epi32(0xffff));
    const __m256i packed = _mm256_packus_epi32(low, low); /* rows 0-3 0-3 | 4-7 4-7 */

    return _mm256_cvtph_ps(_mm256_castsi256_si128(
        _mm256_permute4x64_epi64(packed, _MM_SHUFFLE(3, 1, 2, 0))));
}

ALWAYS __m256 high_half(__m256i v)
{
    return low_half(_mm256_srli_epi32(v, 16));
}

/* A table of 16 values + bias, in every 128-bit lane. */
ALWAYS __m256i biased_table(const int8_t values[16], int bias)
{
    const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)values);

    return _mm256_broadcastsi128_si256(_mm_add_epi8(v, _mm_set1_epi8((char)bias)));
}

/* ---- exact integer sums */

/* Pairs of 16-bit sums added in 32 bits. */
ALWAYS __m256i widen_sums(__m256i v)
{
    return _mm256_madd_epi16(v, _mm256_set1_epi16(1));
}

/* Sums of 4 products of signed bytes, |q| <= 127; magnitude = |w|, up to 128. */
ALWAYS __m256i dot_signed(__m256i w, __m256i magnitude, __m256i q)
{
    return widen_sums(_mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(q, w)));
}

/* acc + u8 * s8 products in groups of 4, no byte above 127. */
ALWAYS __m256i dot4(__m256i acc, __m256i u8, __m256i s8)
{
#ifdef __AVXVNNI__
    return _mm256_dpbusd_avx_epi32(acc, u8, s8);
#else
    return _mm256_add_epi32(acc, widen_sums(_mm256_maddubs_epi16(u8, s8)));
#endif
}

/* u0 * q0 + u1 * q1 in groups of 4. */
ALWAYS __m256i dot_two(mm_span span, __m256i u0, __m256i q0, __m256i u1, __m256i q1)
{
#ifdef __AVXVNNI__
    (void)span;
    return dot4(dot4(_mm256_setzero_si256(), u0, q0), u1, q1);
#else
    const __m256i p0 = span ? _mm256_maddubs_epi16(u0, q0)
                            : _mm256_maddubs_epi16(_mm256_abs_epi8(u0), _mm256_sign_epi8(q0, u0));
    const __m256i p1 = span ? _mm256_maddubs_epi16(u1, q1)
                            : _mm256_maddubs_epi16(_mm256_abs_epi8(u1), _mm256_sign_epi8(q1, u1));

    if (span >= SPAN_6) /* 4 products fit 16 bits */
        return widen_sums(_mm256_add_epi16(p0, p1));
    return _mm256_add_epi32(widen_sums(p0), widen_sums(p1));
#endif
}

/* -bias * (sum[0] + sum[1]) in every lane */
ALWAYS __m256i unbias(const int16_t *sum, int bias)
{
    return _mm256_madd_epi16(_mm256_set1_epi32(load_i32(sum)), _mm256_set1_epi16((short)-bias));
}

/* -bias * sum[h] in every lane, and sum[h] as a float */
ALWAYS __m256i unbias_half(const int16_t *sum, int h, int bias)
{
    return _mm256_set1_epi32(-bias * sum[h]);
}

ALWAYS __m256 half_sum(const int16_t *sum, int h)
{
    return _mm256_set1_ps((float)sum[h]);
}

/* Partial sums of 4 pairs to 8 sums, lane r = row r. */
ALWAYS __m256i tree4(const __m256i t[4])
{
    const __m256i ab = _mm256_add_epi32(_mm256_unpacklo_epi32(t[0], t[1]),
                                        _mm256_unpackhi_epi32(t[0], t[1]));
    const __m256i cd = _mm256_add_epi32(_mm256_unpacklo_epi32(t[2], t[3]),
                                        _mm256_unpackhi_epi32(t[2], t[3]));
    return _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
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
ALWAYS __m256 halves_sum(__m256i s0, __m256i s1, const __m256 sc[2])
{
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(s1), sc[1],
                           _mm256_mul_ps(_mm256_cvtepi32_ps(s0), sc[0]));
}

ALWAYS __m256 add_min(bool halves, const mm_scale *s, const int16_t *sum, __m256 da, __m256 acc)
{
    __m256 msum;

    if (halves)
        msum = _mm256_fmadd_ps(s->mn[1], half_sum(sum, 1),
                               _mm256_mul_ps(s->mn[0], half_sum(sum, 0)));
    else
        msum = _mm256_cvtepi32_ps(unbias(sum, -1));
    return _mm256_fmadd_ps(msum, _mm256_mul_ps(s->mw, da), acc);
}

/* ---- one column */

ALWAYS __m256 gemv_step(const mm_format *f, const mm_pairs *w, const mm_scale *s, const mm_col *col,
                        size_t b, __m256 acc)
{
    const int16_t *sum = col->sum + 2 * b;
    const __m256 da = _mm256_set1_ps(col->d[b]);
    const __m256i zero = _mm256_setzero_si256();
    const __m256i q0 = _mm256_broadcastsi128_si256(
        _mm_loadu_si128((const __m128i *)(const void *)(col->q + 32 * b)));
    const __m256i q1 = _mm256_broadcastsi128_si256(
        _mm_loadu_si128((const __m128i *)(const void *)(col->q + 32 * b + 16)));
    __m256i t0[4];
    __m256i t1[4];
    __m256 isum;

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        t0[i] = f->halves ? dot4(zero, w->lo[i], q0)
                          : dot_two(f->span, w->lo[i], q0, w->hi[i], q1);
        t1[i] = f->halves ? dot4(zero, w->hi[i], q1) : zero;
    }
    if (f->halves) {
        const __m256i s0 = _mm256_add_epi32(tree4(t0), unbias_half(sum, 0, f->bias));
        const __m256i s1 = _mm256_add_epi32(tree4(t1), unbias_half(sum, 1, f->bias));
        isum = halves_sum(s0, s1, s->sc);
    } else {
        const __m256i both = tree4(t0);
        isum = _mm256_cvtepi32_ps(f->bias ? _mm256_add_epi32(both, unbias(sum, f->bias)) : both);
    }
    acc = _mm256_fmadd_ps(isum, _mm256_mul_ps(s->dw, da), acc);
    return f->has_min ? add_min(f->halves, s, sum, da, acc) : acc;
}

/* Brings what the rows need AHEAD bytes later to the first-level cache: hardware prefetchers lose
 * 8 streams that advance by fractions of a line. Past the end of a row is the next one of its
 * lane. */
ALWAYS void prefetch_rows(const row_set *rows, size_t at, size_t n_bytes)
{
    for (size_t o = 0; o < n_bytes; o += 64)
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
            _mm_prefetch((const char *)row_at(rows, i, at + o + AHEAD), _MM_HINT_T0);
}

/* 8 rows times one column; scratch is the call's. */
typedef __m256 mm_gemv8_fn(const mm_format *f, const row_set *rows, const mm_col *col,
                           size_t n_blocks, const void *scratch);

ALWAYS __m256 gemv8_any(const mm_format *f, const row_set *rows, const mm_col *col, size_t n_blocks,
                        const void *scratch)
{
    __m256 acc = _mm256_setzero_ps();

    (void)scratch;
    for (size_t b = 0; b < n_blocks; b += (size_t)f->per) {
        const size_t at = b / (size_t)f->per * f->bytes;
        mm_head h;
        if (f->bytes >= 64 || at % 64 < f->bytes)
            prefetch_rows(rows, at, f->bytes);
        f->head(rows, at, &h);
#pragma GCC unroll 8
        for (int ib = 0; ib < f->per; ib++) {
            mm_pairs w;
            mm_scale s;
            f->weights(rows, at, ib, &h, &w);
            f->scale(&h, ib, &s);
            acc = gemv_step(f, &w, &s, col, b + (size_t)ib, acc);
        }
    }
    return acc;
}

/* One column over all rows. Lane i takes an eighth of the rows, so that it reads one contiguous
 * piece of memory. A rest of fewer than 8 rows reaches back to be full; fewer than 8 rows in all
 * are taken one by one, 8 times the same row with stride 0. */
ALWAYS void mm_gemv(const mm_format *f, const jl_mm_args *a, mm_gemv8_fn *gemv8)
{
    const mm_col col = mm_column(a, 0);
    const size_t n_blocks = a->n_in / 32;
    const size_t each = a->n_rows / 8;
    float y[8];

    for (size_t r = 0; r < each; r++) {
        const row_set rows = rows_at(a->w + r * a->w_stride, each * a->w_stride);
        _mm256_storeu_ps(y, gemv8(f, &rows, &col, n_blocks, a->scratch));
        for (size_t i = 0; i < 8; i++)
            a->y[i * each + r] = y[i];
    }
    if (each > 0 && 8 * each < a->n_rows) {
        const size_t first = a->n_rows - 8;
        const row_set rows = rows_at(a->w + first * a->w_stride, a->w_stride);
        _mm256_storeu_ps(a->y + first, gemv8(f, &rows, &col, n_blocks, a->scratch));
    }
    for (size_t r = 0; r < a->n_rows && each == 0; r++) {
        const row_set rows = rows_at(a->w + r * a->w_stride, 0);
        _mm256_storeu_ps(y, gemv8(f, &rows, &col, n_blocks, a->scratch));
        a->y[r] = y[0];
    }
}

/* ---- several columns */

/* Fills blocks 0 .. n_blocks - 1 of half h. */
typedef void mm_expand_fn(const row_set *rows, size_t first_block, size_t n_blocks, mm_tile *tile,
                          int h);

/* The product in mm_gemm_<isa>.c, one copy for all formats. */
typedef void mm_gemm_fn(const mm_format *f, mm_expand_fn *expand, const jl_mm_args *a);
mm_gemm_fn jl_x86_gemm_avx2, jl_x86_gemm_avxvnni;
#ifdef __AVXVNNI__
#define MM_GEMM jl_x86_gemm_avxvnni
#else
#define MM_GEMM jl_x86_gemm_avx2
#endif

/* Rows 4 L + i of pairs become lanes: out[k] is 8 rows x weights 4 k .. 4 k + 3. */
ALWAYS void transpose_pairs(const __m256i x[4], __m256i out[4])
{
    const __m256i a = _mm256_unpacklo_epi32(x[0], x[1]);
    const __m256i b = _mm256_unpackhi_epi32(x[0], x[1]);
    const __m256i c = _mm256_unpacklo_epi32(x[2], x[3]);
    const __m256i d = _mm256_unpackhi_epi32(x[2], x[3]);

    out[0] = _mm256_unpacklo_epi64(a, c);
    out[1] = _mm256_unpackhi_epi64(a, c);
    out[2] = _mm256_unpacklo_epi64(b, d);
    out[3] = _mm256_unpackhi_epi64(b, d);
}

ALWAYS void expand_weights(mm_span span, const mm_pairs *w, mm_tile *tile, size_t b, int h)
{
    __m256i v[8];

    transpose_pairs(w->lo, v);
    transpose_pairs(w->hi, v + 4);
#pragma GCC unroll 8
    for (int k = 0; k < 8; k++) {
        _mm256_store_si256((__m256i *)(void *)tile->w[b][h][k], v[k]);
        if (span == SPAN_SIGNED && BYTE_BIAS == 0)
            _mm256_store_si256((__m256i *)(void *)tile->magnitude[b][h][k],
                               _mm256_abs_epi8(v[k]));
    }
}

ALWAYS void expand_step(const mm_format *f, const mm_pairs *w, const mm_scale *s, mm_tile *tile,
                        size_t b, int h)
{
    expand_weights(f->span, w, tile, b, h);
    _mm256_store_ps(tile->dw[b][h], s->dw);
    if (f->has_min)
        _mm256_store_ps(tile->mw[b][h], s->mw);
    for (int i = 0; i < 2 && f->halves; i++) {
        _mm256_store_ps(tile->sc[b][h][i], s->sc[i]);
        if (f->has_min)
            _mm256_store_ps(tile->mn[b][h][i], s->mn[i]);
    }
}

ALWAYS void expand_format(const mm_format *f, const row_set *rows, size_t first_block,
                          size_t n_blocks, mm_tile *tile, int half)
{
    for (size_t b = 0; b < n_blocks; b += (size_t)f->per) {
        const size_t at = (first_block + b) / (size_t)f->per * f->bytes;
        mm_head h;
        f->head(rows, at, &h);
#pragma GCC unroll 8
        for (int ib = 0; ib < f->per; ib++) {
            mm_pairs w;
            mm_scale s;
            f->weights(rows, at, ib, &h, &w);
            f->scale(&h, ib, &s);
            expand_step(f, &w, &s, tile, b + (size_t)ib, half);
        }
    }
}

/* The kernel of a format: mm_<name>, from fmt_<name>. */
#define MM_KERNEL(name)                                                                      \
    static void expand_##name(const row_set *rows, size_t first_block, size_t n_blocks,      \
                              mm_tile *tile, int h)                                          \
    {                                                                                        \
        expand_format(&fmt_##name, rows, first_block, n_blocks, tile, h);                    \
    }                                                                                        \
    static void mm_##name(const jl_mm_args *a)                                               \
    {                                                                                        \
        if (a->n_cols == 1)                                                                  \
            mm_gemv(&fmt_##name, a, gemv8_any);                                              \
        else                                                                                 \
            MM_GEMM(&fmt_##name, expand_##name, a);                                          \
    }

#endif
