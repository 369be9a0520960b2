/* The budget's closed loop.
 *
 * Power at a setting of cores is nearly a straight line over the share of time that is worked
 * ("duty"): static + slope * duty. The static part comes from the fitted model, the slope from
 * measurements at this setting, or from the model until there are some. The duty that meets the
 * budget follows; what the 10 s before took too much (or too little) is given back slowly.
 *
 * Which setting: at first the likely ones are tried for a moment each, at a duty that is safe by
 * the model's own doubt, to learn their speed. Then the one is taken from which most tokens come
 * within the budget; of nearly equals the one that draws least. Neighbours that look better are
 * tried later, one at a time. */
#include "power/governor.h"

#include <math.h>
#include <string.h>

#define TAU_S        10.0 /* the budget is a mean over this time */
#define SAFE_SPREADS 1.0  /* doubts above the model's mean, for settings without measurements */
#define NEARLY       0.97 /* of the best speed: as good */
#define BETTER       1.03 /* a change must promise this */
#define DEBT_RATE    0.4  /* of what was drawn beyond the budget is saved in the 10 s after */
#define STEP_UP      2.0  /* of the duty that was measured */
#define PROBE_S      0.08 /* busy time of a first look */
#define MODEL_ERROR  0.15 /* no machine is as simple as the model */
#define ODD          0.12 /* a sample this far off contradicts what was known */

static bool is_thrifty(const jl_governor *g, uint32_t i)
{
    return g->setting[i].place == JL_PLACE_THRIFTY;
}

static void add_setting(jl_governor *g, jl_place place, uint32_t fast, uint32_t thrifty)
{
    if (g->n_settings == JL_GOV_SETTINGS || fast + thrifty > g->machine.n_threads)
        return;
    g->setting[g->n_settings].place = place;
    g->setting[g->n_settings].n = fast + thrifty;
    g->setting[g->n_settings].fast = fast;
    g->setting[g->n_settings].thrifty = thrifty;
    g->n_settings++;
}

void jl_governor_init(jl_governor *g, const jl_gov_machine *machine)
{
    memset(g, 0, sizeof *g);
    g->machine = *machine;
    if (g->machine.n_fast + g->machine.n_thrifty == 0)
        g->machine.n_fast = 1;
    jl_fit_init(&g->fit);
    const uint32_t nf = g->machine.n_fast < 64 ? g->machine.n_fast : 64;
    const uint32_t nt = g->machine.n_thrifty < 64 ? g->machine.n_thrifty : 64;
    /* the most frugal first: it is what work starts with */
    for (uint32_t n = 1; n <= nt; n++)
        add_setting(g, JL_PLACE_THRIFTY, 0, n);
    for (uint32_t n = 1; n <= nf; n++)
        add_setting(g, nt ? JL_PLACE_FAST : JL_PLACE_ANY, n, 0);
    if (nt && nf)
        add_setting(g, JL_PLACE_ANY, nf, nt);
    if (g->n_settings == 0) /* fewer threads than one: cannot happen, but never index nothing */
        add_setting(g, JL_PLACE_ANY, 0, 0);
    g->probing = true;
    g->phase = JL_PHASE_DECODE;
    g->out = (jl_gov_output){g->setting[0].place, g->setting[0].n, JL_GOV_DUTY_MIN, false, 0.0};
}

/* ---- what is known of a setting --------------------------------------------------------- */

static jl_gov_known *known(jl_governor *g, uint32_t i)
{
    return &g->known[g->phase][i];
}

/* Tokens per busy second. Of a setting that was not tried, hopefully: as the next fewer cores of
 * its kind let expect that share work well, but no more than the next more cores do. */
static double rate_of(jl_governor *g, uint32_t i)
{
    const jl_gov_known *k = g->known[g->phase];
    double fewer = 0.0;
    double more = 0.0;
    uint32_t n_fewer = 0;
    uint32_t n_more = UINT32_MAX;

    if (k[i].rate > 0.0)
        return k[i].rate;
    for (uint32_t j = 0; j < g->n_settings; j++) {
        const uint32_t n = g->setting[j].n;
        if (k[j].rate <= 0.0 || g->setting[j].place != g->setting[i].place)
            continue;
        if (n < g->setting[i].n && n > n_fewer) {
            n_fewer = n;
            fewer = k[j].rate;
        } else if (n > g->setting[i].n && n < n_more) {
            n_more = n;
            more = k[j].rate;
        }
    }
    const double n = g->setting[i].n;
    const double up = n_fewer ? fewer * pow(n / n_fewer, more > 0.0 ? 0.9 : 0.6) : INFINITY;
    const double down = more > 0.0 ? (n_fewer ? more : more * pow(n / n_more, 0.7)) : INFINITY;
    const double rate = up < down ? up : down;
    return isfinite(rate) ? rate : 0.0;
}

/* Work of a setting at full duty, for the model. */
static void work_of(jl_governor *g, uint32_t i, double x[JL_FIT_N])
{
    const double rate = rate_of(g, i);

    x[JL_FIT_ONE] = 0.0;
    x[JL_FIT_BUSY] = 1.0;
    x[JL_FIT_FAST] = g->setting[i].fast;
    x[JL_FIT_THRIFTY] = g->setting[i].thrifty;
    x[JL_FIT_BYTES] = g->phase == JL_PHASE_DECODE ? rate * g->machine.bytes_per_token * 1e-9 : 0.0;
    x[JL_FIT_OPS] = rate * g->machine.ops_per_token * 1e-12;
}

/* By the model, within what the samples leave possible. */
static double static_watts(const jl_governor *g)
{
    const double fitted = g->fit.mean[JL_FIT_ONE];
    const double most = g->n_samples ? 0.95 * g->least_watts : fitted;
    const double w = fitted < most ? fitted : most;

    return w > 0.05 ? w : 0.05;
}

static double measured_slope(const jl_governor *g, const jl_gov_known *k)
{
    const double slope = (k->joules - static_watts(g) * k->span) / k->busy;

    return slope > 0.05 ? slope : 0.05;
}

/* Relative error of power measured over a span: noise, and a delay that is known to a third. */
static double sample_error(const jl_governor *g, double span)
{
    const double n = span / (g->machine.period_s > 0.2 ? g->machine.period_s : 0.2);

    return 0.04 / sqrt(n > 1.0 ? n : 1.0) + 0.35 * g->machine.delay_s / span;
}

/* How far the model is off for the kind of a setting: measured over fitted slope of the setting of
 * that kind which was measured best. */
static double bias_of(jl_governor *g, uint32_t i)
{
    double best_n = 0.0;
    double bias = 1.0;
    double x[JL_FIT_N];

    for (uint32_t j = 0; j < g->n_settings; j++) {
        const jl_gov_known *k = known(g, j);
        if (k->span <= best_n || is_thrifty(g, i) != is_thrifty(g, j))
            continue;
        work_of(g, j, x);
        const double fitted = jl_fit_watts(&g->fit, x, NULL);
        if (fitted <= 0.01)
            continue;
        best_n = k->span;
        bias = measured_slope(g, k) / fitted;
    }
    return bias < 0.4 ? 0.4 : bias > 2.5 ? 2.5 : bias;
}

/* Watts above static at full duty: what the model expects, what was measured, both weighted by the
 * inverse squares of their errors. *spread: the error of the result. */
static double slope_mean(jl_governor *g, uint32_t i, double *spread)
{
    const jl_gov_known *k = known(g, i);
    double x[JL_FIT_N];

    work_of(g, i, x);
    const double bias = k->span > 0.0 ? 1.0 : bias_of(g, i);
    double slope = jl_fit_watts(&g->fit, x, spread) * bias;
    *spread *= bias;
    if (*spread < MODEL_ERROR * slope)
        *spread = MODEL_ERROR * slope;
    if (k->span > 0.0) {
        const double duty = k->busy / k->span;
        const double fixed = sqrt(g->fit.cov[JL_FIT_ONE][JL_FIT_ONE]);
        const double most = 0.3 * static_watts(g) + 0.1;
        const double measured = measured_slope(g, k);
        const double error = sample_error(g, k->span) * k->joules / k->busy +
                             (fixed < most ? fixed : most) * (1.0 - duty) / duty;
        const double w = *spread * *spread / (*spread * *spread + error * error);
        slope += w * (measured - slope);
        *spread = error * sqrt(w);
    }
    return slope > 0.05 ? slope : 0.05;
}

typedef enum { HOPE, MEAN, CARE } view;

/* The same with the doubt on top (CARE) or below (HOPE). */
static double slope_of(jl_governor *g, uint32_t i, view v)
{
    double spread;
    const double slope = slope_mean(g, i, &spread);
    const double doubt = g->n_samples < 2 ? 2.0 * SAFE_SPREADS : SAFE_SPREADS;

    if (v == CARE) { /* less of it the longer the setting has been measured */
        const double periods = known(g, i)->span / g->machine.period_s;
        const double share = g->probing || g->n_samples < 3 ? doubt
                             : periods <= 0.0               ? 0.1
                             : periods < 2.5                ? 0.7
                             : periods < 5.0                ? 0.3
                                                            : 0.0;
        return slope + share * spread;
    }
    return v == MEAN || slope < 2.0 * spread ? (v == MEAN ? slope : 0.5 * slope) : slope - spread;
}

/* Relative doubt about the power of a setting. */
static double doubt_of(jl_governor *g, uint32_t i)
{
    double spread;
    const double slope = slope_mean(g, i, &spread);

    return spread / slope;
}

/* ---- limits ----------------------------------------------------------------------------- */

/* The duty of a setting within the limits; below the least one if even that is too much. */
static double duty_of(jl_governor *g, uint32_t i, const jl_gov_input *in, view v)
{
    const double fixed = static_watts(g);
    const double slope = slope_of(g, i, v);
    double duty = 1.0;

    if (in->limit_w > 0.0) {
        duty = (in->limit_w - DEBT_RATE * g->debt_j / TAU_S - fixed) / slope;
    }
    return duty < 1.0 ? duty : 1.0;
}

static double clamp_duty(double duty)
{
    return duty < JL_GOV_DUTY_MIN ? JL_GOV_DUTY_MIN : duty > 1.0 ? 1.0 : duty;
}

/* Joules per token at a duty. */
static double token_joules(jl_governor *g, uint32_t i, double duty)
{
    const double speed = rate_of(g, i) * duty;

    return speed > 0.0 ? (static_watts(g) + slope_of(g, i, MEAN) * duty) / speed : INFINITY;
}

/* What the limits allow with a setting. */
typedef struct {
    double speed, watts;
    bool allowed;
} promise;

static promise promise_of(jl_governor *g, uint32_t i, const jl_gov_input *in, view v)
{
    const double wanted = duty_of(g, i, in, v);
    const double duty = clamp_duty(wanted);
    promise p;

    p.speed = rate_of(g, i) * duty;
    p.watts = static_watts(g) + slope_of(g, i, v) * duty;
    p.allowed = wanted >= JL_GOV_DUTY_MIN &&
                (in->target_j <= 0.0 || token_joules(g, i, duty) <= in->target_j);
    return p;
}

/* The setting with most speed within the limits; of nearly equals the one that draws least. tried:
 * only settings whose speed is known. Without any allowed, the one that draws least. */
static uint32_t best_setting(jl_governor *g, const jl_gov_input *in, bool tried)
{
    double top = 0.0;
    double least = INFINITY;
    uint32_t best = 0;
    bool any = false;

    for (uint32_t i = 0; i < g->n_settings; i++) {
        const promise p = promise_of(g, i, in, tried ? MEAN : HOPE);
        if ((tried && known(g, i)->rate <= 0.0) || !p.allowed)
            continue;
        any = true;
        top = p.speed > top ? p.speed : top;
    }
    for (uint32_t i = 0; i < g->n_settings; i++) {
        const promise p = promise_of(g, i, in, tried ? MEAN : HOPE);
        if (tried && known(g, i)->rate <= 0.0)
            continue;
        if (any && (!p.allowed || p.speed < NEARLY * top))
            continue;
        const double cost = !any && in->target_j > 0.0 ? token_joules(g, i, 1.0) : p.watts;
        if (cost < least) {
            least = cost;
            best = i;
        }
    }
    return best;
}

/* ---- measurements ----------------------------------------------------------------------- */

static void remember(jl_governor *g, double t)
{
    /* enough of the past for the oldest sample, no finer than that needs */
    const double step = (4.0 * g->machine.period_s + 2.0 * g->machine.delay_s) / JL_GOV_HISTORY;
    const uint32_t last = (g->at_history + JL_GOV_HISTORY - 1) % JL_GOV_HISTORY;

    if (g->n_history && t - g->history[last].t < step)
        return;
    g->history[g->at_history] = g->sum;
    g->at_history = (g->at_history + 1) % JL_GOV_HISTORY;
    g->n_history += g->n_history < JL_GOV_HISTORY;
}

/* Sums at a time, between two remembered ones; the oldest if it is before all. */
static jl_gov_mark sums_at(const jl_governor *g, double t)
{
    jl_gov_mark later = g->sum;

    for (uint32_t i = 1; i <= g->n_history; i++) {
        const jl_gov_mark *m = &g->history[(g->at_history + JL_GOV_HISTORY - i) % JL_GOV_HISTORY];
        if (m->t <= t) {
            const double dt = later.t - m->t;
            const double w = dt > 0.0 ? (t - m->t) / dt : 0.0;
            jl_gov_mark r = *m;
            r.t = t;
            r.busy += w * (later.busy - m->busy);
            r.fast += w * (later.fast - m->fast);
            r.thrifty += w * (later.thrifty - m->thrifty);
            r.tokens += w * (later.tokens - m->tokens);
            return r;
        }
        later = *m;
    }
    return later;
}

/* The machine has become slower or faster (heat, charger, other programs): what is known of other
 * settings moves along, and their power is to be measured again. */
static void machine_changed(jl_governor *g, double ratio)
{
    g->odd_s = 0.0;
    for (uint32_t i = 0; i < g->n_settings; i++) {
        jl_gov_known *k = known(g, i);
        if (i == g->now)
            continue;
        k->rate *= ratio;
        k->rate_n = 0.0; /* a guess: the next measurement replaces it */
        k->trial_t = 0.0;
        k->span = k->busy = k->joules = 0.0;
    }
    jl_fit_doubt(&g->fit);
    g->next_review = 0.0;
}

static void learn_point(jl_governor *g, const jl_gov_input *in, double duty)
{
    jl_gov_known *k = known(g, g->now);
    const double most = 6.0 * g->machine.period_s > 3.0 ? 6.0 * g->machine.period_s : 3.0;

    k->joules += in->joules;
    k->busy += duty * in->span_s;
    k->span += in->span_s;
    if (k->span > most) {
        const double fade = most / k->span;
        k->joules *= fade;
        k->busy *= fade;
        k->span *= fade;
    }
}

/* Whether the power of this setting is no longer what it was: by a mean over some samples, because
 * a single one may be late or noisy. */
static void check_change(jl_governor *g, const jl_gov_input *in, double watts, double duty)
{
    jl_gov_known *k = known(g, g->now);
    const double need = 4.0 * g->machine.period_s > 1.5 ? 4.0 * g->machine.period_s : 1.5;
    const double expected = static_watts(g) + measured_slope(g, k) * duty;

    if (k->span < 0.8 * need || in->t_s < g->next_change) {
        g->odd_s = 0.0;
        return;
    }
    if (g->odd_s <= 0.0)
        g->odd = 1.0;
    g->odd_s += in->span_s;
    g->odd += (watts / expected - g->odd) * (in->span_s / need < 0.5 ? in->span_s / need : 0.5);
    if (g->odd_s < need || fabs(g->odd - 1.0) < ODD)
        return;
    k->span = k->busy = k->joules = 0.0;
    g->next_change = in->t_s + TAU_S;
    machine_changed(g, 1.0);
}

static void work_between(const jl_governor *g, double from, double to, double x[JL_FIT_N])
{
    const jl_gov_mark a = sums_at(g, from);
    const jl_gov_mark b = sums_at(g, to);
    const double dt = b.t > a.t ? b.t - a.t : 1e-9;
    const double tokens = (b.tokens - a.tokens) / dt;

    x[JL_FIT_ONE] = 1.0;
    x[JL_FIT_BUSY] = (b.busy - a.busy) / dt;
    x[JL_FIT_FAST] = (b.fast - a.fast) / dt;
    x[JL_FIT_THRIFTY] = (b.thrifty - a.thrifty) / dt;
    x[JL_FIT_BYTES] =
        g->phase == JL_PHASE_DECODE ? tokens * g->machine.bytes_per_token * 1e-9 : 0.0;
    x[JL_FIT_OPS] = tokens * g->machine.ops_per_token * 1e-12;
}

/* How wrong the expected power may be because the delay is not known exactly. */
static double skew(const jl_governor *g, double from, double to)
{
    const double shift = 0.35 * g->machine.delay_s + 0.02;
    double early[JL_FIT_N], late[JL_FIT_N];

    work_between(g, from - shift, to - shift, early);
    work_between(g, from + shift, to + shift, late);
    return fabs(jl_fit_watts(&g->fit, early, NULL) - jl_fit_watts(&g->fit, late, NULL));
}

/* What was drawn beyond the budget, or left over while the budget was what held work back. */
static void keep_account(jl_governor *g, const jl_gov_input *in, double watts)
{
    const double most = 0.4 * in->limit_w * TAU_S;
    const double more = (watts - in->limit_w) * in->span_s;
    const bool settled = known(g, g->now)->span > 3.0 * g->machine.period_s;

    if (in->limit_w <= 0.0 || (more < 0.0 && (!settled || g->probing || g->trial)))
        return;
    if (more < 0.0 && g->out.duty >= 1.0)
        g->debt_j = g->debt_j > 0.0 ? g->debt_j + more : g->debt_j * 0.9;
    else
        g->debt_j += more;
    g->debt_j = g->debt_j > most ? most : g->debt_j < -0.3 * most ? -0.3 * most : g->debt_j;
}

/* A value of the meter: what was drawn, and what was done meanwhile. */
static void learn_power(jl_governor *g, const jl_gov_input *in)
{
    const double end = in->t_s - g->machine.delay_s;
    const double start = end - in->span_s;
    const double watts = in->joules / in->span_s;
    double x[JL_FIT_N];

    keep_account(g, in, watts);
    if (g->n_history == 0 ||
        start < g->history[g->n_history < JL_GOV_HISTORY ? 0 : g->at_history].t)
        return; /* from before work began, or too long ago */
    if (watts > 0.0 && (g->n_samples == 0 || watts < g->least_watts))
        g->least_watts = watts;
    g->n_samples++;
    work_between(g, start, end, x);
    const double skewed = skew(g, start, end);
    jl_fit_add(&g->fit, x, watts, sample_error(g, in->span_s) * watts + 0.05 + skewed);
    /* the delay is known only roughly: a margin on the older side */
    const double from = start - 0.5 * g->machine.delay_s - 0.02;
    if (skewed < 0.05 * watts && from >= g->since && from >= g->phase_since &&
        x[JL_FIT_BUSY] > 0.5 * JL_GOV_DUTY_MIN)
        learn_point(g, in, x[JL_FIT_BUSY]);
    else
        return;
    check_change(g, in, watts, x[JL_FIT_BUSY]);
}

/* Quick meters: their values are put together until they span a quarter of a second, in which a
 * late value weighs little. */
static void gather(jl_governor *g, const jl_gov_input *in)
{
    jl_gov_input sum = *in;

    if (!in->sample || in->span_s <= 0.0)
        return;
    g->gather_j += in->joules;
    g->gather_s += in->span_s;
    if (g->gather_s < 0.2)
        return;
    sum.joules = g->gather_j;
    sum.span_s = g->gather_s;
    g->gather_j = g->gather_s = 0.0;
    learn_power(g, &sum);
}

static void learn_rate(jl_governor *g, const jl_gov_input *in)
{
    jl_gov_known *k = known(g, g->now);

    if (in->busy_s <= 0.0 || in->t_s - g->since < 0.02)
        return;
    const double most = 1.0; /* a mean over a busy second */
    k->rate_n = k->rate_n + in->busy_s < most ? k->rate_n + in->busy_s : most;
    k->rate += (in->tokens / in->busy_s - k->rate) * (in->busy_s / k->rate_n);
    if (k->rate_n < 0.5 * most)
        k->anchor = k->rate;
    const double ratio = k->anchor > 0.0 ? k->rate / k->anchor : 1.0;
    if ((ratio > 1.12 || ratio < 0.88) && in->t_s >= g->next_change) {
        g->next_change = in->t_s + TAU_S;
        k->anchor = k->rate;
        machine_changed(g, ratio);
    }
}

/* ---- changing settings ------------------------------------------------------------------ */

static void use_setting(jl_governor *g, uint32_t i, double t)
{
    if (i != g->now)
        g->since = t;
    g->now = i;
}

/* Settings worth a first look, in this order: per kind one core, all, half, quarters. */
static uint32_t next_probe(jl_governor *g, const jl_gov_input *in)
{
    static const double shares[] = {0.0, 1.0, 0.5, 0.25, 0.75};

    for (size_t s = 0; s < sizeof shares / sizeof *shares; s++) {
        for (int place = JL_PLACE_THRIFTY; place >= JL_PLACE_ANY; place--) {
            uint32_t first = UINT32_MAX;
            uint32_t count = 0;
            for (uint32_t i = 0; i < g->n_settings; i++)
                if (g->setting[i].place == (jl_place)place) {
                    first = first == UINT32_MAX ? i : first;
                    count++;
                }
            if (!count)
                continue;
            const uint32_t i = first + (uint32_t)(shares[s] * (count - 1) + 0.5);
            if (known(g, i)->rate_n < PROBE_S && duty_of(g, i, in, CARE) >= JL_GOV_DUTY_MIN)
                return i;
        }
    }
    return UINT32_MAX;
}

/* How long a setting is kept before it is judged: until samples show nothing else. */
static double trial_time(const jl_governor *g)
{
    const double t = 1.6 * g->machine.delay_s + 2.5 * g->machine.period_s;

    return t > 0.3 ? t : 0.3;
}

static void probe(jl_governor *g, const jl_gov_input *in)
{
    const jl_gov_known *k = known(g, g->now);
    /* slow machines and low duties need longer than a first look may take */
    const bool seen = k->rate_n >= PROBE_S || in->t_s - g->since > 0.5;

    if (!seen || (g->machine.period_s <= 0.25 && in->t_s - g->since < trial_time(g) * 0.7))
        return;
    const uint32_t next = in->t_s - g->phase_since < 2.5 ? next_probe(g, in) : UINT32_MAX;
    if (next == UINT32_MAX) {
        g->probing = false;
        g->home = best_setting(g, in, true);
        use_setting(g, g->home, in->t_s);
        g->next_review = in->t_s + trial_time(g);
        return;
    }
    use_setting(g, next, in->t_s);
}

/* A trial that looks good but not beyond doubt goes on. */
static bool extend_trial(jl_governor *g, const jl_gov_input *in, const promise *here, double better)
{
    const promise there = promise_of(g, g->now, in, HOPE);

    if (!g->trial || g->n_extended >= 3 || !there.allowed || there.speed < BETTER * here->speed ||
        promise_of(g, g->now, in, MEAN).speed > better * here->speed)
        return false;
    g->n_extended++;
    return true;
}

static void start_trial(jl_governor *g, const jl_gov_input *in, uint32_t i)
{
    known(g, i)->trial_t = in->t_s;
    /* the first seconds are for looking around; later trials are rare */
    if (in->t_s - g->phase_since > 5.0 && in->t_s > g->next_change - TAU_S + 5.0)
        g->next_trial = in->t_s + TAU_S;
    g->trial = true;
    g->n_extended = 0;
    use_setting(g, i, in->t_s);
}

/* After a trial, or from time to time: is there something better? */
static void review(jl_governor *g, const jl_gov_input *in)
{
    if (in->t_s < g->next_review)
        return;
    g->next_review = in->t_s + trial_time(g);
    const uint32_t best = best_setting(g, in, true);
    const promise here = promise_of(g, g->home, in, MEAN);
    const promise there = promise_of(g, best, in, MEAN);
    if (extend_trial(g, in, &here, BETTER + 0.5 * (doubt_of(g, g->now) + doubt_of(g, g->home))))
        return;
    const double better = BETTER + 0.5 * (doubt_of(g, best) + doubt_of(g, g->home));
    g->trial = false;
    if (best != g->home &&
        (!here.allowed || there.speed > better * here.speed ||
         (there.speed > NEARLY * here.speed && there.watts * better < here.watts))) {
        g->home = best;
        g->next_trial = in->t_s; /* where one thing was better, others may be */
    }
    const uint32_t other = best_setting(g, in, false);
    const jl_gov_known *k = known(g, other);
    const bool unsure = k->rate <= 0.0 || doubt_of(g, other) > 0.12;
    const bool fresh = k->trial_t <= 0.0 || in->t_s - k->trial_t > 2.0 * TAU_S;
    if (other != g->home && unsure && fresh && in->t_s >= g->next_trial)
        start_trial(g, in, other);
    else
        use_setting(g, g->home, in->t_s);
}

static void change_phase(jl_governor *g, const jl_gov_input *in)
{
    g->phase = in->phase;
    g->phase_since = in->t_s;
    g->trial = false;
    g->probing = true;
    for (uint32_t i = 0; i < g->n_settings; i++)
        if (known(g, i)->rate > 0.0)
            g->probing = false; /* this phase is known */
    g->home = g->probing ? g->home : best_setting(g, in, true);
    g->next_review = in->t_s + trial_time(g);
}

static void count(jl_governor *g, const jl_gov_input *in)
{
    const double cores_fast = g->setting[g->now].fast;
    const double cores_thrifty = g->setting[g->now].thrifty;

    g->sum.t = in->t_s;
    g->sum.busy += in->busy_s;
    g->sum.fast += in->busy_s * cores_fast;
    g->sum.thrifty += in->busy_s * cores_thrifty;
    g->sum.tokens += in->tokens;
    remember(g, in->t_s);
}

/* A budget that cannot be met even by the most frugal setting at the least duty. */
static bool below_floor(jl_governor *g, const jl_gov_input *in)
{
    if (g->n_samples < 3 || (in->limit_w <= 0.0 && in->target_j <= 0.0))
        return false;
    for (uint32_t i = 0; i < g->n_settings; i++)
        if (promise_of(g, i, in, MEAN).allowed)
            return false;
    return true;
}

jl_gov_output jl_governor_step(jl_governor *g, const jl_gov_input *in)
{
    count(g, in);
    if (in->phase != g->phase && in->tokens > 0.0)
        change_phase(g, in);
    learn_rate(g, in);
    gather(g, in);
    if (in->limit_w != g->last_limit) { /* a new budget: look again, owe nothing */
        g->last_limit = in->limit_w;
        g->debt_j = 0.0;
        g->next_review = in->t_s;
    }
    if (in->limit_w <= 0.0 && in->target_j <= 0.0) {
        g->out = (jl_gov_output){JL_PLACE_KEEP, g->machine.n_threads, 1.0, false, 0.0};
        return g->out;
    }
    if (g->probing)
        probe(g, in);
    else
        review(g, in);
    const jl_gov_known *k = known(g, g->now);
    double wanted = duty_of(g, g->now, in, CARE);
    if (k->span > 0.0) { /* upwards in steps, each of them measured */
        const double most = STEP_UP * k->busy / k->span + 0.02;
        wanted = wanted < most ? wanted : most;
    }
    g->out.place = g->setting[g->now].place;
    g->out.n_threads = g->setting[g->now].n;
    g->out.duty = clamp_duty(wanted);
    g->out.at_floor = below_floor(g, in);
    g->out.expected_w = static_watts(g) + slope_of(g, g->now, MEAN) * g->out.duty;
    g->last_t = in->t_s;
    return g->out;
}
