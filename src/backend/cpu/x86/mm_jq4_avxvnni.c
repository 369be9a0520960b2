/* Products with JQ4 on AVX-VNNI. */
#include "backend/cpu/x86/mm_jq4_avx2_inl.h"
#include "backend/cpu/x86/x86.h"

void jl_x86_mm_jq4_avxvnni(jl_cpu_kernels *k)
{
    mm_jq4_init(k);
}
