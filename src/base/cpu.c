/* Names and masks of the feature bundles, processor counts, pinning. Detection is in cpu_detect.c.
 */
#include "base/cpu.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

/* In waterfall order: each bundle's row says which ones it keeps below it when it is the limit. */
static const struct {
    const char *name;
    unsigned bit;
    unsigned keeps;
} bundles[] = {
    {"avx2", JL_CPU_AVX2, JL_CPU_AVX2},
    {"avxvnni", JL_CPU_AVXVNNI, JL_CPU_AVX2 | JL_CPU_AVXVNNI},
    {"avx512", JL_CPU_AVX512, JL_CPU_AVX2 | JL_CPU_AVXVNNI | JL_CPU_AVX512},
    {"avx512vnni", JL_CPU_AVX512VNNI,
     JL_CPU_AVX2 | JL_CPU_AVXVNNI | JL_CPU_AVX512 | JL_CPU_AVX512VBMI | JL_CPU_AVX512VNNI},
    {"avx512vbmi", JL_CPU_AVX512VBMI,
     JL_CPU_AVX2 | JL_CPU_AVXVNNI | JL_CPU_AVX512 | JL_CPU_AVX512VBMI | JL_CPU_AVX512VNNI},
    {"avx512bf16", JL_CPU_AVX512BF16, 0xffffu & ~(unsigned)JL_CPU_AMX},
    {"amx", JL_CPU_AMX, 0xffffu},
    {"neon", JL_CPU_NEON, JL_CPU_NEON},
    {"dotprod", JL_CPU_DOTPROD, JL_CPU_NEON | JL_CPU_DOTPROD},
    {"i8mm", JL_CPU_I8MM, JL_CPU_NEON | JL_CPU_DOTPROD | JL_CPU_I8MM},
    {"sve", JL_CPU_SVE, JL_CPU_NEON | JL_CPU_DOTPROD | JL_CPU_I8MM | JL_CPU_SVE},
    {"sme", JL_CPU_SME, 0xffff0000u & ~(unsigned)JL_CPU_SME2},
    {"sme2", JL_CPU_SME2, 0xffff0000u},
};

enum { N_BUNDLES = sizeof bundles / sizeof bundles[0] };

unsigned jl_cpu_mask(unsigned features, const char *name, int *known)
{
    if (known)
        *known = 1;
    if (!name || !*name)
        return features;
    if (strcmp(name, "scalar") == 0)
        return 0;
    for (int i = 0; i < N_BUNDLES; i++) {
        if (strcmp(name, bundles[i].name) != 0)
            continue;
        features &= bundles[i].keeps;
        return strncmp(name, "sme", 3) == 0 && (features & JL_CPU_SME) ? features | JL_CPU_SME_ASKED
                                                                      : features;
    }
    if (known)
        *known = 0;
    return 0;
}

size_t jl_cpu_names(unsigned features, char *text, size_t cap)
{
    size_t len = 0;
    if (cap)
        text[0] = '\0';
    for (int i = 0; i < N_BUNDLES && cap; i++) {
        if (!(features & bundles[i].bit))
            continue;
        const int n = snprintf(text + len, cap - len, "%s%s", len ? " " : "", bundles[i].name);
        if (n < 0 || (size_t)n >= cap - len) {
            text[len] = '\0'; /* whole names only */
            break;
        }
        len += (size_t)n;
    }
    return len;
}

#if defined(__linux__)

enum { MAX_CPUS = 4096 };

/* The affinity mask of the process as a list of processor numbers; returns how many, 0 on failure.
 */
static int allowed_cpus(int *list, int cap)
{
    cpu_set_t *set = CPU_ALLOC(MAX_CPUS);
    if (!set)
        return 0;
    const size_t bytes = CPU_ALLOC_SIZE(MAX_CPUS);
    CPU_ZERO_S(bytes, set);
    int n = 0;
    if (sched_getaffinity(0, bytes, set) == 0) {
        for (int cpu = 0; cpu < MAX_CPUS && n < cap; cpu++) {
            if (CPU_ISSET_S(cpu, bytes, set))
                list[n++] = cpu;
        }
    }
    CPU_FREE(set);
    return n;
}

/* Number of the first hardware thread of the core that `cpu` belongs to; cpu itself if unknown. */
static int core_of(int cpu)
{
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    FILE *f = fopen(path, "re");
    if (!f)
        return cpu;
    int first = cpu;
    if (fscanf(f, "%d", &first) != 1)
        first = cpu;
    fclose(f);
    return first;
}

/* Orders the list so that the first *n_cores entries lie on different cores. */
static int cpus_by_core(int *list, int cap, int *n_cores)
{
    int spare[1024];
    int core[1024];
    int n_spare = 0;
    int n_first = 0;
    const int n = allowed_cpus(list, cap < 1024 ? cap : 1024);
    for (int i = 0; i < n; i++) {
        const int cpu = list[i];
        const int c = core_of(cpu);
        int j = 0;
        while (j < n_first && core[j] != c)
            j++;
        if (j < n_first) {
            spare[n_spare++] = cpu;
        } else {
            core[n_first] = c;
            list[n_first++] = cpu; /* n_first <= i: never overwrites what is still to be read */
        }
    }
    memcpy(list + n_first, spare, (size_t)n_spare * sizeof *spare);
    *n_cores = n_first;
    return n;
}

/* Processors' worth of time a container may use (cgroup v2 cpu.max or v1 cfs quota), rounded up;
 * `none` if there is no limit. */
static int cpu_quota(int none)
{
    double quota = -1;
    double period = 0;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (f) {
        if (fscanf(f, "%lf %lf", &quota, &period) != 2)
            quota = -1; /* "max" */
        fclose(f);
    } else if ((f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "re")) != NULL) {
        if (fscanf(f, "%lf", &quota) != 1)
            quota = -1;
        fclose(f);
        period = 100000; /* the kernel's default, which container tools use */
    }
    if (quota <= 0 || period <= 0 || quota / period >= none)
        return none;
    const int n = (int)(quota / period);
    return n < quota / period ? n + 1 : n;
}

int jl_cpu_quota(void)
{
    const int n = cpu_quota(MAX_CPUS);
    return n < MAX_CPUS ? n : 0;
}

int jl_cpu_count(void)
{
    int list[1024];
    const int n = allowed_cpus(list, 1024);
    return cpu_quota(n > 0 ? n : 1);
}

int jl_cpu_cores(void)
{
    int list[1024];
    int cores;
    const int n = cpus_by_core(list, 1024, &cores);
    return cpu_quota(n > 0 ? cores : 1);
}

void jl_cpu_pin(int index)
{
    int list[1024];
    int cores;
    const int n = cpus_by_core(list, 1024, &cores);
    cpu_set_t *set = n > 0 && index >= 0 ? CPU_ALLOC(MAX_CPUS) : NULL;
    if (!set)
        return;
    const size_t bytes = CPU_ALLOC_SIZE(MAX_CPUS);
    CPU_ZERO_S(bytes, set);
    CPU_SET_S(list[index % n], bytes, set);
    pthread_setaffinity_np(pthread_self(), bytes, set);
    CPU_FREE(set);
}

#else

static int sysctl_count(const char *name)
{
#if defined(__APPLE__)
    int value = 0;
    size_t bytes = sizeof value;
    if (sysctlbyname(name, &value, &bytes, NULL, 0) == 0 && value > 0)
        return value;
#else
    (void)name;
#endif
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

int jl_cpu_count(void)
{
    return sysctl_count("hw.activecpu");
}

int jl_cpu_cores(void)
{
    return sysctl_count("hw.physicalcpu");
}

int jl_cpu_quota(void)
{
    return 0;
}

void jl_cpu_pin(int index)
{
    (void)index;
}

#endif
