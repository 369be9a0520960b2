/* vpdpbusd of 512 bits on twelve independent accumulators: enough to hide its latency. */
#include <immintrin.h>

#include "backend/cpu/x86/x86.h"

enum { N_ACC = 12 };

uint64_t jl_x86_int8_peak_avx512vnni(uint64_t n, int64_t *sum)
{
    __m512i acc[N_ACC];
    __m512i x = _mm512_set1_epi8(1);
    __m512i y = _mm512_set1_epi8(1);

    for (int i = 0; i < N_ACC; i++) {
        acc[i] = _mm512_setzero_si512();
        __asm__ volatile("" : "+v"(acc[i])); /* or equal chains would become one */
    }
    for (uint64_t r = 0; r < n; r++) {
        __asm__ volatile("" : "+v"(x), "+v"(y)); /* or the loop would be folded */
#pragma GCC unroll 12
        for (int i = 0; i < N_ACC; i++)
            acc[i] = _mm512_dpbusd_epi32(acc[i], x, y);
    }
    *sum = 0;
    for (int i = 0; i < N_ACC; i++)
        *sum += _mm512_reduce_add_epi32(acc[i]);
    return n * N_ACC * 64 * 2;
}
