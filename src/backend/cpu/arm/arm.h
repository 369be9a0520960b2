/* Entry points of the Arm kernels: one init function per instruction set, in files compiled for it.
 * Each overrides the slots it has something better for. */
#ifndef JL_BACKEND_CPU_ARM_ARM_H
#define JL_BACKEND_CPU_ARM_ARM_H

#include "backend/cpu/kernels.h"

void jl_arm_vec_neon(jl_cpu_kernels *k);
void jl_arm_attn_neon(jl_cpu_kernels *k);
void jl_arm_mm_float_neon(jl_cpu_kernels *k);
void jl_arm_mm_neon(jl_cpu_kernels *k);
void jl_arm_mm_dotprod(jl_cpu_kernels *k);
void jl_arm_mm_jq4_neon(jl_cpu_kernels *k);
void jl_arm_mm_jq4_dotprod(jl_cpu_kernels *k);
void jl_arm_mm_jq4_i8mm(jl_cpu_kernels *k);
void jl_arm_mm_jq4_sme(jl_cpu_kernels *k); /* needs i8mm too */
void jl_arm_mm_jq4_sme2(jl_cpu_kernels *k);
void jl_arm_mm_i8mm(jl_cpu_kernels *k);
void jl_arm_mm_sme(jl_cpu_kernels *k); /* needs i8mm too */
void jl_arm_mm_sme2(jl_cpu_kernels *k);

/* The i8mm kernel of a block-quantised type, for kernels that cover only some of its uses. */
void jl_arm_mm_any_i8mm(jl_type type, const jl_mm_args *a);
void jl_arm_mm_jq4_any_i8mm(const jl_mm_args *a); /* the same of JQ4 */

#endif
