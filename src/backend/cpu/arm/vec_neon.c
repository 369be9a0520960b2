/* Norms, activations and element-wise kernels (docs/numerics.md, sections 1, 3 and 5). What does
 * not fill 4 lanes is done in the scalar form. */
#include <math.h>

#include "backend/cpu/arm/arm.h"
#include "backend/cpu/arm/mathf_neon_inl.h"
#include "backend/cpu/kernels.h"

static inline float rms_scale(const float *x, size_t n, float eps)
{
    lanes16 acc = lanes_zero();
    size_t i = 0;

    for (; i + 16 <= n; i += 16)
        for (int l = 0; l < 4; l++) {
            const float32x4_t v = vld1q_f32(x + i + 4 * l);
            acc.v[l] = vfmaq_f32(acc.v[l], v, v);
        }
    if (i < n) {
        float lane[16];
        for (int l = 0; l < 4; l++)
            vst1q_f32(lane + 4 * l, acc.v[l]);
        for (size_t l = 0; i + l < n; l++)
            lane[l] = fmaf(x[i + l], x[i + l], lane[l]);
        for (int l = 0; l < 4; l++)
            acc.v[l] = vld1q_f32(lane + 4 * l);
    }
    return 1.0f / sqrtf(lanes_sum(&acc) / (float)n + eps);
}

static void rms_norm(const float *x, const float *w, float *y, size_t n, float eps)
{
    const float scale = rms_scale(x, n, eps);
    size_t i = 0;

    for (; i + 4 <= n; i += 4) {
        float32x4_t v = vmulq_n_f32(vld1q_f32(x + i), scale);
        if (w)
            v = vmulq_f32(v, vld1q_f32(w + i));
        vst1q_f32(y + i, v);
    }
    for (; i < n; i++)
        y[i] = w ? x[i] * scale * w[i] : x[i] * scale;
}

static void rms_norm_add(const float *x, const float *w, float *y, size_t n, float eps)
{
    const float scale = rms_scale(x, n, eps);
    size_t i = 0;

    for (; i + 4 <= n; i += 4) {
        const float32x4_t v = vmulq_f32(vmulq_n_f32(vld1q_f32(x + i), scale), vld1q_f32(w + i));
        vst1q_f32(y + i, vaddq_f32(vld1q_f32(y + i), v));
    }
    for (; i < n; i++)
        y[i] += x[i] * scale * w[i];
}

static void geglu(const float *gate, const float *up, float *y, size_t n)
{
    size_t i = 0;

    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, vmulq_f32(gelu_f32x4(vld1q_f32(gate + i)), vld1q_f32(up + i)));
    for (; i < n; i++)
        y[i] = jl_geluf(gate[i]) * up[i];
}

static void swiglu(const float *gate, const float *up, float *y, size_t n)
{
    size_t i = 0;

    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, vmulq_f32(silu_f32x4(vld1q_f32(gate + i)), vld1q_f32(up + i)));
    for (; i < n; i++)
        y[i] = jl_siluf(gate[i]) * up[i];
}

static void softcap(float *x, size_t n, float cap)
{
    size_t i = 0;

    for (; i + 4 <= n; i += 4) {
        const float32x4_t t = tanh_f32x4(vdivq_f32(vld1q_f32(x + i), vdupq_n_f32(cap)));
        vst1q_f32(x + i, vmulq_n_f32(t, cap));
    }
    for (; i < n; i++)
        x[i] = cap * jl_tanhf(x[i] / cap);
}

static void axpy(float a, const float *x, float *y, size_t n)
{
    size_t i = 0;

    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, vfmaq_n_f32(vld1q_f32(y + i), vld1q_f32(x + i), a));
    for (; i < n; i++)
        y[i] = fmaf(a, x[i], y[i]);
}

static void rope(float *x, const float *cs, size_t n)
{
    const size_t half = n / 2;
    size_t i = 0;

    for (; i + 4 <= half; i += 4) {
        const float32x4_t a = vld1q_f32(x + i);
        const float32x4_t b = vld1q_f32(x + i + half);
        const float32x4_t c = vld1q_f32(cs + i);
        const float32x4_t s = vld1q_f32(cs + i + half);
        vst1q_f32(x + i, vfmaq_f32(vnegq_f32(vmulq_f32(b, s)), a, c));
        vst1q_f32(x + i + half, vfmaq_f32(vmulq_f32(b, c), a, s));
    }
    for (; i < half; i++) {
        const float a = x[i];
        const float b = x[i + half];
        x[i] = fmaf(a, cs[i], -(b * cs[i + half]));
        x[i + half] = fmaf(a, cs[i + half], b * cs[i]);
    }
}

static void rope_adjacent(float *x, const float *cs, size_t n, float scale)
{
    const size_t half = n / 2;
    size_t i = 0;

    for (; i + 4 <= half; i += 4) {
        float32x4x2_t ab = vld2q_f32(x + 2 * i);
        const float32x4_t a = ab.val[0];
        const float32x4_t b = ab.val[1];
        const float32x4_t c = vld1q_f32(cs + i);
        const float32x4_t s = vld1q_f32(cs + i + half);
        ab.val[0] = vmulq_n_f32(vfmaq_f32(vnegq_f32(vmulq_f32(b, s)), a, c), scale);
        ab.val[1] = vmulq_n_f32(vfmaq_f32(vmulq_f32(b, c), a, s), scale);
        vst2q_f32(x + 2 * i, ab);
    }
    for (; i < half; i++) {
        const float a = x[2 * i];
        const float b = x[2 * i + 1];
        x[2 * i] = fmaf(a, cs[i], -(b * cs[i + half])) * scale;
        x[2 * i + 1] = fmaf(a, cs[i + half], b * cs[i]) * scale;
    }
}

static inline int16_t sum16(int8x16_t q)
{
    return vaddlvq_s8(q);
}

/* 16 values, scaled, to bytes: round half to even; at most 127 in magnitude. */
static inline int8x16_t quantize16(const float *x, float id)
{
    int32x4_t i[4];

    for (int k = 0; k < 4; k++)
        i[k] = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 4 * k), id));
    const int16x8_t lo = vcombine_s16(vmovn_s32(i[0]), vmovn_s32(i[1]));
    const int16x8_t hi = vcombine_s16(vmovn_s32(i[2]), vmovn_s32(i[3]));
    return vcombine_s8(vmovn_s16(lo), vmovn_s16(hi));
}

static void act_quantize(const float *x, size_t n, int8_t *q, float *d, int16_t *sum)
{
    for (size_t b = 0; b < n / 32; b++) {
        /* as integers, magnitudes order like floats with infinity and NaN on top */
        uint32x4_t top = vdupq_n_u32(0);
        for (int k = 0; k < 8; k++)
            top = vmaxq_u32(top, vreinterpretq_u32_f32(vabsq_f32(vld1q_f32(x + 32 * b + 4 * k))));
        const uint32_t bits = vmaxvq_u32(top);
        const float amax = vgetq_lane_f32(vreinterpretq_f32_u32(vdupq_n_u32(bits)), 0);
        const float id = amax > 0.0f ? 127.0f / amax : 0.0f;

        int8x16_t q0 = vdupq_n_s8(0);
        int8x16_t q1 = q0;
        if (bits >= 0x7f800000u || id > 3.402823466e+38f) {
            d[b] = bits >= 0x7f800000u ? NAN : 0.0f;
        } else {
            d[b] = amax / 127.0f;
            q0 = quantize16(x + 32 * b, id);
            q1 = quantize16(x + 32 * b + 16, id);
        }
        vst1q_s8(q + 32 * b, q0);
        vst1q_s8(q + 32 * b + 16, q1);
        sum[2 * b] = sum16(q0);
        sum[2 * b + 1] = sum16(q1);
    }
}

static void attn_merge(float *m, float *l, float *o, float m2, float l2, const float *o2, size_t n)
{
    if (*m == -INFINITY) {
        *m = m2;
        *l = l2;
        for (size_t e = 0; e < n; e++)
            o[e] = o2[e];
        return;
    }

    const float top = m2 > *m ? m2 : *m;
    const float a = jl_expf(*m - top);
    const float c = jl_expf(m2 - top);
    size_t e = 0;

    *m = top;
    *l = fmaf(*l, a, l2 * c);
    for (; e + 4 <= n; e += 4)
        vst1q_f32(o + e, vfmaq_n_f32(vmulq_n_f32(vld1q_f32(o2 + e), c), vld1q_f32(o + e), a));
    for (; e < n; e++)
        o[e] = fmaf(o[e], a, o2[e] * c);
}

void jl_arm_vec_neon(jl_cpu_kernels *k)
{
    k->act_quantize = act_quantize;
    k->rms_norm = rms_norm;
    k->rms_norm_add = rms_norm_add;
    k->geglu = geglu;
    k->swiglu = swiglu;
    k->softcap = softcap;
    k->axpy = axpy;
    k->rope = rope;
    k->rope_adjacent = rope_adjacent;
    k->attn_merge = attn_merge;
}
