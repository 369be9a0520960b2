/* exp, tanh, GELU and SiLU on 4 lanes: the operations of backend/cpu/mathf.h, in the same order. */
#ifndef JL_BACKEND_CPU_ARM_MATHF_NEON_INL_H
#define JL_BACKEND_CPU_ARM_MATHF_NEON_INL_H

#include <arm_neon.h>

#include "backend/cpu/mathf.h"

#define ALWAYS static inline __attribute__((always_inline))

ALWAYS float32x4_t exp_f32x4(float32x4_t x)
{
    const float32x4_t top = vdupq_n_f32(JL_EXP_MAX);
    const float32x4_t low = vdupq_n_f32(JL_EXP_MIN);
    /* selected as the scalar comparisons do, so that NaN passes */
    const float32x4_t hi = vbslq_f32(vcgtq_f32(x, top), top, x);
    const float32x4_t c = vbslq_f32(vcltq_f32(hi, low), low, hi);
    const float32x4_t n = vrndnq_f32(vmulq_n_f32(c, JL_EXP_LOG2E));
    float32x4_t r = vfmaq_n_f32(c, n, -JL_EXP_LN2_HI);
    r = vfmaq_n_f32(r, n, -JL_EXP_LN2_LO);
    float32x4_t p = vfmaq_n_f32(vdupq_n_f32(JL_EXP_C6), r, JL_EXP_C7);
    p = vfmaq_f32(vdupq_n_f32(JL_EXP_C5), p, r);
    p = vfmaq_f32(vdupq_n_f32(JL_EXP_C4), p, r);
    p = vfmaq_f32(vdupq_n_f32(JL_EXP_C3), p, r);
    p = vfmaq_f32(vdupq_n_f32(0.5f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);

    const int32x4_t e = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23);
    p = vmulq_f32(p, vreinterpretq_f32_s32(e));

    /* below the range: 0; NaN: x itself */
    const uint32x4_t in = vcgeq_f32(x, low);
    p = vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(p), in));
    return vbslq_f32(vceqq_f32(x, x), p, x);
}

ALWAYS float32x4_t tanh_f32x4(float32x4_t x)
{
    const float32x4_t one = vdupq_n_f32(1.0f);
    const float32x4_t a = vabsq_f32(x);
    const float32x4_t s = vmulq_f32(a, a);
    const float32x4_t poly =
        vfmaq_n_f32(vdupq_n_f32(-0x1.555556p-2f), s, 0x1.111112p-3f);
    const float32x4_t small = vfmaq_f32(a, vmulq_f32(a, s), poly);
    const float32x4_t e = exp_f32x4(vaddq_f32(a, a));
    const float32x4_t big = vsubq_f32(one, vdivq_f32(vdupq_n_f32(2.0f), vaddq_f32(e, one)));
    const float32x4_t t = vbslq_f32(vcltq_f32(a, vdupq_n_f32(0x1p-6f)), small, big);
    return vbslq_f32(vdupq_n_u32(0x80000000u), x, t); /* the sign of x */
}

ALWAYS float32x4_t gelu_f32x4(float32x4_t x)
{
    const float32x4_t s = vmulq_f32(x, x);
    const float32x4_t cubic = vfmaq_f32(x, vmulq_n_f32(s, 0.044715f), x);
    const float32x4_t u = vmulq_n_f32(cubic, 0.79788456080286535588f);
    return vmulq_f32(vmulq_n_f32(x, 0.5f), vaddq_f32(vdupq_n_f32(1.0f), tanh_f32x4(u)));
}

ALWAYS float32x4_t silu_f32x4(float32x4_t x)
{
    return vdivq_f32(x, vaddq_f32(vdupq_n_f32(1.0f), exp_f32x4(vnegq_f32(x))));
}

/* 16 lanes as numerics.md counts them. */
typedef struct {
    float32x4_t v[4];
} lanes16;

ALWAYS lanes16 lanes_zero(void)
{
    const float32x4_t z = vdupq_n_f32(0.0f);

    return (lanes16){{z, z, z, z}};
}

/* The fixed tree: lane l += lane l + 8, + 4, + 2, + 1. */
ALWAYS float lanes_sum(const lanes16 *s)
{
    const float32x4_t a = vaddq_f32(vaddq_f32(s->v[0], s->v[2]), vaddq_f32(s->v[1], s->v[3]));
    const float32x2_t b = vadd_f32(vget_low_f32(a), vget_high_f32(a));

    return vget_lane_f32(b, 0) + vget_lane_f32(b, 1);
}

#endif
