/* Quantised matrix products with smmla (Armv8.6 i8mm). */
#include "backend/cpu/arm/arm.h"
#include "backend/cpu/arm/mm_gemm_neon_inl.h"

void jl_arm_mm_i8mm(jl_cpu_kernels *k)
{
    mm_init(k);
}

void jl_arm_mm_any_i8mm(jl_type type, const jl_mm_args *a)
{
    mm_table[type](a);
}
