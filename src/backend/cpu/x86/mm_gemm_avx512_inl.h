/* The product of expanded weights with several columns, 6 at a time: a broadcast of 4 activations
 * meets 16 rows x 4 k in one vpdpbusd. Chains that are longer than the tile continue from y.
 * Compiled once per instruction set for all formats. */
#ifndef JL_BACKEND_CPU_X86_MM_GEMM_AVX512_INL_H
#define JL_BACKEND_CPU_X86_MM_GEMM_AVX512_INL_H

#include "backend/cpu/x86/mm_expand_avx512_inl.h"

enum { TILE_COLS = 6 };

/* What the inner loops are compiled for. */
typedef struct {
    bool has_min, halves;
} mm_kind;

typedef struct {
    const mm_tile *tile;
    int bias;
    size_t n_blocks;
    mm_col col[TILE_COLS];
    float *y[2];     /* first row of each half, first column */
    size_t y_stride;
    __mmask16 keep;  /* lanes to store */
    bool resume;     /* chains continue from y */
} gemm_part;

/* Sums of weights k0 .. k1 - 1 (in groups of 4) of block b: rows 16 R by columns C. */
ALWAYS void gemm_sums(const gemm_part *g, size_t b, int R, int C, int k0, int k1,
                      __m512i isum[2][TILE_COLS])
{
#pragma GCC unroll 8
    for (int k = k0; k < k1; k++) {
        __m512i w[2];
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            w[r] = _mm512_load_si512(g->tile->w[b][r][k]);
#pragma GCC unroll 6
        for (int c = 0; c < C; c++) {
            const __m512i q = _mm512_set1_epi32(load_i32(g->col[c].q + 32 * b + 4 * k));
#pragma GCC unroll 2
            for (int r = 0; r < R; r++)
                isum[r][c] = dot4(isum[r][c], w[r], q);
        }
    }
}

/* One block of plain formats. */
ALWAYS void gemm_step(const mm_kind *f, const gemm_part *g, size_t b, int R, int C,
                      __m512 acc[2][TILE_COLS])
{
    __m512i isum[2][TILE_COLS];

#pragma GCC unroll 6
    for (int c = 0; c < C; c++) {
        const __m512i init = unbias(g->col[c].sum + 2 * b, g->bias);
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            isum[r][c] = init;
    }
    gemm_sums(g, b, R, C, 0, 8, isum);
#pragma GCC unroll 6
    for (int c = 0; c < C; c++) {
        const __m512 da = _mm512_set1_ps(g->col[c].d[b]);
#pragma GCC unroll 2
        for (int r = 0; r < R; r++) {
            const __m512 dw = _mm512_mul_ps(_mm512_load_ps(g->tile->dw[b][r]), da);
            acc[r][c] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(isum[r][c]), dw, acc[r][c]);
            if (f->has_min) {
                const mm_scale s = {.mw = _mm512_load_ps(g->tile->mw[b][r])};
                acc[r][c] = add_min(f->halves, &s, g->col[c].sum + 2 * b, da, acc[r][c]);
            }
        }
    }
}

/* One block of formats with a scale per half. */
ALWAYS void gemm_step_halves(const mm_kind *f, const gemm_part *g, size_t b, int R, int C,
                             __m512 acc[2][TILE_COLS])
{
    __m512 total[2][TILE_COLS];

#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        __m512i isum[2][TILE_COLS];
#pragma GCC unroll 6
        for (int c = 0; c < C; c++) {
            const __m512i init = unbias_half(g->col[c].sum + 2 * b, h, g->bias);
#pragma GCC unroll 2
            for (int r = 0; r < R; r++)
                isum[r][c] = init;
        }
        gemm_sums(g, b, R, C, 4 * h, 4 * h + 4, isum);
#pragma GCC unroll 6
        for (int c = 0; c < C; c++) {
#pragma GCC unroll 2
            for (int r = 0; r < R; r++) {
                const __m512 s = _mm512_cvtepi32_ps(isum[r][c]);
                const __m512 sc = _mm512_load_ps(g->tile->sc[b][r][h]);
                total[r][c] = h ? _mm512_fmadd_ps(s, sc, total[r][c]) : _mm512_mul_ps(s, sc);
            }
        }
    }
#pragma GCC unroll 6
    for (int c = 0; c < C; c++) {
        const __m512 da = _mm512_set1_ps(g->col[c].d[b]);
#pragma GCC unroll 2
        for (int r = 0; r < R; r++) {
            const __m512 dw = _mm512_mul_ps(_mm512_load_ps(g->tile->dw[b][r]), da);
            acc[r][c] = _mm512_fmadd_ps(total[r][c], dw, acc[r][c]);
            if (f->has_min) {
                const mm_scale s = {.mw = _mm512_load_ps(g->tile->mw[b][r]),
                                    .mn = {_mm512_load_ps(g->tile->mn[b][r][0]),
                                           _mm512_load_ps(g->tile->mn[b][r][1])}};
                acc[r][c] = add_min(f->halves, &s, g->col[c].sum + 2 * b, da, acc[r][c]);
            }
        }
    }
}

ALWAYS void gemm_block(const mm_kind *f, const gemm_part *g, int R, int C)
{
    __m512 acc[2][TILE_COLS];

#pragma GCC unroll 6
    for (int c = 0; c < C; c++) {
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            acc[r][c] = g->resume
                            ? _mm512_maskz_loadu_ps(g->keep, g->y[r] + (size_t)c * g->y_stride)
                            : _mm512_setzero_ps();
    }
    for (size_t b = 0; b < g->n_blocks; b++) {
        if (f->halves)
            gemm_step_halves(f, g, b, R, C, acc);
        else
            gemm_step(f, g, b, R, C, acc);
    }
#pragma GCC unroll 6
    for (int c = 0; c < C; c++) {
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            _mm512_mask_storeu_ps(g->y[r] + (size_t)c * g->y_stride, g->keep, acc[r][c]);
    }
}

ALWAYS void gemm_group(const mm_kind *f, const gemm_part *g, int R, size_t n_cols)
{
    switch (n_cols) {
    case 1: gemm_block(f, g, R, 1); break;
    case 2: gemm_block(f, g, R, 2); break;
    case 3: gemm_block(f, g, R, 3); break;
    case 4: gemm_block(f, g, R, 4); break;
    case 5: gemm_block(f, g, R, 5); break;
    default: gemm_block(f, g, R, 6); break;
    }
}

/* Columns in groups of nearly equal width, so that no thin group is left at the end. Halved formats
 * need more registers per column. */
ALWAYS size_t group_width(const mm_kind *f, size_t left)
{
    return jl_even_part(left, f->halves ? 4 : TILE_COLS);
}

/* All columns against the tile; y points to the two halves' rows of column 0. */
ALWAYS void gemm_columns(const mm_kind *f, const jl_mm_args *a, gemm_part *g, float *const y[2],
                         size_t first_block, int R)
{
    size_t width;

    for (size_t c = 0; c < a->n_cols; c += width) {
        width = group_width(f, a->n_cols - c);
        for (size_t i = 0; i < width; i++) {
            mm_col *col = &g->col[i];
            *col = mm_column(a, c + i);
            col->q += 32 * first_block;
            col->d += first_block;
            col->sum += 2 * first_block;
        }
        g->y[0] = y[0] + c * a->y_stride;
        g->y[1] = y[1] + c * a->y_stride;
        if (R == 2)
            gemm_group(f, g, 2, width);
        else
            gemm_group(f, g, 1, width);
    }
}

ALWAYS void mm_gemm(const mm_kind *f, int bias, mm_expand_fn *expand, const jl_mm_args *a)
{
    const size_t blocks = a->n_in / 32;
    const bool few = a->n_rows < 16; /* one row at a time, as in mm_gemv */
    mm_tile *tile = a->scratch;
    gemm_part g = {
        .tile = tile, .bias = bias, .y_stride = a->y_stride, .keep = few ? 1 : 0xffff};

    tile->minus = 0;
    for (size_t r = 0; r < a->n_rows; r += few ? 1 : 32) {
        const int halves = !few && a->n_rows - r > 16 ? 2 : 1;
        float *y[2] = {a->y + r, a->y + r};
        row_set rows[2];
        for (int h = 0; h < halves; h++) {
            const size_t want = r + 16 * (size_t)h;
            const size_t at = few || a->n_rows - want >= 16 ? want : a->n_rows - 16;
            rows[h] = rows_at(a->w + at * a->w_stride, few ? 0 : a->w_stride);
            y[h] = a->y + at;
        }
        for (size_t b = 0; b < blocks; b += TILE_BLOCKS) {
            g.n_blocks = blocks - b < TILE_BLOCKS ? blocks - b : TILE_BLOCKS;
            g.resume = b > 0;
            for (int h = 0; h < halves; h++)
                expand(&rows[h], b, g.n_blocks, tile, h);
            gemm_columns(f, a, &g, y, b, halves);
        }
    }
}

/* The four kinds. */
ALWAYS void mm_gemm_any(const mm_format *f, mm_expand_fn *expand, const jl_mm_args *a)
{
    static const mm_kind plain = {false, false};
    static const mm_kind with_min = {true, false};
    static const mm_kind halves = {false, true};
    static const mm_kind halves_min = {true, true};

    if (f->halves && f->has_min)
        mm_gemm(&halves_min, f->bias, expand, a);
    else if (f->halves)
        mm_gemm(&halves, f->bias, expand, a);
    else if (f->has_min)
        mm_gemm(&with_min, f->bias, expand, a);
    else
        mm_gemm(&plain, f->bias, expand, a);
}

#endif
