/* proc_pid_rusage: energy that the kernel puts down to this process, CPU only. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "power/mac.h"

/* struct rusage_info_v6 of <sys/resource.h>: a UUID of 16 bytes, then numbers of 64 bits, of which
 * ri_energy_nj is the 41st. Room for later versions. */
enum { RUSAGE_V6 = 6, WORDS = 128, UUID_WORDS = 2, ENERGY_WORD = UUID_WORDS + 40 };

static bool rusage_read(jl_meter *m, double t_s, double *value, jl_error *err)
{
    const jl_mac_api *a = m->impl;
    uint64_t words[WORDS] = {0};
    (void)t_s;

    if (a->pid_rusage(a->pid, RUSAGE_V6, words) != 0) {
        (void)jl_fail(err, JL_UNSUPPORTED, "proc_pid_rusage has no energy on this system");
        return false;
    }
    *value = (double)words[ENERGY_WORD] * 1e-9;
    return true;
}

void jl_rusage_find(const jl_mac_api *api, jl_meters *l)
{
    jl_meter *m = api->has_rusage ? jl_meters_add(l, "rusage") : NULL;
    double joules = 0.0;
    jl_error err = {0};

    if (!m)
        return;
    m->impl = (void *)(uintptr_t)api;
    m->read = rusage_read;
    snprintf(m->info.name, sizeof m->info.name, "rusage of this process");
    snprintf(m->info.domain, sizeof m->info.domain, "this process");
    m->info.covers = JL_COVERS_CPU;
    m->info.counter = true;
    m->info.resolution_j = 1e-6;
    m->info.period_s = 0.02;
    m->info.delay_s = 0.01; /* credits arrive late */
    m->info.readable = rusage_read(m, 0.0, &joules, &err);
    if (m->info.readable && joules <= 0.0) {
        m->info.readable = false;
        snprintf(m->info.problem, sizeof m->info.problem,
                 "this chip credits no energy to processes");
    } else if (!m->info.readable) {
        snprintf(m->info.problem, sizeof m->info.problem, "%s", err.text);
    }
}
