/* Vectors of 8 lanes: partial loads and stores, the fixed 16-lane sum, and exp, tanh, GELU and SiLU
 * with the operations of backend/cpu/mathf.h in the same order. */
#ifndef JL_BACKEND_CPU_X86_MATHF_AVX2_INL_H
#define JL_BACKEND_CPU_X86_MATHF_AVX2_INL_H

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>

#include "backend/cpu/mathf.h"

#define ALWAYS static inline __attribute__((always_inline))

/* The first lanes of a vector; memory of the others is not touched. */
typedef struct {
    __m256i mask;
    bool all;
} lanes8;

/* The first n lanes, all if n >= 8. */
ALWAYS lanes8 lanes_first(size_t n)
{
    static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1};

    if (n >= 8)
        return (lanes8){_mm256_set1_epi32(-1), true};
    return (lanes8){_mm256_loadu_si256((const __m256i *)(const void *)(ones + 8 - n)), false};
}

ALWAYS __m256 load_ps(const float *p, lanes8 k)
{
    return k.all ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, k.mask);
}

ALWAYS void store_ps(float *p, lanes8 k, __m256 v)
{
    if (k.all)
        _mm256_storeu_ps(p, v);
    else
        _mm256_maskstore_ps(p, k.mask, v);
}

/* Lane l += lane l + 8, + 4, + 2, + 1 of the 16 lanes lo, hi. */
ALWAYS float tree_sum(__m256 lo, __m256 hi)
{
    const __m256 a = _mm256_add_ps(lo, hi);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    b = _mm_add_ss(b, _mm_movehdup_ps(b));
    return _mm_cvtss_f32(b);
}

ALWAYS __m256 exp_ps(__m256 x)
{
    const __m256 one = _mm256_set1_ps(1.0f);
    /* min and max return their second operand for NaN, as the scalar comparisons do */
    const __m256 hi = _mm256_min_ps(_mm256_set1_ps(JL_EXP_MAX), x);
    const __m256 c = _mm256_max_ps(_mm256_set1_ps(JL_EXP_MIN), hi);
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(c, _mm256_set1_ps(JL_EXP_LOG2E)),
                                     _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(-JL_EXP_LN2_HI), c);
    r = _mm256_fmadd_ps(n, _mm256_set1_ps(-JL_EXP_LN2_LO), r);
    __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(JL_EXP_C7), r, _mm256_set1_ps(JL_EXP_C6));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(JL_EXP_C5));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(JL_EXP_C4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(JL_EXP_C3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
    p = _mm256_fmadd_ps(p, r, one);
    p = _mm256_fmadd_ps(p, r, one);

    const __m256i e = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    p = _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(e, 23)));

    /* below the range: 0; NaN: x itself */
    const __m256 in = _mm256_cmp_ps(x, _mm256_set1_ps(JL_EXP_MIN), _CMP_GE_OQ);
    const __m256 nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    return _mm256_blendv_ps(_mm256_and_ps(p, in), x, nan);
}

ALWAYS __m256 tanh_ps(__m256 x)
{
    const __m256 one = _mm256_set1_ps(1.0f);
    const __m256 sign = _mm256_set1_ps(-0.0f);
    const __m256 a = _mm256_andnot_ps(sign, x);
    const __m256 s = _mm256_mul_ps(a, a);
    const __m256 poly = _mm256_fmadd_ps(s, _mm256_set1_ps(0x1.111112p-3f),
                                        _mm256_set1_ps(-0x1.555556p-2f));
    const __m256 small = _mm256_fmadd_ps(_mm256_mul_ps(a, s), poly, a);
    const __m256 e = exp_ps(_mm256_add_ps(a, a));
    const __m256 big =
        _mm256_sub_ps(one, _mm256_div_ps(_mm256_set1_ps(2.0f), _mm256_add_ps(e, one)));
    const __m256 is_small = _mm256_cmp_ps(a, _mm256_set1_ps(0x1p-6f), _CMP_LT_OQ);
    const __m256 t = _mm256_blendv_ps(big, small, is_small);
    return _mm256_or_ps(_mm256_andnot_ps(sign, t), _mm256_and_ps(sign, x));
}

ALWAYS __m256 gelu_ps(__m256 x)
{
    const __m256 s = _mm256_mul_ps(x, x);
    const __m256 cubic = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_set1_ps(0.044715f), s), x, x);
    const __m256 u = _mm256_mul_ps(_mm256_set1_ps(0.79788456080286535588f), cubic);
    return _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(0.5f), x),
                         _mm256_add_ps(_mm256_set1_ps(1.0f), tanh_ps(u)));
}

ALWAYS __m256 silu_ps(__m256 x)
{
    const __m256 e = exp_ps(_mm256_xor_ps(x, _mm256_set1_ps(-0.0f)));
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
}

#endif
