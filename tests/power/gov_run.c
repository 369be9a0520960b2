/* The governor at work on a simulated machine. */
#include "gov_run.h"

#include <math.h>
#include <stdio.h>

#include "power/governor.h"

#define TICK_S 0.05
enum { MAX_TICKS = 4000 };

typedef struct {
    double watts, speed, duty;
    sim_setting use;
} best;

/* Best tokens per joule among settings that come within 3 % of the highest speed the budget allows:
 * every number of cores of each kind, all of both, in 200 steps of duty, each kept from the start
 * and judged over the span over which the governor is judged: a machine that is still warming up
 * cannot be held to what it will be like when it is hot. */
static best search(const sim_params *p, double budget, double from, double to, best *floor)
{
    enum { FIRST = 8, STEPS = 200 };
    best all[17 * STEPS];
    size_t n = 0;
    double top = 0.0;
    best b = {0};

    floor->watts = INFINITY;
    for (int c = 0; c < p->n_fast + p->n_thrifty + (p->n_thrifty > 0); c++)
        for (int d = FIRST; d <= STEPS; d++) {
            best *x = &all[n++];
            sim_setting *u = &x->use;
            x->duty = u->duty = d / (double)STEPS;
            u->n_fast = c < p->n_fast ? c + 1 : c == p->n_fast + p->n_thrifty ? p->n_fast : 0;
            u->n_thrifty = c < p->n_fast                   ? 0
                           : c == p->n_fast + p->n_thrifty ? p->n_thrifty
                                                           : c - p->n_fast + 1;
            sim_alone(p, u, from, to, &x->watts, &x->speed);
            *floor = x->watts < floor->watts ? *x : *floor;
            if (x->watts <= budget && x->speed > top)
                top = x->speed;
        }
    for (const best *x = all; x < all + n; x++)
        if (x->watts <= budget && x->speed >= 0.97 * top &&
            (b.watts == 0.0 || x->speed / x->watts > b.speed / b.watts))
            b = *x;
    return b;
}

static double mean(const double *joules, int from, int to)
{
    return (joules[to] - joules[from]) / ((to - from) * TICK_S);
}

static void use_output(const jl_gov_output *o, const sim_params *p, sim_setting *u)
{
    u->duty = o->duty;
    u->n_fast = o->place == JL_PLACE_THRIFTY ? 0 : (int)o->n_threads;
    u->n_thrifty = o->place == JL_PLACE_THRIFTY ? (int)o->n_threads : 0;
    if (o->place == JL_PLACE_ANY && p->n_thrifty) {
        u->n_fast = p->n_fast;
        u->n_thrifty = p->n_thrifty;
    }
}

/* When the power, as a mean over `window` ticks, comes within 5 % of what it is later, for good.
 * Where the budget does not bind, falling below it is no fault: a thriftier setting was found. */
static double settled(const double *joules, int from, int end, int window, double limit, bool binds)
{
    int last_bad = from - 1;
    const double final = binds ? mean(joules, (from + end) / 2, end) : limit;

    for (int i = from; i + window <= end; i++) {
        const double off = mean(joules, i, i + window) / final - 1.0;
        if (off > 0.05 || (binds && off < -0.05))
            last_bad = i;
    }
    return (last_bad + 1 - from) * TICK_S;
}

/* A run in progress: what drives the machine, the machine, what came of it so far. */
typedef struct {
    sim_params p;
    jl_governor g;
    jl_gov_output o;
    sim s;
    double joules[MAX_TICKS + 1], tokens[MAX_TICKS + 1]; /* true, since start */
    double budget;
    int end;
} course;

static void trace_step(const course *c, int i)
{
    const jl_governor *g = &c->g;

    if (i % 100 == 99) {
        for (uint32_t k = 0; k < g->n_settings; k++)
            printf("  [%d/%u %.2f t/s %+.2f]", (int)g->setting[k].place, g->setting[k].n,
                   g->speed[1][k].rate, g->model.mean[JL_PM_DEVIATION + JL_PM_SETTINGS + k]);
        printf("\n");
    }
    printf("%6.2f s %7.2f W  place %d n %u duty %.3f  expect %.2f static %.2f  %.1f C  "
           "owes %.1f J%s\n",
           c->s.t, mean(c->joules, i, i + 1), (int)c->o.place, c->o.n_threads, c->o.duty,
           c->o.expected_w, g->model.mean[JL_PM_STATIC], c->s.temperature_c, g->debt_j,
           g->probing                  ? " probes"
           : c->s.t < g->explore_until ? " looks around"
                                       : "");
}

/* One tick at a setting; what the governor is told of it. */
static jl_gov_input tick(course *c, int i, const sim_setting *use)
{
    bool sample;
    const double before = c->s.tokens;
    const double busy = sim_run(&c->s, use, TICK_S, &sample);

    c->joules[i + 1] = c->s.joules;
    c->tokens[i + 1] = c->s.tokens;
    return (jl_gov_input){.t_s = c->s.t,
                          .busy_s = busy,
                          .tokens = c->s.tokens - before,
                          .phase = JL_PHASE_DECODE,
                          .sample = sample,
                          .joules = c->s.sample_j,
                          .span_s = c->s.sample_span,
                          .limit_w = c->budget};
}

/* The governor from start to end; returns how often it changed the setting in the second half. */
static int govern(course *c, bool trace)
{
    const sim_params *p = &c->p;
    const jl_gov_machine machine = {.n_fast = (uint32_t)p->n_fast,
                                    .n_thrifty = (uint32_t)p->n_thrifty,
                                    .n_threads = (uint32_t)(p->n_fast + p->n_thrifty),
                                    .period_s = p->period_s,
                                    .delay_s = p->delay_s,
                                    .shows_power = !p->counter,
                                    .bytes_per_token = 3.3e9,
                                    .ops_per_token = 8e9};
    sim_setting use = {0};
    int changes = 0;

    jl_governor_init(&c->g, &machine);
    c->o = c->g.out;
    for (int i = 0; i < c->end; i++) {
        const jl_gov_output before = c->o;
        use_output(&c->o, p, &use);
        const jl_gov_input in = tick(c, i, &use);
        c->o = jl_governor_step(&c->g, &in);
        changes += i > c->end / 2 &&
                   (c->o.n_threads != before.n_threads || c->o.place != before.place);
        if (trace)
            trace_step(c, i);
    }
    return changes;
}

/* The setting with another duty, at which the cold machine draws so much more. */
static sim_setting drawing(const sim_params *p, sim_setting u, double more)
{
    sim_setting least = u;
    double watts, low, speed;

    least.duty = JL_GOV_DUTY_MIN;
    sim_alone(p, &u, 0.0, 1.0, &watts, &speed);
    sim_alone(p, &least, 0.0, 1.0, &low, &speed);
    if (u.duty > least.duty)
        u.duty += more * watts * (u.duty - least.duty) / (watts - low);
    u.duty = fmin(fmax(u.duty, JL_GOV_DUTY_MIN), 1.0);
    return u;
}

/* What a faulty driver makes of a good setting, so long after start or event. */
static sim_setting spoiled(const sim_params *p, gov_driver driver, sim_setting u, double since)
{
    const double bound = fmax(5.0, 5.0 * p->period_s);

    switch (driver) {
    case GOV_LATE:
        return since < 2.0 * bound ? drawing(p, u, -0.125) : u;
    case GOV_SWINGS:
        return drawing(p, u, fmod(since, 2.0 * bound) < bound ? -0.125 : 0.125);
    case GOV_ABOVE:
        return drawing(p, u, 0.08);
    case GOV_CROWD:
        u.n_fast += u.n_fast ? u.n_fast < p->n_fast : u.n_thrifty == p->n_thrifty;
        u.n_thrifty += !u.n_fast;
        return u;
    default:
        return u;
    }
}

/* Instead of the governor one who knows the machine and its future: the best setting of the search
 * from the start, and from the moment the charger is pulled the best one afterwards. */
static void clairvoyant(course *c, const best *after, gov_driver driver)
{
    const double pulled = c->p.unplug_t;
    best floor;
    best first = *after;

    if (pulled >= 0.0) {
        const double bound = fmax(5.0, 5.0 * c->p.period_s);
        first = search(&c->p, c->budget, bound, pulled, &floor);
        first = first.watts > 0.0 ? first : floor;
    }
    for (int i = 0; i < c->end; i++) {
        const double t = i * TICK_S;
        const bool before = t < pulled;
        const double since = before || pulled < 0.0 ? t : t - pulled;
        const sim_setting use =
            spoiled(&c->p, driver, before ? first.use : after->use, since);
        (void)tick(c, i, &use);
    }
    c->o.at_floor = after->watts > c->budget;
}

gov_result gov_run(uint64_t seed, gov_driver driver, bool trace)
{
    static course c;
    uint64_t rng = seed * 7919 + 3;
    best floor;

    c.p = sim_draw(seed);
    c.budget = exp(log(4.0) + sim_random(&rng) * log(10.0)); /* 4 W to 40 W */
    c.end = c.p.unplug_t >= 0.0 ? 1400 : 1200; /* 60 s, 70 s with an event */
    const double bound_s = fmax(5.0, 5.0 * c.p.period_s);
    const int event = c.p.unplug_t >= 0.0 ? (int)(c.p.unplug_t / TICK_S) : 0;
    const int steady = event + (int)((bound_s + 5.0) / TICK_S);
    const int window = (int)(bound_s / TICK_S);
    const best b = search(&c.p, c.budget, steady * TICK_S, c.end * TICK_S, &floor);
    gov_result r = {.budget_w = c.budget, .floor_w = floor.watts};
    int changes = 0;

    sim_start(&c.s, &c.p, seed);
    if (driver == GOV_GOVERNOR)
        changes = govern(&c, trace);
    else
        clairvoyant(&c, b.watts > 0.0 ? &b : &floor, driver);
    r.floor = r.floor_w > c.budget;
    r.said_floor = c.o.at_floor;
    r.binds = b.watts >= 0.97 * c.budget && b.duty < 0.99;
    const double limit = r.floor ? r.floor_w : c.budget;
    r.settle_s = settled(c.joules, event, c.end, window, limit, r.binds);
    for (int i = 0; i + 200 <= c.end; i++)
        r.overshoot = fmax(r.overshoot, mean(c.joules, i, i + 200) / limit - 1.0);
    const double w = mean(c.joules, steady, c.end);
    const double v = mean(c.tokens, steady, c.end);
    r.speed = r.floor ? 1.0 : v / b.speed;
    /* power that is not used is a fault where it would have brought tokens */
    r.error =
        r.binds && !r.floor && r.speed < 0.95 ? fabs(w / limit - 1.0) : fmax(0.0, w / limit - 1.0);
    r.efficiency = r.floor ? 1.0 : v / w / (b.speed / b.watts);
    r.changes = changes / (c.end / 2 * TICK_S / 60.0);
    if (trace)
        printf("best: %d fast %d thrifty duty %.2f: %.2f W %.2f t/s; run: %.2f W %.2f t/s\n",
               b.use.n_fast, b.use.n_thrifty, b.duty, b.watts, b.speed, w, v);
    return r;
}
