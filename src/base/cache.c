/* Size of the processor's caches: /sys on Linux, sysctl on Macs. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cpu.h"
#include "base/cpu_list.h"
#include "base/sysfile.h"

#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

static uint64_t count_list(const char *list)
{
    jl_cpu_list l = jl_cpu_list_of(list);
    uint64_t n = 0;

    while (jl_cpu_list_next(&l) >= 0)
        n++;
    return n;
}

static bool read_item(const char *sys, int index, const char *name, char *text, size_t cap)
{
    char path[512];

    snprintf(path, sizeof path, "%s/devices/system/cpu/cpu0/cache/index%d/%s", sys, index, name);
    return jl_line_read(path, text, cap) == JL_READ_OK;
}

uint64_t jl_cpu_cache_from_sysfs(const char *sys)
{
    uint64_t most = 0;
    char path[512];
    char text[4096];

    snprintf(path, sizeof path, "%s/devices/system/cpu/online", sys);
    const uint64_t n_cpus = jl_line_read(path, text, sizeof text) == JL_READ_OK
                                ? count_list(text) : 0;
    for (int i = 0; i < 8 && read_item(sys, i, "size", text, sizeof text); i++) {
        char *unit;
        uint64_t bytes = strtoul(text, &unit, 10);
        bytes *= *unit == 'K' ? 1024 : *unit == 'M' ? 1024 * 1024 : 1;
        uint64_t sharing = 0;
        if (read_item(sys, i, "shared_cpu_list", text, sizeof text))
            sharing = count_list(text);
        if (sharing > 0 && n_cpus > sharing) /* one per socket or chiplet */
            bytes *= (n_cpus + sharing - 1) / sharing;
        most = bytes > most ? bytes : most;
    }
    return most;
}

uint64_t jl_cpu_cache_bytes(void)
{
#if defined(__APPLE__)
    static const char *const names[] = {"hw.l3cachesize", "hw.perflevel0.l2cachesize",
                                        "hw.l2cachesize"};
    uint64_t most = 0;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint64_t value = 0;
        size_t bytes = sizeof value;
        if (sysctlbyname(names[i], &value, &bytes, NULL, 0) == 0 && value > most)
            most = value;
    }
    return most;
#else
    const char *sys = jl_env("JOULE_SYSFS"); /* a tree of a test */
    return jl_cpu_cache_from_sysfs(sys ? sys : "/sys");
#endif
}
