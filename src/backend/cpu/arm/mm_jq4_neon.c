/* JQ4 with plain NEON. */
#include "backend/cpu/arm/mm_jq4_gemm_neon_inl.h"

void jl_arm_mm_jq4_neon(jl_cpu_kernels *k)
{
    mm_jq4_init(k);
}
