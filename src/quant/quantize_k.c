/* Quantisers of super-blocks with integer sub-scales: Q2_K to Q6_K and IQ4_XS. Each group is
 * fitted for itself first; then the integers of the scales and the super-block's F16 scales
 * follow each other: the integers by trying the neighbours of the wanted value, the F16 scales
 * by least squares. */
#include <math.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/float16.h"
#include "quant/quantizer.h"

enum { N = JL_QK, MAX_GROUPS = 16, ROUNDS = 3 };

#define F16_NAN 0x7e00u

static int round_clamp(float v, int low, int high)
{
    if (!(v > (float)low))
        return low;
    return v >= (float)high ? high : (int)rintf(v);
}

static float ratio(float a, float b)
{
    const float r = a / b;

    return isfinite(r) ? r : 0.0f;
}

/* ---- x ~ d * sc * level --------------------------------------------------------------------- */

typedef struct {
    int group; /* weights */
    int low, high; /* of sub-scales; |low| >= high */
    jl_levels levels;
} scaled_format;

typedef struct {
    uint16_t d;
    int sc[MAX_GROUPS];
    int8_t q[N];
    float error;
} scaled_block;

/* Sub-scales and levels for a stored d; want: the scales that the groups would like. */
static void choose_scaled(const jl_fit_block *b, const scaled_format *f, const float *want,
                          scaled_block *out)
{
    const float d = jl_half_widen(out->d) / b->amax;
    int8_t q[JL_FIT_MAX];

    out->error = 0.0f;
    for (int g = 0; g < N / f->group; g++) {
        const float *x = b->unit + g * f->group;
        const float *w = b->w + g * f->group;
        const int middle = round_clamp(ratio(want[g], d), f->low, f->high);
        float best = INFINITY;
        for (int sc = middle - 1; sc <= middle + 1; sc++) {
            if (sc < f->low || sc > f->high)
                continue;
            const float error = jl_fit_levels(x, w, f->group, &f->levels, d * (float)sc, q);
            if (error < best) {
                best = error;
                out->sc[g] = sc;
                memcpy(out->q + g * f->group, q, (size_t)f->group);
            }
        }
        out->error += best;
    }
}

static float refit_scaled(const jl_fit_block *b, const scaled_format *f, const scaled_block *block)
{
    jl_fit_sums sums = {0};

    for (int g = 0; g < N / f->group; g++)
        jl_fit_sum(&sums, b->unit + g * f->group, b->w + g * f->group, f->group, &f->levels,
                   block->q + g * f->group, (float)block->sc[g]);
    return sums.qq > 0.0 ? (float)(sums.xq / sums.qq) : 0.0f;
}

static void quantize_scaled(const jl_fit_block *b, const scaled_format *f, scaled_block *best)
{
    float want[MAX_GROUPS];
    float top = 0.0f;

    memset(best, 0, sizeof *best);
    best->d = b->amax == 0.0f ? 0 : F16_NAN;
    if (!(b->amax > 0.0f))
        return;
    for (int g = 0; g < N / f->group; g++) {
        want[g] = jl_fit_scale(b->unit + g * f->group, b->w + g * f->group, f->group, &f->levels);
        top = fabsf(want[g]) > fabsf(top) ? want[g] : top;
    }
    scaled_block block;
    float d = top / (float)f->low;
    best->error = INFINITY;
    for (int round = 0; round < ROUNDS; round++) {
        block.d = jl_fit_half(d * b->amax);
        choose_scaled(b, f, want, &block);
        if (!(block.error < best->error))
            break;
        *best = block;
        d = refit_scaled(b, f, &block);
    }
}

void jl_quantize_q3_k(const jl_quantizer *quantizer, const jl_fit_block *b, void *dst)
{
    static const scaled_format format = {16, -32, 31, {-4, 3, NULL}};
    jl_block_q3_k *out = dst;
    scaled_block s;

    (void)quantizer;
    quantize_scaled(b, &format, &s);
    out->d = s.d;
    for (int g = 0; g < 16; g++) {
        const int sc = s.sc[g] + 32;
        out->scales[g % 8] = (uint8_t)(out->scales[g % 8] | (sc & 15) << 4 * (g / 8));
        out->scales[8 + g % 4] = (uint8_t)(out->scales[8 + g % 4] | (sc >> 4) << 2 * (g / 4));
    }
    for (int i = 0; i < N; i++) {
        const int q = s.q[i] + 4;
        const int at = 32 * (i / 128) + i % 32;
        out->qs[at] = (uint8_t)(out->qs[at] | (q & 3) << 2 * (i / 32 % 4));
        out->hmask[i % 32] = (uint8_t)(out->hmask[i % 32] | (q >> 2) << i / 32);
    }
}

void jl_quantize_q6_k(const jl_quantizer *quantizer, const jl_fit_block *b, void *dst)
{
    static const scaled_format format = {16, -128, 127, {-32, 31, NULL}};
    jl_block_q6_k *out = dst;
    scaled_block s;

    (void)quantizer;
    quantize_scaled(b, &format, &s);
    out->d = s.d;
    for (int g = 0; g < 16; g++)
        out->scales[g] = (int8_t)s.sc[g];
    for (int i = 0; i < N; i++) {
        const int q = s.q[i] + 32;
        const int at = 64 * (i / 128) + i % 64;
        const int high = 32 * (i / 128) + i % 32;
        out->ql[at] = (uint8_t)(out->ql[at] | (q & 15) << 4 * (i / 64 % 2));
        out->qh[high] = (uint8_t)(out->qh[high] | (q >> 4) << 2 * (i / 32 % 4));
    }
}

void jl_quantize_iq4_xs(const jl_quantizer *quantizer, const jl_fit_block *b, void *dst)
{
    static const scaled_format format = {32, -32, 31, {-127, 113, jl_iq4_values}};
    jl_block_iq4_xs *out = dst;
    scaled_block s;

    (void)quantizer;
    quantize_scaled(b, &format, &s);
    out->d = s.d;
    for (int g = 0; g < 8; g++) {
        const int sc = s.sc[g] + 32;
        out->scales_l[g / 2] = (uint8_t)(out->scales_l[g / 2] | (sc & 15) << 4 * (g % 2));
        out->scales_h = (uint16_t)(out->scales_h | (sc >> 4) << 2 * g);
        for (int j = 0; j < 16; j++)
            out->qs[16 * g + j] = (uint8_t)(s.q[32 * g + j] | s.q[32 * g + 16 + j] << 4);
    }
}

/* ---- x ~ d * sc * level - dmin * mn --------------------------------------------------------- */

typedef struct {
    int group; /* weights */
    int top;   /* largest level */
    int max;   /* largest sub-scale and sub-minimum */
} affine_format;

typedef struct {
    uint16_t d, dmin;
    uint8_t sc[MAX_GROUPS], mn[MAX_GROUPS];
    uint8_t q[N];
    float error;
} affine_block;

static void choose_group(const jl_fit_block *b, const affine_format *f, int g, jl_affine want,
                         affine_block *out)
{
    const float d = jl_half_widen(out->d) / b->amax;
    const float dmin = jl_half_widen(out->dmin) / b->amax;
    const int sc0 = round_clamp(ratio(want.scale, d), 0, f->max);
    const int mn0 = round_clamp(ratio(want.min, dmin), 0, f->max);
    const float *x = b->unit + g * f->group;
    const float *w = b->w + g * f->group;
    uint8_t q[JL_FIT_MAX];
    float best = INFINITY;

    for (int sc = sc0 - 1; sc <= sc0 + 1; sc++) {
        for (int mn = mn0 - 1; mn <= mn0 + 1; mn++) {
            if (sc < 0 || sc > f->max || mn < 0 || mn > f->max)
                continue;
            const jl_affine a = {d * (float)sc, dmin * (float)mn};
            const float error = jl_affine_levels(x, w, f->group, f->top, a, q);
            if (error < best) {
                best = error;
                out->sc[g] = (uint8_t)sc;
                out->mn[g] = (uint8_t)mn;
                memcpy(out->q + g * f->group, q, (size_t)f->group);
            }
        }
    }
    out->error += best;
}

/* Least squares for (d, dmin) given all integers. */
static jl_affine refit_affine(const jl_fit_block *b, const affine_format *f, const affine_block *s)
{
    double aa = 0.0;
    double ab = 0.0;
    double bb = 0.0;
    double ax = 0.0;
    double bx = 0.0;

    for (int i = 0; i < N; i++) {
        const int g = i / f->group;
        const double w = (double)b->w[i];
        const double va = s->sc[g] * s->q[i];
        const double vb = -(double)s->mn[g];
        aa += w * va * va;
        ab += w * va * vb;
        bb += w * vb * vb;
        ax += w * va * (double)b->unit[i];
        bx += w * vb * (double)b->unit[i];
    }
    const double det = aa * bb - ab * ab;
    if (det > 1e-9 * aa * bb) {
        const jl_affine both = {(float)((ax * bb - bx * ab) / det),
                                (float)((aa * bx - ab * ax) / det)};
        if (both.scale >= 0.0f && both.min >= 0.0f)
            return both;
    }
    return (jl_affine){aa > 0.0 ? (float)(ax / aa) : 0.0f, 0.0f};
}

static void search_affine(const jl_fit_block *b, const affine_format *f, const jl_affine *want,
                          jl_affine start, affine_block *best)
{
    affine_block block;
    jl_affine d = start;
    float last = INFINITY;

    for (int round = 0; round < ROUNDS; round++) {
        block.d = jl_fit_half(d.scale * b->amax);
        block.dmin = jl_fit_half(d.min * b->amax);
        block.error = 0.0f;
        for (int g = 0; g < N / f->group; g++)
            choose_group(b, f, g, want[g], &block);
        if (block.error < best->error)
            *best = block;
        if (!(block.error < last))
            return;
        last = block.error;
        d = refit_affine(b, f, &block);
    }
}

static void quantize_affine(const jl_fit_block *b, const affine_format *f, affine_block *best)
{
    jl_affine want[MAX_GROUPS];
    jl_affine top = {0};

    memset(best, 0, sizeof *best);
    best->d = best->dmin = b->amax == 0.0f ? 0 : F16_NAN;
    if (!(b->amax > 0.0f))
        return;
    for (int g = 0; g < N / f->group; g++) {
        want[g] = jl_fit_affine(b->unit + g * f->group, b->w + g * f->group, f->group, f->top, 0);
        top.scale = fmaxf(top.scale, want[g].scale);
        top.min = fmaxf(top.min, want[g].min);
    }
    best->error = INFINITY;
    const jl_affine d = {top.scale / (float)f->max, top.min / (float)f->max};
    search_affine(b, f, want, d, best);
    if (f->max > 15)
        return;
    /* Few sub-scales: the largest group need not have the largest integer. */
    for (int k = 1; k <= 3; k++) {
        search_affine(b, f, want, (jl_affine){d.scale * (1.0f - 0.07f * (float)k), d.min}, best);
        search_affine(b, f, want, (jl_affine){d.scale, d.min * (1.0f - 0.07f * (float)k)}, best);
        search_affine(b, f, want,
                      (jl_affine){d.scale * (1.0f + 0.04f * (float)k),
                                  d.min * (1.0f + 0.04f * (float)k)},
                      best);
    }
}

void jl_quantize_q2_k(const jl_quantizer *quantizer, const jl_fit_block *b, void *dst)
{
    static const affine_format format = {16, 3, 15};
    jl_block_q2_k *out = dst;
    affine_block a;

    (void)quantizer;
    quantize_affine(b, &format, &a);
    out->d = a.d;
    out->dmin = a.dmin;
    for (int g = 0; g < 16; g++)
        out->scales[g] = (uint8_t)(a.sc[g] | a.mn[g] << 4);
    for (int i = 0; i < N; i++) {
        const int at = 32 * (i / 128) + i % 32;
        out->qs[at] = (uint8_t)(out->qs[at] | a.q[i] << 2 * (i / 32 % 4));
    }
}

/* The inverse of jl_q4k_scale_min for all eight groups. */
static void pack_scales(const affine_block *a, uint8_t scales[12])
{
    for (int j = 0; j < 4; j++) {
        scales[j] = (uint8_t)(a->sc[j] | (a->sc[j + 4] >> 4) << 6);
        scales[j + 4] = (uint8_t)(a->mn[j] | (a->mn[j + 4] >> 4) << 6);
        scales[j + 8] = (uint8_t)((a->sc[j + 4] & 15) | (a->mn[j + 4] & 15) << 4);
    }
}

static void pack_nibbles(const uint8_t q[N], uint8_t qs[128])
{
    for (int p = 0; p < 4; p++)
        for (int l = 0; l < 32; l++)
            qs[32 * p + l] = (uint8_t)((q[64 * p + l] & 15) | (q[64 * p + 32 + l] & 15) << 4);
}

void jl_quantize_q4_k(const jl_quantizer *quantizer, const jl_fit_block *b, void *dst)
{
    static const affine_format format = {32, 15, 63};
    jl_block_q4_k *out = dst;
    affine_block a;

    (void)quantizer;
    quantize_affine(b, &format, &a);
    out->d = a.d;
    out->dmin = a.dmin;
    pack_scales(&a, out->scales);
    pack_nibbles(a.q, out->qs);
}

void jl_quantize_q5_k(const jl_quantizer *quantizer, const jl_fit_block *b, void *dst)
{
    static const affine_format format = {32, 31, 63};
    jl_block_q5_k *out = dst;
    affine_block a;

    (void)quantizer;
    quantize_affine(b, &format, &a);
    out->d = a.d;
    out->dmin = a.dmin;
    pack_scales(&a, out->scales);
    pack_nibbles(a.q, out->qs);
    for (int i = 0; i < N; i++)
        out->qh[i % 32] = (uint8_t)(out->qh[i % 32] | (a.q[i] >> 4) << i / 32);
}
