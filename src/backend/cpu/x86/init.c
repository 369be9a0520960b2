/* Chooses the x86 kernels. */
#include "backend/cpu/kernels.h"

void jl_cpu_kernels_x86(jl_cpu_kernels *k, unsigned features)
{
    (void)k;
    (void)features;
}
