/* exp, tanh, GELU and SiLU on 16 lanes: the operations of backend/cpu/mathf.h, in the same
 * order. */
#ifndef JL_BACKEND_CPU_X86_MATHF_AVX512_INL_H
#define JL_BACKEND_CPU_X86_MATHF_AVX512_INL_H

#include <immintrin.h>

#include "backend/cpu/mathf.h"

static inline __m512 exp_ps(__m512 x)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    /* min and max return their second operand for NaN, as the scalar comparisons do */
    const __m512 hi = _mm512_min_ps(_mm512_set1_ps(JL_EXP_MAX), x);
    const __m512 c = _mm512_max_ps(_mm512_set1_ps(JL_EXP_MIN), hi);
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(c, _mm512_set1_ps(JL_EXP_LOG2E)),
                                          _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(-JL_EXP_LN2_HI), c);
    r = _mm512_fmadd_ps(n, _mm512_set1_ps(-JL_EXP_LN2_LO), r);
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(JL_EXP_C7), r, _mm512_set1_ps(JL_EXP_C6));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(JL_EXP_C5));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(JL_EXP_C4));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(JL_EXP_C3));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, r, one);
    p = _mm512_fmadd_ps(p, r, one);

    const __m512i e = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    p = _mm512_mul_ps(p, _mm512_castsi512_ps(_mm512_slli_epi32(e, 23)));

    /* below the range: 0; NaN: x itself */
    const __mmask16 in = _mm512_cmp_ps_mask(x, _mm512_set1_ps(JL_EXP_MIN), _CMP_GE_OQ);
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    return _mm512_mask_mov_ps(_mm512_maskz_mov_ps(in, p), nan, x);
}

static inline __m512 tanh_ps(__m512 x)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    const __m512i sign = _mm512_set1_epi32(INT32_MIN);
    const __m512 a = _mm512_castsi512_ps(_mm512_andnot_si512(sign, _mm512_castps_si512(x)));
    const __m512 s = _mm512_mul_ps(a, a);
    const __m512 poly = _mm512_fmadd_ps(s, _mm512_set1_ps(0x1.111112p-3f),
                                        _mm512_set1_ps(-0x1.555556p-2f));
    const __m512 small = _mm512_fmadd_ps(_mm512_mul_ps(a, s), poly, a);
    const __m512 e = exp_ps(_mm512_add_ps(a, a));
    const __m512 big =
        _mm512_sub_ps(one, _mm512_div_ps(_mm512_set1_ps(2.0f), _mm512_add_ps(e, one)));
    const __mmask16 is_small = _mm512_cmp_ps_mask(a, _mm512_set1_ps(0x1p-6f), _CMP_LT_OQ);
    const __m512 t = _mm512_mask_mov_ps(big, is_small, small);
    /* 0xd8: the bit of x where sign is set, else that of t */
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(t),
                                                         _mm512_castps_si512(x), sign, 0xd8));
}

static inline __m512 gelu_ps(__m512 x)
{
    const __m512 s = _mm512_mul_ps(x, x);
    const __m512 cubic = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_set1_ps(0.044715f), s), x, x);
    const __m512 u = _mm512_mul_ps(_mm512_set1_ps(0.79788456080286535588f), cubic);
    return _mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(0.5f), x),
                         _mm512_add_ps(_mm512_set1_ps(1.0f), tanh_ps(u)));
}

static inline __m512 silu_ps(__m512 x)
{
    const __m512 e = exp_ps(_mm512_xor_ps(x, _mm512_set1_ps(-0.0f)));
    return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0f), e));
}

#endif
