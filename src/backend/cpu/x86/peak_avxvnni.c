/* Peak loop: vpdpbusd of 256 bits. */
#include <immintrin.h>

#include "backend/cpu/x86/x86.h"

static int64_t sum_i32(__m256i v)
{
    int32_t lanes[8];
    int64_t sum = 0;

    _mm256_storeu_si256((__m256i *)lanes, v);
    for (int i = 0; i < 8; i++)
        sum += lanes[i];
    return sum;
}

#define MAC_NAME jl_x86_int8_peak_avxvnni
#define MAC_VEC __m256i
#define MAC_IN 1
#define MAC_N_ACC 10
#define MAC_ONES _mm256_set1_epi8(1)
#define MAC_ADD(acc, x, y) _mm256_dpbusd_avx_epi32(acc, x, y)
#define MAC_SUM(acc) sum_i32(acc)
#include "backend/cpu/x86/peak_mac_inl.h"
