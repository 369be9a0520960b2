/* Which processors are fast and which are thrifty, and keeping a thread on one kind. */
#include "base/cpu_kind.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cpu.h"
#include "base/sysfile.h"

#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#if defined(__linux__)

/* Capacity below this share of the best processor's makes a thrifty one. */
enum { MAX_CPUS = 1024, THRIFTY_PERCENT = 75 };

/* "0-5,8" contains cpu */
static bool list_has(const char *list, long cpu)
{
    while (*list) {
        char *end;
        const long first = strtol(list, &end, 10);
        if (end == list)
            return false;
        long last = first;
        if (*end == '-') {
            const char *from = end + 1;
            last = strtol(from, &end, 10);
            if (end == from)
                return false;
        }
        if (cpu >= first && cpu <= last)
            return true;
        list = *end == ',' ? end + 1 : end;
        if (*end && *end != ',')
            return false;
    }
    return false;
}

static long cpu_number(int cpu, const char *name)
{
    char path[96];
    char line[64];

    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/%s", cpu, name);
    if (jl_line_read(path, line, sizeof line) != JL_READ_OK || !line[0])
        return -1;
    return strtol(line, NULL, 10);
}

/* Kind of each processor this process may use, by the scheduler's capacity, or by the list that
 * Intel's hybrid processors have; returns how many may be used. */
static int kinds_of(int *cpus, jl_core_kind *kinds)
{
    char atoms[256];
    cpu_set_t set;
    long best = 0;
    int n = 0;

    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 0;
    const bool hybrid =
        jl_line_read("/sys/devices/cpu_atom/cpus", atoms, sizeof atoms) == JL_READ_OK && atoms[0];
    for (int cpu = 0; cpu < CPU_SETSIZE && cpu < MAX_CPUS; cpu++) {
        if (!CPU_ISSET(cpu, &set))
            continue;
        const long capacity = cpu_number(cpu, "cpu_capacity");
        best = capacity > best ? capacity : best;
        cpus[n++] = cpu;
    }
    for (int i = 0; i < n; i++) {
        const bool thrifty =
            hybrid ? list_has(atoms, cpus[i])
                   : cpu_number(cpus[i], "cpu_capacity") * 100 < best * THRIFTY_PERCENT;
        kinds[i] = thrifty ? JL_CORES_THRIFTY : JL_CORES_FAST;
    }
    return n;
}

int jl_cpu_cores_of(jl_core_kind kind)
{
    int cpus[MAX_CPUS];
    jl_core_kind kinds[MAX_CPUS];
    long first[MAX_CPUS]; /* lowest hardware thread of the processor's core */
    const int n = kinds_of(cpus, kinds);
    int count = 0;

    for (int i = 0; i < n; i++) {
        bool again = false; /* another thread of a core that counted already */
        first[i] = cpu_number(cpus[i], "topology/thread_siblings_list");
        for (int j = 0; j < i && !again; j++)
            again = first[i] >= 0 && first[j] == first[i];
        count += !again && (kind == JL_CORES_ANY || kinds[i] == kind);
    }
    const int most = jl_cpu_cores(); /* a container's quota */
    return count < most || kind == JL_CORES_THRIFTY ? count : most;
}

/* The processors the process was started with: what ANY goes back to. */
static cpu_set_t all_cpus;
static pthread_once_t all_once = PTHREAD_ONCE_INIT;

static void remember_all(void)
{
    if (sched_getaffinity(0, sizeof all_cpus, &all_cpus) != 0)
        CPU_ZERO(&all_cpus);
}

void jl_cpu_bind(jl_core_kind kind)
{
    int cpus[MAX_CPUS];
    jl_core_kind kinds[MAX_CPUS];
    cpu_set_t set;

    pthread_once(&all_once, remember_all);
    if (CPU_COUNT(&all_cpus) == 0)
        return;
    pthread_setaffinity_np(pthread_self(), sizeof all_cpus, &all_cpus);
    if (kind == JL_CORES_ANY)
        return;
    CPU_ZERO(&set);
    const int n = kinds_of(cpus, kinds);
    for (int i = 0; i < n; i++)
        if (kinds[i] == kind)
            CPU_SET(cpus[i], &set);
    if (CPU_COUNT(&set) > 0)
        pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

#elif defined(__APPLE__)

int jl_cpu_cores_of(jl_core_kind kind)
{
    int value = 0;
    size_t bytes = sizeof value;
    const int fast = jl_cpu_cores();

    if (sysctlbyname("hw.perflevel1.physicalcpu", &value, &bytes, NULL, 0) != 0 || value < 0)
        value = 0;
    return kind == JL_CORES_FAST ? fast : kind == JL_CORES_THRIFTY ? value : fast + value;
}

void jl_cpu_bind(jl_core_kind kind)
{
    pthread_set_qos_class_self_np(
        kind == JL_CORES_THRIFTY ? QOS_CLASS_BACKGROUND : QOS_CLASS_USER_INITIATED, 0);
}

#else

int jl_cpu_cores_of(jl_core_kind kind)
{
    return kind == JL_CORES_THRIFTY ? 0 : jl_cpu_cores();
}

void jl_cpu_bind(jl_core_kind kind)
{
    (void)kind;
}

#endif
