/* Products with formats of 32 weights per block on AVX-512 VNNI. */
#include "backend/cpu/x86/mm_legacy_avx512_inl.h"
#include "backend/cpu/x86/x86.h"

void jl_x86_mm_legacy_avx512vnni(jl_cpu_kernels *k, bool amx)
{
    mm_legacy_init(k, amx);
}
