/* Peak loops with 512 bits: bytes without VNNI, F32, reading. */
#include <immintrin.h>

#include "backend/cpu/x86/x86.h"

/* vpmaddubsw, vpaddw: as in peak_avx2.c. */
#define MAC_NAME jl_x86_int8_peak_avx512
#define MAC_VEC __m512i
#define MAC_IN 1
#define MAC_N_ACC 12
#define MAC_ONES _mm512_set1_epi8(1)
#define MAC_ADD(acc, x, y) _mm512_add_epi16(acc, _mm512_maddubs_epi16(x, y))
#define MAC_SUM(acc) _mm512_reduce_add_epi32(_mm512_madd_epi16(acc, _mm512_set1_epi16(1)))
#include "backend/cpu/x86/peak_mac_inl.h"

#define MAC_NAME jl_x86_f32_peak_avx512
#define MAC_VEC __m512
#define MAC_IN 4
#define MAC_N_ACC 12
#define MAC_ONES _mm512_set1_ps(1.0f)
#define MAC_ADD(acc, x, y) _mm512_fmadd_ps(x, y, acc)
#define MAC_SUM(acc) (int64_t) _mm512_reduce_add_ps(acc)
#include "backend/cpu/x86/peak_mac_inl.h"

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
