/* Parts of the scalar kernel table. */
#ifndef JL_BACKEND_CPU_SCALAR_SCALAR_H
#define JL_BACKEND_CPU_SCALAR_SCALAR_H

#include "backend/cpu/kernels.h"

void jl_scalar_mm_init(jl_cpu_kernels *k);
void jl_scalar_attn_block(const jl_attn_args *a);
void jl_scalar_attn_merge(float *m, float *l, float *o, float m2, float l2, const float *o2,
                          size_t n);

#endif
