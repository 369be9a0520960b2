/* The extended Kalman filter of the power model. */
#include "power/power_model.h"

#include <math.h>
#include <string.h>

/* What laptops and small servers draw, wide: W static, W of a busy package, W per fast core and per
 * thrifty core, J per GB (about 60 pJ/byte of DRAM), J per 10^12 operations, and W by which a fast
 * core draws less when all of them work. */
static const double prior_mean[1 + JL_PM_TERMS] = {2.5, 1.0, 3.5, 0.8, 0.06, 1.0, -0.8};
static const double prior_spread[1 + JL_PM_TERMS] = {3.0, 1.5, 2.5, 0.6, 0.06, 1.0, 1.0};

#define DEVIATION 0.15 /* of a setting from the sum of its terms */
#define ALIKE     0.6  /* correlation of the deviations of n and 2n cores of a kind */
#define WARMS     0.01 /* of all power: how much what is there anyway may change in a second */
#define DRIFTS    0.03 /* likewise a deviation */
#define KINDS     0.5  /* correlation of the prices of the two kinds of cores */
/* When the machine has changed: */
#define CLOCK_POWER 2.0  /* power of a core goes with its clock to this power */
#define TOGETHER    0.5  /* doubt about a factor of all prices of cores, */
#define APART       0.1  /* of each price alone, */
#define STILL       0.1  /* of what is there anyway, */
#define OWN_WAY     0.08 /* of the deviations of settings, */
#define KEEPS       0.7  /* of which so much is kept */

static double square(double x)
{
    return x * x;
}

static double clipped(double x)
{
    return x > 0.0 ? x : 0.0;
}

/* Doubt about the deviations of the settings from the sum of their terms. */
static void add_deviations(jl_power_model *m, double spread)
{
    for (uint32_t i = 0; i < m->n_settings; i++)
        for (uint32_t j = 0; j < m->n_settings; j++) {
            const jl_pm_setting *a = &m->setting[i];
            const jl_pm_setting *b = &m->setting[j];
            const double apart = fabs(log2((double)a->cores / (double)b->cores));
            const double c = a->kind != b->kind ? 0.0 : pow(ALIKE, apart);
            for (uint32_t p = 0; p < JL_PM_PHASES; p++) {
                const uint32_t at = JL_PM_DEVIATION + p * JL_PM_SETTINGS;
                m->cov[at + i][at + j] += square(spread) * c;
            }
        }
}

/* Doubt that knows nothing yet: of each term alone, except that the prices of all cores go
 * together, and of the deviations. */
static void doubt_afresh(jl_power_model *m, const double spread[1 + JL_PM_TERMS])
{
    const int fast = JL_PM_TERM + JL_PM_FAST;
    const int thrifty = JL_PM_TERM + JL_PM_THRIFTY;

    memset(m->cov, 0, sizeof m->cov);
    for (int i = 0; i < 1 + JL_PM_TERMS; i++)
        m->cov[i][i] = square(spread[i]);
    m->cov[fast][thrifty] = m->cov[thrifty][fast] = KINDS * spread[fast] * spread[thrifty];
    add_deviations(m, DEVIATION);
}

void jl_pm_init(jl_power_model *m, const jl_pm_setting *settings, uint32_t n)
{
    memset(m, 0, sizeof *m);
    memcpy(m->setting, settings, n * sizeof *settings);
    m->n_settings = n;
    memcpy(m->mean, prior_mean, sizeof prior_mean);
    doubt_afresh(m, prior_spread);
}

void jl_pm_changed(jl_power_model *m, double ratio)
{
    static const int prices[] = {JL_PM_FAST, JL_PM_THRIFTY, JL_PM_CROWD, JL_PM_OPS};
    double common[JL_PM_N] = {0};
    const double clocks = pow(ratio, CLOCK_POWER);

    for (size_t i = 0; i < sizeof prices / sizeof *prices; i++) {
        const int at = JL_PM_TERM + prices[i];
        m->mean[at] *= clocks;
        for (int j = 0; j < JL_PM_N; j++)
            m->cov[at][j] *= clocks;
        for (int j = 0; j < JL_PM_N; j++)
            m->cov[j][at] *= clocks;
        common[at] = TOGETHER * m->mean[at];
    }
    for (int i = 0; i < 1 + JL_PM_TERMS; i++) {
        m->cov[i][i] += square((i == JL_PM_STATIC ? STILL : APART) * m->mean[i]);
        for (int j = 0; j < 1 + JL_PM_TERMS; j++)
            m->cov[i][j] += common[i] * common[j];
    }
    for (int i = JL_PM_DEVIATION; i < JL_PM_LATE; i++)
        m->mean[i] *= KEEPS;
    add_deviations(m, OWN_WAY);
}

double jl_pm_static(const jl_power_model *m)
{
    return m->mean[JL_PM_STATIC] > 0.05 ? m->mean[JL_PM_STATIC] : 0.05;
}

static double terms(const jl_power_model *m, const double x[JL_PM_TERMS])
{
    double watts = 0.0;

    for (int i = 0; i < JL_PM_CROWD; i++)
        watts += clipped(m->mean[JL_PM_TERM + i]) * x[i];
    const double least = 0.3 * watts + 0.02;
    watts += m->mean[JL_PM_TERM + JL_PM_CROWD] * x[JL_PM_CROWD];
    return watts > least ? watts : least;
}

static double factor(const jl_power_model *m, uint32_t k)
{
    const double d = m->mean[JL_PM_DEVIATION + k];

    return 1.0 + (d < -0.6 ? -0.6 : d > 1.5 ? 1.5 : d);
}

double jl_pm_slope(const jl_power_model *m, uint32_t k, const double x[JL_PM_TERMS])
{
    return terms(m, x) * factor(m, k);
}

void jl_pm_begin(const jl_power_model *m, jl_pm_span *s)
{
    memset(s, 0, sizeof *s);
    s->watts = jl_pm_static(m);
    s->by[JL_PM_STATIC] = 1.0;
}

void jl_pm_work(const jl_power_model *m, jl_pm_span *s, uint32_t k, double share,
                const double x[JL_PM_TERMS])
{
    const double sum = terms(m, x);

    s->watts += share * sum * factor(m, k);
    for (int i = 0; i < JL_PM_TERMS; i++)
        s->by[JL_PM_TERM + i] += share * x[i] * factor(m, k);
    s->by[JL_PM_DEVIATION + k] += share * sum;
}

double jl_pm_doubt(const jl_power_model *m, const jl_pm_span *s)
{
    double var = 0.0;

    for (int i = 0; i < JL_PM_N; i++)
        if (s->by[i] != 0.0)
            for (int j = 0; j < JL_PM_N; j++)
                var += s->by[i] * m->cov[i][j] * s->by[j];
    return var > 0.0 ? sqrt(var) : 0.0;
}

/* The error of this reading becomes that of the one before. */
static void shift_late(jl_power_model *m)
{
    m->mean[JL_PM_LATE] = m->mean[JL_PM_LATE_NEW];
    for (int i = 0; i < JL_PM_N; i++)
        m->cov[i][JL_PM_LATE] = m->cov[i][JL_PM_LATE_NEW];
    for (int i = 0; i < JL_PM_N; i++)
        m->cov[JL_PM_LATE][i] = m->cov[i][JL_PM_LATE];
    m->cov[JL_PM_LATE][JL_PM_LATE] = m->cov[JL_PM_LATE_NEW][JL_PM_LATE_NEW];
}

static void new_late(jl_power_model *m, double late_j)
{
    m->mean[JL_PM_LATE_NEW] = 0.0;
    for (int i = 0; i < JL_PM_N; i++)
        m->cov[i][JL_PM_LATE_NEW] = m->cov[JL_PM_LATE_NEW][i] = 0.0;
    m->cov[JL_PM_LATE_NEW][JL_PM_LATE_NEW] = square(late_j);
}

void jl_pm_learn(jl_power_model *m, const jl_pm_span *span, double watts, double seconds,
                 double spread, double late_j)
{
    double by[JL_PM_N];
    double gain[JL_PM_N] = {0};
    double s = square(spread);

    m->watts = watts;
    new_late(m, late_j);
    memcpy(by, span->by, sizeof by);
    by[JL_PM_LATE_NEW] = 1.0 / seconds;
    by[JL_PM_LATE] = -1.0 / seconds;
    for (int j = 0; j < JL_PM_N; j++)
        if (by[j] != 0.0)
            for (int i = 0; i < JL_PM_N; i++)
                gain[i] += m->cov[i][j] * by[j];
    for (int i = 0; i < JL_PM_N; i++)
        s += by[i] * gain[i];
    const double error = watts - span->watts + m->mean[JL_PM_LATE] / seconds;
    if (s > 0.0 && isfinite(error)) {
        for (int i = 0; i < JL_PM_N; i++)
            m->mean[i] += gain[i] / s * error;
        for (int i = 0; i < JL_PM_N; i++)
            for (int j = 0; j < JL_PM_N; j++)
                m->cov[i][j] -= gain[i] * gain[j] / s;
    }
    for (int i = 0; i < JL_PM_TERM + JL_PM_CROWD; i++)
        if (m->mean[i] < 0.02 * prior_mean[i])
            m->mean[i] = 0.02 * prior_mean[i];
    shift_late(m);
}

void jl_pm_bound_static(jl_power_model *m, double watts)
{
    if (m->mean[JL_PM_STATIC] > watts)
        m->mean[JL_PM_STATIC] = watts;
}

void jl_pm_age(jl_power_model *m, double seconds, uint32_t k)
{
    m->cov[JL_PM_STATIC][JL_PM_STATIC] += square(WARMS * m->watts) * seconds;
    m->cov[JL_PM_DEVIATION + k][JL_PM_DEVIATION + k] += square(DRIFTS) * seconds;
}
