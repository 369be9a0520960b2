/* What the governor learns: speeds from the work, power from the meter.
 *
 * The meter shows what was drawn a while ago, roughly known, while other settings may have been in
 * use. So what was done is remembered in short records, and each value is compared with the power
 * that the model expects of the records it covers. */
#include <math.h>

#include "power/governor.h"

#define VARIES  0.2   /* of a delay: standard deviation */
#define NOISE   0.025 /* of a value: standard deviation */
#define OTHERS  0.15  /* W: what other programs draw, now and then */
#define SHIFT   0.06  /* a speed that differs this much from before: the machine has changed */
#define ODD     2.2   /* energy that differs by so many doubts means the same, */
#define ODD_PART 0.13 /* if it is this part of what was expected */
#define LOOK_AGAIN 3.5 /* how long, in meter periods or seconds */
#define FORGETS 0.03  /* of what is owed, in a second: the budget is a mean over ten */
#define TRIAL_AGAIN 10.0 /* s to the first late trial after a change */
#define FADE    0.7   /* per value of the meter, of the energies in question */
#define AWAKE   0.8   /* a package is awake for duty to this power of the time */
#define RATE_S  1.0   /* speeds are means over this busy time */
#define QUICK_S 0.1   /* and, where it has changed, over this one */
#define KIND_RATE 3.0 /* a fast core does what so many thrifty ones do: until one was tried */

uint32_t jl_gov_key(uint32_t phase, uint32_t setting)
{
    return phase * JL_PM_SETTINGS + setting;
}

double jl_gov_unit(const jl_governor *g)
{
    return g->machine.period_s > 1.0 ? g->machine.period_s : 1.0;
}

void jl_gov_work(const jl_governor *g, uint32_t phase, uint32_t i, double rate, double duty,
                 double x[JL_PM_TERMS])
{
    x[JL_PM_BUSY] = pow(duty > 0.01 ? duty : 0.01, AWAKE - 1.0);
    x[JL_PM_FAST] = g->setting[i].fast;
    x[JL_PM_THRIFTY] = g->setting[i].thrifty;
    x[JL_PM_BYTES] = phase == JL_PHASE_DECODE ? rate * g->machine.bytes_per_token * 1e-9 : 0.0;
    const uint32_t others = g->machine.n_fast > 1 ? g->machine.n_fast - 1 : 1;
    const double fast = g->setting[i].fast;
    x[JL_PM_CROWD] = fast > 1.0 ? fast * (fast - 1.0) / others : 0.0;
    x[JL_PM_OPS] = rate * g->machine.ops_per_token * 1e-12;
}

/* Speed at one duty over that at another: clocks are lower where little is to do. */
static double duty_ratio(double slow, double duty, double other)
{
    return (1.0 - slow * (1.0 - duty)) / (1.0 - slow * (1.0 - other));
}

/* Of a setting that was not tried, hopefully: as the next fewer cores of its kind let expect that
 * share work well, but no more than the next more cores do. */
double jl_gov_rate(const jl_governor *g, uint32_t i, double duty, double slow)
{
    const jl_gov_speed *s = g->speed[g->phase];
    uint32_t fewer = UINT32_MAX;
    uint32_t more = UINT32_MAX;

    if (s[i].rate > 0.0)
        return s[i].rate * duty_ratio(slow, duty, s[i].duty);
    for (uint32_t j = 0; j < g->n_settings; j++) {
        if (s[j].rate <= 0.0 || g->setting[j].place != g->setting[i].place)
            continue;
        if (j < i)
            fewer = j;
        else if (more == UINT32_MAX)
            more = j;
    }
    const double n = g->setting[i].n;
    if (fewer == UINT32_MAX && more == UINT32_MAX) /* none of its kind: the first of all */
        return s[0].rate * pow(n, 0.8) *
               (g->setting[i].place == JL_PLACE_THRIFTY ? 1.0 : KIND_RATE);
    if (fewer == UINT32_MAX)
        return jl_gov_rate(g, more, duty, slow) * pow(n / g->setting[more].n, 0.7);
    const double up = jl_gov_rate(g, fewer, duty, slow) * pow(n / g->setting[fewer].n, 0.8);
    const double down = more == UINT32_MAX ? up : jl_gov_rate(g, more, duty, slow);
    return down < up ? down : up;
}

/* ---- the past --------------------------------------------------------------------------- */

static void remember(jl_governor *g, const jl_gov_input *in, double dt)
{
    /* enough of the past for the oldest value, no finer than that needs */
    const double step = (4.0 * g->machine.period_s + 3.0 * g->machine.delay_s) / JL_GOV_HISTORY;
    jl_gov_record *r = &g->record[(g->n_record + JL_GOV_HISTORY - 1) % JL_GOV_HISTORY];

    if (g->n_record == 0 || r->dt + dt > step || r->setting != g->now || r->phase != g->phase) {
        r = &g->record[g->n_record++ % JL_GOV_HISTORY];
        *r = (jl_gov_record){.phase = g->phase, .setting = g->now};
    }
    r->t = in->t_s;
    r->dt += dt;
    r->busy_s += in->busy_s;
    r->tokens += in->tokens;
}

/* What the model expects of a span of the past; false if part of it is not remembered. */
static bool expect(const jl_governor *g, double from, double to, jl_pm_span *span)
{
    const uint32_t n = g->n_record < JL_GOV_HISTORY ? g->n_record : JL_GOV_HISTORY;
    double oldest = INFINITY;

    jl_pm_begin(&g->model, span);
    for (uint32_t i = 1; i <= n && oldest > from; i++) {
        const jl_gov_record *r = &g->record[(g->n_record - i) % JL_GOV_HISTORY];
        const double begin = r->t - r->dt;
        const double a = begin > from ? begin : from;
        const double b = r->t < to ? r->t : to;
        oldest = begin;
        if (b <= a || r->busy_s <= 0.0)
            continue;
        double x[JL_PM_TERMS];
        jl_gov_work(g, r->phase, r->setting, r->tokens / r->busy_s, r->busy_s / r->dt, x);
        jl_pm_work(&g->model, span, jl_gov_key(r->phase, r->setting),
                   (b - a) / (to - from) * r->busy_s / r->dt, x);
    }
    return oldest <= from && from >= g->changed_t;
}

/* ---- power ------------------------------------------------------------------------------ */

/* What was drawn beyond the budget, or left over while the budget was what held work back. */
static void keep_account(jl_governor *g, double watts, double seconds)
{
    const double limit = g->last_limit;
    const double most = 4.0 * limit;
    const double more = (watts - limit) * seconds;
    const bool free = g->out.duty >= 1.0 || g->probing || g->n_samples == 0;

    if (limit <= 0.0 || (more < 0.0 && g->debt_j <= 0.0 && free))
        return;
    g->debt_j += more - (g->debt_j > 0.0 ? g->debt_j * FORGETS * seconds : 0.0);
    g->debt_j = g->debt_j > most ? most : g->debt_j < -0.1 * most ? -0.1 * most : g->debt_j;
}

/* The machine has become slower or faster (heat, charger, other programs): what is known of other
 * settings moves along and is looked at again. What was drawn before `since` says nothing of
 * now. */
static void machine_changed(jl_governor *g, double t, double ratio, double since)
{
    jl_gov_speed *s = g->speed[g->phase];

    g->next_change = t + 6.0 * jl_gov_unit(g);
    g->odd_j = g->sum_j = 0.0;
    g->changed_t = since;
    s[g->now].rate = s[g->now].anchor = s[g->now].quick;
    s[g->now].busy_s = QUICK_S;
    for (uint32_t i = 0; i < g->n_settings; i++) {
        s[i].seen_s = 0.0;
        if (i == g->now)
            continue;
        s[i].rate *= ratio;
        s[i].quick = s[i].rate;
        s[i].busy_s = 0.0; /* the next measurement replaces it */
    }
    jl_pm_changed(&g->model, ratio);
    g->probing = true;
    g->explore_until = t + LOOK_AGAIN * jl_gov_unit(g);
    g->next_review = t;
    g->next_trial = t;
    g->trial_s = TRIAL_AGAIN;
}

/* Whether the power is no longer what it was: by sums of the last few values, in which early and
 * late readings cancel. */
static void check_power(jl_governor *g, double t, const jl_pm_span *span, double error_j,
                        double seconds, double spread, double late_j)
{
    const double sum = 1.0 / (1.0 - FADE);
    const double known = sum * seconds * jl_pm_doubt(&g->model, span);
    const double noise = 1.4 * seconds * spread;
    const double scale = sqrt(known * known + noise * noise + 1.2 * late_j * late_j);

    g->odd_j = FADE * g->odd_j + error_j;
    g->sum_j = FADE * g->sum_j + span->watts * seconds;
    if (t >= g->next_change && fabs(g->odd_j) > ODD * scale &&
        fabs(g->odd_j) > ODD_PART * g->sum_j)
        machine_changed(g, t, 1.0, t - g->machine.delay_s - seconds);
}

static void learn_power(jl_governor *g, double t, double joules, double seconds)
{
    const double delay = g->machine.delay_s;
    const double watts = joules / seconds;
    const double end = t - delay;
    /* power of a moment lies somewhere between these */
    const double early = t - delay * (1.0 + VARIES) - 0.3 * seconds;
    const double late = t - delay * (1.0 - VARIES);
    const double from = g->machine.shows_power ? early : end - seconds;
    const double to = g->machine.shows_power ? late : end;
    jl_pm_span span, edge, other;

    keep_account(g, watts, seconds);
    if (!expect(g, from, to, &span) || !expect(g, end - 0.02, end, &edge))
        return; /* from before work began, or too long ago */
    double spread = NOISE * watts + OTHERS;
    double late_j = VARIES * delay * edge.watts;
    if (g->machine.shows_power) {
        late_j = 0.0;
        if (expect(g, early, early + 0.02, &other) && expect(g, late - 0.02, late, &edge))
            spread += 0.4 * fabs(edge.watts - other.watts);
    }
    if (g->n_samples == 0)
        g->least_watts = watts;
    g->least_watts += (watts < g->least_watts ? 0.5 : 0.05) * (watts - g->least_watts);
    g->n_samples++;
    check_power(g, t, &span, (watts - span.watts) * seconds, seconds, spread, late_j);
    jl_pm_learn(&g->model, &span, watts, seconds, spread, late_j);
    jl_pm_bound_static(&g->model, g->least_watts);
}

/* Quick meters: their values are put together until they span a fifth of a second, in which a late
 * value weighs little. */
static void gather(jl_governor *g, const jl_gov_input *in)
{
    if (!in->sample || in->span_s <= 0.0)
        return;
    g->gather_j += in->joules;
    g->gather_s += in->span_s;
    if (g->gather_s < 0.2)
        return;
    learn_power(g, in->t_s, g->gather_j, g->gather_s);
    g->gather_j = g->gather_s = 0.0;
}

/* ---- speed ------------------------------------------------------------------------------ */

/* The same setting at another duty tells what low duties cost. */
static void learn_slow(jl_governor *g, const jl_gov_speed *s, double rate, double duty, double busy)
{
    const double apart = duty - s->duty;

    if (fabs(apart) < 0.2 || s->rate <= 0.0 || s->busy_s <= 0.0)
        return;
    /* rate = top (1 - slow (1 - duty)), twice: slow = (r1 - r0) / (r1 (1 - d0) - r0 (1 - d1)) */
    const double below = rate * (1.0 - s->duty) - s->rate * (1.0 - duty);
    const double seen = (rate - s->rate) / below;
    if (!(seen > -0.1 && seen < 0.3))
        return; /* something else has changed too */
    const double part = busy / 0.1 < 0.5 ? busy / 0.1 : 0.5;
    g->slow += part * ((seen > 0.0 ? seen : 0.0) - g->slow);
}

static void learn_rate(jl_governor *g, const jl_gov_input *in, double dt)
{
    jl_gov_speed *s = &g->speed[g->phase][g->now];

    s->seen_s += dt;
    if (in->busy_s <= 0.0)
        return;
    const double duty = in->busy_s / dt < 1.0 ? in->busy_s / dt : 1.0;
    const double rate = in->tokens / in->busy_s;
    learn_slow(g, s, rate, duty, in->busy_s);
    if (s->rate > 0.0) { /* what is known, as it would be at this duty */
        const double ratio = duty_ratio(g->slow, duty, s->duty);
        s->rate *= ratio;
        s->anchor *= ratio;
        s->quick *= ratio;
    }
    s->duty = duty;
    s->busy_s = s->busy_s + in->busy_s < RATE_S ? s->busy_s + in->busy_s : RATE_S;
    const double part = in->busy_s / s->busy_s;
    s->rate += (rate - s->rate) * (part < 1.0 ? part : 1.0);
    const double quick = in->busy_s / QUICK_S;
    s->quick += (rate - s->quick) * (quick < 1.0 && s->quick > 0.0 ? quick : 1.0);
    if (s->busy_s < 0.3 * RATE_S)
        s->anchor = s->rate;
    const double ratio = s->anchor > 0.0 ? s->rate / s->anchor : 1.0;
    if (fabs(ratio - 1.0) > SHIFT && in->t_s >= g->next_change)
        machine_changed(g, in->t_s, s->quick / s->anchor, in->t_s - 0.2);
}

void jl_gov_learn(jl_governor *g, const jl_gov_input *in)
{
    const double dt = in->t_s - g->last_t;

    g->last_t = in->t_s;
    if (dt <= 0.0)
        return;
    remember(g, in, dt);
    jl_pm_age(&g->model, dt, jl_gov_key(g->phase, g->now));
    learn_rate(g, in, dt);
    gather(g, in);
}
