/* Fitting a few values to integers times a scale: the searches that all quantisers share. Errors
 * are sums of w (x - y)^2 with weights w > 0. Values are scaled so that the largest magnitude of
 * a block is near 1; n is a multiple of 8, at most 32. */
#ifndef JL_QUANT_SEARCH_H
#define JL_QUANT_SEARCH_H

#include <stdint.h>

enum { JL_FIT_MAX = 32 };

/* The integers a format has: all from low to high, or the 16 of the IQ4 table. */
typedef struct {
    int low, high;
    const int8_t *table; /* NULL: all integers */
} jl_levels;

/* Scale s that makes the error of x ~ s q smallest, of either sign; 0 if all x are 0. */
float jl_fit_scale(const float *x, const float *w, int n, const jl_levels *levels);

/* Nearest level to each x / s; for a table its index. Returns the error. */
float jl_fit_levels(const float *x, const float *w, int n, const jl_levels *levels, float s,
                    int8_t *q);

/* Sums for the least-squares scale of chosen levels: s = xq / qq. */
typedef struct {
    double xq, qq;
} jl_fit_sums;
void jl_fit_sum(jl_fit_sums *sums, const float *x, const float *w, int n, const jl_levels *levels,
                const int8_t *q, float unit);

/* x ~ scale q - min with 0 <= q <= top. */
typedef struct {
    float scale, min;
} jl_affine;

/* The best scale >= 0 and min, min >= 0 unless any_min. */
jl_affine jl_fit_affine(const float *x, const float *w, int n, int top, int any_min);
/* Nearest levels for a given scale and min. Returns the error. */
float jl_affine_levels(const float *x, const float *w, int n, int top, jl_affine f, uint8_t *q);

/* A block made ready: unit[i] = x[i] / amax, weights positive with mean 1. */
typedef struct {
    float amax; /* 0: nothing to do, all weights are 0 (or too small for any format); NaN: some x
                 * is not finite */
    float unit[256];
    float w[256];
} jl_fit_block;

/* importance: [n] or NULL for equal weights. */
void jl_fit_prepare(const float *x, const float *importance, int n, jl_fit_block *out);

/* F16 bits of a scale, held within the finite range. */
uint16_t jl_fit_half(float scale);

#endif
