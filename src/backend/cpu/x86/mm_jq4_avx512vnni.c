/* Products with JQ4 on AVX-512 VNNI. */
#include "backend/cpu/x86/mm_jq4_avx512_inl.h"
#include "backend/cpu/x86/x86.h"

void jl_x86_mm_jq4_avx512vnni(jl_cpu_kernels *k)
{
    mm_jq4_init(k);
}
