/* Products with IQ4_XS and IQ3_S4 on AVX-512 VNNI. */
#include "backend/cpu/x86/mm_xs_avx512_inl.h"
#include "backend/cpu/x86/x86.h"

void jl_x86_mm_xs_avx512vnni(jl_cpu_kernels *k, bool amx)
{
    mm_xs_init(k, amx);
}
