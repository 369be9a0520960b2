/* The simulated laptop. */
#include "sim.h"

#include <math.h>

double sim_random(uint64_t *rng)
{
    *rng += 0x9E3779B97F4A7C15u;
    uint64_t z = *rng;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static double between(uint64_t *r, double a, double b)
{
    return a + (b - a) * sim_random(r);
}

static double log_between(uint64_t *r, double a, double b)
{
    return exp(between(r, log(a), log(b)));
}

static double gauss(uint64_t *r)
{
    return sqrt(-2.0 * log(sim_random(r) + 1e-300)) * cos(6.283185307179586 * sim_random(r));
}

sim_params sim_draw(uint64_t seed)
{
    uint64_t rng = seed * 0xD1342543DE82EF95u + 17;
    uint64_t *r = &rng;
    sim_params p = {0};

    p.n_fast = 1 + (int)between(r, 0, 8);
    p.n_thrifty = sim_random(r) < 0.6 ? 2 + (int)between(r, 0, 7) : 0;
    p.fast_w = log_between(r, 1.5, 9.0);
    p.thrifty_w = p.fast_w * between(r, 0.06, 0.3);
    p.clock_drop = between(r, 0.0, 0.35);
    p.clock_power = between(r, 1.6, 2.8);
    p.fast_speed = log_between(r, 2.0, 12.0);
    p.thrifty_speed = p.fast_speed * between(r, 0.22, 0.6);
    p.sync_loss = between(r, 0.0, 0.04);
    p.fast_bw = p.fast_speed * between(r, 1.2, 6.0);
    p.thrifty_bw = p.fast_bw * between(r, 0.3, 1.0);
    p.knee = between(r, 2.0, 7.0);
    p.static_w = log_between(r, 0.4, 8.0);
    p.uncore_w = log_between(r, 0.2, 3.0);
    p.memory_w = log_between(r, 0.3, 4.0);
    p.memory_power = between(r, 0.7, 1.6);
    p.idle_power = between(r, 0.55, 1.0);
    p.slow_start = between(r, 0.0, 0.15);
    p.ambient_c = between(r, 22, 38);
    p.rise_c_per_w = between(r, 0.6, 2.2);
    p.heat_s = log_between(r, 5, 40);
    p.limit_c = between(r, 75, 100);
    p.leak_per_c = between(r, 0.0, 0.012);
    p.counter = sim_random(r) < 0.6;
    p.period_s = p.counter ? log_between(r, 0.05, 1.0) : log_between(r, 0.2, 2.0);
    p.delay_s = p.period_s * between(r, 0.0, 1.0);
    p.noise = log_between(r, 0.003, 0.04);
    p.step = p.counter ? log_between(r, 1e-5, 2e-2) : log_between(r, 1e-3, 0.1);
    p.lag_s = p.counter ? 0.0 : p.period_s * between(r, 0.0, 0.6);
    p.unplug_t = sim_random(r) < 0.35 ? between(r, 25, 35) : -1.0;
    p.unplug_clock = between(r, 0.55, 0.9);
    p.burst_w = sim_random(r) < 0.5 ? between(r, 0.1, 0.6) : 0.0;
    p.burst_every_s = log_between(r, 3, 20);
    return p;
}

/* Compute-bound tokens/s, before memory. */
static double compute_speed(const sim_params *p, const sim_setting *u, double clock)
{
    const int n = u->n_fast + u->n_thrifty;
    const double slow = 1.0 - p->clock_drop * (u->n_fast > 1 ? (u->n_fast - 1.0) / p->n_fast : 0.0);
    /* mixed kinds: the fast ones wait for the others at the end of every piece of work */
    const double mixed = u->n_fast && u->n_thrifty ? 0.85 : 1.0;
    const double sum = u->n_fast * p->fast_speed * slow + u->n_thrifty * p->thrifty_speed;

    return sum * clock * mixed * exp(-p->sync_loss * (n - 1));
}

static double busy_speed(const sim_params *p, const sim_setting *u, double clock)
{
    const double c = compute_speed(p, u, clock);
    const double m = u->n_fast ? p->fast_bw : p->thrifty_bw;
    const double speed = pow(pow(c, -p->knee) + pow(m, -p->knee), -1.0 / p->knee);

    return speed * (1.0 - p->slow_start * (1.0 - u->duty) * (1.0 - u->duty));
}

/* Of which temperature takes no part; the tokens/s of it in *speed. */
static double cold_watts(const sim_params *p, const sim_setting *u, double clock, double *speed)
{
    const double slow = 1.0 - p->clock_drop * (u->n_fast > 1 ? (u->n_fast - 1.0) / p->n_fast : 0.0);
    *speed = busy_speed(p, u, clock) * u->duty;
    const double wake = 1.0 + 0.06 * (1.0 - u->duty);
    const double cores =
        (u->n_fast * p->fast_w * pow(slow, p->clock_power) + u->n_thrifty * p->thrifty_w) *
        pow(clock, p->clock_power) * u->duty * wake;

    return p->uncore_w * pow(u->duty, p->idle_power) + cores +
           p->memory_w * pow(*speed / p->fast_bw, p->memory_power);
}

static double static_watts(const sim_params *p, double celsius)
{
    return p->static_w * (1.0 + p->leak_per_c * (celsius - 40.0));
}

/* What heat leaves of the clock. */
static double heat_clock(const sim_params *p, double celsius)
{
    const double over = celsius - (p->limit_c - 4.0);

    return over <= 0.0 ? 1.0 : over > 12.0 ? 0.5 : 1.0 - 0.5 * over / 12.0;
}

/* What heat and the charger leave of it. */
static double clock_at(const sim_params *p, double t, double celsius)
{
    const double charger = p->unplug_t >= 0.0 && t >= p->unplug_t ? p->unplug_clock : 1.0;

    return charger * heat_clock(p, celsius);
}

void sim_alone(const sim_params *p, const sim_setting *use, double from, double to, double *watts,
               double *speed)
{
    const double h = 0.25;
    const double until = to - 0.5 * h;
    double celsius = p->ambient_c;
    double clock = 0.0;
    double cold = 0.0;
    double now = 0.0;
    double joules = 0.0;
    double tokens = 0.0;
    double seconds = 0.0;

    for (double t = 0.0; t < until; t += h) {
        const double heated = clock_at(p, t, celsius);
        if (heated != clock)
            cold = cold_watts(p, use, clock = heated, &now);
        const double w = static_watts(p, celsius) + cold;
        celsius += (p->ambient_c + p->rise_c_per_w * w - celsius) * h / p->heat_s;
        if (t < from)
            continue;
        joules += w * h;
        tokens += now * h;
        seconds += h;
    }
    *watts = joules / seconds;
    *speed = tokens / seconds;
}

void sim_start(sim *s, const sim_params *p, uint64_t seed)
{
    *s = (sim){.p = *p, .rng = seed ^ 0x5bd1e995u, .temperature_c = p->ambient_c, .clock = 1.0};
    s->lag_w = p->static_w;
    s->next_sample = p->period_s * sim_random(&s->rng);
    s->burst_next = p->burst_every_s * sim_random(&s->rng);
}

static double burst(sim *s)
{
    if (s->p.burst_w <= 0.0)
        return 0.0;
    if (s->t >= s->burst_next) {
        s->burst_until = s->t + between(&s->rng, 0.1, 1.5);
        s->burst_next = s->t + 2.0 * s->p.burst_every_s * sim_random(&s->rng) + 1.5;
    }
    return s->t < s->burst_until ? s->p.burst_w : 0.0;
}

/* Energy of the counter some time ago. */
static double energy_at(const sim *s, double t)
{
    for (uint32_t i = 0; i < s->ring_n && i < 4096; i++) {
        const uint32_t at = (s->ring_n - 1 - i) % 4096;
        if (s->ring_t[at] <= t)
            return s->ring_j[at];
    }
    return 0.0;
}

/* A counter shows energy in steps, late; the other kind shows a smoothed power. */
static void show(sim *s)
{
    const sim_params *p = &s->p;
    const double late = p->delay_s * between(&s->rng, 0.7, 1.3);
    const double span = s->t - s->last_sample_t;
    const double noise = 1.0 + p->noise * gauss(&s->rng);

    if (p->counter) {
        const double shown = floor(energy_at(s, s->t - late) / p->step) * p->step;
        s->sample_j = (shown - s->shown_j) * noise;
        s->shown_j = shown;
    } else {
        const double then = energy_at(s, s->t - late);
        const double w = (then - energy_at(s, s->t - late - 0.02)) / 0.02;
        s->lag_w += (w - s->lag_w) * (p->lag_s > 0.0 ? 1.0 - exp(-span / p->lag_s) : 1.0);
        s->sample_j = floor(s->lag_w * noise / p->step + 0.5) * p->step * span;
    }
    s->sample_span = span;
    s->last_sample_t = s->t;
}

double sim_run(sim *s, const sim_setting *use, double dt, bool *sample)
{
    const sim_params *p = &s->p;
    const double h = 0.005;
    double busy = 0.0;
    double cold = 0.0;
    double cold_clock = 0.0; /* that `cold` and `speed` are of */
    double speed = 0.0;

    *sample = false;
    for (double left = dt; left > 1e-9; left -= h) {
        s->clock = clock_at(p, s->t, s->temperature_c);
        if (s->clock != cold_clock)
            cold = cold_watts(p, use, cold_clock = s->clock, &speed);
        const double w = static_watts(p, s->temperature_c) + cold + burst(s);
        s->joules += w * h;
        s->tokens += speed * h;
        s->temperature_c += (p->ambient_c + p->rise_c_per_w * w - s->temperature_c) * h / p->heat_s;
        busy += use->duty * h;
        s->t += h;
        s->ring_t[s->ring_n % 4096] = s->t;
        s->ring_j[s->ring_n++ % 4096] = s->joules;
        if (s->t >= s->next_sample) {
            show(s);
            *sample = true;
            s->next_sample += p->period_s * between(&s->rng, 0.9, 1.1);
        }
    }
    return busy;
}
