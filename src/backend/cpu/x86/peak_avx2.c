/* Peak loops with 256 bits: bytes without VNNI, F32, reading. */
#include <immintrin.h>

#include "backend/cpu/x86/x86.h"

enum { N_ACC = 10 };

static int64_t sum_i16(__m256i v)
{
    int16_t lanes[16];
    int64_t sum = 0;

    _mm256_storeu_si256((__m256i *)lanes, v);
    for (int i = 0; i < 16; i++)
        sum += lanes[i];
    return sum;
}

/* vpmaddubsw, vpaddw: the least work per product. Kernels add this way while products fit 16 bits,
 * and widen the sums now and then. */
uint64_t jl_x86_int8_peak_avx2(uint64_t n, int64_t *sum)
{
    __m256i acc[N_ACC];
    __m256i x = _mm256_set1_epi8(1);
    __m256i y = _mm256_set1_epi8(1);

    for (int i = 0; i < N_ACC; i++) {
        acc[i] = _mm256_setzero_si256();
        __asm__ volatile("" : "+x"(acc[i])); /* or equal chains would become one */
    }
    for (uint64_t r = 0; r < n; r++) {
#pragma GCC unroll 10
        for (int i = 0; i < N_ACC; i++) {
            __asm__ volatile("" : "+x"(x), "+x"(y)); /* or the products would be computed once */
            acc[i] = _mm256_add_epi16(acc[i], _mm256_maddubs_epi16(x, y));
        }
    }
    *sum = 0;
    for (int i = 0; i < N_ACC; i++)
        *sum += sum_i16(acc[i]);
    return n * N_ACC * 32 * 2;
}

uint64_t jl_x86_f32_peak_avx2(uint64_t n, int64_t *sum)
{
    __m256 acc[N_ACC];
    __m256 x = _mm256_set1_ps(1.0f);
    __m256 y = _mm256_set1_ps(1.0f);

    for (int i = 0; i < N_ACC; i++) {
        acc[i] = _mm256_setzero_ps();
        __asm__ volatile("" : "+x"(acc[i]));
    }
    for (uint64_t r = 0; r < n; r++) {
        __asm__ volatile("" : "+x"(x), "+x"(y));
#pragma GCC unroll 10
        for (int i = 0; i < N_ACC; i++)
            acc[i] = _mm256_fmadd_ps(x, y, acc[i]);
    }
    *sum = 0;
    for (int i = 0; i < N_ACC; i++) {
        float lanes[8];
        _mm256_storeu_ps(lanes, acc[i]);
        for (int j = 0; j < 8; j++)
            *sum += (int64_t)lanes[j];
    }
    return n * N_ACC * 8 * 2;
}

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
