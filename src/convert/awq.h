/* AWQ checkpoints, GEMM packing: qweight I32 [n_in][n_out / 8], qzeros I32 [n_groups][n_out / 8],
 * scales F16 [n_groups][n_out]. A weight is (q - zero) * scale, q and zero of 4 bits; the eight
 * values of a word stand in the order 0 2 4 6 1 3 5 7. */
#ifndef JL_CONVERT_AWQ_H
#define JL_CONVERT_AWQ_H

#include "convert/safetensors.h"
#include "quant/types.h"

typedef struct {
    const jl_st_tensor *qweight, *qzeros, *scales;
    uint64_t n_in, n_out, group; /* group: inputs that share a scale */
} jl_awq;

/* Finds the three tensors of "<base>.qweight" and checks that they fit together. */
JL_MUST_CHECK jl_status jl_awq_open(const jl_st *st, const char *base, jl_awq *out, jl_error *err);
/* Scale as F16 bits, zero, and the value q of input i and output o. */
uint16_t jl_awq_scale(const jl_awq *a, uint64_t i, uint64_t o);
uint32_t jl_awq_zero(const jl_awq *a, uint64_t i, uint64_t o);
uint32_t jl_awq_value(const jl_awq *a, uint64_t i, uint64_t o);
/* Writes the row of output o: AWQ4 holds q, zero and scale as they are; F32 and F16 hold
 * (q - zero) * scale, F32 exactly; Q4_1 has d = scale, m = F16(-zero * scale), off by at most
 * 2^-11 of |m|. */
void jl_awq_row(const jl_awq *a, uint64_t o, jl_type type, uint8_t *dst);

#endif
