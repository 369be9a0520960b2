/* Means, order statistics and their errors. */
#include "eval/stats.h"

#include <math.h>
#include <stdlib.h>

jl_estimate jl_series_mean(const jl_series *s)
{
    jl_estimate e = {0};

    if (s->n == 0)
        return e;
    e.value = s->sum / (double)s->n;
    if (s->n < 2)
        return e;
    const double variance = s->squares / (double)s->n - e.value * e.value;
    e.error = sqrt(fmax(variance, 0.0) / (double)(s->n - 1));
    return e;
}

/* The value at a rank that need not be whole, clamped to the ends. */
static double at_rank(const float *sorted, size_t n, double rank)
{
    if (rank <= 0.0)
        return (double)sorted[0];
    if (rank >= (double)(n - 1))
        return (double)sorted[n - 1];
    const size_t i = (size_t)rank;
    const double part = rank - (double)i;
    return (1.0 - part) * (double)sorted[i] + part * (double)sorted[i + 1];
}

jl_estimate jl_quantile(const float *sorted, size_t n, double q)
{
    const double rank = q * (double)(n - 1);
    const double spread = sqrt((double)n * q * (1.0 - q));

    return (jl_estimate){
        at_rank(sorted, n, rank),
        0.5 * (at_rank(sorted, n, rank + spread) - at_rank(sorted, n, rank - spread))};
}

static int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a;
    const float y = *(const float *)b;

    return x < y ? -1 : x > y;
}

void jl_sort_f32(float *v, size_t n)
{
    qsort(v, n, sizeof *v, ascending);
}

double jl_log_sum_exp(const float *x, size_t n, float *max)
{
    float top = -INFINITY;
    double sum = 0.0;

    for (size_t i = 0; i < n; i++)
        top = x[i] > top ? x[i] : top;
    for (size_t i = 0; i < n; i++)
        sum += (double)expf(x[i] - top);
    *max = top;
    return (double)top + log(sum);
}
