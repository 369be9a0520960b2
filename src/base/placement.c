/* Plans threads on kinds of cores, and binds them. */
#include "base/placement.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/cpu.h"

static int at_most(int n, int most)
{
    return most > 0 && n > most ? most : n;
}

/* One thread per physical core of the groups first .. last, at most `most` in all. */
static int fill(const jl_topology *t, int first, int last, int most, int threads[JL_MAX_GROUPS])
{
    int left = most > 0 ? most : JL_MAX_GROUP_CPUS;
    int n = 0;

    for (int i = first; i <= last; i++) {
        threads[i] = at_most(t->group[i].n_cores, left);
        if (left == 0)
            threads[i] = 0;
        left -= threads[i];
        n += threads[i];
    }
    return n;
}

void jl_thread_plan_set_speed(jl_thread_plan *plan, const double *speed)
{
    double sum = 0;

    for (int i = 0; i < plan->n_groups; i++)
        sum += speed[i] * plan->prefill[i];
    for (int i = 0; i < plan->n_groups && sum > 0; i++)
        plan->share[i] = speed[i] * plan->prefill[i] / sum;
}

static const char *fill_fast(const jl_topology *t, bool all, int most, int decode_most,
                             jl_thread_plan *out)
{
    const int slow = t->n_groups - 1;
    const int fast_last = slow > 0 ? slow - 1 : 0; /* of three kinds the last is the thrifty one */

    out->n_prefill = fill(t, 0, all ? slow : fast_last, most, out->prefill);
    out->n_decode = fill(t, 0, fast_last, decode_most, out->decode);
    return slow == 0 ? "one kind of cores: all of them"
           : all     ? "prefill on all cores, decode on the fast ones"
                     : "fast cores: thrifty ones would be waited for in decode";
}

static const char *fill_thrifty(const jl_topology *t, int most, int decode_most,
                                jl_thread_plan *out)
{
    const int slow = t->n_groups - 1;
    const int half = (t->group[0].n_cores + 1) / 2;

    if (slow > 0) {
        out->n_prefill = fill(t, slow, slow, most, out->prefill);
        out->n_decode = fill(t, slow, slow, decode_most, out->decode);
        out->thread_class = JL_CLASS_BACKGROUND;
        return "thrifty cores only";
    }
    out->n_prefill = fill(t, 0, 0, at_most(half, most), out->prefill);
    out->n_decode = fill(t, 0, 0, at_most(half, decode_most), out->decode);
    out->thread_class = JL_CLASS_UTILITY;
    return "one kind of cores: half of them";
}

void jl_thread_plan_make(const jl_topology *t, jl_placement kind, const double *speed, int most,
                         int decode_most, jl_thread_plan *out)
{
    double system[JL_MAX_GROUPS];
    const char *why;

    *out = (jl_thread_plan){.kind = kind, .n_groups = t->n_groups};
    if (decode_most <= 0 || (most > 0 && most < decode_most))
        decode_most = most;
    if (kind == JL_PLACEMENT_EFFICIENCY)
        why = fill_thrifty(t, most, decode_most, out);
    else
        why = fill_fast(t, kind == JL_PLACEMENT_PERFORMANCE, most, decode_most, out);
    for (int i = 0; i < t->n_groups; i++) {
        out->n_matrix += at_most(out->prefill[i], t->group[i].n_clusters);
        system[i] = t->group[i].speed;
    }
    jl_thread_plan_set_speed(out, speed ? speed : system);
    snprintf(out->why, sizeof out->why, "%s", why);
}

void jl_thread_plan_session(const jl_topology *t, jl_placement kind, int n_threads, bool sme,
                            jl_thread_plan *out)
{
    jl_thread_plan_make(t, kind, NULL, n_threads > 0 ? n_threads : jl_cpu_quota(), 0, out);
    if (n_threads > jl_thread_plan_threads(out) && kind != JL_PLACEMENT_EFFICIENCY) {
        out->n_prefill = out->n_decode = n_threads;
        out->anywhere = true;
        snprintf(out->why, sizeof out->why, "more threads than its cores: anywhere");
    }
    out->bound = t->n_groups > 1 && t->group[0].n_listed > 0 && !out->anywhere;
    if (sme && n_threads == 0 && out->n_matrix < out->n_prefill) {
        for (int i = 0; i < t->n_groups; i++)
            out->prefill[i] = at_most(out->prefill[i], t->group[i].n_clusters);
        out->n_prefill = out->n_matrix;
        snprintf(out->why, sizeof out->why, "prefill with one thread per SME unit");
    }
}

int jl_thread_plan_threads(const jl_thread_plan *plan)
{
    const int n = plan->n_prefill > plan->n_decode ? plan->n_prefill : plan->n_decode;

    return n > 0 ? n : 1;
}

int jl_thread_plan_group(const jl_thread_plan *plan, int ith)
{
    for (int i = 0; i < plan->n_groups && !plan->anywhere; i++) {
        const int n = plan->prefill[i] > plan->decode[i] ? plan->prefill[i] : plan->decode[i];
        if (ith < n)
            return i;
        ith -= n;
    }
    return 0;
}

int jl_thread_plan_parts(const jl_thread_plan *plan, int ith, int nth)
{
    const int mine = jl_thread_plan_group(plan, ith);
    const int first = jl_thread_plan_group(plan, 0);

    if (!plan->bound || mine == first || !plan->prefill[mine] || !plan->prefill[first] ||
        plan->share[mine] <= 0)
        return nth;
    const double slower = plan->share[first] / plan->prefill[first] /
                          (plan->share[mine] / plan->prefill[mine]);
    return slower > 1 && slower < 1000 ? (int)(nth * slower + 0.5) : nth;
}

const char *jl_placement_name(jl_placement kind)
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

/* ---- this machine */

int jl_cpu_cores_of(jl_core_kind kind)
{
    return at_most(jl_topology_cores(jl_topology_machine(), kind), jl_cpu_quota());
}

int jl_topology_threads(void)
{
    jl_thread_plan plan;

    jl_thread_plan_session(jl_topology_machine(), JL_PLACEMENT_BALANCED, 0, false, &plan);
    return jl_thread_plan_threads(&plan);
}

#if defined(__linux__)

static void bind_to(const int *cpus, int n)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    for (int i = 0; i < n; i++)
        if (cpus[i] < CPU_SETSIZE)
            CPU_SET(cpus[i], &set);
    if (CPU_COUNT(&set) > 0)
        pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

void jl_cpu_bind(jl_core_kind kind)
{
    const jl_topology *t = jl_topology_machine();
    int cpus[JL_MAX_GROUP_CPUS];
    int n = jl_topology_cpus(t, kind, cpus, JL_MAX_GROUP_CPUS);

    if (n == 0) /* all are alike */
        n = jl_topology_cpus(t, JL_CORES_ANY, cpus, JL_MAX_GROUP_CPUS);
    bind_to(cpus, n);
}

void jl_thread_plan_bind(const jl_thread_plan *plan, int ith)
{
    const jl_topology *t = jl_topology_machine();
    int cpus[JL_MAX_GROUP_CPUS];

    if (plan->n_groups != t->n_groups || t->n_groups < 2)
        return; /* the scheduler knows no less than the plan */
    if (plan->anywhere) {
        bind_to(cpus, jl_topology_cpus(t, JL_CORES_ANY, cpus, JL_MAX_GROUP_CPUS));
        return;
    }
    const jl_core_group *g = &t->group[jl_thread_plan_group(plan, ith)];
    for (int i = 0; i < g->n_listed; i++)
        cpus[i] = g->cpu[i];
    bind_to(cpus, g->n_listed);
}

#elif defined(__APPLE__)

static void set_class(jl_thread_class c)
{
    pthread_set_qos_class_self_np(c == JL_CLASS_BACKGROUND ? QOS_CLASS_BACKGROUND
                                  : c == JL_CLASS_UTILITY  ? QOS_CLASS_UTILITY
                                                           : QOS_CLASS_USER_INITIATED,
                                  0);
}

void jl_cpu_bind(jl_core_kind kind)
{
    set_class(kind == JL_CORES_THRIFTY ? JL_CLASS_BACKGROUND : JL_CLASS_USER_INITIATED);
}

void jl_thread_plan_bind(const jl_thread_plan *plan, int ith)
{
    (void)ith;
    set_class(plan->thread_class);
}

#else

void jl_cpu_bind(jl_core_kind kind)
{
    (void)kind;
}

void jl_thread_plan_bind(const jl_thread_plan *plan, int ith)
{
    (void)plan;
    (void)ith;
}

#endif
