/* Matrix products, one dot at a time: the specification of every faster kernel. */
#include "backend/cpu/kernels.h"
#include "backend/cpu/scalar/scalar.h"
#include "quant/quant.h"

static size_t column(const jl_mm_args *a, size_t c)
{
    return a->cols ? a->cols[c] : c;
}

static void mm_quantised(jl_type type, const jl_mm_args *a)
{
    for (size_t c = 0; c < a->n_cols; c++) {
        const size_t row = column(a, c);
        const jl_act_row act = {
            .q = a->q + row * a->n_in,
            .d = a->d + row * (a->n_in / 32),
            .sum = a->sum + row * (a->n_in / 16),
        };
        for (size_t r = 0; r < a->n_rows; r++)
            a->y[c * a->y_stride + r] = jl_dot_row(type, a->w + r * a->w_stride, &act, a->n_in);
    }
}

/* Rows in groups of 16, activations in wide blocks. */
static void mm_JQ4(const jl_mm_args *a)
{
    const size_t blocks = jl_act_blocks(JL_TYPE_JQ4, a->n_in);

    for (size_t c = 0; c < a->n_cols; c++) {
        const size_t row = column(a, c);
        for (size_t r = 0; r < a->n_rows; r++)
            a->y[c * a->y_stride + r] =
                jl_jq4_dot(a->w + r / 16 * 16 * a->w_stride, r % 16, a->q + row * a->n_in,
                           a->d + row * blocks, a->n_in);
    }
}

static void mm_float(jl_type type, const jl_mm_args *a)
{
    for (size_t c = 0; c < a->n_cols; c++) {
        const float *x = a->x + column(a, c) * a->n_in;
        for (size_t r = 0; r < a->n_rows; r++)
            a->y[c * a->y_stride + r] = jl_dot_row_f(type, a->w + r * a->w_stride, x, a->n_in);
    }
}

#define MM_FLOAT(name)                                                                             \
    static void mm_##name(const jl_mm_args *a)                                                     \
    {                                                                                              \
        mm_float(JL_TYPE_##name, a);                                                               \
    }
#define MM_QUANT(name)                                                                             \
    static void mm_##name(const jl_mm_args *a)                                                     \
    {                                                                                              \
        mm_quantised(JL_TYPE_##name, a);                                                           \
    }
#define QUANT_TYPES(X)                                                                             \
    X(Q4_0)                                                                                        \
    X(Q4_1) X(Q5_0) X(Q5_1) X(Q8_0) X(Q2_K) X(Q3_K) X(Q4_K) X(Q5_K) X(Q6_K) X(IQ2_XXS) X(IQ2_XS)   \
        X(IQ2_S) X(IQ3_XXS) X(IQ3_S) X(IQ1_S) X(IQ1_M) X(IQ4_NL) X(IQ4_XS) X(MXFP4) X(AWQ4)   \
        X(IQ3_S4)

MM_FLOAT(F32)
MM_FLOAT(F16)
MM_FLOAT(BF16)
QUANT_TYPES(MM_QUANT)

void jl_scalar_mm_init(jl_cpu_kernels *k)
{
    k->mm[JL_TYPE_F32] = mm_F32;
    k->mm[JL_TYPE_F16] = mm_F16;
    k->mm[JL_TYPE_BF16] = mm_BF16;
#define MM_SLOT(name) k->mm[JL_TYPE_##name] = mm_##name;
    QUANT_TYPES(MM_SLOT)
    MM_SLOT(JQ4)
#undef MM_SLOT
}
