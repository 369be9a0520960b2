/* Peak loop: vpdpbusd of 512 bits. */
#include <immintrin.h>

#include "backend/cpu/x86/x86.h"

#define MAC_NAME jl_x86_int8_peak_avx512vnni
#define MAC_VEC __m512i
#define MAC_IN 1
#define MAC_N_ACC 12
#define MAC_ONES _mm512_set1_epi8(1)
#define MAC_ADD(acc, x, y) _mm512_dpbusd_epi32(acc, x, y)
#define MAC_SUM(acc) _mm512_reduce_add_epi32(acc)
#include "backend/cpu/x86/peak_mac_inl.h"
