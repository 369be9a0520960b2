/* Quantisers of super-blocks: 256 finite values to one block each. A block that holds a NaN or
 * infinity gets NaN scales. */
#ifndef JL_QUANT_QUANTIZE_K_H
#define JL_QUANT_QUANTIZE_K_H

void jl_quant_q4_k(const float *x, void *dst);
void jl_quant_q5_k(const float *x, void *dst);
void jl_quant_q6_k(const float *x, void *dst);

#endif
