/* Kinds of cores from fake systems, and where threads go on them. */
#include "base/cpu.h"
#include "base/placement.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "test.h"

/* ---- Macs: values of sysctl */

typedef struct {
    const char *chip;
    int n_levels;
    struct {
        const char *name;
        int cores, per_cluster;
    } level[3];
    /* what follows: threads of each level by placement */
    const char *balanced, *performance, *efficiency;
    int n_matrix; /* of performance */
} mac;

static const mac macs[] = {
    {"M1", 2, {{"Performance", 4, 4}, {"Efficiency", 4, 4}}, "4+0/4+0", "4+4/4+0", "0+4/0+4", 2},
    {"M1 Pro", 2, {{"Performance", 8, 4}, {"Efficiency", 2, 2}}, "8+0/8+0", "8+2/8+0", "0+2/0+2",
     3},
    {"M2", 2, {{"Performance", 4, 4}, {"Efficiency", 4, 4}}, "4+0/4+0", "4+4/4+0", "0+4/0+4", 2},
    {"M3 Max", 2, {{"Performance", 12, 6}, {"Efficiency", 4, 4}}, "12+0/12+0", "12+4/12+0",
     "0+4/0+4", 3},
    {"M4", 2, {{"Performance", 4, 4}, {"Efficiency", 6, 6}}, "4+0/4+0", "4+6/4+0", "0+6/0+6", 2},
    {"M5", 2, {{"Super", 4, 4}, {"Efficiency", 6, 6}}, "4+0/4+0", "4+6/4+0", "0+6/0+6", 2},
    {"three kinds", 3, {{"Super", 6, 6}, {"Performance", 12, 6}, {"Efficiency", 4, 4}},
     "6+12+0/6+12+0", "6+12+4/6+12+0", "0+0+4/0+0+4", 4},
};

static bool fake_sysctl(void *ctx, const char *name, int64_t *number, char *text, size_t cap)
{
    const mac *m = ctx;
    int level;
    char what[64];

    if (strcmp(name, "hw.nperflevels") == 0) {
        *number = m->n_levels;
        return true;
    }
    if (sscanf(name, "hw.perflevel%d.%63s", &level, what) != 2 || level >= m->n_levels)
        return false;
    if (strcmp(what, "name") == 0) {
        snprintf(text, cap, "%s", m->level[level].name);
        return true;
    }
    *number = strcmp(what, "cpusperl2") == 0 ? m->level[level].per_cluster : m->level[level].cores;
    return strcmp(what, "physicalcpu") == 0 || strcmp(what, "logicalcpu") == 0 ||
           strcmp(what, "cpusperl2") == 0;
}

/* "prefill by group/decode by group": "4+6/4+0" */
static const char *threads(const jl_topology *t, const jl_thread_plan *p, char text[64])
{
    size_t len = 0;

    for (int phase = 0; phase < 2; phase++)
        for (int i = 0; i < t->n_groups; i++)
            len += (size_t)snprintf(text + len, 64 - len, "%s%d", i ? "+" : phase ? "/" : "",
                                    phase ? p->decode[i] : p->prefill[i]);
    return text;
}

static void check_place(const jl_topology *t, jl_placement kind, const char *expected,
                        jl_thread_class thread_class)
{
    jl_thread_plan p;
    char text[64];
    double sum = 0;

    jl_thread_plan_make(t, kind, NULL, 0, 0, &p);
    assert_string_equal(threads(t, &p, text), expected);
    assert_int_equal(p.thread_class, thread_class);
    for (int i = 0; i < t->n_groups; i++)
        sum += p.share[i];
    assert_true(fabs(sum - 1) < 1e-9);
    assert_true(p.why[0]);
}

static void test_macs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof macs / sizeof *macs; i++) {
        jl_topology t;
        jl_thread_plan p;
        assert_true(jl_topology_from_sysctl(fake_sysctl, (void *)&macs[i], &t));
        assert_int_equal(t.n_groups, macs[i].n_levels);
        assert_string_equal(t.group[0].name, macs[i].level[0].name);
        check_place(&t, JL_PLACEMENT_BALANCED, macs[i].balanced, JL_CLASS_USER_INITIATED);
        check_place(&t, JL_PLACEMENT_PERFORMANCE, macs[i].performance, JL_CLASS_USER_INITIATED);
        check_place(&t, JL_PLACEMENT_EFFICIENCY, macs[i].efficiency, JL_CLASS_BACKGROUND);
        jl_thread_plan_make(&t, JL_PLACEMENT_PERFORMANCE, NULL, 0, 0, &p);
        assert_int_equal(p.n_matrix, macs[i].n_matrix);
    }
}

/* Physical cores by kind, as threads are bound to them. */
static void check_cores(const jl_topology *t, int fast, int thrifty)
{
    assert_int_equal(jl_topology_cores(t, JL_CORES_FAST), fast);
    assert_int_equal(jl_topology_cores(t, JL_CORES_THRIFTY), thrifty);
    assert_int_equal(jl_topology_cores(t, JL_CORES_ANY), fast + thrifty);
}

static void test_mac_cores(void **state)
{
    static const int expected[][2] = {{4, 4}, {8, 2}, {4, 4}, {12, 4}, {4, 6}, {4, 6}, {18, 4}};
    jl_topology t;
    int cpus[8];

    (void)state;
    for (size_t i = 0; i < sizeof macs / sizeof *macs; i++) {
        assert_true(jl_topology_from_sysctl(fake_sysctl, (void *)&macs[i], &t));
        check_cores(&t, expected[i][0], expected[i][1]);
        assert_int_equal(jl_topology_cpus(&t, JL_CORES_ANY, cpus, 8), 0); /* macOS has no numbers */
    }
}

/* What a session gets: numbers asked for, SME units, groups of threads. */
static void test_session_plans(void **state)
{
    jl_topology t;
    jl_thread_plan p;

    (void)state;
    assert_true(jl_topology_from_sysctl(fake_sysctl, (void *)&macs[5], &t)); /* M5: 4 + 6 */
    jl_thread_plan_session(&t, JL_PLACEMENT_BALANCED, 3, false, &p);
    assert_int_equal(p.n_prefill, 3);
    assert_false(p.anywhere);
    jl_thread_plan_session(&t, JL_PLACEMENT_BALANCED, 8, false, &p);
    assert_int_equal(p.n_prefill, 8); /* who asks for more than the fast cores gets them */
    assert_int_equal(p.n_decode, 8);
    assert_true(p.anywhere);
    jl_thread_plan_session(&t, JL_PLACEMENT_EFFICIENCY, 8, false, &p);
    assert_int_equal(p.n_prefill, 6);
    assert_int_equal(jl_thread_plan_group(&p, 0), 1);
    jl_thread_plan_session(&t, JL_PLACEMENT_PERFORMANCE, 10, false, &p);
    assert_int_equal(jl_thread_plan_threads(&p), 10);
    assert_int_equal(jl_thread_plan_group(&p, 3), 0);
    assert_int_equal(jl_thread_plan_group(&p, 4), 1);
    assert_false(p.bound); /* a class is no binding, so no thread is known to be slow */
    assert_int_equal(jl_thread_plan_parts(&p, 9, 10), 10);
}

static void test_sme_plans(void **state)
{
    jl_topology t;
    jl_thread_plan p;

    (void)state;
    if (jl_cpu_quota())
        skip(); /* a container's limit comes first */
    assert_true(jl_topology_from_sysctl(fake_sysctl, (void *)&macs[5], &t));
    jl_thread_plan_session(&t, JL_PLACEMENT_BALANCED, 0, true, &p);
    assert_int_equal(p.n_prefill, 1); /* one unit in the cluster of fast cores */
    assert_int_equal(p.n_decode, 4);  /* decode does not use it */
    assert_int_equal(jl_thread_plan_threads(&p), 4);
    jl_thread_plan_session(&t, JL_PLACEMENT_PERFORMANCE, 0, true, &p);
    assert_int_equal(p.n_prefill, 2);
    jl_thread_plan_session(&t, JL_PLACEMENT_BALANCED, 4, true, &p);
    assert_int_equal(p.n_prefill, 4); /* who names a number gets it */
}

static void test_mac_without_levels(void **state)
{
    const mac none = {"old", 0, {{0, 0, 0}}, "", "", "", 0};
    jl_topology t;

    (void)state;
    assert_false(jl_topology_from_sysctl(fake_sysctl, (void *)&none, &t));
}

static void test_shares_and_limits(void **state)
{
    jl_topology t;
    jl_thread_plan p;
    const double measured[] = {2.0, 1.0}; /* a fast core does twice a thrifty one's work */

    (void)state;
    assert_true(jl_topology_from_sysctl(fake_sysctl, (void *)&macs[4], &t)); /* 4 + 6 */
    jl_thread_plan_make(&t, JL_PLACEMENT_PERFORMANCE, measured, 0, 2, &p);
    assert_true(fabs(p.share[0] - 8.0 / 14.0) < 1e-9);
    assert_int_equal(p.n_prefill, 10);
    assert_int_equal(p.n_decode, 2); /* memory is saturated by two */
    jl_thread_plan_make(&t, JL_PLACEMENT_PERFORMANCE, NULL, 5, 0, &p);
    assert_int_equal(p.prefill[0], 4);
    assert_int_equal(p.prefill[1], 1);
    assert_int_equal(p.n_decode, 4);
}

/* ---- Linux: trees of files */

typedef struct {
    char root[64];
} tree;

static void put(const tree *t, const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", t->root, name);
    for (char *s = path + strlen(t->root) + 1; (s = strchr(s, '/')) != NULL; s++) {
        *s = '\0';
        mkdir(path, 0700);
        *s = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%s\n", text);
    fclose(f);
}

static void put_cpu(const tree *t, int cpu, const char *what, const char *text)
{
    char name[128];

    snprintf(name, sizeof name, "devices/system/cpu/cpu%d/%s", cpu, what);
    put(t, name, text);
}

static tree tree_new(void)
{
    tree t = {"/tmp/joule-topology-XXXXXX"};

    assert_non_null(mkdtemp(t.root));
    return t;
}

static void tree_free(const tree *t)
{
    char command[128];

    snprintf(command, sizeof command, "rm -r %s", t->root);
    assert_int_equal(system(command), 0);
}

/* Threads of slower cores take smaller pieces, by what was measured. */
static void check_parts(const jl_topology *t)
{
    const double measured[] = {3.0, 2.0, 0.5};
    jl_thread_plan p;

    jl_thread_plan_session(t, JL_PLACEMENT_PERFORMANCE, 8, false, &p);
    assert_true(p.bound);
    jl_thread_plan_set_speed(&p, measured);
    assert_true(fabs(p.share[0] - 3.0 / 11) < 1e-9);
    assert_true(fabs(p.share[2] - 2.0 / 11) < 1e-9);
    assert_int_equal(jl_thread_plan_parts(&p, 0, 8), 8);
    assert_int_equal(jl_thread_plan_parts(&p, 1, 8), 12);
    assert_int_equal(jl_thread_plan_parts(&p, 4, 8), 48);
    jl_thread_plan_session(t, JL_PLACEMENT_PERFORMANCE, 9, false, &p);
    assert_true(p.anywhere);
    assert_int_equal(jl_thread_plan_parts(&p, 8, 9), 9);
}

/* 4 small, 3 middle, 1 big: a phone's or a board's. */
static void test_big_little(void **state)
{
    const tree f = tree_new();
    jl_topology t;

    (void)state;
    put(&f, "devices/system/cpu/online", "0-7");
    for (int i = 0; i < 8; i++)
        put_cpu(&f, i, "cpu_capacity", i < 4 ? "250" : i < 7 ? "800" : "1024");
    assert_true(jl_topology_from_sysfs(f.root, NULL, 0, &t));
    assert_int_equal(t.n_groups, 3);
    assert_int_equal(t.group[0].cpu[0], 7);
    assert_int_equal(t.group[2].n_cores, 4);
    assert_true(fabs(t.group[2].speed - 250.0 / 1024) < 1e-9);
    check_place(&t, JL_PLACEMENT_BALANCED, "1+3+0/1+3+0", JL_CLASS_USER_INITIATED);
    check_place(&t, JL_PLACEMENT_PERFORMANCE, "1+3+4/1+3+0", JL_CLASS_USER_INITIATED);
    check_place(&t, JL_PLACEMENT_EFFICIENCY, "0+0+4/0+0+4", JL_CLASS_BACKGROUND);

    check_cores(&t, 4, 4);
    int cpus[8];
    assert_int_equal(jl_topology_cpus(&t, JL_CORES_FAST, cpus, 8), 4);
    assert_int_equal(cpus[0], 7);
    assert_int_equal(jl_topology_cpus(&t, JL_CORES_THRIFTY, cpus, 8), 4);
    assert_int_equal(cpus[3], 3);
    assert_int_equal(jl_topology_cpus(&t, JL_CORES_ANY, cpus, 5), 5);
    check_parts(&t);

    const int some[] = {2, 3, 4}; /* a process that may use these only */
    assert_true(jl_topology_from_sysfs(f.root, some, 3, &t));
    check_place(&t, JL_PLACEMENT_BALANCED, "1+0/1+0", JL_CLASS_USER_INITIATED);
    tree_free(&f);
}

/* Intel: 2 cores with 2 hardware threads each, 4 efficient ones in a cluster. */
static void test_caches(void **state)
{
    const tree f = tree_new();
    (void)state;

    assert_true(jl_cpu_cache_from_sysfs(f.root) == 0);
    put(&f, "devices/system/cpu/online", "0-7,16-23");
    put_cpu(&f, 0, "cache/index0/size", "48K");
    put_cpu(&f, 0, "cache/index0/shared_cpu_list", "0,16");
    put_cpu(&f, 0, "cache/index1/size", "1024K");
    put_cpu(&f, 0, "cache/index1/shared_cpu_list", "0,16");
    assert_true(jl_cpu_cache_from_sysfs(f.root) == 8 << 20);
    put_cpu(&f, 0, "cache/index2/size", "32M");
    put_cpu(&f, 0, "cache/index2/shared_cpu_list", "0-3,16-19");
    assert_true(jl_cpu_cache_from_sysfs(f.root) == 64 << 20); /* two chiplets */
    tree_free(&f);
}

static void test_intel_hybrid(void **state)
{
    const tree f = tree_new();
    jl_topology t;
    char text[256];

    (void)state;
    put(&f, "devices/system/cpu/online", "0-7");
    put(&f, "devices/cpu_core/cpus", "0-3");
    put(&f, "devices/cpu_atom/cpus", "4-7");
    for (int i = 0; i < 8; i++) {
        put_cpu(&f, i, "cpufreq/cpuinfo_max_freq",
                i < 2 ? "5000000" : i < 4 ? "4800000" : "3800000");
        put_cpu(&f, i, "topology/thread_siblings_list",
                i < 2 ? "0-1" : i < 4 ? "2-3" : i == 4 ? "4" : i == 5 ? "5" : i == 6 ? "6" : "7");
        put_cpu(&f, i, "cache/index2/shared_cpu_list", i < 2 ? "0-1" : i < 4 ? "2-3" : "4-7");
    }
    assert_true(jl_topology_from_sysfs(f.root, NULL, 0, &t));
    assert_int_equal(t.n_groups, 2);
    assert_string_equal(t.group[0].name, "cpu_core");
    assert_int_equal(t.group[0].n_cpus, 4);
    assert_int_equal(t.group[0].cpu[0], 0);
    assert_int_equal(t.group[0].cpu[1], 2); /* whole cores first */
    check_place(&t, JL_PLACEMENT_BALANCED, "2+0/2+0", JL_CLASS_USER_INITIATED);
    check_place(&t, JL_PLACEMENT_PERFORMANCE, "2+4/2+0", JL_CLASS_USER_INITIATED);
    check_place(&t, JL_PLACEMENT_EFFICIENCY, "0+4/0+4", JL_CLASS_BACKGROUND);
    check_cores(&t, 2, 4);
    int cpus[8];
    assert_int_equal(jl_topology_cpus(&t, JL_CORES_FAST, cpus, 8), 4); /* hardware threads */
    assert_int_equal(jl_topology_cpus(&t, JL_CORES_THRIFTY, cpus, 8), 4);
    assert_int_equal(cpus[0], 4);
    jl_topology_describe(&t, text, sizeof text);
    assert_string_equal(text, "2 x cpu_core (2 clusters, speed 1.00), "
                              "4 x cpu_atom (1 cluster, speed 0.76)");
    tree_free(&f);
}

/* A server or a virtual machine: equal cores, no figures. */
static void test_equal(void **state)
{
    const tree f = tree_new();
    jl_topology t;

    (void)state;
    put(&f, "devices/system/cpu/online", "0,2-4");
    assert_true(jl_topology_from_sysfs(f.root, NULL, 0, &t));
    assert_int_equal(t.n_groups, 1);
    assert_int_equal(t.group[0].n_cores, 4);
    check_cores(&t, 4, 0);
    check_place(&t, JL_PLACEMENT_BALANCED, "4/4", JL_CLASS_USER_INITIATED);
    check_place(&t, JL_PLACEMENT_EFFICIENCY, "2/2", JL_CLASS_UTILITY);
    tree_free(&f);
}

/* Files that are not what they should be: no crash, a usable answer or none. */
static void test_bad_files(void **state)
{
    const tree f = tree_new();
    jl_topology t;

    (void)state;
    assert_false(jl_topology_from_sysfs(f.root, NULL, 0, &t));
    put(&f, "devices/system/cpu/online", "x");
    assert_false(jl_topology_from_sysfs(f.root, NULL, 0, &t));
    put(&f, "devices/system/cpu/online", "0-99999999999999999999");
    assert_true(jl_topology_from_sysfs(f.root, NULL, 0, &t));
    assert_true(t.group[0].n_cpus <= JL_MAX_GROUP_CPUS);
    put(&f, "devices/system/cpu/online", "0-1");
    put_cpu(&f, 0, "cpu_capacity", "-5");
    put_cpu(&f, 1, "cpu_capacity", "");
    put(&f, "devices/cpu_atom/cpus", "1-");
    assert_true(jl_topology_from_sysfs(f.root, NULL, 0, &t));
    tree_free(&f);
}

static void test_this_machine(void **state)
{
    jl_topology t;
    jl_thread_plan p;

    (void)state;
    jl_topology_read(&t);
    assert_true(t.n_groups >= 1 && t.group[0].n_cores >= 1);
    for (int kind = JL_PLACEMENT_BALANCED; kind <= JL_PLACEMENT_EFFICIENCY; kind++) {
        jl_thread_plan_make(&t, (jl_placement)kind, NULL, 0, 0, &p);
        assert_true(p.n_prefill >= 1 && p.n_decode >= 1);
    }
    assert_in_range(jl_topology_threads(), 1, 1024);
    assert_in_range(jl_cpu_cores_of(JL_CORES_FAST), 1, jl_cpu_cores_of(JL_CORES_ANY));
    jl_cpu_bind(JL_CORES_FAST); /* on the processors of the kind, and back */
    jl_cpu_bind(JL_CORES_ANY);
    assert_int_equal(jl_topology_machine()->group[0].n_cores, t.group[0].n_cores);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_macs),
        cmocka_unit_test(test_mac_cores),     cmocka_unit_test(test_session_plans),
        cmocka_unit_test(test_sme_plans),              cmocka_unit_test(test_mac_without_levels),
        cmocka_unit_test(test_shares_and_limits), cmocka_unit_test(test_caches),
        cmocka_unit_test(test_big_little),
        cmocka_unit_test(test_intel_hybrid),  cmocka_unit_test(test_equal),
        cmocka_unit_test(test_bad_files),     cmocka_unit_test(test_this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
