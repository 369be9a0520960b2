/* The sampler's step: meter, state, rules, governor, and what follows from them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "power/power.h"

#define STATE_S 2.0  /* battery and heat are looked at this often */
#define AWAKE_S 3.0  /* shorter work takes no sleep inhibitor */
#define CHEAPER 10.0 /* until measured: a prompt token costs this part of a generated one */

double jl_power_now(const jl_power *p)
{
    return (double)(jl_time_ns() - p->start_ns) * 1e-9;
}

void jl_power_read_state(jl_power *p, jl_machine_state *out)
{
    *out = (jl_machine_state){
        .on_ac = -1, .battery = NAN, .temperature_c = NAN, .thermal = -1, .low_power_mode = -1};
    if (p->is_mac) {
        jl_mac_state(&p->mac, out);
        return;
    }
    jl_supply_state(&p->fs, out);
    jl_thermal_state(&p->fs, out);
}

static double cost_of(const jl_power *p, jl_phase phase)
{
    if (p->cost[phase] > 0.0)
        return p->cost[phase];
    if (phase == JL_PHASE_PROMPT)
        return p->cost[JL_PHASE_DECODE] > 0.0 ? p->cost[JL_PHASE_DECODE] / CHEAPER : 1.0;
    return p->cost[JL_PHASE_PROMPT] > 0.0 ? p->cost[JL_PHASE_PROMPT] * CHEAPER : CHEAPER;
}

void jl_power_account(jl_power *p, double joules, double n_prompt, double n_decode)
{
    const double w_prompt = n_prompt * cost_of(p, JL_PHASE_PROMPT);
    const double w_decode = n_decode * cost_of(p, JL_PHASE_DECODE);

    joules += p->pending_j;
    if (w_prompt + w_decode <= 0.0) {
        p->pending_j = joules;
        return;
    }
    p->pending_j = 0.0;
    p->totals.prompt_j += joules * w_prompt / (w_prompt + w_decode);
    p->totals.decode_j += joules * w_decode / (w_prompt + w_decode);
    /* the cost of a phase is learnt while it is alone, as a mean over some of its ticks */
    if (joules > 0.0 && (n_prompt <= 0.0) != (n_decode <= 0.0)) {
        const jl_phase phase = n_prompt > 0.0 ? JL_PHASE_PROMPT : JL_PHASE_DECODE;
        const double seen = joules / (n_prompt > 0.0 ? n_prompt : n_decode);
        p->cost[phase] = p->cost[phase] > 0.0 ? 0.8 * p->cost[phase] + 0.2 * seen : seen;
    }
}

/* What was done since the last tick. */
typedef struct {
    double dt, prompt, decode, busy;
} work;

static work count_work(jl_power *p, double t)
{
    const jl_power_mark now = {.joules = p->clock.joules,
                               .t = t,
                               .prompt = (double)atomic_load(&p->n_prompt) / JL_POWER_PARTS,
                               .decode = (double)atomic_load(&p->n_decode) / JL_POWER_PARTS,
                               .busy = (double)atomic_load(&p->busy_ns) * 1e-9};
    const work w = {t - p->tick.t, now.prompt - p->tick.prompt, now.decode - p->tick.decode,
                    now.busy - p->tick.busy};

    if (p->meter)
        jl_power_account(p, now.joules - p->tick.joules, w.prompt, w.decode);
    p->totals.n_prompt = (uint64_t)(now.prompt + 0.5);
    p->totals.n_decode = (uint64_t)(now.decode + 0.5);
    p->totals.busy_s = now.busy;
    p->totals.work_s += w.dt;
    p->tick = now;
    return w;
}

static void smooth_watts(jl_power *p, double dt)
{
    const double a = dt < 1.0 ? dt : 1.0;
    double *w = &p->totals.watts;

    if (!isnan(p->clock.watts))
        *w = isnan(*w) ? p->clock.watts : *w + a * (p->clock.watts - *w);
}

/* Reads the meter if it may have something new. True: there is a sample for the governor. */
static bool sample(jl_power *p, double t, jl_gov_input *in)
{
    const double period = p->meter ? p->meter->info.period_s : 0.0;

    if (!p->meter || t - p->clock.last_t < (period > 0.05 ? 0.95 * period : 0.05))
        return false;
    if (!jl_meter_clock_step(&p->clock, p->meter, t, NULL)) {
        p->meter_t = NAN;
        return false;
    }
    const bool whole = !isnan(p->meter_t) && t > p->meter_t;
    in->joules = p->clock.joules - p->meter_j;
    in->span_s = t - p->meter_t;
    p->meter_j = p->clock.joules;
    p->meter_t = t;
    return whole;
}

void jl_power_refresh(jl_power *p, double t)
{
    if (t - p->state_t < STATE_S)
        return;
    p->state_t = t;
    const jl_rule before = p->rule;
    jl_power_read_state(p, &p->state);
    p->rule = jl_rules(&p->state, p->params.on_battery, p->params.pause_below, &before);
    if (p->params.user_rest_s > 0.0)
        jl_rule_user(&p->rule, jl_user_idle(&p->user), p->params.user_rest_s);
    atomic_store(&p->paused, p->rule.pause);
}

/* Hands the outcome of rules, duty limit and governor to the session's thread. */
static void publish(jl_power *p)
{
    const jl_gov_machine *m = &p->governor.machine;
    double duty = p->governed ? p->decided.duty : 1.0;
    uint32_t threads = p->governed ? p->decided.n_threads : p->n_threads;
    jl_place place = p->governed ? p->decided.place : JL_PLACE_KEEP;

    if (p->limits.duty > 0.0 && p->limits.duty < duty)
        duty = p->limits.duty;
    duty = p->rule.duty < duty ? p->rule.duty : duty;
    if (p->rule.half && !p->governed) {
        place = m->n_thrifty ? JL_PLACE_THRIFTY : JL_PLACE_KEEP;
        const uint32_t most = m->n_thrifty ? m->n_thrifty : (p->n_threads + 1) / 2;
        threads = threads < most ? threads : most;
    } else if (place == JL_PLACE_KEEP && atomic_load(&p->use_place) != JL_PLACE_KEEP) {
        place = JL_PLACE_ANY; /* back from a kind of cores */
    }
    atomic_store(&p->duty, duty);
    atomic_store(&p->use_threads, threads);
    atomic_store(&p->use_place, (uint32_t)place);
}

static void keep_awake(jl_power *p, double t)
{
    if (p->params.keep_awake && t - p->work_began >= AWAKE_S && !p->rule.pause)
        jl_inhibit_take(&p->inhibit);
}

uint32_t jl_power_tick(jl_power *p)
{
    const double t = jl_power_now(p);
    jl_gov_input in = {.t_s = t};

    in.sample = sample(p, t, &in);
    const work w = count_work(p, t);
    smooth_watts(p, w.dt);
    jl_power_refresh(p, t);
    p->governed = p->meter && (p->limits.budget_w > 0.0 || p->limits.target_j > 0.0);
    if (p->governed && w.dt >= 0.001) {
        in.busy_s = w.busy;
        in.phase = w.prompt > w.decode ? JL_PHASE_PROMPT : JL_PHASE_DECODE;
        in.tokens = in.phase == JL_PHASE_PROMPT ? w.prompt : w.decode;
        in.limit_w = p->limits.budget_w * p->rule.budget;
        in.target_j = in.phase == JL_PHASE_DECODE ? p->limits.target_j : 0.0;
        p->decided = jl_governor_step(&p->governor, &in);
    }
    publish(p);
    keep_awake(p, t);
    if (p->governed)
        return 50;
    const double period = p->meter ? p->meter->info.period_s : 1.0;
    return period < 0.25 ? 250 : period > 1.0 ? 1000 : (uint32_t)(period * 1000.0);
}
