/* JQ4 with SME2. */
#include "backend/cpu/arm/mm_jq4_sme_inl.h"

void jl_arm_mm_jq4_sme2(jl_cpu_kernels *k)
{
    mm_jq4_init(k);
}
