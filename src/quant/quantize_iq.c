/* Quantisers of IQ2 and IQ3: magnitudes from a codebook, signs, odd sub-scales of 4 bits. */
#include <math.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/codebook.h"
#include "quant/float16.h"

enum { N = JL_QK, MAX_GROUPS = 16, ROUNDS = 3, MAX_SUB = 15, STEPS = 14 };

#define F16_NAN 0x7e00u

typedef struct {
    int group;   /* weights with one sub-scale: 16 or 32 */
    bool parity; /* an even number of negative signs in each 8 weights */
    float unit;  /* a weight is d * unit * (1 + 2 ls) * magnitude */
    float reach; /* the largest magnitude is tried at up to this many times the codebook's */
} iq_format;

typedef struct {
    uint16_t d;
    int ls[MAX_GROUPS];
    uint16_t index[N / 4]; /* per point of the codebook */
    uint8_t signs[N / 8];  /* bit j: weight j is negative */
    float error;
    float t[N]; /* x with the signs taken off: negative where parity forced a wrong one */
} iq_block;

/* Signs, and the values that the magnitudes should have. Where their number must be even, the sign
 * is flipped that costs least: a weight w held at the smallest magnitude m instead of -m is off by
 * 4 w |x| m more. */
static void take_signs(const jl_fit_block *b, const iq_format *f, iq_block *out)
{
    for (int g = 0; g < N / 8; g++) {
        const float *x = b->unit + 8 * g;
        const float *w = b->w + 8 * g;
        int cheapest = 0;
        unsigned signs = 0;
        for (int j = 0; j < 8; j++) {
            signs |= (unsigned)(x[j] < 0.0f) << j;
            cheapest = w[j] * fabsf(x[j]) < w[cheapest] * fabsf(x[cheapest]) ? j : cheapest;
            out->t[8 * g + j] = fabsf(x[j]);
        }
        unsigned odd = signs ^ signs >> 4;
        odd = (odd ^ odd >> 2 ^ odd >> 1 ^ odd >> 3) & 1;
        if (f->parity && odd) {
            signs ^= 1u << cheapest;
            out->t[8 * g + cheapest] = -out->t[8 * g + cheapest];
        }
        out->signs[g] = (uint8_t)signs;
    }
}

typedef struct {
    float scale, gain, error;
} iq_fit;

/* Points for the values t / s; the least-squares scale for them, what it explains of sum w t^2, and
 * the error with s itself. */
static iq_fit assign(const jl_codebook *c, const float *t, const float *w, int n, float s,
                     uint16_t *index)
{
    const float inv = isfinite(1.0f / s) ? 1.0f / s : 0.0f;
    float xq = 0.0f;
    float qq = 0.0f;
    float error = 0.0f;

    for (int i = 0; i < n; i += c->dim) {
        float v[8];
        for (int j = 0; j < c->dim; j++)
            v[j] = t[i + j] * inv;
        const int at = jl_codebook_search(c, v, w + i);
        const float *p = c->points + at * c->dim;
        index[i / c->dim] = (uint16_t)at;
        for (int j = 0; j < c->dim; j++) {
            const float e = t[i + j] - s * p[j];
            xq += w[i + j] * t[i + j] * p[j];
            qq += w[i + j] * p[j] * p[j];
            error += w[i + j] * e * e;
        }
    }
    const float scale = qq > 0.0f && xq > 0.0f ? xq / qq : 0.0f;
    return (iq_fit){scale, scale * xq, error};
}

/* The scale a group would like. */
static float fit_group(const jl_codebook *c, const iq_format *f, const float *t, const float *w)
{
    uint16_t index[8];
    float top = 0.0f;
    iq_fit best = {0};

    for (int i = 0; i < f->group; i++)
        top = t[i] > top ? t[i] : top;
    if (!(top > 0.0f))
        return 0.0f;
    const float end = c->level[c->n_levels - 1];
    for (int k = 0; k <= STEPS; k++) {
        const float at = 0.65f + (f->reach - 0.65f) * (float)k / (float)STEPS;
        const iq_fit fit = assign(c, t, w, f->group, top / (end * at), index);
        if (fit.gain > best.gain)
            best = fit;
    }
    for (int k = 0; k < 2; k++) {
        const iq_fit fit = assign(c, t, w, f->group, best.scale, index);
        if (!(fit.gain > best.gain))
            break;
        best = fit;
    }
    return best.scale;
}

/* Sub-scales and points for a stored d. */
static void choose(const jl_codebook *c, const jl_fit_block *b, const iq_format *f,
                   const float *want, iq_block *out)
{
    const float d = jl_half_widen(out->d) * f->unit / b->amax;
    uint16_t index[8];
    const int per_group = f->group / c->dim;

    out->error = 0.0f;
    for (int g = 0; g < N / f->group; g++) {
        const float wanted = d > 0.0f ? 0.5f * (want[g] / d - 1.0f) : 0.0f;
        const int middle = wanted < 0.0f ? 0 : wanted > MAX_SUB ? MAX_SUB : (int)rintf(wanted);
        float best = INFINITY;
        for (int ls = middle - 1; ls <= middle + 1; ls++) {
            if (ls < 0 || ls > MAX_SUB)
                continue;
            const iq_fit fit = assign(c, out->t + g * f->group, b->w + g * f->group, f->group,
                                      d * (float)(1 + 2 * ls), index);
            if (fit.error < best) {
                best = fit.error;
                out->ls[g] = ls;
                memcpy(out->index + g * per_group, index, (size_t)per_group * sizeof *index);
            }
        }
        out->error += best;
    }
}

/* Least squares for d, in units of the block's largest value. */
static float refit(const jl_codebook *c, const jl_fit_block *b, const iq_format *f,
                   const iq_block *s)
{
    double xq = 0.0;
    double qq = 0.0;

    for (int k = 0; k < N / c->dim; k++) {
        const float *p = c->points + s->index[k] * c->dim;
        const int first = k * c->dim;
        const float unit = f->unit * (float)(1 + 2 * s->ls[first / f->group]);
        for (int j = 0; j < c->dim; j++) {
            const double q = (double)(unit * p[j]);
            xq += (double)b->w[first + j] * q * (double)s->t[first + j];
            qq += (double)b->w[first + j] * q * q;
        }
    }
    return qq > 0.0 && xq > 0.0 ? (float)(xq / qq) : 0.0f;
}

static void search(const jl_codebook *c, const jl_fit_block *b, const iq_format *f,
                   const float *want, float start, iq_block *best)
{
    iq_block block = *best;
    float d = start;
    float last = INFINITY;

    for (int round = 0; round < ROUNDS; round++) {
        block.d = jl_fit_half(d * b->amax);
        choose(c, b, f, want, &block);
        if (block.error < best->error)
            *best = block;
        if (!(block.error < 0.9995f * last))
            return;
        last = block.error;
        d = refit(c, b, f, &block);
    }
}

static void quantize(const jl_quantizer *q, const jl_fit_block *b, const iq_format *f,
                     iq_block *best)
{
    float want[MAX_GROUPS];
    float top = 0.0f;

    memset(best, 0, sizeof *best);
    best->d = b->amax == 0.0f ? 0 : F16_NAN;
    if (!(b->amax > 0.0f))
        return;
    take_signs(b, f, best);
    for (int g = 0; g < N / f->group; g++) {
        want[g] = fit_group(q->codebook, f, best->t + g * f->group, b->w + g * f->group);
        top = want[g] > top ? want[g] : top;
    }
    best->error = INFINITY;
    const float d = top / (f->unit * (float)(1 + 2 * MAX_SUB));
    search(q->codebook, b, f, want, d, best);
    search(q->codebook, b, f, want, 0.93f * d, best);
    search(q->codebook, b, f, want, 1.07f * d, best);
}

/* ---- packing -------------------------------------------------------------------------------- */

void jl_quantize_iq2_xxs(const jl_quantizer *q, const jl_fit_block *b, void *dst)
{
    static const iq_format format = {32, true, 0.125f, 1.5f};
    jl_block_iq2_xxs *out = dst;
    iq_block s;

    quantize(q, b, &format, &s);
    out->d = s.d;
    for (int g = 0; g < 8; g++) {
        uint32_t codes = (uint32_t)s.ls[g] << 28;
        for (int k = 0; k < 4; k++) {
            out->qs[8 * g + k] = (uint8_t)s.index[4 * g + k];
            codes |= (uint32_t)(s.signs[4 * g + k] & 127) << 7 * k;
        }
        memcpy(out->qs + 8 * g + 4, &codes, sizeof codes);
    }
}

void jl_quantize_iq2_xs(const jl_quantizer *q, const jl_fit_block *b, void *dst)
{
    static const iq_format format = {16, true, 0.125f, 1.5f};
    jl_block_iq2_xs *out = dst;
    iq_block s;

    quantize(q, b, &format, &s);
    out->d = s.d;
    for (int k = 0; k < 32; k++)
        out->qs[k] = (uint16_t)(s.index[k] | (s.signs[k] & 127) << 9);
    for (int g = 0; g < 8; g++)
        out->scales[g] = (uint8_t)(s.ls[2 * g] | s.ls[2 * g + 1] << 4);
}

void jl_quantize_iq2_s(const jl_quantizer *q, const jl_fit_block *b, void *dst)
{
    static const iq_format format = {16, false, 0.125f, 1.5f};
    jl_block_iq2_s *out = dst;
    iq_block s;

    quantize(q, b, &format, &s);
    out->d = s.d;
    memcpy(out->signs, s.signs, sizeof out->signs);
    for (int k = 0; k < 32; k++) {
        out->qs[k] = (uint8_t)s.index[k];
        out->qh[k / 4] = (uint8_t)(out->qh[k / 4] | (s.index[k] >> 8) << 2 * (k % 4));
    }
    for (int g = 0; g < 8; g++)
        out->scales[g] = (uint8_t)(s.ls[2 * g] | s.ls[2 * g + 1] << 4);
}

void jl_quantize_iq3_xxs(const jl_quantizer *q, const jl_fit_block *b, void *dst)
{
    static const iq_format format = {32, true, 0.25f, 1.4f};
    jl_block_iq3_xxs *out = dst;
    iq_block s;

    quantize(q, b, &format, &s);
    out->d = s.d;
    for (int k = 0; k < 64; k++)
        out->qs[k] = (uint8_t)s.index[k];
    for (int g = 0; g < 8; g++) {
        uint32_t codes = (uint32_t)s.ls[g] << 28;
        for (int k = 0; k < 4; k++)
            codes |= (uint32_t)(s.signs[4 * g + k] & 127) << 7 * k;
        memcpy(out->signs + 4 * g, &codes, sizeof codes);
    }
}

void jl_quantize_iq3_s(const jl_quantizer *q, const jl_fit_block *b, void *dst)
{
    static const iq_format format = {32, false, 1.0f, 1.4f};
    jl_block_iq3_s *out = dst;
    iq_block s;

    quantize(q, b, &format, &s);
    out->d = s.d;
    memcpy(out->signs, s.signs, sizeof out->signs);
    for (int k = 0; k < 64; k++) {
        out->qs[k] = (uint8_t)s.index[k];
        out->qh[k / 8] = (uint8_t)(out->qh[k / 8] | (s.index[k] >> 8) << k % 8);
    }
    for (int g = 0; g < 8; g++)
        out->scales[g / 2] = (uint8_t)(out->scales[g / 2] | s.ls[g] << 4 * (g % 2));
}
