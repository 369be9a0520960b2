/* Products with F32, F16 and BF16 weights on AVX2: 16 lanes per output in two vectors, then the
 * fixed tree (docs/numerics.md, section 3). */
#include <immintrin.h>
#include <string.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/x86/mathf_avx2_inl.h"
#include "backend/cpu/x86/x86.h"

enum { F32_BYTES = 4, HALF_BYTES = 2, ROWS = 4, COLS = 3 };

/* Weights i .. i + 7 of a row as F32. */
typedef __m256 load8_fn(const uint8_t *w, size_t i);

ALWAYS __m256 load_f32(const uint8_t *w, size_t i)
{
    return _mm256_loadu_ps((const float *)(const void *)(w + F32_BYTES * i));
}

ALWAYS __m256 load_f16(const uint8_t *w, size_t i)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(w + HALF_BYTES * i)));
}

ALWAYS __m256 load_bf16(const uint8_t *w, size_t i)
{
    const __m128i h = _mm_loadu_si128((const __m128i *)(const void *)(w + HALF_BYTES * i));

    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

/* The last n < 16 products of one output; lanes without one keep their value. */
ALWAYS void tail_fma(const uint8_t *w, const float *x, size_t n, size_t bytes, load8_fn *load,
                     __m256 acc[2])
{
    uint8_t rest[16 * F32_BYTES] = {0};

    memcpy(rest, w, n * bytes);
    for (size_t h = 0; h < 2 && 8 * h < n; h++) {
        const lanes8 k = lanes_first(n - 8 * h);
        const __m256 sum = _mm256_fmadd_ps(load(rest, 8 * h), load_ps(x + 8 * h, k), acc[h]);
        acc[h] = _mm256_blendv_ps(acc[h], sum, _mm256_castsi256_ps(k.mask));
    }
}

/* R rows by C columns of activations; rows past the last repeat it. */
ALWAYS void float_block(const jl_mm_args *a, size_t r0, size_t c0, int R, int C, size_t bytes,
                        load8_fn *load)
{
    const float *x[COLS];
    const uint8_t *w[ROWS];
    __m256 acc[ROWS][COLS][2];

    for (int c = 0; c < C; c++)
        x[c] = a->x + (a->cols ? a->cols[c0 + (size_t)c] : c0 + (size_t)c) * a->n_in;
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
        const size_t row = r0 + (size_t)r;
        w[r] = a->w + (row < a->n_rows ? row : a->n_rows - 1) * a->w_stride;
#pragma GCC unroll 3
        for (int c = 0; c < C; c++)
            acc[r][c][0] = acc[r][c][1] = _mm256_setzero_ps();
    }

    size_t i = 0;
    for (; i + 16 <= a->n_in; i += 16) {
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            __m256 wv[ROWS];
#pragma GCC unroll 4
            for (int r = 0; r < R; r++)
                wv[r] = load(w[r], i + 8 * (size_t)h);
#pragma GCC unroll 3
            for (int c = 0; c < C; c++) {
                const __m256 xv = _mm256_loadu_ps(x[c] + i + 8 * h);
#pragma GCC unroll 4
                for (int r = 0; r < R; r++)
                    acc[r][c][h] = _mm256_fmadd_ps(wv[r], xv, acc[r][c][h]);
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 3
        for (int c = 0; c < C; c++) {
            if (i < a->n_in)
                tail_fma(w[r] + i * bytes, x[c] + i, a->n_in - i, bytes, load, acc[r][c]);
            if (r0 + (size_t)r < a->n_rows)
                a->y[(c0 + (size_t)c) * a->y_stride + r0 + (size_t)r] =
                    tree_sum(acc[r][c][0], acc[r][c][1]);
        }
    }
}

/* One column: 4 rows hide the latency of fma. Several: 2 rows by 3 columns, rows outermost, so that
 * weights are read once. */
ALWAYS void mm_float(const jl_mm_args *a, size_t bytes, load8_fn *load)
{
    if (a->n_cols == 1) {
        for (size_t r = 0; r < a->n_rows; r += 4)
            float_block(a, r, 0, 4, 1, bytes, load);
        return;
    }
    for (size_t r = 0; r < a->n_rows; r += 2) {
        size_t c = 0;
        for (; c + 3 <= a->n_cols; c += 3)
            float_block(a, r, c, 2, 3, bytes, load);
        if (a->n_cols - c == 2)
            float_block(a, r, c, 2, 2, bytes, load);
        else if (a->n_cols - c == 1)
            float_block(a, r, c, 2, 1, bytes, load);
    }
}

static void mm_f32(const jl_mm_args *a)
{
    mm_float(a, F32_BYTES, load_f32);
}

static void mm_f16(const jl_mm_args *a)
{
    mm_float(a, HALF_BYTES, load_f16);
}

static void mm_bf16(const jl_mm_args *a)
{
    mm_float(a, HALF_BYTES, load_bf16);
}

void jl_x86_mm_float_avx2(jl_cpu_kernels *k)
{
    k->mm[JL_TYPE_F32] = mm_f32;
    k->mm[JL_TYPE_F16] = mm_f16;
    k->mm[JL_TYPE_BF16] = mm_bf16;
}
