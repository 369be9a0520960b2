/* exp, tanh, GELU and SiLU with a fixed sequence of F32 operations: the same bits in every kernel.
 * Vector kernels repeat exactly these operations (docs/numerics.md, section 5). */
#ifndef JL_BACKEND_CPU_MATHF_H
#define JL_BACKEND_CPU_MATHF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Coefficients: exp(r) on |r| <= ln2/2 by the Taylor terms up to r^7 / 5040 in F32; the truncation
 * error is below 2^-27 relative. ln2 is split so that n * LN2_HI is exact for |n| < 2^15. */
#define JL_EXP_LOG2E  0x1.715476p+0f
#define JL_EXP_LN2_HI 0x1.62e4p-1f
#define JL_EXP_LN2_LO 0x1.7f7d1cp-20f
#define JL_EXP_C7     0x1.a01a02p-13f
#define JL_EXP_C6     0x1.6c16c2p-10f
#define JL_EXP_C5     0x1.111112p-7f
#define JL_EXP_C4     0x1.555556p-5f
#define JL_EXP_C3     0x1.555556p-3f
#define JL_EXP_MIN    (-87.0f)
#define JL_EXP_MAX    88.0f

/* exp(x): 0 below -87, exp(88) above 88, NaN for NaN. At most 1 ulp off in between. */
static inline float jl_expf(float x)
{
    const float hi = x > JL_EXP_MAX ? JL_EXP_MAX : x;
    const float c = hi < JL_EXP_MIN ? JL_EXP_MIN : hi;
    const float n = rintf(c * JL_EXP_LOG2E);
    float r = fmaf(n, -JL_EXP_LN2_HI, c);
    r = fmaf(n, -JL_EXP_LN2_LO, r);
    float p = fmaf(JL_EXP_C7, r, JL_EXP_C6);
    p = fmaf(p, r, JL_EXP_C5);
    p = fmaf(p, r, JL_EXP_C4);
    p = fmaf(p, r, JL_EXP_C3);
    p = fmaf(p, r, 0.5f);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    if (!(x >= JL_EXP_MIN))
        return x != x ? x : 0.0f;

    uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

/* tanh(x) = 1 - 2 / (exp(2 |x|) + 1) with the sign of x; |x| < 2^-6 uses x - x^3 / 3 + 2 x^5 / 15.
 */
static inline float jl_tanhf(float x)
{
    const float a = fabsf(x);
    const float s = a * a;
    const float poly = fmaf(s, 0x1.111112p-3f, -0x1.555556p-2f);
    const float small = fmaf(a * s, poly, a);
    const float e = jl_expf(a + a);
    const float big = 1.0f - 2.0f / (e + 1.0f);
    return copysignf(a < 0x1p-6f ? small : big, x);
}

/* GELU, tanh form: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). */
static inline float jl_geluf(float x)
{
    const float s = x * x;
    const float u = 0.79788456080286535588f * fmaf(0.044715f * s, x, x);
    return 0.5f * x * (1.0f + jl_tanhf(u));
}

/* SiLU: x / (1 + exp(-x)). */
static inline float jl_siluf(float x)
{
    return x / (1.0f + jl_expf(-x));
}

#endif
