/* Products with super-block formats on AVX-512 VNNI. */
#include "backend/cpu/x86/mm_k_avx512_inl.h"
#include "backend/cpu/x86/x86.h"

void jl_x86_mm_k_avx512vnni(jl_cpu_kernels *k, bool amx)
{
    mm_k_init(k, amx);
}
