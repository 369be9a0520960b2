/* Linux powercap: RAPL counters of Intel and AMD processors, microjoules that wrap around. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "power/meter.h"

enum { MAX_ZONES = 32 };

/* More than this per zone between two readings is no energy but a counter that started anew (after
 * suspend, or when its driver was loaded again). */
#define MOST_WATTS 2000.0

typedef struct {
    char folder[JL_SYS_PATH];
    double range; /* J until the counter wraps; 0: unknown */
    double last;  /* J, as read */
    bool started;
} zone;

typedef struct {
    jl_sysfs fs;
    zone zones[MAX_ZONES];
    size_t n;
    double joules, last_t;
} rapl;

/* Energy since the reading before. */
static double zone_step(zone *z, double now, double dt)
{
    double used = now - z->last;

    if (!z->started)
        used = 0.0;
    else if (used < 0.0 && z->range > 0.0 && used + z->range <= MOST_WATTS * (dt + 1.0))
        used += z->range;
    else if (used < 0.0)
        used = now <= MOST_WATTS * (dt + 1.0) ? now : 0.0;
    z->last = now;
    z->started = true;
    return used;
}

static bool rapl_read(jl_meter *m, double t_s, double *value, jl_error *err)
{
    rapl *r = m->impl;
    const double dt = t_s > r->last_t ? t_s - r->last_t : 0.0;

    for (size_t i = 0; i < r->n; i++) {
        int64_t uj;
        const jl_read_result s = jl_sysfs_number(&r->fs, r->zones[i].folder, "energy_uj", &uj);
        if (s != JL_READ_OK || uj < 0) {
            (void)jl_fail(err, JL_IO, "%s/energy_uj cannot be read any more", r->zones[i].folder);
            return false;
        }
        r->joules += zone_step(&r->zones[i], (double)uj * 1e-6, dt);
    }
    r->last_t = t_s;
    *value = r->joules;
    return true;
}

static void rapl_close(jl_meter *m)
{
    jl_free(m->impl);
    m->impl = NULL;
}

/* Kinds of zones, by the names that the kernel gives them. */
typedef enum { ZONE_PACKAGE, ZONE_CORES, ZONE_DRAM, ZONE_PSYS, ZONE_OTHER } zone_kind;

static zone_kind kind_of(const char *name)
{
    if (strncmp(name, "package", 7) == 0)
        return ZONE_PACKAGE;
    if (strcmp(name, "core") == 0)
        return ZONE_CORES;
    if (strcmp(name, "dram") == 0)
        return ZONE_DRAM;
    return strcmp(name, "psys") == 0 ? ZONE_PSYS : ZONE_OTHER;
}

static void add_zone(rapl *r, const char *folder)
{
    int64_t range;
    zone *z = &r->zones[r->n];

    if (r->n == MAX_ZONES)
        return;
    *z = (zone){0};
    snprintf(z->folder, sizeof z->folder, "%s", folder);
    if (jl_sysfs_number(&r->fs, folder, "max_energy_range_uj", &range) == JL_READ_OK && range > 0)
        z->range = (double)range * 1e-6;
    r->n++;
}

static void name_meter(jl_meter *m, const char *zone_name)
{
    const size_t len = strlen(m->info.name);

    snprintf(m->info.name + len, sizeof m->info.name - len, "%s%s",
             strcmp(m->info.name, "rapl ") == 0 ? "" : " + ", zone_name);
}

static jl_meter *new_meter(const jl_sysfs *fs, jl_meters *l, const char *domain, unsigned covers)
{
    rapl *r = jl_calloc(1, sizeof *r);
    jl_meter *m = r ? jl_meters_add(l, "rapl") : NULL;

    if (!m) {
        jl_free(r);
        return NULL;
    }
    r->fs = *fs;
    r->last_t = -INFINITY;
    snprintf(m->info.name, sizeof m->info.name, "rapl ");
    snprintf(m->info.domain, sizeof m->info.domain, "%s", domain);
    m->info.covers = covers;
    m->info.counter = true;
    m->info.resolution_j = 61e-6; /* one unit of most processors; the kernel rounds to 1 uJ */
    m->info.period_s = 0.001;
    m->info.delay_s = 0.001;
    m->impl = r;
    m->read = rapl_read;
    m->close = rapl_close;
    return m;
}

/* Reads every zone once. */
static void probe(jl_meter *m)
{
    rapl *r = m->impl;

    m->info.readable = r->n > 0;
    for (size_t i = 0; i < r->n; i++) {
        int64_t uj;
        const jl_read_result s = jl_sysfs_number(&r->fs, r->zones[i].folder, "energy_uj", &uj);
        if (s == JL_READ_OK && uj >= 0)
            continue;
        m->info.readable = false;
        if (s == JL_READ_DENIED)
            snprintf(m->info.problem, sizeof m->info.problem,
                     "/sys/%s/energy_uj is readable by root only; as root: chmod a+r it, or "
                     "install 60-joule-rapl.rules into /etc/udev/rules.d",
                     r->zones[i].folder);
        else
            snprintf(m->info.problem, sizeof m->info.problem, "/sys/%s/energy_uj has no number",
                     r->zones[i].folder);
        return;
    }
}

/* Adds the zones of a set of kinds as one meter; dram counts only beside a package. */
static void add_meter(const jl_sysfs *fs, jl_meters *l, const jl_sys_names *names, zone_kind kind,
                      const char *domain, unsigned covers)
{
    jl_meter *m = NULL;
    char folder[JL_SYS_PATH];
    char name[40];

    for (size_t i = 0; i < names->n; i++) {
        if (!jl_path_join(folder, sizeof folder, "class/powercap", names->name[i]) ||
            jl_sysfs_text(fs, folder, "name", name, sizeof name) != JL_READ_OK)
            continue;
        const zone_kind k = kind_of(name);
        if (k != kind && !(kind == ZONE_PACKAGE && k == ZONE_DRAM))
            continue;
        if (!m)
            m = new_meter(fs, l, domain, covers);
        if (!m)
            return;
        m->info.covers |= k == ZONE_DRAM ? JL_COVERS_DRAM : covers;
        add_zone(m->impl, folder);
        name_meter(m, name);
    }
    if (m)
        probe(m);
}

void jl_rapl_find(const jl_sysfs *fs, jl_meters *l)
{
    jl_sys_names names;

    /* "intel-rapl:0", "intel-rapl:0:1"; AMD's counters have the same names. The second interface
     * ("intel-rapl-mmio") shows the same package again. */
    if (jl_sysfs_names(fs, "class/powercap", "intel-rapl:", &names) == 0)
        return;
    add_meter(fs, l, &names, ZONE_PACKAGE, "package", JL_COVERS_CPU);
    add_meter(fs, l, &names, ZONE_PSYS, "platform",
              JL_COVERS_CPU | JL_COVERS_DRAM | JL_COVERS_GPU | JL_COVERS_REST);
    add_meter(fs, l, &names, ZONE_CORES, "cores", 0);
}
