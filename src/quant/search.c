/* Fitting values to integers times a scale. Every search tries a row of scales that put the largest
 * value at or beyond the end of the range, keeps the one whose least-squares refit explains most,
 * and lets levels and scale follow each other a few times from there.
 *
 * Sums run in eight lanes, so that compilers make vector code of them without reordering. */
#include "quant/search.h"

#include <math.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/quant.h"

enum { LANES = 8 };

/* Adding and subtracting 1.5 * 2^23 rounds |v| < 2^22 to the nearest even integer. */
static inline float round_even(float v)
{
    return v + 0x1.8p23f - 0x1.8p23f;
}

static inline float clamp(float v, float low, float high)
{
    v = v < low ? low : v;
    return v > high ? high : v;
}

static float sum_lanes(const float lane[LANES])
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* 1 / s, or 0 where that is not finite. */
static float inverse(float s)
{
    const float v = 1.0f / s;

    return isfinite(v) ? v : 0.0f;
}

/* ---- one scale ------------------------------------------------------------------------------ */

static const float iq4_middle[15] = {-115.5f, -93.5f, -74.0f, -57.0f, -42.0f, -28.5f, -16.0f, -4.5f,
                                     7.0f,    19.0f,  31.5f,  45.5f,  61.0f,  79.0f,  101.0f};

/* The values of the levels nearest to x * inv. */
static void nearest(const float *x, int n, const jl_levels *l, float inv, float *value)
{
    if (!l->table) {
        const float low = (float)l->low;
        const float high = (float)l->high;
        for (int i = 0; i < n; i++)
            value[i] = round_even(clamp(x[i] * inv, low, high));
        return;
    }
    for (int i = 0; i < n; i++)
        value[i] = (float)l->table[0];
    for (int k = 0; k < 15; k++) {
        const float step = (float)(l->table[k + 1] - l->table[k]);
        for (int i = 0; i < n; i++)
            value[i] += x[i] * inv > iq4_middle[k] ? step : 0.0f;
    }
}

/* The scale that fits levels best, and what it explains of the energy sum w x^2. */
static float refit(const float *x, const float *w, int n, const float *value, float *gain)
{
    float xq[LANES] = {0};
    float qq[LANES] = {0};

    for (int i = 0; i < n; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            const float wq = w[i + l] * value[i + l];
            xq[l] += wq * x[i + l];
            qq[l] += wq * value[i + l];
        }
    }
    const float sum_xq = sum_lanes(xq);
    const float sum_qq = sum_lanes(qq);
    *gain = sum_qq > 0.0f ? sum_xq * (sum_xq / sum_qq) : 0.0f;
    return sum_qq > 0.0f ? sum_xq / sum_qq : 0.0f;
}

typedef struct {
    float scale, gain;
} scale_fit;

static void try_scale(const float *x, const float *w, int n, const jl_levels *l, float inv,
                      scale_fit *best)
{
    float value[JL_FIT_MAX];
    scale_fit fit;

    nearest(x, n, l, inv, value);
    fit.scale = refit(x, w, n, value, &fit.gain);
    if (fit.gain > best->gain)
        *best = fit;
}

/* Where the largest value is tried, as a share of the end of the range: within it, exactly on
 * it, or clipped by it. */
typedef struct {
    float first, step;
    int n;
} sweep;

float jl_fit_scale(const float *x, const float *w, int n, const jl_levels *l)
{
    const float end = (float)-l->low; /* the end with more room */
    const sweep range = l->table ? (sweep){0.7f, 0.03f, 34}
                        : l->low < -64 ? (sweep){0.9f, 0.01f, 16}
                                       : (sweep){0.76f, 0.03f, 25};
    float top = 0.0f;
    scale_fit best = {0};

    for (int i = 0; i < n; i++)
        top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    if (!(top > 0.0f))
        return 0.0f;
    for (int k = 0; k < range.n; k++) {
        const float at = end * (range.first + range.step * (float)k) / top;
        try_scale(x, w, n, l, at, &best);
        try_scale(x, w, n, l, -at, &best);
    }
    for (int k = 0; k < 3; k++) {
        const float before = best.gain;
        try_scale(x, w, n, l, inverse(best.scale), &best);
        if (!(best.gain > before))
            break;
    }
    return best.scale;
}

float jl_fit_levels(const float *x, const float *w, int n, const jl_levels *l, float s, int8_t *q)
{
    float value[JL_FIT_MAX];
    float lane[LANES] = {0};

    nearest(x, n, l, inverse(s), value);
    for (int i = 0; i < n; i += LANES) {
        for (int k = 0; k < LANES; k++) {
            const float e = x[i + k] - s * value[i + k];
            lane[k] += w[i + k] * e * e;
        }
    }
    for (int i = 0; i < n; i++)
        q[i] = (int8_t)value[i];
    for (int i = 0; l->table && i < n; i++) {
        int index = 0;
        while (l->table[index] < q[i])
            index++;
        q[i] = (int8_t)index;
    }
    return sum_lanes(lane);
}

void jl_fit_sum(jl_fit_sums *sums, const float *x, const float *w, int n, const jl_levels *l,
                const int8_t *q, float unit)
{
    for (int i = 0; i < n; i++) {
        const double v = (double)unit * (l->table ? l->table[q[i]] : q[i]);
        sums->xq += (double)w[i] * v * (double)x[i];
        sums->qq += (double)w[i] * v * v;
    }
}

/* ---- scale and minimum ---------------------------------------------------------------------- */

static void affine_nearest(const float *x, int n, float top, jl_affine f, float *value)
{
    const float inv = inverse(f.scale);

    for (int i = 0; i < n; i++)
        value[i] = round_even(clamp((x[i] + f.min) * inv, 0.0f, top));
}

static float affine_error(const float *x, const float *w, int n, const float *value, jl_affine f)
{
    float lane[LANES] = {0};

    for (int i = 0; i < n; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            const float e = f.scale * value[i + l] - f.min - x[i + l];
            lane[l] += w[i + l] * e * e;
        }
    }
    return sum_lanes(lane);
}

/* What does not change while levels do. */
typedef struct {
    const float *x, *w;
    int n, top, any_min;
    float sum_w, sum_x; /* of w, of w x */
} affine_problem;

/* Least squares for given levels. Levels are centred first: the sums would cancel. */
static jl_affine affine_refit(const affine_problem *p, const float *value)
{
    float q_lane[LANES] = {0};
    float qq_lane[LANES] = {0};
    float qx_lane[LANES] = {0};

    for (int i = 0; i < p->n; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            const float wq = p->w[i + l] * value[i + l];
            q_lane[l] += wq;
            qq_lane[l] += wq * value[i + l];
            qx_lane[l] += wq * p->x[i + l];
        }
    }
    const double q = (double)sum_lanes(q_lane);
    const double qq = (double)sum_lanes(qq_lane);
    const double qx = (double)sum_lanes(qx_lane);
    const double det = (double)p->sum_w * qq - q * q;
    jl_affine f = {0};
    if (det > 1e-6 * (double)p->sum_w * qq) {
        f.scale = (float)(((double)p->sum_w * qx - q * (double)p->sum_x) / det);
        f.min = (float)((q * qx - qq * (double)p->sum_x) / det);
        if (f.min >= 0.0f || p->any_min)
            return f;
    }
    f.min = 0.0f;
    f.scale = qq > 0.0 ? (float)(qx / qq) : 0.0f;
    return f;
}

typedef struct {
    jl_affine f;
    float error;
} affine_fit;

/* From a start: levels, fit, and so on while it helps. */
static void try_affine(const affine_problem *p, jl_affine start, affine_fit *best)
{
    float value[JL_FIT_MAX];
    float last = INFINITY;
    jl_affine f = start;

    for (int k = 0; k < 3; k++) {
        affine_nearest(p->x, p->n, (float)p->top, f, value);
        f = affine_refit(p, value);
        if (!(f.scale > 0.0f))
            return;
        affine_nearest(p->x, p->n, (float)p->top, f, value);
        const float error = affine_error(p->x, p->w, p->n, value, f);
        if (error < best->error)
            *best = (affine_fit){f, error};
        if (!(error < 0.999f * last) || error > 1.5f * best->error)
            return;
        last = error;
    }
}

jl_affine jl_fit_affine(const float *x, const float *w, int n, int top, int any_min)
{
    affine_problem p = {.x = x, .w = w, .n = n, .top = top, .any_min = any_min};
    float low = x[0];
    float high = x[0];
    float value[JL_FIT_MAX];

    for (int i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        p.sum_w += w[i];
        p.sum_x += w[i] * x[i];
    }
    if (!any_min && low > 0.0f)
        low = 0.0f;
    if (!(high > low)) /* one value: none above 0, or all the same */
        return (jl_affine){0.0f, low < 0.0f || any_min ? -low : 0.0f};
    affine_fit best = {{(high - low) / (float)top, -low}, 0.0f};
    affine_nearest(x, n, (float)top, best.f, value);
    best.error = affine_error(x, w, n, value, best.f);
    const float room = top > 15 ? 1.0f : top > 3 ? 2.0f : 1.2f; /* levels clipped, both ends */
    for (int k = -8; k <= 12; k++) {
        const float steps = (float)top + room * (float)k / 12.0f;
        try_affine(&p, (jl_affine){(high - low) / steps, -low}, &best);
        if (k > 0 && k % 2 == 0) { /* clipped at the lower end */
            const float cut = (high - low) * (1.0f - (float)top / steps);
            try_affine(&p, (jl_affine){(high - low) / steps, -low - cut}, &best);
            try_affine(&p, (jl_affine){(high - low) / steps, -low - 0.5f * cut}, &best);
        }
    }
    return best.f;
}

float jl_affine_levels(const float *x, const float *w, int n, int top, jl_affine f, uint8_t *q)
{
    float value[JL_FIT_MAX];

    affine_nearest(x, n, (float)top, f, value);
    for (int i = 0; i < n; i++)
        q[i] = (uint8_t)value[i];
    return affine_error(x, w, n, value, f);
}

/* ---- blocks --------------------------------------------------------------------------------- */

/* Below this no format with F16 scales holds anything but 0. */
#define TINY 1e-12f

void jl_fit_prepare(const float *x, const float *importance, int n, jl_fit_block *out)
{
    float amax = 0.0f;
    float sum = 0.0f;

    for (int i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            out->amax = NAN;
            return;
        }
        amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
    }
    out->amax = amax > TINY ? amax : 0.0f;
    if (out->amax == 0.0f)
        return;
    for (int i = 0; i < n; i++)
        out->unit[i] = x[i] / amax;
    for (int i = 0; i < n && importance; i++)
        sum += importance[i];
    const float scale = inverse(sum / (float)n);
    for (int i = 0; i < n; i++) /* a floor: nothing is entirely unimportant */
        out->w[i] = scale > 0.0f ? fmaxf(importance[i] * scale, 1e-4f) : 1.0f;
}

uint16_t jl_fit_half(float scale)
{
    return jl_f32_to_f16(clamp(scale, -65504.0f, 65504.0f));
}
