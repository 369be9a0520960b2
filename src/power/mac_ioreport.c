/* IOReport, group "Energy Model": energy per part of the chip since the first sample. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "power/mac.h"

enum { UTF8 = 0x08000100 };

typedef struct {
    const jl_mac_api *api;
    void *subscription, *subscribed;
    const void *last;
    const void *list_key;
    double joules;
} ioreport;

double jl_energy_unit(const char *label)
{
    static const struct {
        const char *name;
        double joules;
    } units[] = {{"mJ", 1e-3}, {"uJ", 1e-6}, {"nJ", 1e-9}, {"J", 1.0}, {"kJ", 1e3}};

    while (*label == ' ')
        label++;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        const size_t n = strlen(units[i].name);
        if (strncmp(label, units[i].name, n) == 0 && (!label[n] || label[n] == ' '))
            return units[i].joules;
    }
    return 0.0;
}

/* "CPU Energy" is the sum of the clusters ("ECPU", "PCPU", "PCPU0", ...), of which an Ultra chip
 * has two sets, named "DIE_0_CPU Energy". */
jl_energy_channel jl_energy_channel_of(const char *name)
{
    static const struct {
        const char *end;
        jl_energy_channel kind;
    } ends[] = {{"CPU Energy", JL_CHANNEL_CPU}, {"GPU Energy", JL_CHANNEL_GPU}};

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const size_t n = strlen(name);
        const size_t m = strlen(ends[i].end);
        if (n >= m && strcmp(name + n - m, ends[i].end) == 0 && (n == m || name[n - m - 1] == '_'))
            return ends[i].kind;
    }
    if (strcmp(name, "GPU") == 0)
        return JL_CHANNEL_OTHER; /* the same again on some chips */
    if (strncmp(name, "DRAM", 4) == 0)
        return JL_CHANNEL_DRAM;
    return strncmp(name, "ANE", 3) == 0 ? JL_CHANNEL_ANE : JL_CHANNEL_OTHER;
}

static bool text_of(const jl_cf_api *cf, const void *string, char *out, size_t cap)
{
    out[0] = '\0';
    return string && cf->type_of(string) == cf->string_type() &&
           cf->string_get(string, out, (long)cap, UTF8);
}

/* Energy of CPU and DRAM in a sample or delta; sets *kinds to a mask of channels seen. */
static double sum_channels(const ioreport *r, const void *sample, unsigned *kinds)
{
    const jl_mac_api *a = r->api;
    const void *list = a->cf.dict_get(sample, r->list_key);
    double joules = 0.0;

    if (!list || a->cf.type_of(list) != a->cf.array_type())
        return 0.0;
    const long n = a->cf.array_count(list);
    for (long i = 0; i < n; i++) {
        const void *channel = a->cf.array_get(list, i);
        char name[64], unit[16];
        if (!channel || !text_of(&a->cf, a->report.channel_name(channel), name, sizeof name) ||
            !text_of(&a->cf, a->report.unit(channel), unit, sizeof unit))
            continue;
        const jl_energy_channel kind = jl_energy_channel_of(name);
        const double scale = jl_energy_unit(unit);
        if ((kind != JL_CHANNEL_CPU && kind != JL_CHANNEL_DRAM) || scale == 0.0)
            continue;
        *kinds |= 1u << kind;
        const int64_t v = a->report.value(channel, 0);
        joules += v > 0 ? (double)v * scale : 0.0;
    }
    return joules;
}

static bool ioreport_read(jl_meter *m, double t_s, double *value, jl_error *err)
{
    ioreport *r = m->impl;
    const jl_mac_api *a = r->api;
    unsigned kinds = 0;
    (void)t_s;

    const void *now = a->report.sample(r->subscription, r->subscribed, NULL);
    if (!now) {
        (void)jl_fail(err, JL_DEVICE, "IOReport gives no sample");
        return false;
    }
    const void *delta = r->last ? a->report.delta(r->last, now, NULL) : NULL;
    if (delta) {
        r->joules += sum_channels(r, delta, &kinds);
        a->cf.release(delta);
    }
    if (r->last)
        a->cf.release(r->last);
    r->last = now;
    *value = r->joules;
    return true;
}

static void ioreport_close(jl_meter *m)
{
    ioreport *r = m->impl;
    const void *refs[] = {r->last, r->subscribed, r->subscription, r->list_key};

    for (size_t i = 0; i < sizeof refs / sizeof *refs; i++)
        if (refs[i])
            r->api->cf.release(refs[i]);
    jl_free(r);
    m->impl = NULL;
}

static bool subscribe(ioreport *r)
{
    const jl_mac_api *a = r->api;
    const void *group = a->cf.string(NULL, "Energy Model", UTF8);
    void *channels = group ? a->report.channels(group, NULL, 0, 0, 0) : NULL;

    if (group)
        a->cf.release(group);
    if (channels) {
        r->subscription = a->report.subscribe(NULL, channels, &r->subscribed, 0, NULL);
        a->cf.release(channels);
    }
    r->list_key = a->cf.string(NULL, "IOReportChannels", UTF8);
    return r->subscription && r->list_key;
}

void jl_ioreport_find(const jl_mac_api *api, jl_meters *l)
{
    if (!api->has_cf || !api->has_report)
        return;
    ioreport *r = jl_calloc(1, sizeof *r);
    jl_meter *m = r ? jl_meters_add(l, "ioreport") : NULL;
    if (!m) {
        jl_free(r);
        return;
    }
    r->api = api;
    m->impl = r;
    m->close = ioreport_close;
    m->read = ioreport_read;
    m->info.counter = true;
    m->info.resolution_j = 1e-3;
    m->info.period_s = 0.1;
    m->info.delay_s = 0.1;
    snprintf(m->info.domain, sizeof m->info.domain, "CPU and DRAM");

    unsigned kinds = 0;
    double value;
    if (subscribe(r) && ioreport_read(m, 0.0, &value, NULL))
        (void)sum_channels(r, r->last, &kinds);
    m->info.covers = (kinds & 1u << JL_CHANNEL_CPU ? JL_COVERS_CPU : 0u) |
                     (kinds & 1u << JL_CHANNEL_DRAM ? JL_COVERS_DRAM : 0u);
    m->info.readable = m->info.covers & JL_COVERS_CPU;
    snprintf(m->info.name, sizeof m->info.name, "ioreport CPU%s",
             m->info.covers & JL_COVERS_DRAM ? " + DRAM" : "");
    if (!(m->info.covers & JL_COVERS_DRAM))
        snprintf(m->info.domain, sizeof m->info.domain, "CPU");
    if (!m->info.readable)
        snprintf(m->info.problem, sizeof m->info.problem,
                 "IOReport shows no channel \"CPU Energy\" on this Mac");
}
