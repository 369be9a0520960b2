/* Products with IQ4_XS and IQ3_S4 on AVX-512 without VNNI. */
#include "backend/cpu/x86/mm_xs_avx512_inl.h"
#include "backend/cpu/x86/x86.h"

void jl_x86_mm_xs_avx512(jl_cpu_kernels *k)
{
    mm_xs_init(k, false);
}
