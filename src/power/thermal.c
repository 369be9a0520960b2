/* Linux thermal zones and hwmon temperatures: how hot the processor is, and how close to the point
 * where the machine slows it down. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "power/meter.h"

enum { MAX_TRIPS = 12 };

/* Distance to the trip point, in degrees, that makes a state. */
#define FAIR_C    10.0
#define SERIOUS_C 3.0

static bool celsius(const jl_sysfs *fs, const char *folder, const char *name, double *out)
{
    int64_t milli;

    if (jl_sysfs_number(fs, folder, name, &milli) != JL_READ_OK || milli < -100000 ||
        milli > 250000)
        return false; /* drivers show impossible values for "no sensor" */
    *out = (double)milli * 1e-3;
    return true;
}

static bool is_processor(const char *type)
{
    static const char *const parts[] = {"pkg", "cpu", "soc", "core", "k10temp", "zenpower", "CPU"};

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(type, parts[i]))
            return true;
    return false;
}

static int level_at(double t, double passive, double critical)
{
    if (t >= critical - SERIOUS_C)
        return 3;
    if (t >= passive - SERIOUS_C)
        return 2;
    return t >= passive - FAIR_C ? 1 : 0;
}

static void merge(jl_machine_state *out, double t, double passive, double critical)
{
    if (isnan(out->temperature_c) || t > out->temperature_c)
        out->temperature_c = t;
    if (isnan(passive) && isnan(critical))
        return;
    const double p = isnan(passive) ? critical - FAIR_C : passive;
    const int level = level_at(t, p, isnan(critical) ? INFINITY : critical);
    out->thermal = level > out->thermal ? level : out->thermal;
}

/* The lowest passive and the lowest critical trip point of a zone. */
static void trips_of(const jl_sysfs *fs, const char *folder, double *passive, double *critical)
{
    char name[48];
    char type[32];
    double t;

    for (int i = 0; i < MAX_TRIPS; i++) {
        snprintf(name, sizeof name, "trip_point_%d_type", i);
        if (jl_sysfs_text(fs, folder, name, type, sizeof type) != JL_READ_OK)
            return;
        snprintf(name, sizeof name, "trip_point_%d_temp", i);
        if (!celsius(fs, folder, name, &t) || t <= 20.0) /* unset trips show 0 or below */
            continue;
        if (strcmp(type, "passive") == 0 && !(t >= *passive))
            *passive = t;
        if ((strcmp(type, "critical") == 0 || strcmp(type, "hot") == 0) && !(t >= *critical))
            *critical = t;
    }
}

static void add_zone(const jl_sysfs *fs, const char *folder, jl_machine_state *out)
{
    char type[48];
    double t;
    double passive = NAN;
    double critical = NAN;

    if (jl_sysfs_text(fs, folder, "type", type, sizeof type) != JL_READ_OK || !is_processor(type) ||
        !celsius(fs, folder, "temp", &t))
        return;
    trips_of(fs, folder, &passive, &critical);
    merge(out, t, passive, critical);
}

static void add_sensors(const jl_sysfs *fs, const char *folder, jl_machine_state *out)
{
    char driver[40];
    char name[JL_SYS_NAME];
    jl_sys_names files;

    if (jl_sysfs_text(fs, folder, "name", driver, sizeof driver) != JL_READ_OK ||
        !is_processor(driver))
        return;
    jl_sysfs_names(fs, folder, "temp", &files);
    for (size_t i = 0; i < files.n; i++) {
        double t, critical;
        double passive = NAN;
        const char *end = strchr(files.name[i], '_');
        if (!end || strcmp(end, "_input") != 0 || !celsius(fs, folder, files.name[i], &t))
            continue;
        snprintf(name, sizeof name, "%.16s", files.name[i]);
        name[strcspn(name, "_")] = '\0';
        const size_t stem = strlen(name);
        snprintf(name + stem, sizeof name - stem, "_crit");
        if (!celsius(fs, folder, name, &critical) || critical <= 20.0)
            critical = NAN;
        merge(out, t, passive, critical);
    }
}

void jl_thermal_state(const jl_sysfs *fs, jl_machine_state *out)
{
    char folder[JL_SYS_PATH];
    jl_sys_names names;

    jl_sysfs_names(fs, "class/thermal", "thermal_zone", &names);
    for (size_t i = 0; i < names.n; i++)
        if (jl_path_join(folder, sizeof folder, "class/thermal", names.name[i]))
            add_zone(fs, folder, out);
    jl_sysfs_names(fs, "class/hwmon", "hwmon", &names);
    for (size_t i = 0; i < names.n; i++)
        if (jl_path_join(folder, sizeof folder, "class/hwmon", names.name[i]))
            add_sensors(fs, folder, out);
}
