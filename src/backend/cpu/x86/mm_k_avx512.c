/* Products with super-block formats on AVX-512 without VNNI. */
#include "backend/cpu/x86/mm_k_avx512_inl.h"
#include "backend/cpu/x86/x86.h"

void jl_x86_mm_k_avx512(jl_cpu_kernels *k)
{
    mm_k_init(k, false);
}
