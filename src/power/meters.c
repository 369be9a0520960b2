/* The list of meters, the choice among them, and integration over time. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "power/meter.h"

jl_meter *jl_meters_add(jl_meters *l, const char *source)
{
    if (l->n == JL_METERS_MAX)
        return NULL;
    jl_meter *m = &l->m[l->n++];
    *m = (jl_meter){0};
    snprintf(m->info.source, sizeof m->info.source, "%s", source);
    m->info.resolution_j = NAN;
    m->info.resolution_w = NAN;
    return m;
}

void jl_meters_close(jl_meters *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->m[i].close)
            l->m[i].close(&l->m[i]);
    l->n = 0;
}

/* ---- integration ------------------------------------------------------------------------ */

void jl_meter_clock_start(jl_meter_clock *c)
{
    *c = (jl_meter_clock){.watts = NAN, .last_t = NAN};
}

bool jl_meter_clock_step(jl_meter_clock *c, jl_meter *m, double t_s, jl_error *err)
{
    double value;

    if (!m->read(m, t_s, &value, err)) {
        c->last_t = NAN; /* what was used meanwhile is not known: the next value starts anew */
        return false;
    }
    if (isnan(c->last_t)) {
        c->watts = m->info.counter ? c->watts : value;
    } else if (t_s > c->last_t) {
        const double dt = t_s - c->last_t;
        const double used =
            m->info.counter ? value - c->last_value : 0.5 * (value + c->last_value) * dt;
        c->joules += used > 0.0 ? used : 0.0;
        c->watts = m->info.counter ? (used > 0.0 ? used / dt : 0.0) : value;
    }
    c->last_t = t_s;
    c->last_value = value;
    return true;
}

/* ---- choice ----------------------------------------------------------------------------- */

const char *jl_covers_text(unsigned covers, char out[48])
{
    static const char *const names[] = {"CPU", "DRAM", "GPU", "everything else"};
    size_t len = 0;

    out[0] = '\0';
    for (unsigned i = 0; i < 4; i++)
        if (covers & 1u << i)
            len += (size_t)snprintf(out + len, 48 - len, "%s%s", len ? ", " : "", names[i]);
    if (!covers)
        snprintf(out, 48, "nothing known");
    return out;
}

/* Counters before gauges, quick before slow, what the work costs before what the machine costs: the
 * order in which the sources are preferred. */
static int rank_of(const jl_meter *m)
{
    static const char *const order[] = {"rapl", "ioreport", "nvml",  "hwmon",
                                        "smc",  "battery",  "rusage"};
    int rank = 0;

    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (strcmp(m->info.source, order[i]) == 0)
            rank = 10 * (int)(sizeof order / sizeof *order - i);
    return rank + (m->info.counter ? 1 : 0) + (m->info.covers & JL_COVERS_DRAM ? 2 : 0) -
           (m->info.covers & JL_COVERS_REST ? 4 : 0);
}

static bool fits(const jl_meter *m, unsigned device)
{
    return m->info.readable && m->info.covers && (m->info.covers & device) == device;
}

static bool named(const jl_meter *m, const char *source)
{
    return !source || strcmp(m->info.source, source) == 0;
}

/* What there is instead, one sentence. */
static void explain(const jl_meters *l, unsigned device, const char *source, char *why, size_t cap)
{
    char want[48], have[48];
    const jl_meter *best = NULL;

    jl_covers_text(device, want);
    for (size_t i = 0; i < l->n; i++) {
        const jl_meter *m = &l->m[i];
        if (!named(m, source))
            continue;
        /* one that only lacks a permission helps most; then one that covers something else */
        const bool could = (m->info.covers & device) == device && m->info.covers;
        if (!best || (could && (best->info.covers & device) != device))
            best = m;
    }
    if (!best)
        snprintf(why, cap,
                 source ? "no meter: this machine has no source named %.16s"
                        : "no meter: this machine shows neither energy counters nor a battery",
                 source);
    else if (!best->info.covers)
        snprintf(why, cap, "no meter: %.96s is here, but what it covers is not known",
                 best->info.name);
    else if ((best->info.covers & device) != device)
        snprintf(why, cap, "no meter: %.96s covers %s and says nothing of the %s that works",
                 best->info.name, jl_covers_text(best->info.covers, have), want);
    else
        snprintf(why, cap, "no meter: %.96s: %s", best->info.name, best->info.problem);
}

jl_meter *jl_meters_choose(jl_meters *l, unsigned device, const char *source, char *why, size_t cap)
{
    jl_meter *best = NULL;

    why[0] = '\0';
    for (size_t i = 0; i < l->n; i++) {
        jl_meter *m = &l->m[i];
        if (named(m, source) && fits(m, device) && (!best || rank_of(m) > rank_of(best)))
            best = m;
    }
    if (!best)
        explain(l, device, source, why, cap);
    return best;
}
