/* vpdpbusd of 256 bits on ten independent accumulators: enough to hide its latency. */
#include <immintrin.h>

#include "backend/cpu/x86/x86.h"

enum { N_ACC = 10 };

uint64_t jl_x86_int8_peak_avxvnni(uint64_t n, int64_t *sum)
{
    __m256i acc[N_ACC];
    __m256i x = _mm256_set1_epi8(1);
    __m256i y = _mm256_set1_epi8(1);

    for (int i = 0; i < N_ACC; i++) {
        acc[i] = _mm256_setzero_si256();
        __asm__ volatile("" : "+x"(acc[i])); /* or equal chains would become one */
    }
    for (uint64_t r = 0; r < n; r++) {
        __asm__ volatile("" : "+x"(x), "+x"(y)); /* or the loop would be folded */
#pragma GCC unroll 10
        for (int i = 0; i < N_ACC; i++)
            acc[i] = _mm256_dpbusd_avx_epi32(acc[i], x, y);
    }
    *sum = 0;
    for (int i = 0; i < N_ACC; i++) {
        int32_t lanes[8];
        _mm256_storeu_si256((__m256i *)lanes, acc[i]);
        for (int j = 0; j < 8; j++)
            *sum += lanes[j];
    }
    return n * N_ACC * 32 * 2;
}
