/* Quantised matrix products with SME. */
#include "backend/cpu/arm/mm_sme_inl.h"

void jl_arm_mm_sme(jl_cpu_kernels *k)
{
    mm_init(k);
}
