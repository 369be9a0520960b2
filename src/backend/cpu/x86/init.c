/* Chooses the x86 kernels: each bundle overrides what the one before it set. */
#include "backend/cpu/kernels.h"
#include "backend/cpu/x86/x86.h"
#include "base/cpu.h"

void jl_cpu_kernels_x86(jl_cpu_kernels *k, unsigned features)
{
    if (features & JL_CPU_AVX2) {
        k->name = "avx2";
        jl_x86_vec_avx2(k);
        jl_x86_attn_avx2(k);
        jl_x86_mm_float_avx2(k);
        jl_x86_mm_legacy_avx2(k);
        jl_x86_mm_k_avx2(k);
        jl_x86_mm_iq_avx2(k);
        jl_x86_mm_jq4_avx2(k);
    }
    if ((features & JL_CPU_AVX2) && (features & JL_CPU_AVXVNNI)) {
        k->name = "avxvnni";
        jl_x86_mm_legacy_avxvnni(k);
        jl_x86_mm_k_avxvnni(k);
        jl_x86_mm_iq_avxvnni(k);
        jl_x86_mm_jq4_avxvnni(k);
    }
    if (features & JL_CPU_AVX512) {
        k->name = "avx512";
        jl_x86_vec_avx512(k);
        jl_x86_attn_avx512(k);
        jl_x86_mm_float_avx512(k);
        jl_x86_mm_legacy_avx512(k);
        jl_x86_mm_k_avx512(k);
        jl_x86_mm_xs_avx512(k);
        jl_x86_mm_iq_avx512(k);
        jl_x86_mm_jq4_avx512(k);
    }
    if (features & JL_CPU_AVX512VNNI) {
        k->name = "avx512vnni";
        jl_x86_mm_legacy_avx512vnni(k, false);
        jl_x86_mm_k_avx512vnni(k, false);
        jl_x86_mm_xs_avx512vnni(k, false);
        jl_x86_mm_iq_avx512vnni(k, false);
        jl_x86_mm_jq4_avx512vnni(k);
    }
    if ((features & JL_CPU_AVX512VNNI) && (features & JL_CPU_AVX512VBMI)) {
        k->name = "avx512vbmi";
        jl_x86_mm_iq3s_avx512vbmi(k, false);
    }
    if ((features & JL_CPU_AVX512VNNI) && (features & JL_CPU_AMX)) {
        k->name = "amx";
        jl_x86_mm_legacy_avx512vnni(k, true);
        jl_x86_mm_k_avx512vnni(k, true);
        jl_x86_mm_xs_avx512vnni(k, true);
        jl_x86_mm_iq_avx512vnni(k, true);
        if (features & JL_CPU_AVX512VBMI)
            jl_x86_mm_iq3s_avx512vbmi(k, true);
        jl_x86_mm_amx(k);
        jl_x86_mm_jq4_amx(k);
    }
}
