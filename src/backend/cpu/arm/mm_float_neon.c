/* Products with F32, F16 and BF16 weights: 16 lanes per output, then the fixed tree
 * (docs/numerics.md, section 3). */
#include <math.h>

#include "backend/cpu/arm/arm.h"
#include "backend/cpu/arm/mathf_neon_inl.h"
#include "backend/cpu/kernels.h"

enum { F32_BYTES = 4, HALF_BYTES = 2 };

typedef float32x4_t load4_fn(const uint8_t *w, size_t i);

ALWAYS float32x4_t load_f32(const uint8_t *w, size_t i)
{
    return vreinterpretq_f32_u8(vld1q_u8(w + F32_BYTES * i));
}

ALWAYS float32x4_t load_f16(const uint8_t *w, size_t i)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(w + HALF_BYTES * i)));
}

ALWAYS float32x4_t load_bf16(const uint8_t *w, size_t i)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(w + HALF_BYTES * i)), 16));
}

/* The last n < 16 weights of a row and their activations, the rest 0, for the steps below. */
typedef struct {
    uint8_t w[16 * F32_BYTES];
    float x[16];
} tail16;

/* Lanes past the row keep their value: fma(0, 0, lane) would turn -0 into +0. */
ALWAYS void add_tail(const tail16 *t, size_t n, lanes16 *acc, load4_fn *load)
{
    float lane[16];
    float w[16];

    for (int l = 0; l < 4; l++) {
        vst1q_f32(lane + 4 * l, acc->v[l]);
        vst1q_f32(w + 4 * l, load(t->w, 4 * (size_t)l));
    }
    for (size_t l = 0; l < n; l++)
        lane[l] = fmaf(w[l], t->x[l], lane[l]);
    for (int l = 0; l < 4; l++)
        acc->v[l] = vld1q_f32(lane + 4 * l);
}

/* R rows by C columns of activations; R * C <= 6 accumulators of 4 vectors. */
ALWAYS void float_block(const jl_mm_args *a, size_t r0, size_t c0, int R, int C, size_t w_bytes,
                        load4_fn *load)
{
    const float *x[3];
    const uint8_t *w[4];
    lanes16 acc[4][3];
    size_t i = 0;

    for (int c = 0; c < C; c++)
        x[c] = a->x + (a->cols ? a->cols[c0 + (size_t)c] : c0 + (size_t)c) * a->n_in;
    for (int r = 0; r < R; r++) {
        const size_t row = r0 + (size_t)r;
        w[r] = a->w + (row < a->n_rows ? row : a->n_rows - 1) * a->w_stride;
        for (int c = 0; c < C; c++)
            acc[r][c] = lanes_zero();
    }
    for (; i + 16 <= a->n_in; i += 16)
#pragma GCC unroll 4
        for (int l = 0; l < 4; l++)
#pragma GCC unroll 4
            for (int r = 0; r < R; r++) {
                const float32x4_t wv = load(w[r], i + 4 * (size_t)l);
#pragma GCC unroll 3
                for (int c = 0; c < C; c++)
                    acc[r][c].v[l] =
                        vfmaq_f32(acc[r][c].v[l], wv, vld1q_f32(x[c] + i + 4 * (size_t)l));
            }
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++) {
            if (i < a->n_in) {
                tail16 t = {{0}, {0}};
                for (size_t k = 0; k < (a->n_in - i) * w_bytes; k++)
                    t.w[k] = w[r][i * w_bytes + k];
                for (size_t k = 0; k < a->n_in - i; k++)
                    t.x[k] = x[c][i + k];
                add_tail(&t, a->n_in - i, &acc[r][c], load);
            }
            if (r0 + (size_t)r < a->n_rows)
                a->y[(c0 + (size_t)c) * a->y_stride + r0 + (size_t)r] = lanes_sum(&acc[r][c]);
        }
}

/* One column: 4 rows hide the latency of fma. Several: 2 rows by 3 columns, rows outermost, so that
 * weights are read once. */
ALWAYS void mm_float(const jl_mm_args *a, size_t w_bytes, load4_fn *load)
{
    if (a->n_cols == 1) {
        for (size_t r = 0; r < a->n_rows; r += 4)
            float_block(a, r, 0, 4, 1, w_bytes, load);
        return;
    }
    for (size_t r = 0; r < a->n_rows; r += 2) {
        size_t c = 0;
        for (; c + 3 <= a->n_cols; c += 3)
            float_block(a, r, c, 2, 3, w_bytes, load);
        for (; c < a->n_cols; c++)
            float_block(a, r, c, 2, 1, w_bytes, load);
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

void jl_arm_mm_float_neon(jl_cpu_kernels *k)
{
    k->mm[JL_TYPE_F32] = mm_f32;
    k->mm[JL_TYPE_F16] = mm_f16;
    k->mm[JL_TYPE_BF16] = mm_bf16;
}
