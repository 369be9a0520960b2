/* Products with grid formats on AVX2. */
#include "backend/cpu/x86/mm_iq_avx2_inl.h"
#include "backend/cpu/x86/x86.h"

void jl_x86_mm_iq_avx2(jl_cpu_kernels *k)
{
    mm_iq_init(k);
}
