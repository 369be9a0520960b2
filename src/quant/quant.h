/* Scalar definition of every weight type: dequantise a row, dot it with a quantised activation row.
 * docs/numerics.md is the contract; these functions are its executable form. */
#ifndef JL_QUANT_QUANT_H
#define JL_QUANT_QUANT_H

#include <stddef.h>
#include <stdint.h>

#include "quant/types.h"

/* Activations are quantised in blocks of 32: q = round_half_even(x * (127 / amax)), x ~ q * d with
 * d = amax / 127. Rows are n rounded up to a multiple of 32, the rest zero. */
enum { JL_ACT_BLOCK = 32 };

/* One quantised activation row of n values, n a multiple of 32. Owns nothing. */
typedef struct {
    const int8_t *q;    /* [n] */
    const float *d;     /* [n/32] scale of each block */
    const int16_t *sum; /* [n/16] sum of q over each half block */
} jl_act_row;

/* Quantises x[n] (n a multiple of 32) into q[n], d[n/32], sum[n/16]. A block holding a NaN or an
 * infinity gets d = NaN, q = 0; one so small that 127 / amax overflows gets d = 0, q = 0. */
void jl_act_quantize(const float *x, size_t n, int8_t *q, float *d, int16_t *sum);

/* dst[n] = the weights of a row as the format defines them. n is a multiple of the block. */
void jl_dequant_row(jl_type type, const void *src, float *dst, size_t n);

/* Dot of one weight row with one quantised activation row (quantised types only). */
float jl_dot_row(jl_type type, const void *w, const jl_act_row *a, size_t n);

/* Dot of one F32, F16 or BF16 weight row with F32 values: 16 lanes, then a fixed tree. */
float jl_dot_row_f(jl_type type, const void *w, const float *x, size_t n);

/* Quantises a row; n is a multiple of the block. Returns 0 and leaves dst alone if the type needs a
 * codebook (IQ1, IQ2, IQ3) or has no quantiser. F32, F16, BF16, Q8_0 and the Q4 and Q5 types round
 * as the reference quantisers do, the others search with equal weights (quantizer.h). A block
 * holding a NaN or infinity gets a NaN scale. */
int jl_quant_row(jl_type type, const float *src, void *dst, size_t n);

float jl_f16_to_f32(uint16_t h);
uint16_t jl_f32_to_f16(float f);  /* round to nearest even, overflow to infinity */
float jl_bf16_to_f32(uint16_t h);
uint16_t jl_f32_to_bf16(float f); /* round to nearest even, NaN stays NaN */

#endif
