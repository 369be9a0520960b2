/* Any text as a tree of /sys files: meters are found or not, every one chosen names itself and what
 * it covers, energy never shrinks and is finite, states stay in their ranges. */
#include <math.h>
#include <string.h>

#include "../power/tree.h"
#include "fuzz.h"
#include "power/meter.h"
#include "power/rules.h"

static void check_state(const jl_machine_state *s)
{
    fuzz_require(s->on_ac >= -1 && s->on_ac <= 1);
    fuzz_require(isnan(s->battery) || (s->battery >= 0.0 && s->battery <= 1.0));
    fuzz_require(isnan(s->temperature_c) ||
                 (s->temperature_c >= -100.0 && s->temperature_c <= 250.0));
    fuzz_require(s->thermal >= -1 && s->thermal <= 3);
    const jl_rule r = jl_rules(s, JL_BATTERY_PAUSE, 0.2, NULL);
    fuzz_require(r.duty > 0.0 && r.duty <= 1.0 && r.budget > 0.0 && r.budget <= 1.0);
}

/* The first part of the text is the tree, then it grows line by line, as a machine changes. */
static void run_meter(jl_meter *m, tree *t, size_t whole)
{
    jl_meter_clock c;
    jl_error err;
    double before = 0.0;
    double now = 0.0;

    jl_meter_clock_start(&c);
    for (int i = 0; i < 64 && t->len < whole; i++) {
        const char *nl = memchr(t->text + t->len, '\n', whole - t->len);
        t->len = nl ? (size_t)(nl - t->text) + 1 : whole;
        now += 0.5;
        (void)jl_meter_clock_step(&c, m, now, &err);
        fuzz_require(isfinite(c.joules) && c.joules >= before);
        before = c.joules;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    jl_machine_state s = {
        .on_ac = -1, .battery = NAN, .temperature_c = NAN, .thermal = -1, .low_power_mode = -1};
    tree t = {(const char *)data, size / 2};
    const jl_sysfs fs = tree_sysfs(&t);
    jl_meters l = {.n = 0};
    char why[600];

    jl_rapl_find(&fs, &l);
    jl_hwmon_find(&fs, &l);
    jl_battery_find(&fs, &l);
    fuzz_require(l.n <= JL_METERS_MAX);
    for (size_t i = 0; i < l.n; i++) {
        const jl_meter_info *info = &l.m[i].info;
        fuzz_require(info->name[0] && info->domain[0] && info->source[0]);
        fuzz_require(info->readable || info->problem[0]);
    }
    for (unsigned device = 1; device < 16; device++) {
        jl_meter *m = jl_meters_choose(&l, device, NULL, why, sizeof why);
        fuzz_require(m ? m->info.readable && (m->info.covers & device) == device : why[0] != 0);
        if (m && device == JL_COVERS_CPU)
            run_meter(m, &t, size);
    }
    t.len = size;
    jl_supply_state(&fs, &s);
    jl_thermal_state(&fs, &s);
    check_state(&s);
    jl_meters_close(&l);
    return 0;
}
