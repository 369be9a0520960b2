/* Scalar definition of every weight type: dequantise a row, dot it with a quantised activation row.
 * docs/numerics.md is the contract; these functions are its executable form. */
#ifndef JL_QUANT_QUANT_H
#define JL_QUANT_QUANT_H

#include <stddef.h>
#include <stdint.h>

#include "quant/types.h"

/* Activations are quantised in blocks of 32, or of JL_ACT_WIDE for types that ask for it (act_block
 * of jl_type_info): q = round_half_even(x * (127 / amax)), x ~ q * d with d = amax / 127. Rows are
 * n rounded up to a multiple of 32, the rest zero. */
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

/* The same with one scale for JL_ACT_WIDE values, fewer in the last block: q[n], d[n / JL_ACT_WIDE
 * rounded up], and sum of q over each JL_ACT_WIDE_SUM values, [n / JL_ACT_WIDE_SUM rounded up]. */
void jl_act_quantize_wide(const float *x, size_t n, int8_t *q, float *d, int16_t *sum);

/* Activation scales of a row of n values for a type. */
static inline size_t jl_act_blocks(jl_type type, size_t n)
{
    const size_t block = jl_type_get((uint32_t)type)->act_block;

    return (n + block - 1) / block;
}

/* Their sums. */
static inline size_t jl_act_sums(jl_type type, size_t n)
{
    const bool wide = jl_type_get((uint32_t)type)->act_block == JL_ACT_WIDE;

    return wide ? (n + JL_ACT_WIDE_SUM - 1) / JL_ACT_WIDE_SUM : n / 16;
}

/* dst[n] = the weights of a row as the format defines them. n is a multiple of the block. Not for
 * types that store rows together. */
void jl_dequant_row(jl_type type, const void *src, float *dst, size_t n);

/* The same for row `row` of the matrix that starts at `matrix`; any weight type. */
void jl_dequant_matrix_row(jl_type type, const void *matrix, size_t row, float *dst, size_t n);
/* Columns first .. first + len - 1 of it: multiples of the block (or len ends the row). */
void jl_dequant_matrix_part(jl_type type, const void *matrix, size_t row, size_t n, size_t first,
                            float *dst, size_t len);

/* Dot of one weight row with one quantised activation row (quantised types only). */
float jl_dot_row(jl_type type, const void *w, const jl_act_row *a, size_t n);

/* Dot of row r (0..15) of a JQ4 group with activations in wide blocks. */
float jl_jq4_dot(const void *group, unsigned r, const int8_t *q, const float *d, size_t n);
/* dst[len] = columns first .. of row r of a JQ4 group of n columns; first and len are multiples of
 * 8. */
void jl_jq4_dequant(const void *group, unsigned r, size_t n, size_t first, float *dst, size_t len);

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
