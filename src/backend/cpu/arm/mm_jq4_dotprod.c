/* JQ4 with sdot (Armv8.2 dotprod). */
#include "backend/cpu/arm/mm_jq4_gemm_neon_inl.h"

void jl_arm_mm_jq4_dotprod(jl_cpu_kernels *k)
{
    mm_jq4_init(k);
}
