/* Reads the kinds of cores. */
#include "base/topology.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/cpu_list.h"
#include "base/sysfile.h"
#include "base/thread.h"
#include "joule/sys.h"

#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

/* Cores below this share of the best one's speed are another kind: boost clocks of equal cores
 * differ by a few per cent. */
static const double SAME_KIND = 0.85;

static void sort_by_speed(jl_topology *t)
{
    for (int i = 1; i < t->n_groups; i++)
        for (int j = i; j > 0 && t->group[j].speed > t->group[j - 1].speed; j--) {
            const jl_core_group g = t->group[j];
            t->group[j] = t->group[j - 1];
            t->group[j - 1] = g;
        }
    const double best = t->n_groups ? t->group[0].speed : 0;
    for (int i = 0; i < t->n_groups; i++)
        t->group[i].speed = best > 0 ? t->group[i].speed / best : 1;
}

/* ---- Macs */

static int64_t level_number(jl_sysctl_fn *get, void *ctx, int level, const char *what)
{
    char name[64];
    int64_t value = 0;

    snprintf(name, sizeof name, "hw.perflevel%d.%s", level, what);
    return get(ctx, name, &value, NULL, 0) && value > 0 ? value : 0;
}

/* Level 0 is the fastest kind. The system does not tell how much slower the next one is: a third
 * per level is what Apple's efficiency cores reached against its performance cores (M1 to M4). */
static double level_speed(int level)
{
    double speed = 1;

    for (int i = 0; i < level; i++)
        speed /= 3;
    return speed;
}

bool jl_topology_from_sysctl(jl_sysctl_fn *get, void *ctx, jl_topology *out)
{
    int64_t levels = 0;

    memset(out, 0, sizeof *out);
    if (!get(ctx, "hw.nperflevels", &levels, NULL, 0) || levels < 1)
        levels = 1;
    for (int i = 0; i < levels && i < JL_MAX_GROUPS; i++) {
        jl_core_group *g = &out->group[out->n_groups];
        char name[64];
        int64_t none;
        const int64_t cores = level_number(get, ctx, i, "physicalcpu");
        const int64_t per_cluster = level_number(get, ctx, i, "cpusperl2");
        if (cores < 1 || cores > JL_MAX_GROUP_CPUS)
            continue;
        snprintf(name, sizeof name, "hw.perflevel%d.name", i);
        if (!get(ctx, name, &none, g->name, sizeof g->name) || !g->name[0])
            snprintf(g->name, sizeof g->name, "level %d", i);
        g->n_cores = (int)cores;
        g->n_cpus = (int)level_number(get, ctx, i, "logicalcpu");
        if (g->n_cpus < g->n_cores)
            g->n_cpus = g->n_cores;
        g->n_clusters = per_cluster ? (int)((cores + per_cluster - 1) / per_cluster) : 1;
        g->speed = level_speed(i);
        out->n_groups++;
    }
    return out->n_groups > 0;
}

/* ---- Linux */

typedef struct {
    int cpu;
    long capacity; /* any unit; 0 unknown */
    long core;     /* lowest hardware thread of the core */
    long cluster;  /* lowest hardware thread that shares the second-level cache */
    bool atom;
} cpu_facts;

static bool read_line(const char *sys, const char *name, char *line, size_t cap)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", sys, name);
    return jl_line_read(path, line, cap) == JL_READ_OK;
}

static long cpu_number(const char *sys, int cpu, const char *what, long otherwise)
{
    char name[128];
    char line[256];
    char *end;

    snprintf(name, sizeof name, "devices/system/cpu/cpu%d/%s", cpu, what);
    if (!read_line(sys, name, line, sizeof line))
        return otherwise;
    const long value = strtol(line, &end, 10);
    return end == line || value < 0 ? otherwise : value;
}

static bool list_has(const char *list, int cpu)
{
    jl_cpu_list l = jl_cpu_list_of(list);

    for (int n; (n = jl_cpu_list_next(&l)) >= 0;)
        if (n == cpu)
            return true;
    return false;
}

static int all_online(const char *sys, int *cpus, int cap)
{
    char line[1024];
    int n = 0;

    if (!read_line(sys, "devices/system/cpu/online", line, sizeof line))
        return 0;
    jl_cpu_list l = jl_cpu_list_of(line);
    for (int cpu; n < cap && (cpu = jl_cpu_list_next(&l)) >= 0;)
        cpus[n++] = cpu;
    return n;
}

static cpu_facts facts_of(const char *sys, int cpu, const char *atoms)
{
    cpu_facts f = {.cpu = cpu, .atom = list_has(atoms, cpu)};

    f.capacity = cpu_number(sys, cpu, "cpu_capacity", 0);
    if (f.capacity == 0)
        f.capacity = cpu_number(sys, cpu, "cpufreq/cpuinfo_max_freq", 0);
    f.core = cpu_number(sys, cpu, "topology/thread_siblings_list", cpu);
    f.cluster = cpu_number(sys, cpu, "cache/index2/shared_cpu_list", f.core);
    return f;
}

static bool same_kind(const jl_core_group *g, bool atom_group, const cpu_facts *f)
{
    if (atom_group != f->atom)
        return false;
    if (f->atom || g->speed <= 0 || f->capacity <= 0)
        return true;
    const double ratio = (double)f->capacity / g->speed;
    return ratio >= SAME_KIND && ratio <= 1 / SAME_KIND;
}

/* The group of a processor; a new one if it is of a kind not seen. Cores of more kinds than there
 * is room for join the last. */
static jl_core_group *group_for(jl_topology *t, bool *atom, const cpu_facts *f, bool hybrid)
{
    for (int i = 0; i < t->n_groups; i++)
        if (same_kind(&t->group[i], atom[i], f))
            return &t->group[i];
    if (t->n_groups == JL_MAX_GROUPS)
        return &t->group[JL_MAX_GROUPS - 1];
    jl_core_group *g = &t->group[t->n_groups];
    atom[t->n_groups++] = f->atom;
    g->speed = (double)f->capacity;
    if (hybrid)
        snprintf(g->name, sizeof g->name, "%s", f->atom ? "cpu_atom" : "cpu_core");
    else if (f->capacity > 0)
        snprintf(g->name, sizeof g->name, "capacity %ld", f->capacity);
    else
        snprintf(g->name, sizeof g->name, "equal");
    return g;
}

static bool seen_before(const cpu_facts *facts, int i, bool cluster)
{
    for (int j = 0; j < i; j++)
        if (cluster ? facts[j].cluster == facts[i].cluster : facts[j].core == facts[i].core)
            return true;
    return false;
}

bool jl_topology_from_sysfs(const char *sys, const int *usable, int n_usable, jl_topology *out)
{
    static const int MAX = JL_MAX_GROUP_CPUS;
    int online[JL_MAX_GROUP_CPUS];
    cpu_facts facts[JL_MAX_GROUP_CPUS];
    bool atom[JL_MAX_GROUPS] = {false};
    char atoms[256] = "";

    memset(out, 0, sizeof *out);
    const bool hybrid = read_line(sys, "devices/cpu_atom/cpus", atoms, sizeof atoms) && atoms[0];
    if (n_usable == 0) {
        n_usable = all_online(sys, online, MAX);
        usable = online;
    }
    n_usable = n_usable < MAX ? n_usable : MAX;
    for (int i = 0; i < n_usable; i++)
        facts[i] = facts_of(sys, usable[i], atoms);
    /* whole cores first, then their other hardware threads */
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < n_usable; i++) {
            const bool again = seen_before(facts, i, false);
            if (again != (pass == 1))
                continue;
            jl_core_group *g = group_for(out, atom, &facts[i], hybrid);
            g->cpu[g->n_listed++] = (uint16_t)usable[i];
            g->n_cpus++;
            g->n_cores += !again;
            g->n_clusters += !seen_before(facts, i, true);
        }
    sort_by_speed(out);
    return out->n_groups > 0;
}

/* ---- this machine */

#if defined(__APPLE__)
static bool real_sysctl(void *ctx, const char *name, int64_t *number, char *text, size_t cap)
{
    (void)ctx;
    if (text)
        return sysctlbyname(name, text, &cap, NULL, 0) == 0;
    int64_t value = 0;
    size_t bytes = sizeof value; /* 4 bytes of it for most; little-endian */
    if (sysctlbyname(name, &value, &bytes, NULL, 0) != 0)
        return false;
    *number = value;
    return true;
}
#endif

static bool read_machine(jl_topology *out)
{
#if defined(__APPLE__)
    return jl_topology_from_sysctl(real_sysctl, NULL, out);
#elif defined(__linux__)
    int list[JL_MAX_GROUP_CPUS];
    cpu_set_t set;
    int n = 0;

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        for (int cpu = 0; cpu < CPU_SETSIZE && n < JL_MAX_GROUP_CPUS; cpu++)
            if (CPU_ISSET(cpu, &set))
                list[n++] = cpu;
    const char *sys = jl_env("JOULE_SYSFS"); /* a tree of a test, or a copy of another machine's */
    return jl_topology_from_sysfs(sys && *sys ? sys : "/sys", list, n, out);
#else
    (void)out;
    return false;
#endif
}

void jl_topology_read(jl_topology *out)
{
    if (read_machine(out))
        return;
    memset(out, 0, sizeof *out);
    out->n_groups = 1;
    out->group[0] = (jl_core_group){.name = "equal",
                                    .n_cores = jl_cpu_cores(),
                                    .n_cpus = jl_cpu_count(),
                                    .n_clusters = 1,
                                    .speed = 1};
}

static jl_topology machine;
static void read_once(void)
{
    jl_topology_read(&machine);
}

const jl_topology *jl_topology_machine(void)
{
    static jl_once once = JL_ONCE_INIT;

    jl_once_call(&once, read_once);
    return &machine;
}

/* ---- kinds */

/* The last group is the thrifty kind, all before it are fast; a machine of one kind has no thrifty
 * one. Groups of a kind are first .. last; false if there are none. */
static bool groups_of(const jl_topology *t, jl_core_kind kind, int *first, int *last)
{
    const int slow = t->n_groups - 1;

    *first = kind == JL_CORES_THRIFTY ? slow : 0;
    *last = kind == JL_CORES_FAST && slow > 0 ? slow - 1 : slow;
    return kind != JL_CORES_THRIFTY || slow > 0;
}

int jl_topology_cores(const jl_topology *t, jl_core_kind kind)
{
    int first, last;
    int n = 0;

    if (!groups_of(t, kind, &first, &last))
        return 0;
    for (int i = first; i <= last; i++)
        n += t->group[i].n_cores;
    return n;
}

int jl_topology_cpus(const jl_topology *t, jl_core_kind kind, int *cpus, int cap)
{
    int first, last;
    int n = 0;

    if (!groups_of(t, kind, &first, &last))
        return 0;
    for (int i = first; i <= last; i++)
        for (int j = 0; j < t->group[i].n_listed && n < cap; j++)
            cpus[n++] = t->group[i].cpu[j];
    return n;
}

size_t jl_topology_describe(const jl_topology *t, char *text, size_t cap)
{
    size_t len = 0;

    for (int i = 0; i < t->n_groups; i++) {
        const jl_core_group *g = &t->group[i];
        char speed[32] = "";
        if (t->n_groups > 1)
            snprintf(speed, sizeof speed, ", speed %.2f", g->speed);
        const int n = snprintf(text + len, cap - len, "%s%d x %s (%d cluster%s%s)", i ? ", " : "",
                               g->n_cores, g->name, g->n_clusters, g->n_clusters == 1 ? "" : "s",
                               speed);
        if (n < 0 || (size_t)n >= cap - len)
            break;
        len += (size_t)n;
    }
    return len;
}
