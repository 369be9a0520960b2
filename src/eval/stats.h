/* Means, order statistics and their errors. */
#ifndef JL_EVAL_STATS_H
#define JL_EVAL_STATS_H

#include <stddef.h>

#include "joule/eval.h"

/* Sums of a series; zero-initialised. */
typedef struct {
    size_t n;
    double sum, squares;
} jl_series;

static inline void jl_series_add(jl_series *s, double v)
{
    s->n++;
    s->sum += v;
    s->squares += v * v;
}

/* Mean and standard error of the mean; error 0 for fewer than two values. */
jl_estimate jl_series_mean(const jl_series *s);

/* The q-quantile (0..1) of sorted values [n >= 1], interpolated. Its error is half the distance of
 * the values whose rank is one standard deviation, sqrt(n q (1 - q)), lower and higher. */
jl_estimate jl_quantile(const float *sorted, size_t n, double q);

/* Sorts ascending. */
void jl_sort_f32(float *v, size_t n);

/* ln(sum exp(x)) over [n], -inf entries left out; *max is the largest. NaN if any value is NaN. */
double jl_log_sum_exp(const float *x, size_t n, float *max);

#endif
