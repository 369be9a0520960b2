/* Quantised matrix products on AVX-512, lanes = weight rows. Two forms:
 *
 * One column (gemv16): 16 rows side by side, one block of 32 at a time. Each row's block gives 8
 * partial sums, a tree of transposing additions turns the 16 x 8 into one vector of 16 exact block
 * sums, and one fma per block extends 16 chains.
 *
 * Several columns (gemm): 32 rows are expanded to biased u8 in the order [block][2][8][16 rows][4 k]
 * with their scales, then multiplied with 6 columns at a time: a broadcast of 4 activations meets
 * 16 rows x 4 k in one vpdpbusd. Chains that are longer than the tile continue from y.
 *
 * Weights are stored biased to be unsigned; -bias * sum(q) is added back in integers. */
#ifndef JL_BACKEND_CPU_X86_MM_AVX512_INL_H
#define JL_BACKEND_CPU_X86_MM_AVX512_INL_H

#include <immintrin.h>
#include <string.h>

#include "backend/cpu/kernels.h"

#define ALWAYS static inline __attribute__((always_inline))

enum { TILE_ROWS = 32, TILE_COLS = 6, TILE_BLOCKS = 128 /* of 32 weights */ };

/* Expanded weights of TILE_ROWS rows. Row r is lane r % 16 of half r / 16. */
typedef struct {
    uint8_t w[TILE_BLOCKS][2][8][64];
    float dw[TILE_BLOCKS][2][16];
    float mw[TILE_BLOCKS][2][16]; /* types with a minimum */
} mm_tile;

/* Fills blocks 0 .. n_blocks - 1 of half h from 16 rows; row i starts at w + row[i]. */
typedef void mm_expand_fn(const uint8_t *w, const size_t row[16], size_t first_block,
                          size_t n_blocks, mm_tile *tile, int h);

/* ---- exact integer sums */

/* acc + u8 * s8 products in groups of 4 */
ALWAYS __m512i dot4x16(__m512i acc, __m512i u8, __m512i s8)
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

ALWAYS __m256i dot4x8(__m256i u8, __m256i s8)
{
#ifdef __AVX512VNNI__
    return _mm256_dpbusd_epi32(_mm256_setzero_si256(), u8, s8);
#else
    const __m256i even = _mm256_madd_epi16(_mm256_and_si256(u8, _mm256_set1_epi16(0xff)),
                                           _mm256_srai_epi16(_mm256_slli_epi16(s8, 8), 8));
    const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(u8, 8), _mm256_srai_epi16(s8, 8));
    return _mm256_add_epi32(even, odd);
#endif
}

/* scale * (sum[0] + sum[1]) in every lane */
ALWAYS __m512i scaled_sum(const int16_t *sum, int16_t scale)
{
    int32_t pair;

    memcpy(&pair, sum, sizeof pair);
    return _mm512_madd_epi16(_mm512_set1_epi32(pair), _mm512_set1_epi16(scale));
}

ALWAYS uint16_t load_u16(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

/* ---- one column */

/* Two rows' 8 partial sums each to 4 + 4, rows alternating. */
ALWAYS __m256i pair_sums(__m256i a, __m256i b)
{
    return _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
}

ALWAYS __m256i quad_sums(__m256i ab, __m256i cd)
{
    return _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
}

/* 16 rows of 8 partial sums to 16 sums, lane i = row i. */
ALWAYS __m512i tree16(const __m256i t[16])
{
    __m256i x[4];

    for (int i = 0; i < 4; i++)
        x[i] = quad_sums(pair_sums(t[4 * i], t[4 * i + 1]), pair_sums(t[4 * i + 2], t[4 * i + 3]));
    const __m256i lo = _mm256_add_epi32(_mm256_permute2x128_si256(x[0], x[1], 0x20),
                                        _mm256_permute2x128_si256(x[0], x[1], 0x31));
    const __m256i hi = _mm256_add_epi32(_mm256_permute2x128_si256(x[2], x[3], 0x20),
                                        _mm256_permute2x128_si256(x[2], x[3], 0x31));
    return _mm512_inserti64x4(_mm512_castsi256_si512(lo), hi, 1);
}

/* Addresses of 16 rows a fixed stride apart. */
typedef struct {
    const uint8_t *base[4]; /* rows 0, 4, 8, 12 */
    size_t stride, stride3;
} row_set;

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

/* 16 F16 numbers at the same offset of 16 rows. */
ALWAYS __m512 halves16(const row_set *rows, size_t offset)
{
#define H(i) (short)load_u16(row_at(rows, i, offset))
    const __m256i h = _mm256_setr_epi16(H(0), H(1), H(2), H(3), H(4), H(5), H(6), H(7), H(8), H(9),
                                        H(10), H(11), H(12), H(13), H(14), H(15));
#undef H
    return _mm512_cvtph_ps(h);
}

/* Brings the next 16 rows towards the second-level cache, in the order of memory. */
ALWAYS void prefetch_ahead(const uint8_t *p, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i += 64)
        _mm_prefetch((const char *)p + i, _MM_HINT_T1);
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

typedef void mm_gemv_fn(const row_set *rows, const mm_col *col, size_t n_blocks, float y[16]);

/* One column over all rows; gemv handles 16 rows. The last group reaches back to be full; fewer
 * than 16 rows in all repeat each row with stride 0. */
ALWAYS void mm_gemv(const jl_mm_args *a, size_t c, mm_gemv_fn *gemv)
{
    const mm_col col = mm_column(a, c);
    float *y = a->y + c * a->y_stride;
    float tmp[16];

    if (a->n_rows < 16) {
        for (size_t r = 0; r < a->n_rows; r++) {
            const row_set rows = rows_at(a->w + r * a->w_stride, 0);
            gemv(&rows, &col, a->n_in / 32, tmp);
            y[r] = tmp[0];
        }
        return;
    }
    for (size_t r = 0; r < a->n_rows; r += 16) {
        const size_t first = a->n_rows - r >= 16 ? r : a->n_rows - 16;
        const row_set rows = rows_at(a->w + first * a->w_stride, a->w_stride);
        gemv(&rows, &col, a->n_in / 32, y + first);
    }
}

/* ---- several columns */

typedef struct {
    const mm_tile *tile;
    size_t n_blocks;
    mm_col col[TILE_COLS];
    float *y;             /* output (row 0, first column) */
    size_t y_stride;
    __mmask16 keep[2];    /* rows to store per half */
    bool resume;          /* chains continue from y */
} gemm_part;

/* rows 16 * R by columns C. bias: weight + bias = stored u8; has_min adds mw * sum. */
ALWAYS void gemm_block(const gemm_part *g, int R, int C, int bias, bool has_min)
{
    const mm_tile *t = g->tile;
    const mm_col *col = g->col;
    __m512 acc[2][TILE_COLS];

    for (int c = 0; c < C; c++)
        for (int r = 0; r < R; r++)
            acc[r][c] = g->resume ? _mm512_maskz_loadu_ps(g->keep[r],
                                                          g->y + (size_t)c * g->y_stride + 16 * r)
                                  : _mm512_setzero_ps();

    for (size_t b = 0; b < g->n_blocks; b++) {
        __m512i isum[2][TILE_COLS];
        for (int c = 0; c < C; c++) {
            const __m512i init =
                bias ? scaled_sum(col[c].sum + 2 * b, (int16_t)-bias) : _mm512_setzero_si512();
            for (int r = 0; r < R; r++)
                isum[r][c] = init;
        }
#pragma GCC unroll 8
        for (int k = 0; k < 8; k++) {
            __m512i w[2];
            for (int r = 0; r < R; r++)
                w[r] = _mm512_load_si512(t->w[b][r][k]);
            for (int c = 0; c < C; c++) {
                int32_t four;
                memcpy(&four, col[c].q + 32 * b + 4 * k, sizeof four);
                const __m512i q = _mm512_set1_epi32(four);
                for (int r = 0; r < R; r++)
                    isum[r][c] = dot4x16(isum[r][c], w[r], q);
            }
        }
        for (int c = 0; c < C; c++) {
            const __m512 d = _mm512_set1_ps(col[c].d[b]);
            for (int r = 0; r < R; r++)
                acc[r][c] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(isum[r][c]),
                                            _mm512_mul_ps(_mm512_load_ps(t->dw[b][r]), d),
                                            acc[r][c]);
            if (!has_min)
                continue;
            const __m512 s = _mm512_cvtepi32_ps(scaled_sum(col[c].sum + 2 * b, 1));
            for (int r = 0; r < R; r++)
                acc[r][c] = _mm512_fmadd_ps(s, _mm512_mul_ps(_mm512_load_ps(t->mw[b][r]), d),
                                            acc[r][c]);
        }
    }
    for (int c = 0; c < C; c++)
        for (int r = 0; r < R; r++)
            _mm512_mask_storeu_ps(g->y + (size_t)c * g->y_stride + 16 * r, g->keep[r], acc[r][c]);
}

ALWAYS void gemm_group(const gemm_part *g, int R, size_t n_cols, int bias, bool has_min)
{
    switch (n_cols) {
    case 1: gemm_block(g, R, 1, bias, has_min); break;
    case 2: gemm_block(g, R, 2, bias, has_min); break;
    case 3: gemm_block(g, R, 3, bias, has_min); break;
    case 4: gemm_block(g, R, 4, bias, has_min); break;
    case 5: gemm_block(g, R, 5, bias, has_min); break;
    default: gemm_block(g, R, 6, bias, has_min); break;
    }
}

/* Column groups of nearly equal width, so that no thin group is left at the end. */
ALWAYS size_t group_width(size_t left)
{
    const size_t groups = (left + TILE_COLS - 1) / TILE_COLS;

    return (left + groups - 1) / groups;
}

ALWAYS void gemm_columns(const jl_mm_args *a, gemm_part *g, float *y, size_t first_block, int bias,
                         bool has_min)
{
    size_t width;

    for (size_t c = 0; c < a->n_cols; c += width) {
        width = group_width(a->n_cols - c);
        for (size_t i = 0; i < width; i++) {
            mm_col *col = &g->col[i];
            *col = mm_column(a, c + i);
            col->q += 32 * first_block;
            col->d += first_block;
            col->sum += 2 * first_block;
        }
        g->y = y + c * a->y_stride;
        if (g->keep[1])
            gemm_group(g, 2, width, bias, has_min);
        else
            gemm_group(g, 1, width, bias, has_min);
    }
}

ALWAYS __mmask16 rows_mask(size_t n)
{
    return n >= 16 ? 0xffff : (__mmask16)((1u << n) - 1);
}

ALWAYS void mm_gemm(const jl_mm_args *a, mm_expand_fn *expand, int bias, bool has_min)
{
    mm_tile *tile = a->scratch;
    const size_t blocks = a->n_in / 32;

    for (size_t r = 0; r < a->n_rows; r += TILE_ROWS) {
        const size_t left = a->n_rows - r;
        gemm_part g = {.tile = tile, .y_stride = a->y_stride};
        g.keep[0] = rows_mask(left);
        g.keep[1] = left > 16 ? rows_mask(left - 16) : 0;

        for (size_t b = 0; b < blocks; b += TILE_BLOCKS) {
            g.n_blocks = blocks - b < TILE_BLOCKS ? blocks - b : TILE_BLOCKS;
            g.resume = b > 0;
            for (int h = 0; h < 2 && g.keep[h]; h++) {
                size_t row[16];
                for (size_t i = 0; i < 16; i++) {
                    const size_t at = r + 16 * (size_t)h + i;
                    row[i] = (at < a->n_rows ? at : a->n_rows - 1) * a->w_stride;
                }
                expand(a->w, row, b, g.n_blocks, tile, h);
            }
            gemm_columns(a, &g, a->y + r, b, bias, has_min);
        }
    }
}

/* Turns 16 rows of 32 bytes into 8 vectors of 16 rows x 4 k. */
ALWAYS void transpose16x32(const __m256i v[16], uint8_t out[8][64])
{
    __m512i z[8];
    __m512i s[8];

    /* rows i and i + 8 share a vector: [row i: 0-3, 4-7 | row i + 8: 0-3, 4-7], in dwords */
    for (int i = 0; i < 8; i++)
        z[i] = _mm512_inserti64x4(_mm512_castsi256_si512(v[i]), v[i + 8], 1);
    for (int i = 0; i < 4; i++) {
        s[2 * i] = _mm512_unpacklo_epi32(z[2 * i], z[2 * i + 1]);
        s[2 * i + 1] = _mm512_unpackhi_epi32(z[2 * i], z[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) { /* rows 4 i .. 4 i + 3 */
        z[4 * i] = _mm512_unpacklo_epi64(s[4 * i], s[4 * i + 2]);
        z[4 * i + 1] = _mm512_unpackhi_epi64(s[4 * i], s[4 * i + 2]);
        z[4 * i + 2] = _mm512_unpacklo_epi64(s[4 * i + 1], s[4 * i + 3]);
        z[4 * i + 3] = _mm512_unpackhi_epi64(s[4 * i + 1], s[4 * i + 3]);
    }
    /* z[4 i + k]: 128-bit lanes = rows 4 i ..+3 at k, k + 4; rows 8 + 4 i ..+3 at k, k + 4 */
    const __m512i pick0 = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    const __m512i pick4 = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    for (int k = 0; k < 4; k++) {
        _mm512_store_si512(out[k], _mm512_permutex2var_epi64(z[k], pick0, z[4 + k]));
        _mm512_store_si512(out[k + 4], _mm512_permutex2var_epi64(z[k], pick4, z[4 + k]));
    }
}

#endif
