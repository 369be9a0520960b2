/* AppleSmartBattery in the registry: what a laptop draws from its battery, charge, AC. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "power/mac.h"

enum { UTF8 = 0x08000100, CF_SINT64 = 4 };

typedef struct {
    bool present, external;
    double charge;      /* 0..1, NAN */
    double watts;       /* drawn from the battery; NAN: charging, or not shown */
    double system_load; /* W of the whole machine by newer firmware; NAN */
} smart_battery;

static bool number(const jl_cf_api *cf, const void *dict, const char *name, int64_t *out)
{
    const void *key = cf->string(NULL, name, UTF8);
    const void *v = key ? cf->dict_get(dict, key) : NULL;

    if (key)
        cf->release(key);
    return v && cf->type_of(v) == cf->number_type() && cf->number_get(v, CF_SINT64, out);
}

static bool flag(const jl_cf_api *cf, const void *dict, const char *name)
{
    const void *key = cf->string(NULL, name, UTF8);
    const void *v = key ? cf->dict_get(dict, key) : NULL;

    if (key)
        cf->release(key);
    return v && cf->type_of(v) == cf->bool_type() && cf->bool_get(v);
}

static double telemetry(const jl_cf_api *cf, const void *dict)
{
    const void *key = cf->string(NULL, "PowerTelemetryData", UTF8);
    const void *sub = key ? cf->dict_get(dict, key) : NULL;
    int64_t mw;

    if (key)
        cf->release(key);
    if (!sub || cf->type_of(sub) != cf->dict_type() || !number(cf, sub, "SystemLoad", &mw) ||
        mw <= 0 || mw > 1000000)
        return NAN;
    return (double)mw * 1e-3;
}

static bool read_battery(const jl_mac_api *a, smart_battery *b)
{
    const uint32_t service = a->io.service(0, a->io.matching("AppleSmartBattery"));
    void *dict = NULL;
    int64_t ma, mv, now, full;

    *b = (smart_battery){.charge = NAN, .watts = NAN, .system_load = NAN};
    if (!service)
        return false;
    const int rc = a->io.properties(service, &dict, NULL, 0);
    a->io.release(service);
    if (rc != 0 || !dict)
        return false;
    b->present = true;
    b->external = flag(&a->cf, dict, "ExternalConnected");
    if ((number(&a->cf, dict, "AppleRawCurrentCapacity", &now) &&
         number(&a->cf, dict, "AppleRawMaxCapacity", &full) && full > 0) ||
        (number(&a->cf, dict, "CurrentCapacity", &now) &&
         number(&a->cf, dict, "MaxCapacity", &full) && full > 0))
        b->charge = now >= 0 && now < full ? (double)now / (double)full : now < 0 ? NAN : 1.0;
    /* negative while it discharges, as a signed number of 64 bits or of 16 */
    if (number(&a->cf, dict, "InstantAmperage", &ma) && number(&a->cf, dict, "Voltage", &mv)) {
        if (ma > 0x7fff && ma <= 0xffff)
            ma -= 0x10000;
        if (ma < 0 && ma > -100000 && mv > 0 && mv < 100000)
            b->watts = -(double)ma * (double)mv * 1e-6;
    }
    b->system_load = telemetry(&a->cf, dict);
    a->cf.release(dict);
    return true;
}

static bool battery_read(jl_meter *m, double t_s, double *value, jl_error *err)
{
    smart_battery b;
    (void)t_s;

    if (!read_battery(m->impl, &b)) {
        (void)jl_fail(err, JL_DEVICE, "there is no battery any more");
        return false;
    }
    *value = !isnan(b.system_load) ? b.system_load : b.watts;
    if (!isnan(*value))
        return true;
    (void)jl_fail(err, JL_UNSUPPORTED,
                  "the battery does not discharge (on AC it says nothing of what the machine "
                  "draws)");
    return false;
}

void jl_mac_battery_find(const jl_mac_api *api, jl_meters *l)
{
    smart_battery b;

    if (!api->has_cf || !api->has_io || !read_battery(api, &b))
        return;
    jl_meter *m = jl_meters_add(l, "battery");
    if (!m)
        return;
    m->impl = (void *)(uintptr_t)api;
    m->read = battery_read;
    snprintf(m->info.name, sizeof m->info.name, "battery");
    snprintf(m->info.domain, sizeof m->info.domain, "whole machine");
    m->info.covers = JL_COVERS_CPU | JL_COVERS_DRAM | JL_COVERS_GPU | JL_COVERS_REST;
    m->info.resolution_w = 0.01;
    m->info.period_s = 30.0; /* the registry is refreshed every 30 to 60 s */
    m->info.delay_s = 30.0;
    double watts;
    jl_error err = {0};
    m->info.readable = battery_read(m, 0.0, &watts, &err);
    if (!m->info.readable)
        snprintf(m->info.problem, sizeof m->info.problem, "%s", err.text);
}

void jl_mac_state(const jl_mac_api *api, jl_machine_state *out)
{
    smart_battery b;

    if (api->has_cf && api->has_io && read_battery(api, &b)) {
        out->on_ac = b.external;
        out->battery = b.charge;
    }
    if (!api->has_process_info)
        return;
    const int level = api->thermal_state();
    if (level >= 0 && level <= 3)
        out->thermal = level;
    out->low_power_mode = api->low_power_mode() != 0;
}
