/* The budget's closed loop.
 *
 * Power at a setting of cores is nearly a straight line over the share of time that is worked
 * ("duty"): static + slope * duty, both from the model that is fitted all the time. The duty that
 * meets the budget follows; what the 10 s before took too much is given back slowly.
 *
 * Which setting: at first the likely ones are tried for a moment each, at a duty that is safe by
 * the model's own doubt, to learn their speed. Then, for a few seconds, the one is taken that is
 * best as far as the doubt about its power lets hope, which ends where hope and measurement meet.
 * Later only what is clearly better is taken, and trials are rare. Best: most tokens within the
 * budget; of nearly equals the one that draws least. */
#include "power/governor.h"

#include <math.h>
#include <string.h>

#define TAU_S       10.0  /* the budget is a mean over this time */
#define NEARLY      0.965 /* of the best speed: as good */
#define SLOWER      0.04  /* share of the speed lost at low duties: hope for so much more of it */
#define HOPE        1.2   /* doubts below the mean, while looking around */
#define LOOK_S      4.5   /* how long that is, in meter periods or seconds */
#define BETTER      1.04  /* what a change must promise while looking around, */
#define BETTER_LATE 1.08  /* and in speed later, */
#define LESS_LATE   1.15  /* or in watts, at no less speed, where the budget is used up */
#define TRIAL_S     10.0  /* from one late trial to the next, at first, */
#define TRIAL_RARER 1.5   /* and each time so much longer */
#define TRIAL_SHIFT 0.012 /* of a span's energy (five units): most that a late trial may change, */
#define TRIAL_LEAST 0.1   /* s, but it is never shorter */
#define PROBE_S     0.02  /* busy time of a first look */
#define CARE_FIRST  0.5   /* doubts that the duty leaves room for: while little is known, */
#define CARE_LATER  0.15  /* and later, when the doubt is small */
#define DEBT_RATE   0.4   /* of what was drawn beyond the budget is saved in the 10 s after */
#define URGENT_S    2.0   /* near the margin it is saved in this time */
#define TRIM        0.03  /* of the budget: most that is saved in normal operation */

static void add_setting(jl_governor *g, jl_place place, uint32_t fast, uint32_t thrifty)
{
    if (g->n_settings == JL_PM_SETTINGS || fast + thrifty > g->machine.n_threads)
        return;
    g->setting[g->n_settings].place = place;
    g->setting[g->n_settings].n = fast + thrifty;
    g->setting[g->n_settings].fast = fast;
    g->setting[g->n_settings].thrifty = thrifty;
    g->n_settings++;
}

/* 1 to 8 one by one, then in steps of a half, and n itself: at most 14 up to 64. */
static uint32_t next_count(uint32_t i, uint32_t n)
{
    const uint32_t step = i < 8 ? 1 : i / 2;

    return i < n && i + step > n ? n : i + step;
}

void jl_governor_init(jl_governor *g, const jl_gov_machine *machine)
{
    jl_pm_setting kinds[JL_PM_SETTINGS];

    memset(g, 0, sizeof *g);
    g->machine = *machine;
    if (g->machine.n_fast + g->machine.n_thrifty == 0)
        g->machine.n_fast = 1;
    const uint32_t nf = g->machine.n_fast < 64 ? g->machine.n_fast : 64;
    const uint32_t nt = g->machine.n_thrifty < 64 ? g->machine.n_thrifty : 64;
    for (uint32_t n = 1; n <= nt; n = next_count(n, nt))
        add_setting(g, JL_PLACE_THRIFTY, 0, n);
    for (uint32_t n = 1; n <= nf; n = next_count(n, nf))
        add_setting(g, nt ? JL_PLACE_FAST : JL_PLACE_ANY, n, 0);
    if (nt && nf)
        add_setting(g, JL_PLACE_ANY, nf, nt);
    if (g->n_settings == 0) /* fewer threads than one: cannot happen, but never index nothing */
        add_setting(g, JL_PLACE_ANY, 0, 0);
    for (uint32_t i = 0; i < g->n_settings; i++)
        kinds[i] = (jl_pm_setting){(int)g->setting[i].place,
                                   g->setting[i].n ? g->setting[i].n : 1};
    jl_pm_init(&g->model, kinds, g->n_settings);
    g->slow = 0.05;
    g->trial_s = TRIAL_S;
    g->probing = true;
    g->explore_until = LOOK_S * jl_gov_unit(g);
    g->phase = JL_PHASE_DECODE;
    g->out = (jl_gov_output){g->setting[0].place, g->setting[0].n, JL_GOV_DUTY_MIN, false, 0.0};
}

/* ---- what a setting promises ------------------------------------------------------------ */

static void work_at(const jl_governor *g, uint32_t i, double duty, double x[JL_PM_TERMS])
{
    jl_gov_work(g, g->phase, i, jl_gov_rate(g, i, duty, g->slow), duty, x);
}

/* Watts above static per share of the time that is worked, near a duty. */
static double slope_of(const jl_governor *g, uint32_t i, double duty)
{
    double x[JL_PM_TERMS];

    work_at(g, i, duty, x);
    return jl_pm_slope(&g->model, jl_gov_key(g->phase, i), x);
}

/* Standard deviation of the expected watts of a setting at a duty. */
static double doubt_of(const jl_governor *g, uint32_t i, double duty)
{
    jl_pm_span span;
    double x[JL_PM_TERMS];

    work_at(g, i, duty, x);
    jl_pm_begin(&g->model, &span);
    jl_pm_work(&g->model, &span, jl_gov_key(g->phase, i), duty, x);
    return jl_pm_doubt(&g->model, &span);
}

/* Watts that work may draw now: the budget, less what is owed. */
static double allowance(const jl_governor *g, const jl_gov_input *in)
{
    const double limit = in->limit_w;
    const double save = DEBT_RATE * g->debt_j / TAU_S;
    const double normal = save > TRIM * limit ? TRIM * limit : save;
    /* near the margin: all of it */
    const double urgent = (g->debt_j - 0.4 * limit) / URGENT_S;

    return limit - (urgent > normal ? urgent : normal);
}

/* What the limits allow with a setting, if its power is `doubts` standard deviations above what
 * the model expects (negative: hope). */
typedef struct {
    double speed, watts, duty;
    bool allowed;
} promise;

static double clamp_duty(double duty)
{
    return duty < JL_GOV_DUTY_MIN ? JL_GOV_DUTY_MIN : duty > 1.0 ? 1.0 : duty;
}

/* The duty at which a setting draws so many watts; not clamped. */
static double duty_for(const jl_governor *g, uint32_t i, double watts)
{
    const double above = watts - jl_pm_static(&g->model);
    double duty = 0.5;

    for (int k = 0; k < 3; k++)
        duty = above / slope_of(g, i, clamp_duty(duty));
    return duty;
}

static promise promise_of(const jl_governor *g, uint32_t i, const jl_gov_input *in, double doubts)
{
    const double slow = g->slow + (doubts < 0.0 ? SLOWER : 0.0);
    const double limit = in->limit_w > 0.0 ? allowance(g, in) : INFINITY;
    double wanted = duty_for(g, i, limit);
    double extra = 0.0;
    promise p;

    if (doubts != 0.0) {
        extra = doubts * doubt_of(g, i, clamp_duty(wanted));
        wanted = duty_for(g, i, limit - extra);
    }
    p.duty = clamp_duty(wanted);
    p.speed = jl_gov_rate(g, i, p.duty, slow) * p.duty;
    p.watts = jl_pm_static(&g->model) + slope_of(g, i, p.duty) * p.duty + extra;
    const double cost = p.speed > 0.0 ? p.watts / p.speed : INFINITY;
    p.allowed = wanted >= JL_GOV_DUTY_MIN && (in->target_j <= 0.0 || cost <= in->target_j);
    return p;
}

static bool is_safe(const jl_governor *g, uint32_t i, const jl_gov_input *in)
{
    const double limit = in->limit_w > 0.0 ? allowance(g, in) : INFINITY;
    const double spread = CARE_FIRST * doubt_of(g, i, JL_GOV_DUTY_MIN);

    return duty_for(g, i, limit - spread) >= JL_GOV_DUTY_MIN;
}

/* The setting with most speed within the limits; of nearly equals the one that draws least. Not one
 * that would exceed them even at the least duty, if its power is a little above what is expected.
 * Without any, the one that costs least per token if that is the limit, or the most frugal. */
static uint32_t best_setting(const jl_governor *g, const jl_gov_input *in, double doubts)
{
    promise p[JL_PM_SETTINGS];
    double top = 0.0;
    double least = INFINITY;
    uint32_t best = 0;

    for (uint32_t i = 0; i < g->n_settings; i++) {
        p[i] = promise_of(g, i, in, doubts);
        p[i].allowed = p[i].allowed && (doubts >= 0.0 || is_safe(g, i, in));
        if (p[i].allowed && p[i].speed > top)
            top = p[i].speed;
    }
    if (top <= 0.0 && in->target_j <= 0.0)
        return 0;
    for (uint32_t i = 0; i < g->n_settings; i++) {
        double cost = p[i].watts;
        if (top > 0.0 && (!p[i].allowed || p[i].speed < NEARLY * top))
            continue;
        if (top <= 0.0)
            cost = p[i].speed > 0.0 ? p[i].watts / p[i].speed : INFINITY;
        if (cost < least) {
            least = cost;
            best = i;
        }
    }
    return best;
}

/* ---- changing settings ------------------------------------------------------------------ */

static void use_setting(jl_governor *g, uint32_t i, double t)
{
    if (i != g->now)
        g->since = t;
    g->now = i;
}

/* How long a setting is kept before it is judged: until a value of the meter shows it. */
static double dwell(const jl_governor *g)
{
    const double t = 1.1 * g->machine.delay_s + 1.2 * g->machine.period_s;

    return t > 0.4 ? t : 0.4;
}

/* Settings worth a first look: per kind one core, all, half, quarters. */
static uint32_t next_probe(const jl_governor *g, const jl_gov_input *in)
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
            if (g->speed[g->phase][i].busy_s < PROBE_S && g->speed[g->phase][i].seen_s < 0.3 &&
                promise_of(g, i, in, 1.0).allowed)
                return i;
        }
    }
    return UINT32_MAX;
}

static void probe(jl_governor *g, const jl_gov_input *in)
{
    const jl_gov_speed *s = &g->speed[g->phase][g->now];

    /* slow machines and low duties need longer than a first look may take */
    if (s->busy_s < PROBE_S && in->t_s - g->since < 0.3)
        return;
    const uint32_t next = in->t_s < g->explore_until - jl_gov_unit(g)
                              ? next_probe(g, in)
                              : UINT32_MAX;
    if (next != UINT32_MAX) {
        use_setting(g, next, in->t_s);
        return;
    }
    g->probing = false;
    g->home = best_setting(g, in, 0.0);
    use_setting(g, best_setting(g, in, -HOPE), in->t_s);
    g->next_review = in->t_s + dwell(g);
}

/* Is setting a clearly better than b? */
static bool is_better(const jl_governor *g, const jl_gov_input *in, uint32_t a, uint32_t b,
                      double doubts)
{
    const promise there = promise_of(g, a, in, doubts);
    const promise here = promise_of(g, b, in, 0.0);

    if (!here.allowed)
        return true;
    const bool early = in->t_s < g->explore_until;
    const double better = early ? BETTER : BETTER_LATE;
    const double nearly = early ? NEARLY : 1.0;
    const bool held = in->limit_w > 0.0 && here.watts > 0.93 * in->limit_w;
    const double less = early || !held ? BETTER : LESS_LATE;
    return there.allowed &&
           (there.speed > better * here.speed ||
            (there.speed > nearly * here.speed && there.watts * less < here.watts));
}

/* What to have instead of home: the best setting, or, if that is not clearly better, the one that
 * draws least of those that are as fast as home (later only: while looking around, much speed would
 * be lost step by step). Home itself if neither is better. */
static uint32_t instead(const jl_governor *g, const jl_gov_input *in, double doubts)
{
    const uint32_t best = best_setting(g, in, doubts);
    const promise here = promise_of(g, g->home, in, 0.0);
    uint32_t least = g->home;
    double watts = INFINITY;

    if (best != g->home && is_better(g, in, best, g->home, doubts))
        return best;
    if (in->t_s < g->explore_until)
        return g->home;
    for (uint32_t i = 0; i < g->n_settings; i++) {
        const promise p = promise_of(g, i, in, doubts);
        if (i != g->home && p.allowed && p.speed > here.speed && p.watts < watts) {
            watts = p.watts;
            least = i;
        }
    }
    return least != g->home && is_better(g, in, least, g->home, doubts) ? least : g->home;
}

/* How long a late trial lasts. The longer it is, the more the mean power moves: by the difference
 * of the two settings and by the doubt about the other one. It need not last until the meter shows
 * it: the value that does is compared with what the model expects of both settings together. */
static double trial_length(const jl_governor *g, const jl_gov_input *in, uint32_t other)
{
    const promise here = promise_of(g, g->home, in, CARE_LATER);
    const promise there = promise_of(g, other, in, CARE_LATER);
    const double off = fabs(there.watts - here.watts) + doubt_of(g, other, there.duty);
    const double t = TRIAL_SHIFT * 5.0 * jl_gov_unit(g) * here.watts / off;
    const double most = dwell(g);

    return t < TRIAL_LEAST ? TRIAL_LEAST : t < most ? t : most;
}

/* From time to time: is there something better? */
static void review(jl_governor *g, const jl_gov_input *in)
{
    if (in->t_s < g->next_review)
        return;
    g->next_review = in->t_s + dwell(g);
    if (in->t_s < g->explore_until && next_probe(g, in) != UINT32_MAX) {
        g->probing = true; /* more is allowed than before */
        return;
    }
    g->home = instead(g, in, 0.0);
    const uint32_t other = instead(g, in, -HOPE);
    const bool may = in->t_s < g->explore_until || in->t_s >= g->next_trial;
    if (may && other != g->home) {
        if (in->t_s >= g->explore_until) { /* each one rarer than the one before */
            g->next_trial = in->t_s + g->trial_s;
            g->trial_s *= TRIAL_RARER;
            g->next_review = in->t_s + trial_length(g, in, other);
        }
        use_setting(g, other, in->t_s);
    } else {
        use_setting(g, g->home, in->t_s);
    }
}

static void change_phase(jl_governor *g, const jl_gov_input *in)
{
    g->phase = in->phase;
    g->probing = true;
    for (uint32_t i = 0; i < g->n_settings; i++)
        if (g->speed[g->phase][i].rate > 0.0)
            g->probing = false; /* this phase is known */
    if (g->probing)
        g->explore_until = in->t_s + LOOK_S * jl_gov_unit(g);
    else
        g->home = best_setting(g, in, 0.0);
    g->next_review = in->t_s;
}

/* A budget that cannot be met even by the most frugal setting at the least duty. */
static bool below_floor(const jl_governor *g, const jl_gov_input *in)
{
    if (g->n_samples < 3 || (in->limit_w <= 0.0 && in->target_j <= 0.0))
        return false;
    for (uint32_t i = 0; i < g->n_settings; i++)
        if (promise_of(g, i, in, 0.0).allowed)
            return false;
    return true;
}

/* The duty of the setting in use. */
static double duty_now(const jl_governor *g, const jl_gov_input *in)
{
    const bool early = g->probing || in->t_s < g->explore_until;

    return promise_of(g, g->now, in, early ? CARE_FIRST : CARE_LATER).duty;
}

jl_gov_output jl_governor_step(jl_governor *g, const jl_gov_input *in)
{
    jl_gov_learn(g, in);
    if (in->phase != g->phase && in->tokens > 0.0)
        change_phase(g, in);
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
    g->out.place = g->setting[g->now].place;
    g->out.n_threads = g->setting[g->now].n;
    g->out.duty = duty_now(g, in);
    g->out.at_floor = below_floor(g, in);
    g->out.expected_w = jl_pm_static(&g->model) + slope_of(g, g->now, g->out.duty) * g->out.duty;
    return g->out;
}
