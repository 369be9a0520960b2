/* Multiply-accumulate of bytes without VNNI: vpmaddubsw, vpmaddwd, vpaddd. */
#include <immintrin.h>

#include "backend/cpu/x86/x86.h"

enum { N_ACC = 8 };

uint64_t jl_x86_int8_peak_avx2(uint64_t n)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i acc[N_ACC];
    __m256i x = _mm256_set1_epi8(3);
    __m256i y = _mm256_set1_epi8(5);

    for (int i = 0; i < N_ACC; i++)
        acc[i] = _mm256_set1_epi32(i);
    for (uint64_t r = 0; r < n; r++) {
#pragma GCC unroll 8
        for (int i = 0; i < N_ACC; i++) {
            __asm__ volatile("" : "+x"(x), "+x"(y)); /* or the products would be computed once */
            acc[i] = _mm256_add_epi32(acc[i], _mm256_madd_epi16(_mm256_maddubs_epi16(x, y), ones));
        }
    }
    for (int i = 1; i < N_ACC; i++)
        acc[0] = _mm256_add_epi32(acc[0], acc[i]);
    volatile int sink = _mm256_extract_epi32(acc[0], 0);
    (void)sink;
    return n * N_ACC * 32 * 2;
}
