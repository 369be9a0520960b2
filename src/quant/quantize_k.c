/* Quantisers of Q4_K, Q5_K and Q6_K: each group gets the scale (and minimum) that fits it best
 * in the sense of least squares, the scales are rounded to the super-block's, and the levels are
 * chosen last, for the scales as stored. */
#include "quant/quantize_k.h"

#include <math.h>

#include "quant/blocks.h"
#include "quant/float16.h"
#include "quant/quant.h"

#define F16_NAN 0x7e00u

static bool all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

static int clamp(float v, int low, int high)
{
    return v <= (float)low ? low : v >= (float)high ? high : (int)rintf(v);
}

/* a / b, or 0 where that is not finite. */
static float ratio(float a, float b)
{
    const float r = a / b;

    return isfinite(r) ? r : 0.0f;
}

/* x ~ scale * q - min with 0 <= q <= top and min >= 0. */
typedef struct {
    float scale, min;
} affine;

/* Least squares for given levels; min is held at 0 if it would be negative. Sums in double: they
 * cancel. */
static affine fit_levels(const float x[32], const uint8_t q[32])
{
    double sx = 0.0;
    double sq = 0.0;
    double sqq = 0.0;
    double sqx = 0.0;

    for (int i = 0; i < 32; i++) {
        sx += (double)x[i];
        sq += q[i];
        sqq += q[i] * q[i];
        sqx += q[i] * (double)x[i];
    }
    const double det = 32.0 * sqq - sq * sq;
    affine f = {0};
    if (det > 0.0) {
        f.scale = (float)((32.0 * sqx - sq * sx) / det);
        f.min = (float)((sq * sqx - sqq * sx) / det);
    }
    if (f.min < 0.0f || det <= 0.0) {
        f.min = 0.0f;
        f.scale = sqq > 0.0 ? (float)(sqx / sqq) : 0.0f;
    }
    return f;
}

static void choose_levels(const float x[32], affine f, int top, uint8_t q[32])
{
    for (int i = 0; i < 32; i++)
        q[i] = (uint8_t)clamp(ratio(x[i] + f.min, f.scale), 0, top);
}

static double affine_error(const float x[32], const uint8_t q[32], affine f)
{
    double sum = 0.0;

    for (int i = 0; i < 32; i++) {
        const double e = (double)f.scale * q[i] - (double)f.min - (double)x[i];
        sum += e * e;
    }
    return sum;
}

/* Starts from the range of the values stretched by up to a level, refits, and keeps the best. */
static affine fit_affine(const float x[32], int top)
{
    float lo = 0.0f;
    float hi = 0.0f;
    for (int i = 0; i < 32; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }

    affine best = {(hi - lo) / (float)top, -lo};
    uint8_t q[32];
    choose_levels(x, best, top, q);
    double best_error = affine_error(x, q, best);
    for (int step = -8; step <= 8; step++) {
        const affine start = {(hi - lo) / ((float)top + 0.125f * (float)step), -lo};
        choose_levels(x, start, top, q);
        const affine f = fit_levels(x, q);
        if (!(f.scale > 0.0f))
            continue;
        choose_levels(x, f, top, q);
        const double error = affine_error(x, q, f);
        if (error < best_error) {
            best_error = error;
            best = f;
        }
    }
    return best;
}

/* The inverse of jl_q4k_scale_min. */
static void pack_scale_min(uint8_t scales[12], unsigned j, int sc, int mn)
{
    if (j < 4) {
        scales[j] = (uint8_t)(scales[j] | sc);
        scales[j + 4] = (uint8_t)(scales[j + 4] | mn);
        return;
    }
    scales[j + 4] = (uint8_t)((sc & 15) | (mn & 15) << 4);
    scales[j - 4] = (uint8_t)(scales[j - 4] | (sc >> 4) << 6);
    scales[j] = (uint8_t)(scales[j] | (mn >> 4) << 6);
}

/* What Q4_K and Q5_K share: F16 scales, packed sub-scales and the levels of 256 weights. */
typedef struct {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t q[JL_QK];
} affine_block;

static void quant_affine(const float x[JL_QK], int top, affine_block *out)
{
    affine fit[8];
    float max_scale = 0.0f;
    float max_min = 0.0f;

    memset(out, 0, sizeof *out);
    if (!all_finite(x, JL_QK)) {
        out->d = out->dmin = F16_NAN;
        return;
    }
    for (int j = 0; j < 8; j++) {
        fit[j] = fit_affine(x + 32 * j, top);
        max_scale = fmaxf(max_scale, fit[j].scale);
        max_min = fmaxf(max_min, fit[j].min);
    }
    out->d = jl_f32_to_f16(max_scale / 63.0f);
    out->dmin = jl_f32_to_f16(max_min / 63.0f);
    const float d = jl_half_widen(out->d);
    const float dmin = jl_half_widen(out->dmin);
    for (unsigned j = 0; j < 8; j++) {
        const int sc = clamp(ratio(fit[j].scale, d), 0, 63);
        const int mn = clamp(ratio(fit[j].min, dmin), 0, 63);
        pack_scale_min(out->scales, j, sc, mn);
        choose_levels(x + 32 * j, (affine){d * (float)sc, dmin * (float)mn}, top, out->q + 32 * j);
    }
}

static void pack_nibbles(const uint8_t q[JL_QK], uint8_t qs[128])
{
    for (int p = 0; p < 4; p++)
        for (int l = 0; l < 32; l++)
            qs[32 * p + l] = (uint8_t)((q[64 * p + l] & 15) | (q[64 * p + 32 + l] & 15) << 4);
}

void jl_quant_q4_k(const float *x, void *dst)
{
    jl_block_q4_k *b = dst;
    affine_block a;

    quant_affine(x, 15, &a);
    b->d = a.d;
    b->dmin = a.dmin;
    memcpy(b->scales, a.scales, sizeof b->scales);
    pack_nibbles(a.q, b->qs);
}

void jl_quant_q5_k(const float *x, void *dst)
{
    jl_block_q5_k *b = dst;
    affine_block a;

    quant_affine(x, 31, &a);
    b->d = a.d;
    b->dmin = a.dmin;
    memcpy(b->scales, a.scales, sizeof b->scales);
    pack_nibbles(a.q, b->qs);
    memset(b->qh, 0, sizeof b->qh);
    for (int i = 0; i < JL_QK; i++)
        b->qh[i % 32] = (uint8_t)(b->qh[i % 32] | (a.q[i] >> 4) << i / 32);
}

/* The scale of 16 weights for levels -32 .. 31, of either sign: the extreme value goes to -32 or
 * to a place near it, refitted. */
static float fit_signed(const float x[16])
{
    float top = 0.0f;
    float best = 0.0f;
    double best_gain = 0.0;

    for (int i = 0; i < 16; i++)
        top = fabsf(x[i]) > fabsf(top) ? x[i] : top;
    for (int step = -8; step <= 8; step++) {
        const float inverse = ratio(-(32.0f + 0.125f * (float)step), top);
        double sqx = 0.0;
        double sqq = 0.0;
        for (int i = 0; i < 16; i++) {
            const int q = clamp(x[i] * inverse, -32, 31);
            sqx += q * (double)x[i];
            sqq += q * q;
        }
        const double gain = sqq > 0.0 ? sqx * sqx / sqq : 0.0; /* energy explained */
        if (gain > best_gain) {
            best_gain = gain;
            best = (float)(sqx / sqq);
        }
    }
    return best;
}

void jl_quant_q6_k(const float *x, void *dst)
{
    jl_block_q6_k *b = dst;
    float fit[16];
    float top = 0.0f;

    memset(b, 0, sizeof *b);
    if (!all_finite(x, JL_QK)) {
        b->d = F16_NAN;
        return;
    }
    for (int g = 0; g < 16; g++) {
        fit[g] = fit_signed(x + 16 * g);
        top = fabsf(fit[g]) > fabsf(top) ? fit[g] : top;
    }
    b->d = jl_f32_to_f16(top / -128.0f);
    const float d = jl_half_widen(b->d);
    for (int g = 0; g < 16; g++)
        b->scales[g] = (int8_t)clamp(ratio(fit[g], d), -128, 127);
    for (int i = 0; i < JL_QK; i++) {
        const int q = clamp(ratio(x[i], d * (float)b->scales[i / 16]), -32, 31) + 32;
        const int at = 64 * (i / 128) + i % 64;
        b->ql[at] = (uint8_t)(b->ql[at] | (q & 15) << 4 * (i / 64 % 2));
        const int high = 32 * (i / 128) + i % 32;
        b->qh[high] = (uint8_t)(b->qh[high] | (q >> 4) << 2 * (i / 32 % 4));
    }
}
