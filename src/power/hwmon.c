/* Linux hwmon: energy counters and power inputs of drivers whose coverage is known by name. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "power/meter.h"

#define FOLDER "class/hwmon"

/* What a driver's figures stand for. */
typedef struct {
    const char *driver, *domain;
    unsigned covers;
} coverage;

static const coverage known[] = {
    {"amd_energy", "package", JL_COVERS_CPU},
    {"fam15h_power", "package", JL_COVERS_CPU},
    {"zenpower", "package", JL_COVERS_CPU},
    {"macsmc_hwmon", "whole machine",
     JL_COVERS_CPU | JL_COVERS_DRAM | JL_COVERS_GPU | JL_COVERS_REST},
    {"amdgpu", "GPU", JL_COVERS_GPU},
    {"i915", "GPU", JL_COVERS_GPU},
    {"xe", "GPU", JL_COVERS_GPU},
    {"nouveau", "GPU", JL_COVERS_GPU},
};

typedef struct {
    jl_sysfs fs;
    char folder[JL_SYS_PATH];
    char file[JL_SYS_NAME];
} hwmon;

static bool hwmon_read(jl_meter *m, double t_s, double *value, jl_error *err)
{
    const hwmon *h = m->impl;
    int64_t v;
    (void)t_s;

    if (jl_sysfs_number(&h->fs, h->folder, h->file, &v) != JL_READ_OK || v < 0) {
        (void)jl_fail(err, JL_IO, "%s/%s cannot be read any more", h->folder, h->file);
        return false;
    }
    *value = (double)v * 1e-6; /* uJ, uW */
    return true;
}

static void hwmon_close(jl_meter *m)
{
    jl_free(m->impl);
    m->impl = NULL;
}

static const coverage *coverage_of(const char *driver)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(driver, known[i].driver) == 0)
            return &known[i];
    return NULL;
}

/* A label says what is measured where a driver has several inputs; only sums are of use. */
static bool is_total(const char *driver, const char *label)
{
    if (strcmp(driver, "amd_energy") == 0)
        return strncmp(label, "Esocket", 7) == 0;
    if (strcmp(driver, "macsmc_hwmon") == 0)
        return strstr(label, "Total System Power") != NULL;
    if (strcmp(driver, "zenpower") == 0)
        return strstr(label, "SVI2_P_Core") == NULL; /* one rail of several */
    return true;
}

static void describe(jl_meter *m, const char *driver, const char *label, const coverage *c,
                     bool counter)
{
    jl_meter_info *i = &m->info;

    snprintf(i->name, sizeof i->name, "hwmon %.30s%s%.40s", driver, *label ? " " : "", label);
    snprintf(i->domain, sizeof i->domain, "%s", c ? c->domain : "unknown");
    i->covers = c ? c->covers : 0;
    i->counter = counter;
    i->resolution_j = counter ? 1e-6 : NAN;
    i->resolution_w = counter ? NAN : 1e-6;
    i->period_s = counter ? 0.1 : 1.0; /* power inputs are means over a second in most drivers */
    i->delay_s = counter ? 0.1 : 1.0;
    if (!c)
        snprintf(i->problem, sizeof i->problem,
                 "what the driver %.30s measures is not known to joule", driver);
}

static void add_input(const jl_sysfs *fs, jl_meters *l, const char *folder, const char *driver,
                      const char *file)
{
    const coverage *c = coverage_of(driver);
    const bool counter = strncmp(file, "energy", 6) == 0;
    const size_t stem = strcspn(file, "_");
    char label_file[JL_SYS_NAME];
    char label[64];
    hwmon *h = jl_calloc(1, sizeof *h);

    snprintf(label_file, sizeof label_file, "%.*s_label", (int)(stem < 16 ? stem : 16), file);
    (void)jl_sysfs_text(fs, folder, label_file, label, sizeof label);
    jl_meter *m = h && is_total(driver, label) ? jl_meters_add(l, "hwmon") : NULL;
    if (!m) {
        jl_free(h);
        return;
    }
    h->fs = *fs;
    snprintf(h->folder, sizeof h->folder, "%s", folder);
    snprintf(h->file, sizeof h->file, "%s", file);
    m->impl = h;
    m->read = hwmon_read;
    m->close = hwmon_close;
    describe(m, driver, label, c, counter);

    int64_t v;
    const jl_read_result s = jl_sysfs_number(fs, folder, file, &v);
    m->info.readable = s == JL_READ_OK && v >= 0;
    if (s == JL_READ_DENIED)
        snprintf(m->info.problem, sizeof m->info.problem,
                 "/sys/%.120s/%.40s is readable by root only; as root: chmod a+r it", folder, file);
    else if (!m->info.readable)
        snprintf(m->info.problem, sizeof m->info.problem, "/sys/%.120s/%.40s has no number", folder,
                 file);
}

/* "energy1_input", "power1_input", "power1_average" */
static bool is_input(const char *file)
{
    const bool energy = strncmp(file, "energy", 6) == 0;
    const size_t stem = strcspn(file, "_");

    return (energy && strcmp(file + stem, "_input") == 0) ||
           (!energy &&
            (strcmp(file + stem, "_input") == 0 || strcmp(file + stem, "_average") == 0));
}

static void add_device(const jl_sysfs *fs, jl_meters *l, const char *name)
{
    static const char *const kinds[] = {"energy", "power"};
    char folder[JL_SYS_PATH];
    char driver[40];
    jl_sys_names files;

    if (!jl_path_join(folder, sizeof folder, FOLDER, name) ||
        jl_sysfs_text(fs, folder, "name", driver, sizeof driver) != JL_READ_OK)
        return;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        jl_sysfs_names(fs, folder, kinds[k], &files);
        for (size_t i = 0; i < files.n; i++)
            if (is_input(files.name[i]))
                add_input(fs, l, folder, driver, files.name[i]);
    }
}

void jl_hwmon_find(const jl_sysfs *fs, jl_meters *l)
{
    jl_sys_names names;

    jl_sysfs_names(fs, FOLDER, "hwmon", &names);
    for (size_t i = 0; i < names.n; i++)
        add_device(fs, l, names.name[i]);
}
