/* Element-wise kernels and norms in plain C, and the scalar table. */
#include <math.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/mathf.h"
#include "backend/cpu/scalar/scalar.h"
#include "quant/quant.h"

/* Sum of squares in 16 lanes, then a fixed tree (docs/numerics.md, section 3). */
static float sum_squares(const float *x, size_t n)
{
    float lane[16] = {0};

    for (size_t i = 0; i < n; i++)
        lane[i % 16] = fmaf(x[i], x[i], lane[i % 16]);
    for (size_t half = 8; half > 0; half /= 2)
        for (size_t l = 0; l < half; l++)
            lane[l] += lane[l + half];
    return lane[0];
}

static float rms_scale(const float *x, size_t n, float eps)
{
    return 1.0f / sqrtf(sum_squares(x, n) / (float)n + eps);
}

static void rms_norm(const float *x, const float *w, float *y, size_t n, float eps)
{
    const float scale = rms_scale(x, n, eps);

    for (size_t i = 0; i < n; i++)
        y[i] = w ? x[i] * scale * w[i] : x[i] * scale;
}

static void rms_norm_add(const float *x, const float *w, float *y, size_t n, float eps)
{
    const float scale = rms_scale(x, n, eps);

    for (size_t i = 0; i < n; i++)
        y[i] += x[i] * scale * w[i];
}

static void geglu(const float *gate, const float *up, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = jl_geluf(gate[i]) * up[i];
}

static void swiglu(const float *gate, const float *up, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = jl_siluf(gate[i]) * up[i];
}

static void softcap(float *x, size_t n, float cap)
{
    for (size_t i = 0; i < n; i++)
        x[i] = cap * jl_tanhf(x[i] / cap);
}

static void axpy(float a, const float *x, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = fmaf(a, x[i], y[i]);
}

static void rope(float *x, const float *cs, size_t n)
{
    const size_t half = n / 2;

    for (size_t i = 0; i < half; i++) {
        const float a = x[i];
        const float b = x[i + half];
        const float c = cs[i];
        const float s = cs[i + half];

        x[i] = fmaf(a, c, -(b * s));
        x[i + half] = fmaf(a, s, b * c);
    }
}

static void rope_adjacent(float *x, const float *cs, size_t n, float scale)
{
    const size_t half = n / 2;

    for (size_t i = 0; i < half; i++) {
        const float a = x[2 * i];
        const float b = x[2 * i + 1];
        const float c = cs[i];
        const float s = cs[i + half];

        x[2 * i] = fmaf(a, c, -(b * s)) * scale;
        x[2 * i + 1] = fmaf(a, s, b * c) * scale;
    }
}

void jl_cpu_kernels_scalar(jl_cpu_kernels *k)
{
    *k = (jl_cpu_kernels){
        .name = "scalar",
        .mm_tile_rows = 32,
        .mm_tile_rows_1 = 32,
        .mm_scratch = 64,
        .act_quantize = jl_act_quantize,
        .act_quantize_wide = jl_act_quantize_wide,
        .rms_norm = rms_norm,
        .rms_norm_add = rms_norm_add,
        .geglu = geglu,
        .swiglu = swiglu,
        .softcap = softcap,
        .axpy = axpy,
        .rope = rope,
        .rope_adjacent = rope_adjacent,
        .attn_block = jl_scalar_attn_block,
        .attn_merge = jl_scalar_attn_merge,
    };
    jl_scalar_mm_init(k);
}
