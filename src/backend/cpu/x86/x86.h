/* Entry points of the x86 kernels: one init function per instruction set, in files compiled for it.
 * Each overrides the slots it has something better for. */
#ifndef JL_BACKEND_CPU_X86_X86_H
#define JL_BACKEND_CPU_X86_X86_H

#include "backend/cpu/kernels.h"

void jl_x86_vec_avx2(jl_cpu_kernels *k);
void jl_x86_attn_avx2(jl_cpu_kernels *k);
void jl_x86_mm_float_avx2(jl_cpu_kernels *k);
void jl_x86_mm_legacy_avx2(jl_cpu_kernels *k);
void jl_x86_mm_k_avx2(jl_cpu_kernels *k);
void jl_x86_mm_iq_avx2(jl_cpu_kernels *k);
void jl_x86_mm_jq4_avx2(jl_cpu_kernels *k);
void jl_x86_mm_legacy_avxvnni(jl_cpu_kernels *k);
void jl_x86_mm_k_avxvnni(jl_cpu_kernels *k);
void jl_x86_mm_iq_avxvnni(jl_cpu_kernels *k);
void jl_x86_mm_jq4_avxvnni(jl_cpu_kernels *k);
void jl_x86_vec_avx512(jl_cpu_kernels *k);
void jl_x86_attn_avx512(jl_cpu_kernels *k);
void jl_x86_mm_float_avx512(jl_cpu_kernels *k);
void jl_x86_mm_legacy_avx512(jl_cpu_kernels *k);
void jl_x86_mm_k_avx512(jl_cpu_kernels *k);
void jl_x86_mm_iq_avx512(jl_cpu_kernels *k);
void jl_x86_mm_xs_avx512(jl_cpu_kernels *k);
void jl_x86_mm_jq4_avx512(jl_cpu_kernels *k);
void jl_x86_mm_jq4_avx512vnni(jl_cpu_kernels *k);
/* amx: with the products of AMX-INT8 where they are faster */
void jl_x86_mm_legacy_avx512vnni(jl_cpu_kernels *k, bool amx);
void jl_x86_mm_k_avx512vnni(jl_cpu_kernels *k, bool amx);
void jl_x86_mm_iq_avx512vnni(jl_cpu_kernels *k, bool amx);
void jl_x86_mm_xs_avx512vnni(jl_cpu_kernels *k, bool amx);
void jl_x86_mm_iq3s_avx512vbmi(jl_cpu_kernels *k, bool amx);
void jl_x86_mm_amx(jl_cpu_kernels *k); /* scratch and tile sizes */
void jl_x86_mm_jq4_amx(jl_cpu_kernels *k); /* raises the scratch if it needs more */

/* Loops of the roofline, see backend/peak.h. */
uint64_t jl_x86_int8_peak_avx2(uint64_t n, int64_t *sum);
uint64_t jl_x86_int8_peak_avxvnni(uint64_t n, int64_t *sum);
uint64_t jl_x86_int8_peak_avx512(uint64_t n, int64_t *sum);
uint64_t jl_x86_int8_peak_avx512vnni(uint64_t n, int64_t *sum);
uint64_t jl_x86_int8_peak_amx(uint64_t n, int64_t *sum);
uint64_t jl_x86_f32_peak_avx2(uint64_t n, int64_t *sum);
uint64_t jl_x86_f32_peak_avx512(uint64_t n, int64_t *sum);
uint64_t jl_x86_read_avx2(const uint8_t *p, size_t n, size_t streams, size_t ahead);
uint64_t jl_x86_read_avx512(const uint8_t *p, size_t n, size_t streams, size_t ahead);

#endif
