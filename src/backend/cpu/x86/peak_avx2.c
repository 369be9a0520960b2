/* Peak loops with 256 bits: bytes without VNNI, F32, reading. */
#include <immintrin.h>

#include "backend/cpu/x86/x86.h"

static int64_t sum_i16(__m256i v)
{
    int16_t lanes[16];
    int64_t sum = 0;

    _mm256_storeu_si256((__m256i *)lanes, v);
    for (int i = 0; i < 16; i++)
        sum += lanes[i];
    return sum;
}

static int64_t sum_f32(__m256 v)
{
    float lanes[8];
    int64_t sum = 0;

    _mm256_storeu_ps(lanes, v);
    for (int i = 0; i < 8; i++)
        sum += (int64_t)lanes[i];
    return sum;
}

/* vpmaddubsw, vpaddw: the least work per product. Kernels add this way while products fit 16 bits,
 * and widen the sums now and then. */
#define MAC_NAME jl_x86_int8_peak_avx2
#define MAC_VEC __m256i
#define MAC_IN 1
#define MAC_N_ACC 10
#define MAC_ONES _mm256_set1_epi8(1)
#define MAC_ADD(acc, x, y) _mm256_add_epi16(acc, _mm256_maddubs_epi16(x, y))
#define MAC_SUM(acc) sum_i16(acc)
#include "backend/cpu/x86/peak_mac_inl.h"

#define MAC_NAME jl_x86_f32_peak_avx2
#define MAC_VEC __m256
#define MAC_IN 4
#define MAC_N_ACC 10
#define MAC_ONES _mm256_set1_ps(1.0f)
#define MAC_ADD(acc, x, y) _mm256_fmadd_ps(x, y, acc)
#define MAC_SUM(acc) sum_f32(acc)
#include "backend/cpu/x86/peak_mac_inl.h"

#define READ_VEC __m256i
#define READ_ADD(acc, p) \
    _mm256_add_epi64(acc, _mm256_load_si256((const __m256i *)(const void *)(p)))
#include "backend/cpu/peak_read_inl.h"

uint64_t jl_x86_read_avx2(const uint8_t *p, size_t n, size_t streams, size_t ahead)
{
    __m256i acc[4];
    uint64_t lanes[4];

    for (int i = 0; i < 4; i++)
        acc[i] = _mm256_setzero_si256();
    read_all(p, n, streams, ahead, acc);
    _mm256_storeu_si256((__m256i *)lanes, _mm256_add_epi64(_mm256_add_epi64(acc[0], acc[1]),
                                                           _mm256_add_epi64(acc[2], acc[3])));
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}
