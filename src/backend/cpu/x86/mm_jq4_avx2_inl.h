/* JQ4 on AVX2 (docs/jq4.md): 8 rows of a group to a vector, so a vector of tiles holds 8 rows x 8
 * columns as nibbles and each 128-bit lane looks them up in its own table. Sums of a segment stay
 * in integers.
 *
 * Several columns: 16 rows are expanded, [columns / 4][2][8 rows][4], and multiplied with a few
 * columns at a time; the chains live in y between segments.
 *
 * vpmaddubsw wants one operand unsigned: without AVX-VNNI that is |w|, times q with the sign of w;
 * pairs fit 16 bits as both are at most 127. With it, weights get the bias 128, and -128 * sum(q)
 * is added back. */
#ifndef JL_BACKEND_CPU_X86_MM_JQ4_AVX2_INL_H
#define JL_BACKEND_CPU_X86_MM_JQ4_AVX2_INL_H

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#include "backend/cpu/mm_jq4_inl.h"

enum {
    TILE_COLS = 4,
    AHEAD = 1024, /* bytes fetched ahead in one column */
#ifdef __AVXVNNI__
    BIAS = 128
#else
    BIAS = 0
#endif
};

typedef struct {
    _Alignas(32) uint8_t values[JL_JQ4_TABLES][16]; /* with the bias */
    _Alignas(32) uint8_t w[SEGMENT / 4][2][32]; /* 16 KiB */
} jq4_scratch;

ALWAYS void bias_tables(jq4_scratch *s)
{
    for (int i = 0; i < JL_JQ4_TABLES; i += 2) {
        const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)jl_jq4_values[i]);
        _mm256_store_si256((__m256i *)(void *)s->values[i],
                           _mm256_add_epi8(v, _mm256_set1_epi8((char)BIAS)));
    }
}

/* acc + w * q in groups of 4. */
ALWAYS __m256i dot4(__m256i acc, __m256i w, __m256i q)
{
#ifdef __AVXVNNI__
    return _mm256_dpbusd_avx_epi32(acc, w, q);
#else
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
#endif
}

ALWAYS __m256i four(const int8_t *q)
{
    int32_t v;

    memcpy(&v, q, sizeof v);
    return _mm256_set1_epi32(v);
}

/* Rows 8 h .. 8 h + 7 x 4 columns, twice: columns 8 g .. 8 g + 7. */
ALWAYS void expand8(const uint8_t *values, const jq4_group *w, size_t g, int h, __m256i out[2])
{
    const __m256i low = _mm256_set1_epi8(15);
    const uint8_t *code = w->codes + 3 * g;
    const unsigned packed = h ? (unsigned)(code[1] >> 4 | code[2] << 4)
                              : (unsigned)(code[0] | code[1] << 8);
    const __m128i *t0 = (const __m128i *)(const void *)(values + (packed << 4 & 0x3f0));
    const __m128i *t1 = (const __m128i *)(const void *)(values + (packed >> 2 & 0x3f0));
    const __m256i t = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_load_si128(t0)),
                                              _mm_load_si128(t1), 1);
    const __m256i v = _mm256_loadu_si256(
        (const __m256i *)(const void *)(w->tiles + 64 * g + 32 * (size_t)h));

    out[0] = _mm256_shuffle_epi8(t, _mm256_and_si256(v, low));
    out[1] = _mm256_shuffle_epi8(t, _mm256_and_si256(_mm256_srli_epi16(v, 4), low));
}

ALWAYS __m256 row_scales(const jq4_group *w, int h)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(w->scales + 16 * h)));
}

ALWAYS __m256i unbias(int sum)
{
    return _mm256_set1_epi32(-BIAS * sum);
}

/* ---- one column */

ALWAYS void segment_sums(const uint8_t *values, const jq4_group *w, const jq4_col *col, size_t s,
                         size_t n_in, __m256i sums[2])
{
    const size_t first = s * (SEGMENT / 8);
    const size_t last = n_in / 8 - first < SEGMENT / 8 ? n_in / 8 : first + SEGMENT / 8;
    const __m256i init = unbias(segment_sum(col, 8 * first, 8 * last));
    __m256i acc[4] = {init, init, _mm256_setzero_si256(), _mm256_setzero_si256()};

    for (size_t g = first; g < last; g++) {
        const __m256i q0 = four(col->q + 8 * g);
        const __m256i q1 = four(col->q + 8 * g + 4);
        _mm_prefetch((const char *)w->tiles + 64 * g + AHEAD, _MM_HINT_T0);
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            __m256i v[2];
            expand8(values, w, g, h, v);
            acc[h] = dot4(acc[h], v[0], q0);
            acc[2 + h] = dot4(acc[2 + h], v[1], q1);
        }
    }
    sums[0] = _mm256_add_epi32(acc[0], acc[2]);
    sums[1] = _mm256_add_epi32(acc[1], acc[3]);
}

ALWAYS void gemv(const jl_mm_args *a, const uint8_t *values, const jq4_col *col, float *y)
{
    const size_t n_segments = (a->n_in + SEGMENT - 1) / SEGMENT;

    for (size_t r = 0; r < a->n_rows; r += JL_JQ4_ROWS) {
        const jq4_group w = group_at(a, r);
        __m256 acc[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
        for (size_t s = 0; s < n_segments; s++) {
            const __m256 d = _mm256_set1_ps(col->d[s]);
            __m256i sums[2];
            segment_sums(values, &w, col, s, a->n_in, sums);
            acc[0] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[0]), d, acc[0]);
            acc[1] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[1]), d, acc[1]);
        }
        for (int h = 0; h < 2; h++)
            _mm256_storeu_ps(y + r + 8 * h, _mm256_mul_ps(row_scales(&w, h), acc[h]));
    }
}

/* ---- several columns */

typedef struct {
    const jq4_scratch *s;
    jq4_col col[TILE_COLS];
    size_t k, len;       /* columns of the weights in the tile: one segment */
    float *y;            /* first row, first column */
    size_t y_stride;
    const __m256 *scale; /* of the two halves, on the last segment; else NULL */
} jq4_part;

/* 16 rows by columns C over the segment. */
ALWAYS void gemm_segment(const jq4_part *p, int C, __m256i sums[2][TILE_COLS])
{
    for (size_t i = 0; i < p->len; i += 4) {
        __m256i w[2];
#pragma GCC unroll 2
        for (int r = 0; r < 2; r++)
            w[r] = _mm256_load_si256((const __m256i *)(const void *)p->s->w[i / 4][r]);
#pragma GCC unroll 4
        for (int c = 0; c < C; c++) {
            const __m256i q = four(p->col[c].q + p->k + i);
#pragma GCC unroll 2
            for (int r = 0; r < 2; r++)
                sums[r][c] = dot4(sums[r][c], w[r], q);
        }
    }
}

/* The chains live in y between segments: registers are for the sums. */
ALWAYS void gemm_block(const jq4_part *p, int C)
{
    __m256i sums[2][TILE_COLS];

#pragma GCC unroll 4
    for (int c = 0; c < C; c++)
        sums[0][c] = sums[1][c] = unbias(segment_sum(&p->col[c], p->k, p->k + p->len));
    gemm_segment(p, C, sums);
#pragma GCC unroll 4
    for (int c = 0; c < C; c++) {
        const __m256 d = _mm256_set1_ps(p->col[c].d[p->k / SEGMENT]);
#pragma GCC unroll 2
        for (int r = 0; r < 2; r++) {
            float *y = p->y + (size_t)c * p->y_stride + 8 * r;
            const __m256 acc = p->k ? _mm256_loadu_ps(y) : _mm256_setzero_ps();
            const __m256 v = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[r][c]), d, acc);
            _mm256_storeu_ps(y, p->scale ? _mm256_mul_ps(p->scale[r], v) : v);
        }
    }
}

ALWAYS void gemm_columns(const jl_mm_args *a, jq4_part *p, size_t row)
{
    size_t width;

    for (size_t c = 0; c < a->n_cols; c += width) {
        width = jl_even_part(a->n_cols - c, TILE_COLS);
        for (size_t i = 0; i < width; i++)
            p->col[i] = column_at(a, c + i);
        p->y = a->y + c * a->y_stride + row;
        switch (width) {
        case 1: gemm_block(p, 1); break;
        case 2: gemm_block(p, 2); break;
        case 3: gemm_block(p, 3); break;
        default: gemm_block(p, 4); break;
        }
    }
}

ALWAYS void gemm(const jl_mm_args *a, jq4_scratch *s)
{
    jq4_part p = {.s = s, .y_stride = a->y_stride};

    for (size_t r = 0; r < a->n_rows; r += JL_JQ4_ROWS) {
        const jq4_group w = group_at(a, r);
        const __m256 scale[2] = {row_scales(&w, 0), row_scales(&w, 1)};
        for (p.k = 0; p.k < a->n_in; p.k += SEGMENT) {
            p.len = a->n_in - p.k < SEGMENT ? a->n_in - p.k : SEGMENT;
            p.scale = p.k + p.len == a->n_in ? scale : NULL;
            for (size_t i = 0; i < p.len; i += 8) {
                for (int h = 0; h < 2; h++) {
                    __m256i v[2];
                    expand8(s->values[0], &w, (p.k + i) / 8, h, v);
                    _mm256_store_si256((__m256i *)(void *)s->w[i / 4][h], v[0]);
                    _mm256_store_si256((__m256i *)(void *)s->w[i / 4 + 1][h], v[1]);
                }
            }
            gemm_columns(a, &p, r);
        }
    }
}

static void mm_jq4(const jl_mm_args *a)
{
    jq4_scratch *s = a->scratch;

    bias_tables(s);
    if (a->n_cols == 1) {
        const jq4_col col = column_at(a, 0);
        gemv(a, s->values[0], &col, a->y);
    } else {
        gemm(a, s);
    }
}

ALWAYS void mm_jq4_init(jl_cpu_kernels *k)
{
    k->mm[JL_TYPE_JQ4] = mm_jq4;
    k->mm_scratch = k->mm_scratch > sizeof(jq4_scratch) ? k->mm_scratch : sizeof(jq4_scratch);
}

#endif
