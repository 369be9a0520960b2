/* Products with grid formats on AVX-VNNI. */
#include "backend/cpu/x86/mm_iq_avx2_inl.h"
#include "backend/cpu/x86/x86.h"

void jl_x86_mm_iq_avxvnni(jl_cpu_kernels *k)
{
    mm_iq_init(k);
}
