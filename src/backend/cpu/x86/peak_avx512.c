/* Peak loops with 512 bits: bytes without VNNI, F32, reading. */
#include <immintrin.h>

#include "backend/cpu/x86/x86.h"

enum { N_ACC = 12 };

/* vpmaddubsw, vpaddw: as in peak_avx2.c. */
uint64_t jl_x86_int8_peak_avx512(uint64_t n, int64_t *sum)
{
    const __m512i ones = _mm512_set1_epi16(1);
    __m512i acc[N_ACC];
    __m512i x = _mm512_set1_epi8(1);
    __m512i y = _mm512_set1_epi8(1);

    for (int i = 0; i < N_ACC; i++) {
        acc[i] = _mm512_setzero_si512();
        __asm__ volatile("" : "+v"(acc[i])); /* or equal chains would become one */
    }
    for (uint64_t r = 0; r < n; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < N_ACC; i++) {
            __asm__ volatile("" : "+v"(x), "+v"(y)); /* or the products would be computed once */
            acc[i] = _mm512_add_epi16(acc[i], _mm512_maddubs_epi16(x, y));
        }
    }
    *sum = 0;
    for (int i = 0; i < N_ACC; i++)
        *sum += _mm512_reduce_add_epi32(_mm512_madd_epi16(acc[i], ones));
    return n * N_ACC * 64 * 2;
}

uint64_t jl_x86_f32_peak_avx512(uint64_t n, int64_t *sum)
{
    __m512 acc[N_ACC];
    __m512 x = _mm512_set1_ps(1.0f);
    __m512 y = _mm512_set1_ps(1.0f);

    for (int i = 0; i < N_ACC; i++) {
        acc[i] = _mm512_setzero_ps();
        __asm__ volatile("" : "+v"(acc[i]));
    }
    for (uint64_t r = 0; r < n; r++) {
        __asm__ volatile("" : "+v"(x), "+v"(y));
#pragma GCC unroll 12
        for (int i = 0; i < N_ACC; i++)
            acc[i] = _mm512_fmadd_ps(x, y, acc[i]);
    }
    *sum = 0;
    for (int i = 0; i < N_ACC; i++)
        *sum += (int64_t)_mm512_reduce_add_ps(acc[i]);
    return n * N_ACC * 16 * 2;
}

#define READ_VEC __m512i
#define READ_ADD(acc, p) _mm512_add_epi64(acc, _mm512_load_si512(p))
#include "backend/cpu/peak_read_inl.h"

uint64_t jl_x86_read_avx512(const uint8_t *p, size_t n, size_t streams, size_t ahead)
{
    __m512i acc[4];

    for (int i = 0; i < 4; i++)
        acc[i] = _mm512_setzero_si512();
    read_all(p, n, streams, ahead, acc);
    return (uint64_t)_mm512_reduce_add_epi64(_mm512_add_epi64(_mm512_add_epi64(acc[0], acc[1]),
                                                              _mm512_add_epi64(acc[2], acc[3])));
}
