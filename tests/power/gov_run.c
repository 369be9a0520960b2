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
 * every number of cores of each kind, all of both, in 200 steps of duty, each kept from the start and
 * judged over the span over which the governor is judged: a machine that is still warming up cannot
 * be held to what it will be like when it is hot. */
static best search(const sim_params *p, double budget, double from, double to, double *floor_w)
{
    enum { FIRST = 8, STEPS = 200 };
    best all[17 * STEPS];
    size_t n = 0;
    double top = 0.0;
    best b = {0};

    *floor_w = INFINITY;
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
            *floor_w = x->watts < *floor_w ? x->watts : *floor_w;
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

gov_result gov_run(uint64_t seed, bool trace)
{
    static double joules[MAX_TICKS + 1], tokens[MAX_TICKS + 1];
    uint64_t rng = seed * 7919 + 3;
    const sim_params p = sim_draw(seed);
    const double budget = exp(log(4.0) + sim_random(&rng) * log(10.0)); /* 4 W to 40 W */
    const jl_gov_machine machine = {.n_fast = (uint32_t)p.n_fast,
                                    .n_thrifty = (uint32_t)p.n_thrifty,
                                    .n_threads = (uint32_t)(p.n_fast + p.n_thrifty),
                                    .period_s = p.period_s,
                                    .delay_s = p.delay_s,
                                    .shows_power = !p.counter,
                                    .bytes_per_token = 3.3e9,
                                    .ops_per_token = 8e9};
    static sim s;
    static jl_governor g;
    sim_setting use = {0};
    gov_result r = {.budget_w = budget};
    const int end = p.unplug_t >= 0.0 ? 1400 : 1200; /* 60 s, 70 s with an event */
    int changes = 0;

    sim_start(&s, &p, seed);
    jl_governor_init(&g, &machine);
    jl_gov_output o = g.out;
    for (int i = 0; i < end; i++) {
        bool sample;
        const double before = s.tokens;
        const uint32_t n = o.n_threads;
        const jl_place place = o.place;
        use_output(&o, &p, &use);
        const double busy = sim_run(&s, &use, TICK_S, &sample);
        joules[i + 1] = s.joules;
        tokens[i + 1] = s.tokens;
        const jl_gov_input in = {.t_s = s.t,
                                 .busy_s = busy,
                                 .tokens = s.tokens - before,
                                 .phase = JL_PHASE_DECODE,
                                 .sample = sample,
                                 .joules = s.sample_j,
                                 .span_s = s.sample_span,
                                 .limit_w = budget};
        o = jl_governor_step(&g, &in);
        changes += i > end / 2 && (o.n_threads != n || o.place != place);
        if (trace && i % 100 == 99) {
            for (uint32_t k = 0; k < g.n_settings; k++)
                printf("  [%d/%u %.2f t/s %+.2f]", (int)g.setting[k].place, g.setting[k].n,
                       g.speed[1][k].rate, g.model.mean[JL_PM_DEVIATION + JL_PM_SETTINGS + k]);
            printf("\n");
        }
        if (trace)
            printf("%6.2f s %7.2f W  place %d n %u duty %.3f  expect %.2f static %.2f  %.1f C  "
                   "owes %.1f J%s\n",
                   s.t, mean(joules, i, i + 1), (int)o.place, o.n_threads, o.duty, o.expected_w,
                   g.model.mean[JL_PM_STATIC], s.temperature_c, g.debt_j,
                   g.probing              ? " probes"
                   : s.t < g.explore_until ? " looks around"
                                           : "");
    }
    const double bound_s = fmax(5.0, 5.0 * p.period_s);
    const int event = p.unplug_t >= 0.0 ? (int)(p.unplug_t / TICK_S) : 0;
    const int steady = event + (int)((bound_s + 5.0) / TICK_S);
    const int window = (int)(bound_s / TICK_S);
    const best b = search(&p, budget, steady * TICK_S, end * TICK_S, &r.floor_w);

    r.floor = r.floor_w > budget;
    r.said_floor = o.at_floor;
    r.binds = b.watts >= 0.97 * budget && b.duty < 0.99;
    const double limit = r.floor ? r.floor_w : budget;
    r.settle_s = settled(joules, event, end, window, limit, r.binds);
    for (int i = 0; i + 200 <= end; i++)
        r.overshoot = fmax(r.overshoot, mean(joules, i, i + 200) / limit - 1.0);
    const double w = mean(joules, steady, end);
    const double v = mean(tokens, steady, end);
    r.speed = r.floor ? 1.0 : v / b.speed;
    /* power that is not used is a fault where it would have brought tokens */
    r.error =
        r.binds && !r.floor && r.speed < 0.95 ? fabs(w / limit - 1.0) : fmax(0.0, w / limit - 1.0);
    r.efficiency = r.floor ? 1.0 : v / w / (b.speed / b.watts);
    r.changes = changes / (end / 2 * TICK_S / 60.0);
    if (trace)
        printf("best: %d fast %d thrifty duty %.2f: %.2f W %.2f t/s; run: %.2f W %.2f t/s\n",
               b.use.n_fast, b.use.n_thrifty, b.duty, b.watts, b.speed, w, v);
    return r;
}
