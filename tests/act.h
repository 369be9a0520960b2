/* Quantised activations for tests of products. */
#ifndef JL_TESTS_ACT_H
#define JL_TESTS_ACT_H

#include "quant/quant.h"

/* Quantises x[n_rows][n] as products with weights of the type want it, by the scalar code:
 * q[n_rows][n], d[n_rows][jl_act_blocks], sum[n_rows][jl_act_sums]. */
static inline void act_rows(jl_type type, const float *x, size_t n, size_t n_rows, int8_t *q,
                            float *d, int16_t *sum)
{
    const bool wide = jl_type_get((uint32_t)type)->act_block == JL_ACT_WIDE;

    for (size_t i = 0; i < n_rows; i++) {
        (wide ? jl_act_quantize_wide : jl_act_quantize)(x, n, q, d, sum);
        x += n;
        q += n;
        d += jl_act_blocks(type, n);
        sum += jl_act_sums(type, n);
    }
}

#endif
