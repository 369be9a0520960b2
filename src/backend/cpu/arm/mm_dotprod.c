/* Quantised matrix products with sdot (Armv8.2 dotprod). */
#include "backend/cpu/arm/arm.h"
#include "backend/cpu/arm/mm_gemm_neon_inl.h"

void jl_arm_mm_dotprod(jl_cpu_kernels *k)
{
    mm_init(k);
}
