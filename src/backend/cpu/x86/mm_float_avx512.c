/* Products with F32, F16 and BF16 weights: 16 lanes per output, then the fixed tree
 * (docs/numerics.md, section 3). */
#include <immintrin.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/x86/x86.h"

#define ALWAYS static inline __attribute__((always_inline))

enum { F32_BYTES = 4, HALF_BYTES = 2 };

typedef __m512 load16_fn(const uint8_t *w, size_t i, __mmask16 k);

ALWAYS __m512 load_f32(const uint8_t *w, size_t i, __mmask16 k)
{
    return _mm512_maskz_loadu_ps(k, w + F32_BYTES * i);
}

ALWAYS __m512 load_f16(const uint8_t *w, size_t i, __mmask16 k)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(k, w + HALF_BYTES * i));
}

ALWAYS __m512 load_bf16(const uint8_t *w, size_t i, __mmask16 k)
{
    const __m256i h = _mm256_maskz_loadu_epi16(k, w + HALF_BYTES * i);

    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

/* lane l + lane l + 8 */
ALWAYS __m256 fold8(__m512 v)
{
    return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
}

/* The sums of four vectors of 16 lanes, each by the tree + 8, + 4, + 2, + 1. */
ALWAYS __m128 tree4(__m512 a, __m512 b, __m512 c, __m512 d)
{
    const __m256 a8 = fold8(a);
    const __m256 b8 = fold8(b);
    const __m256 c8 = fold8(c);
    const __m256 d8 = fold8(d);
    const __m256 ab = _mm256_add_ps(_mm256_permute2f128_ps(a8, b8, 0x20),
                                    _mm256_permute2f128_ps(a8, b8, 0x31));
    const __m256 cd = _mm256_add_ps(_mm256_permute2f128_ps(c8, d8, 0x20),
                                    _mm256_permute2f128_ps(c8, d8, 0x31));
    /* lanes a0 a1 c0 c1 | b0 b1 d0 d1, then a c a c | b d b d */
    const __m256 two = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, _MM_SHUFFLE(1, 0, 1, 0)),
                                     _mm256_shuffle_ps(ab, cd, _MM_SHUFFLE(3, 2, 3, 2)));
    const __m256 one = _mm256_add_ps(_mm256_shuffle_ps(two, two, _MM_SHUFFLE(2, 0, 2, 0)),
                                     _mm256_shuffle_ps(two, two, _MM_SHUFFLE(3, 1, 3, 1)));
    return _mm_unpacklo_ps(_mm256_castps256_ps128(one), _mm256_extractf128_ps(one, 1));
}

/* R rows by C columns of activations; acc[r][c] is the 16 lanes of one output. */
ALWAYS void float_block(const jl_mm_args *a, size_t r0, size_t c0, int R, int C, load16_fn *load)
{
    const float *x[4];
    const uint8_t *w[8];
    __m512 acc[8][4];

    for (int c = 0; c < C; c++)
        x[c] = a->x + (a->cols ? a->cols[c0 + (size_t)c] : c0 + (size_t)c) * a->n_in;
    for (int r = 0; r < R; r++) {
        const size_t row = r0 + (size_t)r;
        w[r] = a->w + (row < a->n_rows ? row : a->n_rows - 1) * a->w_stride;
        for (int c = 0; c < C; c++)
            acc[r][c] = _mm512_setzero_ps();
    }

    size_t i = 0;
    for (; i + 16 <= a->n_in; i += 16) {
        __m512 xv[4];
        for (int c = 0; c < C; c++)
            xv[c] = _mm512_loadu_ps(x[c] + i);
        for (int r = 0; r < R; r++) {
            const __m512 wv = load(w[r], i, 0xffff);
            for (int c = 0; c < C; c++)
                acc[r][c] = _mm512_fmadd_ps(wv, xv[c], acc[r][c]);
        }
    }
    if (i < a->n_in) {
        const __mmask16 k = (__mmask16)((1u << (a->n_in - i)) - 1);
        for (int r = 0; r < R; r++) {
            const __m512 wv = load(w[r], i, k);
            for (int c = 0; c < C; c++)
                acc[r][c] = _mm512_mask3_fmadd_ps(wv, _mm512_maskz_loadu_ps(k, x[c] + i),
                                                  acc[r][c], k);
        }
    }

    for (int c = 0; c < C; c++)
        for (int r = 0; r < R; r += 4) {
            const __m128 y = tree4(acc[r][c], acc[r + 1][c], acc[r + 2][c], acc[r + 3][c]);
            const size_t row = r0 + (size_t)r;
            const size_t left = a->n_rows > row ? a->n_rows - row : 0;
            const __mmask8 keep = left >= 4 ? 15 : (__mmask8)((1u << left) - 1);
            _mm_mask_storeu_ps(a->y + (c0 + (size_t)c) * a->y_stride + row, keep, y);
        }
}

/* One column: 8 rows hide the latency of fma. Several: 4 rows by 4 columns, rows outermost, so
 * that weights are read once. */
ALWAYS void mm_float(const jl_mm_args *a, load16_fn *load)
{
    if (a->n_cols == 1) {
        for (size_t r = 0; r < a->n_rows; r += 8)
            float_block(a, r, 0, 8, 1, load);
        return;
    }
    for (size_t r = 0; r < a->n_rows; r += 4) {
        size_t c = 0;
        for (; c + 4 <= a->n_cols; c += 4)
            float_block(a, r, c, 4, 4, load);
        switch (a->n_cols - c) {
        case 3: float_block(a, r, c, 4, 3, load); break;
        case 2: float_block(a, r, c, 4, 2, load); break;
        case 1: float_block(a, r, c, 4, 1, load); break;
        default: break;
        }
    }
}

static void mm_f32(const jl_mm_args *a)
{
    mm_float(a, load_f32);
}

static void mm_f16(const jl_mm_args *a)
{
    mm_float(a, load_f16);
}

static void mm_bf16(const jl_mm_args *a)
{
    mm_float(a, load_bf16);
}

void jl_x86_mm_float_avx512(jl_cpu_kernels *k)
{
    k->mm[JL_TYPE_F32] = mm_f32;
    k->mm[JL_TYPE_F16] = mm_f16;
    k->mm[JL_TYPE_BF16] = mm_bf16;
}
