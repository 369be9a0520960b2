/* Chooses the peak loop of the best instruction set; see peak.h. */
#include "backend/peak.h"

#include "base/cpu.h"

#if defined(__x86_64__)
#include "backend/cpu/x86/x86.h"

uint64_t jl_cpu_int8_peak(uint64_t n)
{
    const unsigned f = jl_cpu_features();

    if (f & JL_CPU_AVX512VNNI)
        return jl_x86_int8_peak_avx512vnni(n);
    return f & JL_CPU_AVX2 ? jl_x86_int8_peak_avx2(n) : 0;
}

const char *jl_cpu_int8_peak_name(void)
{
    const unsigned f = jl_cpu_features();

    return f & JL_CPU_AVX512VNNI ? "avx512vnni" : f & JL_CPU_AVX2 ? "avx2" : "none";
}
#else
uint64_t jl_cpu_int8_peak(uint64_t n)
{
    (void)n;
    return 0;
}

const char *jl_cpu_int8_peak_name(void)
{
    return "none";
}
#endif
