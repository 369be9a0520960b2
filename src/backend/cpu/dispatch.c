/* Chooses kernels: scalar first, then better and better. The last one that applies wins. */
#include "backend/cpu/kernels.h"

void jl_cpu_kernels_init(jl_cpu_kernels *k, unsigned features)
{
    jl_cpu_kernels_scalar(k);
#if defined(__x86_64__)
    jl_cpu_kernels_x86(k, features);
#elif defined(__aarch64__)
    jl_cpu_kernels_arm(k, features);
#else
    (void)features;
#endif
}
