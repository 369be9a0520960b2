/* Recursive least squares over six terms. */
#include "power/fit.h"

#include <math.h>
#include <string.h>

/* What laptops and small servers draw, wide: W static, W of a busy package, W per fast core and per
 * thrifty core, J per GB (about 60 pJ/byte of DRAM), J per 10^12 operations. */
static const double prior_mean[JL_FIT_N] = {2.5, 1.0, 3.5, 0.8, 0.06, 1.0};
static const double prior_spread[JL_FIT_N] = {3.0, 1.5, 2.5, 0.6, 0.06, 1.0};

/* Old measurements lose this much weight per new one: machines warm up and change clocks. */
#define FORGET 0.985

void jl_fit_init(jl_fit *f)
{
    memset(f, 0, sizeof *f);
    for (int i = 0; i < JL_FIT_N; i++) {
        f->mean[i] = prior_mean[i];
        f->cov[i][i] = prior_spread[i] * prior_spread[i];
    }
}

void jl_fit_add(jl_fit *f, const double x[JL_FIT_N], double watts, double spread)
{
    double px[JL_FIT_N] = {0};
    double s = spread * spread;
    double error = watts;

    for (int i = 0; i < JL_FIT_N; i++) {
        for (int j = 0; j < JL_FIT_N; j++)
            px[i] += f->cov[i][j] * x[j];
        s += px[i] * x[i];
        error -= f->mean[i] * x[i];
    }
    if (!(s > 0.0) || !isfinite(error))
        return;
    for (int i = 0; i < JL_FIT_N; i++)
        f->mean[i] += px[i] / s * error;
    for (int i = 0; i < JL_FIT_N; i++)
        for (int j = 0; j < JL_FIT_N; j++)
            f->cov[i][j] -= px[i] * px[j] / s;
    /* Forgetting, never beyond the prior's doubt. */
    for (int i = 0; i < JL_FIT_N; i++) {
        const double most = prior_spread[i] * prior_spread[i];
        for (int j = 0; j < JL_FIT_N; j++)
            if (f->cov[i][i] < most && f->cov[j][j] < prior_spread[j] * prior_spread[j])
                f->cov[i][j] /= FORGET;
    }
}

double jl_fit_watts(const jl_fit *f, const double x[JL_FIT_N], double *spread)
{
    double watts = 0.0;
    double var = 0.0;

    for (int i = 0; i < JL_FIT_N; i++) {
        watts += (f->mean[i] > 0.0 ? f->mean[i] : 0.0) * x[i];
        for (int j = 0; j < JL_FIT_N; j++)
            var += x[i] * f->cov[i][j] * x[j];
    }
    if (spread)
        *spread = var > 0.0 ? sqrt(var) : 0.0;
    return watts;
}

void jl_fit_doubt(jl_fit *f)
{
    for (int i = 0; i < JL_FIT_N; i++)
        f->cov[i][i] += 0.1 * prior_spread[i] * prior_spread[i];
}
