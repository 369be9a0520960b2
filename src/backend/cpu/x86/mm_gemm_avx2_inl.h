/* The product of expanded weights with several columns (see mm_avx2_inl.h), compiled once per
 * instruction set for all formats. */
#ifndef JL_BACKEND_CPU_X86_MM_GEMM_AVX2_INL_H
#define JL_BACKEND_CPU_X86_MM_GEMM_AVX2_INL_H

#include "backend/cpu/x86/mm_avx2_inl.h"

enum { TILE_COLS = 4 };

/* Makes the compiler compute v here: it would reorder integer sums and run out of registers. */
ALWAYS __m256i now(__m256i v)
{
    __asm__ volatile("" : "+x"(v));
    return v;
}

/* What the inner loops are compiled for. */
typedef struct {
    mm_span span;
    bool has_min, halves;
} mm_kind;

typedef struct {
    const mm_tile *tile;
    int bias;
    size_t n_blocks;
    mm_col col[TILE_COLS];
    float *y[2];     /* first row of each half, first column */
    size_t y_stride;
    bool one;        /* only the first row counts */
    bool resume;     /* chains continue from y */
} gemm_part;

ALWAYS __m256i tile_at(const uint8_t *p)
{
    return _mm256_load_si256((const __m256i *)(const void *)p);
}

ALWAYS __m256i four_of(const gemm_part *g, int c, size_t b, int k)
{
    return _mm256_set1_epi32(load_i32(g->col[c].q + 32 * b + 4 * k));
}

/* Start of the integer sums of column c. */
ALWAYS __m256i sum_start(const mm_kind *f, const gemm_part *g, int c, size_t b, int half)
{
    const int16_t *sum = g->col[c].sum + 2 * b;

    return f->halves ? unbias_half(sum, half, g->bias) : unbias(sum, g->bias);
}

/* The products of weights k .. k + n - 1 (in groups of 4) of block b added in 16 bits, then to
 * isum. n is what the span allows, 4 or 8. */
ALWAYS void sums_span(const mm_kind *f, const gemm_part *g, size_t b, int C, int k, int n,
                      bool first, __m256i isum[2][TILE_COLS])
{
    __m256i sum16[2][TILE_COLS];

#pragma GCC unroll 8
    for (int j = 0; j < n; j++) {
        const __m256i w0 = tile_at(g->tile->w[b][0][k + j]);
        const __m256i w1 = tile_at(g->tile->w[b][1][k + j]);
#pragma GCC unroll 6
        for (int c = 0; c < C; c++) {
            const __m256i q = four_of(g, c, b, k + j);
            const __m256i p0 = _mm256_maddubs_epi16(w0, q);
            const __m256i p1 = _mm256_maddubs_epi16(w1, q);
            sum16[0][c] = now(j ? _mm256_add_epi16(sum16[0][c], p0) : p0);
            sum16[1][c] = now(j ? _mm256_add_epi16(sum16[1][c], p1) : p1);
        }
    }
#pragma GCC unroll 6
    for (int c = 0; c < C; c++) {
        const __m256i start = first ? sum_start(f, g, c, b, k / 4) : _mm256_setzero_si256();
#pragma GCC unroll 2
        for (int r = 0; r < 2; r++)
            isum[r][c] =
                _mm256_add_epi32(first ? start : isum[r][c], widen_sums(sum16[r][c]));
    }
}

/* The same for one group of 4 weights (two: k and k + 1, which 16 bits can add). */
ALWAYS void sums_few(const mm_kind *f, const gemm_part *g, size_t b, int C, int k,
                     __m256i isum[2][TILE_COLS])
{
    const bool two = f->span == SPAN_6;
    __m256i w[2][2];
    __m256i m[2];

#pragma GCC unroll 2
    for (int r = 0; r < 2; r++) {
        w[0][r] = tile_at(g->tile->w[b][r][k]);
        w[1][r] = two ? tile_at(g->tile->w[b][r][k + 1]) : w[0][r];
        m[r] = f->span == SPAN_SIGNED ? tile_at(g->tile->magnitude[b][r][k]) : w[0][r];
    }
#pragma GCC unroll 6
    for (int c = 0; c < C; c++) {
        const __m256i q0 = four_of(g, c, b, k);
        const __m256i q1 = two ? four_of(g, c, b, k + 1) : q0;
#pragma GCC unroll 2
        for (int r = 0; r < 2; r++) {
            if (f->span == SPAN_SIGNED)
                isum[r][c] = _mm256_add_epi32(isum[r][c], dot_signed(w[0][r], m[r], q0));
            else if (two)
                isum[r][c] = _mm256_add_epi32(
                    isum[r][c], widen_sums(_mm256_add_epi16(_mm256_maddubs_epi16(w[0][r], q0),
                                                            _mm256_maddubs_epi16(w[1][r], q1))));
            else
                isum[r][c] = dot4(isum[r][c], w[0][r], q0);
            isum[r][c] = now(isum[r][c]);
        }
    }
}

/* Sums of weights k0 .. k1 - 1 (in groups of 4) of block b: 16 rows by C columns. */
ALWAYS void gemm_sums(const mm_kind *f, const gemm_part *g, size_t b, int C, int k0, int k1,
                      __m256i isum[2][TILE_COLS])
{
    const int n = (int)f->span < k1 - k0 ? (int)f->span : k1 - k0;

    if (n >= 4) {
#pragma GCC unroll 2
        for (int k = k0; k < k1; k += n)
            sums_span(f, g, b, C, k, n, k == k0, isum);
        return;
    }
#pragma GCC unroll 6
    for (int c = 0; c < C; c++)
        isum[0][c] = isum[1][c] = sum_start(f, g, c, b, k0 / 4);
#pragma GCC unroll 8
    for (int k = k0; k < k1; k += f->span == SPAN_6 ? 2 : 1) {
        sums_few(f, g, b, C, k, isum);
    }
}

/* Extends the chains of column c by block b; total = (float)isum. */
ALWAYS void extend(const mm_kind *f, const gemm_part *g, size_t b, int c,
                   __m256 total[2][TILE_COLS], __m256 acc[2][TILE_COLS])
{
    const __m256 da = _mm256_set1_ps(g->col[c].d[b]);

#pragma GCC unroll 2
    for (int r = 0; r < 2; r++) {
        const __m256 dw = _mm256_mul_ps(_mm256_load_ps(g->tile->dw[b][r]), da);
        acc[r][c] = _mm256_fmadd_ps(total[r][c], dw, acc[r][c]);
        if (!f->has_min)
            continue;
        mm_scale s = {.mw = _mm256_load_ps(g->tile->mw[b][r])};
        if (f->halves) {
            s.mn[0] = _mm256_load_ps(g->tile->mn[b][r][0]);
            s.mn[1] = _mm256_load_ps(g->tile->mn[b][r][1]);
        }
        acc[r][c] = add_min(f->halves, &s, g->col[c].sum + 2 * b, da, acc[r][c]);
    }
}

/* total = (float)isum of half h, scaled and added. */
ALWAYS void total_half(const gemm_part *g, size_t b, int C, int h,
                       __m256i isum[2][TILE_COLS], __m256 total[2][TILE_COLS])
{
#pragma GCC unroll 2
    for (int r = 0; r < 2; r++) {
        const __m256 sc = _mm256_load_ps(g->tile->sc[b][r][h]);
#pragma GCC unroll 6
        for (int c = 0; c < C; c++) {
            const __m256 s = _mm256_cvtepi32_ps(isum[r][c]);
            total[r][c] = h ? _mm256_fmadd_ps(s, sc, total[r][c]) : _mm256_mul_ps(s, sc);
        }
    }
}

ALWAYS void gemm_step(const mm_kind *f, const gemm_part *g, size_t b, int C,
                      __m256 acc[2][TILE_COLS])
{
    __m256 total[2][TILE_COLS];
    __m256i isum[2][TILE_COLS];

    if (f->halves) {
        gemm_sums(f, g, b, C, 0, 4, isum);
        total_half(g, b, C, 0, isum, total);
        gemm_sums(f, g, b, C, 4, 8, isum);
        total_half(g, b, C, 1, isum, total);
    } else {
        gemm_sums(f, g, b, C, 0, 8, isum);
#pragma GCC unroll 6
        for (int c = 0; c < C; c++) {
            total[0][c] = _mm256_cvtepi32_ps(isum[0][c]);
            total[1][c] = _mm256_cvtepi32_ps(isum[1][c]);
        }
    }
#pragma GCC unroll 6
    for (int c = 0; c < C; c++)
        extend(f, g, b, c, total, acc);
}

ALWAYS void gemm_block(const mm_kind *f, const gemm_part *g, int C)
{
    __m256 acc[2][TILE_COLS];

#pragma GCC unroll 6
    for (int c = 0; c < C; c++) {
#pragma GCC unroll 2
        for (int r = 0; r < 2; r++) {
            const float *y = g->y[r] + (size_t)c * g->y_stride;
            acc[r][c] = !g->resume ? _mm256_setzero_ps()
                        : g->one   ? _mm256_set1_ps(*y)
                                   : _mm256_loadu_ps(y);
        }
    }
    for (size_t b = 0; b < g->n_blocks; b++)
        gemm_step(f, g, b, C, acc);
#pragma GCC unroll 6
    for (int c = 0; c < C; c++) {
#pragma GCC unroll 2
        for (int r = 0; r < 2; r++) {
            float *y = g->y[r] + (size_t)c * g->y_stride;
            if (g->one)
                *y = _mm256_cvtss_f32(acc[r][c]);
            else
                _mm256_storeu_ps(y, acc[r][c]);
        }
    }
}

ALWAYS void gemm_group(const mm_kind *f, const gemm_part *g, size_t n_cols)
{
    switch (n_cols) {
    case 1: gemm_block(f, g, 1); break;
    case 2: gemm_block(f, g, 2); break;
    case 3: gemm_block(f, g, 3); break;
    default: gemm_block(f, g, 4); break;
    }
}

/* All columns against the tile, in groups of nearly equal width, so that no thin group is left at
 * the end; y points to the two halves' rows of column 0. */
ALWAYS void gemm_columns(const mm_kind *f, const jl_mm_args *a, gemm_part *g, float *const y[2],
                         size_t first_block)
{
    size_t width;

    for (size_t c = 0; c < a->n_cols; c += width) {
        width = jl_even_part(a->n_cols - c, TILE_COLS);
        for (size_t i = 0; i < width; i++) {
            mm_col *col = &g->col[i];
            *col = mm_column(a, c + i);
            col->q += 32 * first_block;
            col->d += first_block;
            col->sum += 2 * first_block;
        }
        g->y[0] = y[0] + c * a->y_stride;
        g->y[1] = y[1] + c * a->y_stride;
        gemm_group(f, g, width);
    }
}

/* Fewer than 8 rows are taken one by one, as in mm_gemv. Both halves of a tile are always computed:
 * the rest of the rows reaches back to be full, or is the first half again. */
ALWAYS void mm_gemm(const mm_kind *f, int bias, mm_expand_fn *expand, const jl_mm_args *a)
{
    const size_t blocks = a->n_in / 32;
    const size_t most = f->span == SPAN_SIGNED ? TILE_BLOCKS / 2 : TILE_BLOCKS;
    const bool one = a->n_rows < 8;
    gemm_part g = {.tile = a->scratch, .bias = bias, .y_stride = a->y_stride, .one = one};

    for (size_t r = 0; r < a->n_rows; r += one ? 1 : 16) {
        float *y[2];
        row_set rows[2];
        for (size_t h = 0; h < 2; h++) {
            const size_t want = a->n_rows - r > 8 ? r + 8 * h : r;
            const size_t at = one || a->n_rows - want >= 8 ? want : a->n_rows - 8;
            rows[h] = rows_at(a->w + at * a->w_stride, one ? 0 : a->w_stride);
            y[h] = a->y + at;
        }
        for (size_t b = 0; b < blocks; b += most) {
            g.n_blocks = blocks - b < most ? blocks - b : most;
            g.resume = b > 0;
            for (int h = 0; h < 2; h++)
                expand(&rows[h], b, g.n_blocks, a->scratch, h);
            gemm_columns(f, a, &g, y, b);
        }
    }
}

#define KIND(s, m, h)                                                                            \
    do {                                                                                         \
        static const mm_kind kind = {s, m, h};                                                   \
        if (f->span == (s) && f->has_min == (m) && f->halves == (h)) {                           \
            mm_gemm(&kind, f->bias, expand, a);                                                  \
            return;                                                                              \
        }                                                                                        \
    } while (0)

/* The kinds there are; one per shape of the scales where products need no span. */
ALWAYS void mm_gemm_any(const mm_format *f, mm_expand_fn *expand, const jl_mm_args *a)
{
#ifdef __AVXVNNI__
    const mm_format any = {
        .span = SPAN_7, .bias = f->bias, .has_min = f->has_min, .halves = f->halves};
    f = &any;
    KIND(SPAN_7, true, false);
    KIND(SPAN_7, true, true);
#else
    KIND(SPAN_SIGNED, false, false);
    KIND(SPAN_6, false, true);
    KIND(SPAN_5, false, false);
    KIND(SPAN_5, true, false);
    KIND(SPAN_5, false, true);
    KIND(SPAN_4, false, false);
    KIND(SPAN_4, true, false);
    KIND(SPAN_4, false, true);
    KIND(SPAN_4, true, true);
#endif
    KIND(SPAN_7, false, false);
    KIND(SPAN_7, false, true);
}

#endif
