/* Reads the kinds of cores, plans threads. */
#include "base/topology.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"

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
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    const bool ok = fgets(line, (int)cap, f) != NULL;
    fclose(f);
    if (ok)
        line[strcspn(line, "\n")] = '\0';
    return ok;
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

/* Next processor of a list such as "0-3,8"; -1 at its end or where it is no list. */
static int list_next(const char **at, long *first, long *last)
{
    if (*first > *last) {
        char *end;
        *first = strtol(*at, &end, 10);
        if (end == *at || *first < 0)
            return -1;
        *last = *first;
        if (*end == '-')
            *last = strtol(end + 1, &end, 10);
        *at = *end == ',' ? end + 1 : end;
    }
    return *first <= *last && *first < 65536 ? (int)(*first)++ : -1;
}

static bool list_has(const char *list, int cpu)
{
    long first = 1;
    long last = 0;

    for (int n; (n = list_next(&list, &first, &last)) >= 0;)
        if (n == cpu)
            return true;
    return false;
}

static int all_online(const char *sys, int *cpus, int cap)
{
    char line[1024];
    const char *list = line;
    long first = 1;
    long last = 0;
    int n = 0;

    if (!read_line(sys, "devices/system/cpu/online", line, sizeof line))
        return 0;
    for (int cpu; n < cap && (cpu = list_next(&list, &first, &last)) >= 0;)
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
            g->cpu[g->n_cpus++] = (uint16_t)usable[i];
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
    return jl_topology_from_sysfs("/sys", list, n, out);
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

/* ---- planning */

static int take(int want, int *left)
{
    const int n = want < *left ? want : *left;

    *left -= n;
    return n;
}

/* One thread per physical core of the groups first .. last, at most `most` in all. */
static int fill(const jl_topology *t, int first, int last, int most, int threads[JL_MAX_GROUPS])
{
    int left = most > 0 ? most : JL_MAX_GROUP_CPUS;
    int n = 0;

    for (int i = first; i <= last; i++)
        n += threads[i] = take(t->group[i].n_cores, &left);
    return n;
}

static void set_shares(const jl_topology *t, const double *speed, jl_placement *out)
{
    double sum = 0;

    for (int i = 0; i < t->n_groups; i++) {
        const double s = speed && speed[i] > 0 ? speed[i] : t->group[i].speed;
        out->share[i] = s * out->prefill[i];
        sum += out->share[i];
    }
    for (int i = 0; i < t->n_groups && sum > 0; i++)
        out->share[i] /= sum;
}

void jl_topology_place(const jl_topology *t, jl_placement_kind kind, const double *speed, int most,
                       int decode_most, jl_placement *out)
{
    const int slow = t->n_groups - 1;
    /* three kinds: the last is the thrifty one, the others are fast */
    const int fast_last = slow > 0 ? slow - 1 : 0;
    const char *why;

    memset(out, 0, sizeof *out);
    if (decode_most <= 0 || (most > 0 && most < decode_most))
        decode_most = most;
    if (kind == JL_PLACEMENT_EFFICIENCY && slow > 0) {
        out->n_prefill = fill(t, slow, slow, most, out->prefill);
        out->n_decode = fill(t, slow, slow, decode_most, out->decode);
        out->thread_class = JL_CLASS_BACKGROUND;
        why = "thrifty cores only";
    } else if (kind == JL_PLACEMENT_EFFICIENCY) {
        const int half = (t->group[0].n_cores + 1) / 2;
        const int n = most > 0 && most < half ? most : half;
        out->n_prefill = fill(t, 0, 0, n, out->prefill);
        out->n_decode = fill(t, 0, 0, decode_most > 0 && decode_most < n ? decode_most : n,
                             out->decode);
        out->thread_class = JL_CLASS_UTILITY;
        why = "one kind of cores: half of them";
    } else {
        const bool all = kind == JL_PLACEMENT_PERFORMANCE;
        out->n_prefill = fill(t, 0, all ? slow : fast_last, most, out->prefill);
        out->n_decode = fill(t, 0, fast_last, decode_most, out->decode);
        why = slow == 0 ? "one kind of cores: all of them"
              : all     ? "prefill on all cores, decode on the fast ones"
                        : "fast cores: thrifty ones would be waited for in decode";
    }
    for (int i = 0; i < t->n_groups; i++) {
        const int clusters = t->group[i].n_clusters;
        out->n_matrix += out->prefill[i] < clusters ? out->prefill[i] : clusters;
    }
    set_shares(t, speed, out);
    snprintf(out->why, sizeof out->why, "%s", why);
}

int jl_topology_threads(void)
{
    jl_topology t;
    jl_placement p;

    jl_topology_read(&t);
    jl_topology_place(&t, JL_PLACEMENT_BALANCED, NULL, jl_cpu_cores(), 0, &p);
    return p.n_prefill;
}

const char *jl_placement_name(jl_placement_kind kind)
{
    return kind == JL_PLACEMENT_PERFORMANCE  ? "performance"
           : kind == JL_PLACEMENT_EFFICIENCY ? "efficiency"
                                             : "balanced";
}

const char *jl_thread_class_name(jl_thread_class c)
{
    return c == JL_CLASS_BACKGROUND ? "background"
           : c == JL_CLASS_UTILITY  ? "utility"
                                    : "user-initiated";
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
