/* The power object: meters, the sampler's thread, and what programs ask it. */
#include "power/power.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/placement.h"
#include "power/nvml.h"

/* ---- opening ---------------------------------------------------------------------------- */

static void find_meters(jl_power *p)
{
    if (p->is_mac) {
        jl_ioreport_find(&p->mac, &p->meters);
        jl_smc_find(&p->mac, &p->meters);
        jl_mac_battery_find(&p->mac, &p->meters);
        jl_rusage_find(&p->mac, &p->meters);
    } else {
        jl_rapl_find(&p->fs, &p->meters);
        jl_hwmon_find(&p->fs, &p->meters);
        jl_battery_find(&p->fs, &p->meters);
    }
    if (!p->params.sysfs)
        jl_nvml_find(&p->meters);
    for (size_t i = 0; p->params.sysfs && i < p->meters.n; i++) { /* a tree of a test is named */
        char *name = p->meters.m[i].info.name;
        const size_t n = strlen(name);
        snprintf(name + n, sizeof p->meters.m[i].info.name - n, " (in %s)", p->root);
    }
}

static jl_status check_limits(const jl_power *p, const jl_power_limits *l, jl_error *err)
{
    const bool wants = l->budget_w > 0.0 || l->target_j > 0.0;

    if (wants && !p->meter)
        return jl_fail(err, JL_UNSUPPORTED,
                       "a power budget needs a meter; %s. --duty 50%% works without one", p->why);
    if (wants && p->params.device && !(p->params.device & JL_COVERS_CPU))
        return jl_fail(err, JL_UNSUPPORTED,
                       "a power budget is held with the cores of the CPU, and a GPU does the work: "
                       "use --duty 50%%, or the power limit of the GPU itself");
    if (l->duty > 1.0 || (l->duty > 0.0 && l->duty < 0.02))
        return jl_fail(err, JL_INVALID, "a duty of %g is out of range: 2%% to 100%%", l->duty);
    if (l->budget_w > 1e5 || l->target_j > 1e6)
        return jl_fail(err, JL_INVALID, "a budget of %g W, %g J per token is out of range",
                       l->budget_w, l->target_j);
    return JL_OK;
}

static void start_governor(jl_power *p, uint32_t n_threads)
{
    const jl_meter_info *i = p->meter ? &p->meter->info : NULL;
    const jl_gov_machine m = {.n_fast = (uint32_t)jl_cpu_cores_of(JL_CORES_FAST),
                              .n_thrifty = (uint32_t)jl_cpu_cores_of(JL_CORES_THRIFTY),
                              .n_threads = n_threads,
                              .period_s = i && i->period_s > 0.05 ? i->period_s : 0.05,
                              .delay_s = i ? i->delay_s : 0.0,
                              .shows_power = i && !i->counter,
                              .bytes_per_token = p->params.bytes_per_token,
                              .ops_per_token = p->params.ops_per_token};

    jl_governor_init(&p->governor, &m);
    p->n_threads = n_threads;
    p->decided = p->governor.out;
}

static void sampler(void *ctx)
{
    jl_power *p = ctx;

    jl_lock_take(p->lock);
    while (!p->stop) {
        if (p->n_working == 0) {
            jl_lock_wait(p->lock);
            continue;
        }
        const uint32_t ms = jl_power_tick(p);
        (void)jl_lock_wait_for(p->lock, ms);
    }
    jl_lock_leave(p->lock);
}

static void set_start(jl_power *p, const jl_power_params *params)
{
    p->params = *params;
    p->start_ns = jl_time_ns();
    snprintf(p->root, sizeof p->root, "%s", params->sysfs ? params->sysfs : "/sys");
    p->fs = jl_sysfs_at(p->root);
    p->is_mac = !params->sysfs && jl_mac_load(&p->mac);
    p->inhibit.mac = p->is_mac ? &p->mac : NULL;
    p->user.mac = p->inhibit.mac;
    p->limits = (jl_power_limits){params->budget_w, params->target_j, params->duty};
    p->totals = (jl_power_totals){.idle_w = NAN, .watts = NAN};
    p->state_t = -INFINITY;
    p->meter_t = NAN;
    p->shown.joules = NAN;
    p->rule = (jl_rule){.duty = 1.0, .budget = 1.0};
    jl_meter_clock_start(&p->clock);
    atomic_init(&p->duty, 1.0);
}

jl_status jl_power_open(const jl_power_params *params, jl_power **out, jl_error *err)
{
    jl_power *p = jl_calloc(1, sizeof *p);

    if (!p)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    set_start(p, params);
    find_meters(p);
    p->meter = jl_meters_choose(&p->meters, params->device ? params->device : JL_COVERS_CPU,
                                params->meter, p->why, sizeof p->why);
    if (params->meter && !p->meter) {
        (void)jl_fail(err, JL_UNSUPPORTED, "%s", p->why);
        jl_power_close(p);
        return JL_UNSUPPORTED;
    }
    start_governor(p, 1);
    jl_status s = check_limits(p, &p->limits, err);
    if (s == JL_OK && params->user_rest_s > 0.0 && isnan(jl_user_idle(&p->user)))
        s = jl_fail(err, JL_UNSUPPORTED,
                    "this system does not say when keyboard and pointer were last used (GNOME's "
                    "idle monitor or logind, through busctl)");
    if (s == JL_OK)
        s = jl_lock_create(&p->lock, err);
    if (s == JL_OK)
        s = jl_thread_start(sampler, p, &p->thread, err);
    if (s != JL_OK) {
        jl_power_close(p);
        return s;
    }
    *out = p;
    return JL_OK;
}

void jl_power_close(jl_power *p)
{
    if (!p)
        return;
    if (p->thread) {
        jl_lock_take(p->lock);
        p->stop = true;
        jl_lock_wake(p->lock);
        jl_lock_leave(p->lock);
        jl_thread_join(p->thread);
    }
    jl_inhibit_release(&p->inhibit);
    jl_meters_close(&p->meters);
    jl_lock_destroy(p->lock);
    jl_free(p);
}

/* ---- what there is ---------------------------------------------------------------------- */

size_t jl_power_meters(const jl_power *p, jl_meter_info *rows, size_t cap)
{
    for (size_t i = 0; i < p->meters.n && i < cap; i++)
        rows[i] = p->meters.m[i].info;
    return p->meters.n;
}

const jl_meter_info *jl_power_meter(const jl_power *p)
{
    return p->meter ? &p->meter->info : NULL;
}

const char *jl_power_why_not(const jl_power *p)
{
    return p->meter ? "" : p->why;
}

void jl_power_state(jl_power *p, jl_machine_state *out)
{
    jl_lock_take(p->lock);
    jl_power_read_state(p, out);
    jl_lock_leave(p->lock);
}

void jl_power_attach(jl_power *p, jl_session *session)
{
    jl_lock_take(p->lock);
    start_governor(p, jl_session_n_threads(session));
    p->used_threads = p->n_threads;
    p->used_place = JL_PLACE_KEEP;
    atomic_store(&p->use_threads, p->n_threads);
    atomic_store(&p->use_place, JL_PLACE_KEEP);
    atomic_store(&p->duty, p->limits.duty > 0.0 ? p->limits.duty : 1.0);
    jl_lock_leave(p->lock);
    jl_session_set_pace(session, jl_power_pace, p);
}

void jl_power_detach(jl_power *p, jl_session *session)
{
    (void)p;
    jl_session_set_pace(session, NULL, NULL);
}

/* ---- work ------------------------------------------------------------------------------- */

void jl_power_begin(jl_power *p)
{
    jl_lock_take(p->lock);
    if (p->n_working++ == 0) {
        const double t = jl_power_now(p);
        p->work_began = t;
        p->clock.last_t = NAN; /* what was used while nobody worked is nobody's */
        p->meter_t = NAN;
        if (p->meter && jl_meter_clock_step(&p->clock, p->meter, t, NULL)) {
            p->meter_t = t;
            p->meter_j = p->clock.joules;
        }
        p->tick.t = t;
        p->tick.joules = p->clock.joules;
        p->state_t = -INFINITY;
        /* the first token already keeps the rules and starts low */
        (void)jl_power_tick(p);
        jl_lock_wake(p->lock);
    }
    jl_lock_leave(p->lock);
}

void jl_power_end(jl_power *p)
{
    jl_lock_take(p->lock);
    if (--p->n_working == 0) {
        if (p->meter)
            (void)jl_meter_clock_step(&p->clock, p->meter, jl_power_now(p), NULL);
        p->meter_t = NAN;
        (void)jl_power_tick(p);
        jl_inhibit_release(&p->inhibit);
        atomic_store(&p->paused, false);
    }
    jl_lock_leave(p->lock);
}

jl_status jl_power_measure_idle(jl_power *p, double seconds, jl_error *err)
{
    jl_meter_clock c;
    jl_error why = {0};

    if (!p->meter)
        return jl_fail(err, JL_UNSUPPORTED, "an idle baseline needs a meter; %s", p->why);
    jl_meter_clock_start(&c);
    const double period = p->meter->info.period_s > 0.05 ? p->meter->info.period_s : 0.05;
    const double start = jl_power_now(p);
    double t = start;
    for (; t < start + seconds; t = jl_power_now(p)) {
        jl_lock_take(p->lock);
        const bool ok = jl_meter_clock_step(&c, p->meter, t, &why);
        jl_lock_leave(p->lock);
        if (!ok)
            return jl_fail(err, JL_IO, "%s", why.text);
        jl_sleep_ns((uint64_t)(period * 1e9));
    }
    jl_lock_take(p->lock);
    (void)jl_meter_clock_step(&c, p->meter, t, NULL);
    p->totals.idle_w = c.joules / (c.last_t - start);
    jl_lock_leave(p->lock);
    return JL_OK;
}

double jl_power_joules(jl_power *p, bool fresh)
{
    if (!p->meter)
        return NAN;
    jl_lock_take(p->lock);
    const double t = jl_power_now(p);
    if (fresh || isnan(p->clock.last_t))
        (void)jl_meter_clock_step(&p->clock, p->meter, t, NULL);
    double joules = p->clock.joules;
    const double since = t - p->clock.last_t;
    const double most = 2.0 * p->meter->info.period_s + 0.5;
    if (since > 0.0 && !isnan(p->clock.watts)) /* false if last_t is NAN */
        joules += p->clock.watts * (since < most ? since : most);
    jl_lock_leave(p->lock);
    return joules;
}

/* ---- figures ---------------------------------------------------------------------------- */

void jl_power_get_totals(jl_power *p, jl_power_totals *out)
{
    jl_lock_take(p->lock);
    if (p->n_working)
        (void)jl_power_tick(p);
    *out = p->totals;
    const double joules = p->totals.prompt_j + p->totals.decode_j;
    out->mean_watts = out->work_s > 0.0 ? p->clock.joules / out->work_s : NAN;
    out->above_idle =
        joules > 0.0 && !isnan(out->idle_w) ? 1.0 - out->idle_w / out->mean_watts : NAN;
    if (out->above_idle < 0.0)
        out->above_idle = 0.0;
    if (!p->meter)
        out->prompt_j = out->decode_j = out->watts = out->mean_watts = NAN;
    jl_lock_leave(p->lock);
}

void jl_power_get_status(jl_power *p, jl_power_status *out)
{
    jl_lock_take(p->lock);
    *out = (jl_power_status){
        .budget_w = p->limits.budget_w,
        .target_j = p->limits.target_j,
        .duty_limit = p->limits.duty,
        .allowed_w = p->limits.budget_w * p->rule.budget,
        .at_floor = p->governed && p->decided.at_floor,
        .floor_w = p->governed && p->decided.at_floor ? p->decided.expected_w : NAN,
        .n_threads = atomic_load(&p->use_threads),
        .place = (jl_place)atomic_load(&p->use_place),
        .duty = atomic_load(&p->duty),
        .paused = atomic_load(&p->paused),
    };
    snprintf(out->reason, sizeof out->reason, "%s", p->rule.reason);
    snprintf(out->domain, sizeof out->domain, "%s", p->meter ? p->meter->info.domain : "");
    jl_lock_leave(p->lock);
}

jl_status jl_power_set_limits(jl_power *p, const jl_power_limits *limits, jl_error *err)
{
    jl_lock_take(p->lock);
    jl_power_limits l = p->limits;
    l.budget_w = limits->budget_w >= 0.0 ? limits->budget_w : l.budget_w;
    l.target_j = limits->target_j >= 0.0 ? limits->target_j : l.target_j;
    l.duty = limits->duty >= 0.0 ? limits->duty : l.duty;
    const jl_status s = check_limits(p, &l, err);
    if (s == JL_OK)
        p->limits = l;
    if (s == JL_OK && p->n_working)
        (void)jl_power_tick(p);
    jl_lock_leave(p->lock);
    return s;
}

bool jl_power_defer_background(jl_power *p)
{
    jl_lock_take(p->lock);
    jl_power_refresh(p, jl_power_now(p));
    const bool defer = p->rule.defer;
    jl_lock_leave(p->lock);
    return defer;
}

void jl_power_share(jl_power *p, double joules, uint64_t n_prompt, uint64_t n_decode,
                    double *per_prompt, double *per_decode)
{
    jl_lock_take(p->lock);
    const double given = p->cost[JL_PHASE_PROMPT] > 0.0 && p->cost[JL_PHASE_DECODE] > 0.0
                             ? p->cost[JL_PHASE_PROMPT] / p->cost[JL_PHASE_DECODE]
                             : 0.1;
    jl_lock_leave(p->lock);
    const double weight = (double)n_prompt * given + (double)n_decode;
    *per_decode = weight > 0.0 ? joules / weight : 0.0;
    *per_prompt = *per_decode * given;
}

void jl_power_get_sample(jl_power *p, jl_power_sample *out)
{
    jl_lock_take(p->lock);
    const double t = jl_power_now(p);
    const jl_power_sample before = p->shown;
    if (p->meter)
        (void)jl_meter_clock_step(&p->clock, p->meter, t, NULL);
    *out = (jl_power_sample){
        .t_s = t,
        .joules = p->meter ? p->clock.joules : NAN,
        .watts = NAN,
        .n_prompt = (uint64_t)((double)atomic_load(&p->n_prompt) / JL_POWER_PARTS),
        .n_decode = (uint64_t)((double)atomic_load(&p->n_decode) / JL_POWER_PARTS),
        .duty = atomic_load(&p->duty),
        .n_threads = atomic_load(&p->use_threads),
    };
    jl_machine_state state;
    jl_power_read_state(p, &state);
    out->temperature_c = state.temperature_c;
    if (p->meter && !isnan(before.joules) && t > before.t_s)
        out->watts = (out->joules - before.joules) / (t - before.t_s);
    p->shown = *out;
    jl_lock_leave(p->lock);
}
