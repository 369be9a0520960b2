/* What the processor offers and the chosen kernels leave aside: for joule doctor. */
#include <stdio.h>

#include "backend/cpu/kernels.h"
#include "backend/describe.h"
#include "base/cpu.h"

#if defined(__aarch64__)
static const char *reason(unsigned features)
{
    if (!(features & JL_CPU_NEON))
        return "NEON was not detected: the portable kernels run, which are slow";
    if (!(features & JL_CPU_DOTPROD))
        return ""; /* older than both */
    if ((features & (JL_CPU_SME | JL_CPU_SME2)) == 0)
        return features & JL_CPU_I8MM ? "" : "i8mm was not detected: long prompts take longer";
    if (!(jl_cpu_kernels_arm_built() & JL_CPU_SME))
        return "SME is there, but the compiler that built joule has none: use clang 18, Apple "
               "clang 16 or later to try it";
    if ((features & JL_CPU_SME2) && !(jl_cpu_kernels_arm_built() & JL_CPU_SME2))
        return "SME2 is there, but the compiler that built joule has none";
    return "SME is there but not the default: i8mm is expected to be faster for formats with a "
           "scale every 32 weights; JOULE_CPU_MASK=sme2 measures it";
}
#elif defined(__x86_64__)
static const char *reason(unsigned features)
{
    if (!(features & JL_CPU_AVX2))
        return "AVX2 was not detected: the portable kernels run, which are slow";
    if (features & JL_CPU_AMX_REFUSED)
        return "AMX is there, but the system does not let this process use it (Linux 5.16 or later "
               "does): long prompts take longer";
    return "";
}
#else
static const char *reason(unsigned features)
{
    (void)features;
    return "no kernels for this processor: the portable ones run, which are slow";
}
#endif

size_t jl_cpu_describe_unused(char *text, size_t cap)
{
    const int n = snprintf(text, cap, "%s", reason(jl_cpu_features()));

    return n < 0 ? 0 : (size_t)n;
}
