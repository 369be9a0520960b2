/* The quantiser of JQ4: a group of 16 rows at a time. For given row scales every 4 rows x 8 columns
 * choose their table for themselves; then each scale is fitted to what its row chose, and so on
 * while the error falls. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/float16.h"
#include "quant/quantizer.h"

enum { R = JL_JQ4_ROWS, N = 32 /* weights of a block */, ROUNDS = 6, LANES = 8 };

#define F16_NAN 0x7e00u

typedef struct {
    const float *x;          /* [16][n] */
    const float *importance; /* [n] or NULL */
    float floor;             /* least importance of a column */
    size_t n;
    float d[R];              /* row scales, as stored */
    double xq[R], qq[R];     /* sums for the scale that fits the chosen levels best */
} group;

/* One block: values in units of its rows' scales, and what a squared error costs. */
typedef struct {
    float v[N], w[N];
    float top; /* largest |v| */
} block;

/* Tables as floats, with the borders between their values. */
typedef struct {
    float low, top;       /* first value, largest magnitude */
    float step[15], border[15];
} float_table;

static float_table widen(const int8_t values[16])
{
    float_table t = {.low = (float)values[0]};

    for (int k = 0; k < 15; k++) {
        t.step[k] = (float)(values[k + 1] - values[k]);
        t.border[k] = 0.5f * (float)(values[k + 1] + values[k]);
    }
    t.top = fmaxf(fabsf((float)values[0]), fabsf((float)values[15]));
    return t;
}

static float importance_of(const group *g, size_t column)
{
    return g->importance ? fmaxf(g->importance[column], g->floor) : 1.0f;
}

static void take_block(const group *g, size_t row, size_t column, block *b)
{
    b->top = 0.0f;
    for (int i = 0; i < N; i++) {
        const size_t r = row + (size_t)i / 8;
        const size_t k = column + (size_t)i % 8;
        const float d = g->d[r];
        const float v = d > 0.0f ? g->x[r * g->n + k] / d : 0.0f;
        b->v[i] = v < -1e4f ? -1e4f : v > 1e4f ? 1e4f : v;
        b->w[i] = d * d * importance_of(g, k);
        b->top = fmaxf(b->top, fabsf(b->v[i]));
    }
}

/* The nearest values of the table; the error, in lanes so that compilers make vector code. */
static float nearest(const float_table *t, const block *b, float out[N])
{
    float value[N];
    float lane[LANES] = {0};

    for (int i = 0; i < N; i++)
        value[i] = t->low;
    for (int k = 0; k < 15; k++) {
        const float border = t->border[k];
        const float step = t->step[k];
        for (int i = 0; i < N; i++)
            value[i] += b->v[i] > border ? step : 0.0f;
    }
    for (int i = 0; i < N; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            const float e = b->v[i + l] - value[i + l];
            lane[l] += b->w[i + l] * e * e;
        }
    }
    memcpy(out, value, sizeof value);
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* The best table; tables far too wide or too narrow are not tried unless none is left. */
static int best_table(const float_table tables[JL_JQ4_TABLES], const block *b, float value[N],
                      float *error)
{
    float trial[N];
    int best = -1;

    for (int pass = 0; pass < 2 && best < 0; pass++) {
        *error = INFINITY;
        for (int c = 0; c < JL_JQ4_TABLES; c++) {
            const float top = tables[c].top;
            if (pass == 0 && (top > 1.4f * b->top + 2.0f || top < 0.7f * b->top))
                continue;
            const float e = nearest(&tables[c], b, trial);
            if (e < *error) {
                *error = e;
                best = c;
                memcpy(value, trial, sizeof trial);
            }
        }
    }
    return best < 0 ? 0 : best;
}

/* Writes a block's nibbles and notes what the scales of its rows would like. */
static void put_block(group *g, size_t row, size_t column, const int8_t table[16],
                      const float value[N], uint8_t *tiles)
{
    for (size_t i = 0; i < N; i++) {
        const size_t r = row + i / 8;
        const size_t k = column + i % 8;
        const double wq = (double)(importance_of(g, k) * value[i]);
        uint8_t *to = tiles + 8 * column + 4 * r + i % 4;
        unsigned index = 0;
        while (index < 15 && (float)table[index] < value[i])
            index++;
        *to = (uint8_t)(i % 8 < 4 ? index : *to | index << 4);
        g->xq[r] += wq * (double)g->x[r * g->n + k];
        g->qq[r] += wq * (double)value[i];
    }
}

/* Chooses all tables for the scales in g and writes codes and nibbles. Returns the error. */
static double choose(group *g, const float_table tables[JL_JQ4_TABLES], uint8_t *dst)
{
    uint8_t *codes = dst + 2 * R;
    uint8_t *tiles = codes + jl_jq4_code_bytes(g->n);
    double total = 0.0;

    memset(g->xq, 0, sizeof g->xq);
    memset(g->qq, 0, sizeof g->qq);
    memset(codes, 0, (size_t)jl_jq4_code_bytes(g->n));
    for (size_t k = 0; k < g->n; k += 8) {
        uint32_t packed = 0;
        for (size_t quad = 0; quad < 4; quad++) {
            block b;
            float value[N] = {0};
            float error;
            take_block(g, 4 * quad, k, &b);
            const int code = best_table(tables, &b, value, &error);
            total += (double)error;
            packed |= (uint32_t)code << 6 * quad;
            put_block(g, 4 * quad, k, jl_jq4_values[code], value, tiles);
        }
        for (size_t j = 0; j < 3; j++)
            codes[k / 8 * 3 + j] = (uint8_t)(packed >> 8 * j);
    }
    return total;
}

/* Row scales and the error they lead to. */
typedef struct {
    uint16_t half[R];
    double error;
} jq4_fit;

static void set_scale(group *g, size_t r, float d, jq4_fit *fit)
{
    fit->half[r] = jl_fit_half(d);
    g->d[r] = jl_half_widen(fit->half[r]);
}

/* From the scales in `from`. Keeps the best. */
static void search(group *g, const float_table tables[JL_JQ4_TABLES], const float from[R],
                   jq4_fit *best, uint8_t *dst)
{
    jq4_fit fit;
    double last = INFINITY;

    for (size_t r = 0; r < R; r++)
        set_scale(g, r, from[r], &fit);
    for (int round = 0; round < ROUNDS; round++) {
        fit.error = choose(g, tables, dst);
        if (fit.error < best->error)
            *best = fit;
        if (!(fit.error < 0.9995 * last))
            return;
        last = fit.error;
        for (size_t r = 0; r < R; r++)
            if (g->qq[r] > 0.0 && g->xq[r] > 0.0)
                set_scale(g, r, (float)(g->xq[r] / g->qq[r]), &fit);
    }
}

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a;
    const float y = *(const float *)b;

    return x < y ? -1 : x > y;
}

/* Where the search begins. Four rows share a table, so what counts is that a block's values are
 * of one size in all of them: scales in proportion to the rows' root mean squares, such that the
 * middle row's largest weight comes to 127 / reach. A row with an outlier gets a scale that holds
 * it. */
static void first_scales(const group *g, const float amax[R], float reach, float out[R])
{
    float rms[R];
    float peak[R]; /* of rows that are not zero */
    size_t n_peaks = 0;

    for (size_t r = 0; r < R; r++) {
        double sum = 0.0;
        for (size_t k = 0; k < g->n && amax[r] > 0.0f; k++)
            sum += pow((double)(g->x[r * g->n + k] / amax[r]), 2.0);
        rms[r] = amax[r] * (float)sqrt(sum / (double)g->n);
        if (rms[r] > 0.0f)
            peak[n_peaks++] = amax[r] / rms[r];
    }
    qsort(peak, n_peaks, sizeof *peak, by_size);
    const float middle = n_peaks ? peak[n_peaks / 2] : 0.0f;
    for (size_t r = 0; r < R; r++)
        out[r] = fmaxf(rms[r] * middle * reach, 0.9f * amax[r]) / 127.0f;
}

/* Largest magnitude of each row, 0 for one that holds a NaN or infinity: bit r of the result. */
static unsigned row_tops(const group *g, float amax[R])
{
    unsigned bad = 0;

    for (size_t r = 0; r < R; r++) {
        amax[r] = 0.0f;
        for (size_t k = 0; k < g->n; k++) {
            const float v = fabsf(g->x[r * g->n + k]);
            bad |= v <= FLT_MAX ? 0 : 1u << r;
            amax[r] = v > amax[r] ? v : amax[r];
        }
        amax[r] = bad >> r & 1 ? 0.0f : amax[r];
    }
    return bad;
}

/* Nothing is entirely unimportant. */
static float importance_floor(const float *importance, size_t n)
{
    double sum = 0.0;

    for (size_t k = 0; k < n; k++)
        sum += (double)importance[k];
    return sum > 0.0 ? (float)(1e-4 * sum / (double)n) : 1.0f;
}

void jl_quantize_jq4(const float *x, const float *importance, size_t n, void *dst)
{
    group g = {.x = x, .importance = importance, .n = n};
    float_table tables[JL_JQ4_TABLES];
    float amax[R];
    jq4_fit best = {.error = INFINITY};
    uint8_t *out = dst;

    if (importance)
        g.floor = importance_floor(importance, n);
    for (int c = 0; c < JL_JQ4_TABLES; c++)
        tables[c] = widen(jl_jq4_values[c]);
    const unsigned bad = row_tops(&g, amax);
    for (int start = 0; start < 2; start++) {
        float scales[R];
        first_scales(&g, amax, 1.0f + 0.12f * (float)start, scales);
        search(&g, tables, scales, &best, out);
    }
    for (size_t r = 0; r < R; r++)
        g.d[r] = jl_half_widen(best.half[r]);
    choose(&g, tables, out);
    for (size_t r = 0; r < R; r++) {
        const uint16_t half = bad >> r & 1 ? F16_NAN : best.half[r];
        out[2 * r] = (uint8_t)(half & 0xff);
        out[2 * r + 1] = (uint8_t)(half >> 8);
    }
}
