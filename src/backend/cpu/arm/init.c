/* Chooses the Arm kernels: each bundle overrides what the one before it set. */
#include "backend/cpu/arm/arm.h"
#include "backend/cpu/kernels.h"
#include "base/cpu.h"

#ifndef JL_HAVE_SME
#define JL_HAVE_SME 0
#endif
#ifndef JL_HAVE_SME2
#define JL_HAVE_SME2 0
#endif

/* Most formats have a scale every 32 weights, and emptying ZA that often costs more than `smopa`
 * saves (docs/apple.md): i8mm is the default, SME serves who asks for it by name. */
static void sme(jl_cpu_kernels *k, unsigned features)
{
#if JL_HAVE_SME
    k->name = "sme";
    jl_arm_mm_sme(k);
    jl_arm_mm_jq4_sme(k);
#endif
#if JL_HAVE_SME2
    if (features & JL_CPU_SME2) {
        k->name = "sme2";
        jl_arm_mm_sme2(k);
        jl_arm_mm_jq4_sme2(k);
    }
#endif
    (void)k;
    (void)features;
}

void jl_cpu_kernels_arm(jl_cpu_kernels *k, unsigned features)
{
    if (features & JL_CPU_NEON) {
        k->name = "neon";
        jl_arm_vec_neon(k);
        jl_arm_attn_neon(k);
        jl_arm_mm_float_neon(k);
        jl_arm_mm_neon(k);
        jl_arm_mm_jq4_neon(k);
    }
    if (features & JL_CPU_DOTPROD) {
        k->name = "dotprod";
        jl_arm_mm_dotprod(k);
        jl_arm_mm_jq4_dotprod(k);
    }
    if (!(features & JL_CPU_DOTPROD) || !(features & JL_CPU_I8MM))
        return;
    k->name = "i8mm";
    jl_arm_mm_i8mm(k);
    jl_arm_mm_jq4_i8mm(k);
    if ((features & JL_CPU_SME) && (features & JL_CPU_SME_ASKED))
        sme(k, features);
}

unsigned jl_cpu_kernels_arm_built(void)
{
    return (JL_HAVE_SME ? JL_CPU_SME : 0u) | (JL_HAVE_SME2 ? JL_CPU_SME2 : 0u);
}
