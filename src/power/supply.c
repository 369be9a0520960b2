/* Linux power_supply: batteries and mains. A battery that discharges shows what the whole machine
 * draws. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "power/meter.h"

#define FOLDER "class/power_supply"

/* One supply as its files show it. */
typedef struct {
    bool battery, mains; /* of the machine; neither: a mouse, a headset */
    bool online;
    bool discharging;
    double watts;  /* NAN: not shown */
    double charge; /* 0..1; NAN */
    double weight; /* capacity, for the mean of several; 1 if unknown */
} supply;

static bool number(const jl_sysfs *fs, const char *folder, const char *name, double *out)
{
    int64_t v;

    if (jl_sysfs_number(fs, folder, name, &v) != JL_READ_OK)
        return false;
    *out = (double)v;
    return true;
}

/* power_now is in uW; some batteries show uA and uV instead. Some show negative values while they
 * discharge. */
static double power_of(const jl_sysfs *fs, const char *folder)
{
    double power, current, voltage;

    if (number(fs, folder, "power_now", &power) && power != 0.0)
        return fabs(power) * 1e-6;
    if (number(fs, folder, "current_now", &current) && number(fs, folder, "voltage_now", &voltage))
        return fabs(current * 1e-6 * voltage * 1e-6);
    return NAN;
}

static double charge_of(const jl_sysfs *fs, const char *folder, double *weight)
{
    double now, full, percent;

    *weight = 1.0;
    if ((number(fs, folder, "energy_now", &now) && number(fs, folder, "energy_full", &full)) ||
        (number(fs, folder, "charge_now", &now) && number(fs, folder, "charge_full", &full))) {
        if (full > 0.0 && now >= 0.0) {
            *weight = full;
            return now < full ? now / full : 1.0;
        }
    }
    if (number(fs, folder, "capacity", &percent) && percent >= 0.0 && percent <= 100.0)
        return percent / 100.0;
    return NAN;
}

static bool read_supply(const jl_sysfs *fs, const char *name, supply *out)
{
    char folder[JL_SYS_PATH];
    char text[32];
    double online;

    *out = (supply){.watts = NAN, .charge = NAN, .weight = 1.0};
    if (!jl_path_join(folder, sizeof folder, FOLDER, name) ||
        jl_sysfs_text(fs, folder, "type", text, sizeof text) != JL_READ_OK)
        return false;
    const bool is_battery = strcmp(text, "Battery") == 0;
    const bool is_mains = strcmp(text, "Mains") == 0 || strncmp(text, "USB", 3) == 0;
    (void)jl_sysfs_text(fs, folder, "scope", text, sizeof text);
    if (strcmp(text, "Device") == 0) /* a mouse's battery */
        return false;
    if (is_mains) {
        out->mains = true;
        out->online = number(fs, folder, "online", &online) && online > 0.0;
        return true;
    }
    if (!is_battery || (number(fs, folder, "present", &online) && online == 0.0))
        return false;
    out->battery = true;
    (void)jl_sysfs_text(fs, folder, "status", text, sizeof text);
    out->discharging = strcmp(text, "Discharging") == 0;
    out->watts = power_of(fs, folder);
    out->charge = charge_of(fs, folder, &out->weight);
    return true;
}

static bool battery_read(jl_meter *m, double t_s, double *value, jl_error *err)
{
    const jl_sysfs *fs = m->impl;
    jl_sys_names names;
    double watts = 0.0;
    int n_discharging = 0;
    int n_batteries = 0;
    (void)t_s;

    jl_sysfs_names(fs, FOLDER, "", &names);
    for (size_t i = 0; i < names.n; i++) {
        supply s;
        if (!read_supply(fs, names.name[i], &s) || !s.battery)
            continue;
        n_batteries++;
        if (!s.discharging || isnan(s.watts))
            continue;
        n_discharging++;
        watts += s.watts;
    }
    if (n_discharging == 0) {
        (void)jl_fail(err, JL_UNSUPPORTED,
                      n_batteries ? "the battery does not discharge (on AC it says nothing of what "
                                    "the machine draws)"
                                  : "there is no battery any more");
        return false;
    }
    *value = watts;
    return true;
}

static void battery_close(jl_meter *m)
{
    jl_free(m->impl);
    m->impl = NULL;
}

void jl_battery_find(const jl_sysfs *fs, jl_meters *l)
{
    jl_sys_names names;
    bool found = false;

    jl_sysfs_names(fs, FOLDER, "", &names);
    for (size_t i = 0; i < names.n; i++) {
        supply s;
        found = found || (read_supply(fs, names.name[i], &s) && s.battery);
    }
    if (!found)
        return;
    jl_sysfs *copy = jl_malloc(sizeof *copy);
    jl_meter *m = copy ? jl_meters_add(l, "battery") : NULL;
    if (!m) {
        jl_free(copy);
        return;
    }
    *copy = *fs;
    snprintf(m->info.name, sizeof m->info.name, "battery");
    snprintf(m->info.domain, sizeof m->info.domain, "whole machine");
    m->info.covers = JL_COVERS_CPU | JL_COVERS_DRAM | JL_COVERS_GPU | JL_COVERS_REST;
    m->info.resolution_j = NAN;
    m->info.resolution_w = 0.01;
    m->info.period_s = 1.0;
    m->info.delay_s = 2.0;
    m->impl = copy;
    m->read = battery_read;
    m->close = battery_close;

    double watts;
    jl_error err = {0};
    m->info.readable = battery_read(m, 0.0, &watts, &err);
    if (!m->info.readable)
        snprintf(m->info.problem, sizeof m->info.problem, "%s", err.text);
}

void jl_supply_state(const jl_sysfs *fs, jl_machine_state *out)
{
    jl_sys_names names;
    double charge = 0.0;
    double weight = 0.0;
    bool discharging = false;
    int mains = -1;

    jl_sysfs_names(fs, FOLDER, "", &names);
    for (size_t i = 0; i < names.n; i++) {
        supply s;
        if (!read_supply(fs, names.name[i], &s))
            continue;
        if (s.mains)
            mains = s.online || mains == 1;
        discharging = discharging || (s.battery && s.discharging);
        if (s.battery && !isnan(s.charge)) {
            charge += s.charge * s.weight;
            weight += s.weight;
        }
    }
    if (discharging)
        out->on_ac = mains == 1; /* a weak charger: on AC, and still discharging */
    else if (mains >= 0 || weight > 0.0)
        out->on_ac = mains != 0 || weight == 0.0;
    if (weight > 0.0)
        out->battery = charge / weight;
}
