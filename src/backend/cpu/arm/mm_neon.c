/* Quantised matrix products on plain NEON. */
#include "backend/cpu/arm/arm.h"
#include "backend/cpu/arm/mm_gemm_neon_inl.h"

void jl_arm_mm_neon(jl_cpu_kernels *k)
{
    mm_init(k);
}
