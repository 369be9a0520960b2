/* What the system has: memory, time. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"

#if defined(__APPLE__)
#include <mach/mach.h>
#include <sys/sysctl.h>
#endif

#if defined(__linux__)

/* First line of a file, without its end; "" if it cannot be read. */
static const char *first_line(const char *path, char *line, size_t cap)
{
    line[0] = '\0';
    FILE *f = fopen(path, "re");
    if (!f)
        return line;
    if (!fgets(line, (int)cap, f))
        line[0] = '\0';
    fclose(f);
    line[strcspn(line, "\n")] = '\0';
    return line;
}

/* The number after `key` in a file of "key number" lines; false if it is not there. */
static bool read_field(const char *path, const char *key, uint64_t *out)
{
    char line[256];
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    bool found = false;
    const size_t len = strlen(key);
    while (!found && fgets(line, sizeof line, f)) {
        unsigned long long value;
        if (strncmp(line, key, len) == 0 && sscanf(line + len, "%llu", &value) == 1) {
            *out = value;
            found = true;
        }
    }
    fclose(f);
    return found;
}

static bool read_number(const char *folder, const char *name, uint64_t *out)
{
    char path[1280];
    char line[64];
    unsigned long long value;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (sscanf(first_line(path, line, sizeof line), "%llu", &value) != 1)
        return false; /* absent, or "max" */
    *out = value;
    return true;
}

/* What the group in `folder` may still use, its page cache counted as free; UINT64_MAX if
 * unlimited. */
static uint64_t group_room(const char *folder, bool v2)
{
    char path[1280];
    uint64_t limit;
    uint64_t used;
    if (!read_number(folder, v2 ? "memory.max" : "memory.limit_in_bytes", &limit) ||
        !read_number(folder, v2 ? "memory.current" : "memory.usage_in_bytes", &used))
        return UINT64_MAX;
    if (limit >= (uint64_t)1 << 60) /* v1 writes a huge number for "no limit" */
        return UINT64_MAX;
    uint64_t active = 0;
    uint64_t inactive = 0;
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    if (!read_field(path, v2 ? "active_file " : "total_active_file ", &active))
        active = 0;
    if (!read_field(path, v2 ? "inactive_file " : "total_inactive_file ", &inactive))
        inactive = 0;
    const uint64_t cache = active + inactive;
    used = used > cache ? used - cache : 0;
    return limit > used ? limit - used : 0;
}

/* The tightest room on the way from this process's group up to the root of one hierarchy. Inside a
 * container the path may not exist; the root then is the container's own group. */
static uint64_t hierarchy_room(const char *root, const char *group, bool v2)
{
    char folder[1200];
    snprintf(folder, sizeof folder, "%s%s", root, group);
    const size_t root_len = strlen(root);
    uint64_t room = UINT64_MAX;
    for (;;) {
        const uint64_t here = group_room(folder, v2);
        room = here < room ? here : room;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < root_len)
            return room;
        *slash = '\0';
    }
}

static uint64_t container_room(void)
{
    char line[1024];
    uint64_t room = UINT64_MAX;
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f)
        return room;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        const char *controllers = strchr(line, ':');
        const char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        uint64_t here = UINT64_MAX;
        if (group == controllers + 1)
            here = hierarchy_room("/sys/fs/cgroup", group + 1, true);
        else if (strncmp(controllers, ":memory:", 8) == 0)
            here = hierarchy_room("/sys/fs/cgroup/memory", group + 1, false);
        room = here < room ? here : room;
    }
    fclose(f);
    return room;
}

uint64_t jl_memory_available(void)
{
    uint64_t kib;
    const uint64_t room = container_room();
    if (!read_field("/proc/meminfo", "MemAvailable:", &kib))
        return room == UINT64_MAX ? 0 : room;
    return kib * 1024 < room ? kib * 1024 : room;
}

uint64_t jl_memory_peak(void)
{
    uint64_t kib;
    if (read_field("/proc/self/status", "VmHWM:", &kib))
        return kib * 1024;
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

void jl_memory_peak_reset(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "we");

    if (!f)
        return;
    fputs("5", f); /* proc(5): the peak becomes what is resident now */
    fclose(f);
}

#elif defined(__APPLE__)

uint64_t jl_memory_available(void)
{
    vm_statistics64_data_t stats;
    mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
    const mach_port_t host = mach_host_self();
    if (host_statistics64(host, HOST_VM_INFO64, (host_info64_t)&stats, &count) != KERN_SUCCESS)
        return 0;
    const uint64_t pages =
        (uint64_t)stats.free_count + stats.inactive_count + stats.purgeable_count;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t jl_memory_peak(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss : 0;
}

#else

uint64_t jl_memory_available(void)
{
    return 0;
}

uint64_t jl_memory_peak(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

#endif

#if !defined(__linux__)
void jl_memory_peak_reset(void)
{
}
#endif

uint64_t jl_memory_total(void)
{
#if defined(__APPLE__)
    uint64_t value = 0;
    size_t bytes = sizeof value;
    return sysctlbyname("hw.memsize", &value, &bytes, NULL, 0) == 0 ? value : 0;
#else
    const long pages = sysconf(_SC_PHYS_PAGES);
    return pages > 0 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
#endif
}

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;
    if (clock_gettime(id, &t) != 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t jl_time_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

double jl_time_cpu(void)
{
    return (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) * 1e-9;
}
