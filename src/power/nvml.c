/* NVML. All GPUs together are one meter: work may be on any of them. */
#include "power/nvml.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { MAX_GPUS = 16, PERIOD_MS = 100 };

typedef struct {
    jl_nvml_api api;
    void *device[MAX_GPUS];
    unsigned n;
} nvml;

static bool read_energy(jl_meter *m, double t_s, double *value, jl_error *err)
{
    const nvml *v = m->impl;
    double sum = 0.0;
    (void)t_s;

    for (unsigned i = 0; i < v->n; i++) {
        unsigned long long mj;
        const int rc = v->api.energy_mj(v->device[i], &mj);
        if (rc != 0) {
            (void)jl_fail(err, JL_DEVICE, "NVML gives no energy of GPU %u (code %d)", i, rc);
            return false;
        }
        sum += (double)mj * 1e-3;
    }
    *value = sum;
    return true;
}

static bool read_power(jl_meter *m, double t_s, double *value, jl_error *err)
{
    const nvml *v = m->impl;
    double sum = 0.0;
    (void)t_s;

    for (unsigned i = 0; i < v->n; i++) {
        unsigned mw;
        const int rc = v->api.power_mw(v->device[i], &mw);
        if (rc != 0) {
            (void)jl_fail(err, JL_DEVICE, "NVML gives no power of GPU %u (code %d)", i, rc);
            return false;
        }
        sum += (double)mw * 1e-3;
    }
    *value = sum;
    return true;
}

static void nvml_close(jl_meter *m)
{
    nvml *v = m->impl;

    v->api.shutdown();
    jl_lib_close(v->api.lib);
    jl_free(v);
    m->impl = NULL;
}

static void describe(jl_meter *m, const nvml *v, bool counter)
{
    char name[64] = "GPU";

    if (v->api.name(v->device[0], name, sizeof name) != 0)
        snprintf(name, sizeof name, "GPU");
    name[sizeof name - 1] = '\0';
    snprintf(m->info.name, sizeof m->info.name, "nvml %ux %.60s", v->n, name);
    snprintf(m->info.domain, sizeof m->info.domain, "GPU");
    m->info.covers = JL_COVERS_GPU;
    m->info.counter = counter;
    m->info.resolution_j = counter ? 1e-3 : NAN;
    m->info.resolution_w = counter ? NAN : 1e-3;
    m->info.period_s = PERIOD_MS * 1e-3;
    m->info.delay_s = counter ? PERIOD_MS * 1e-3 : 1.0; /* power is a mean over a second */
    m->info.readable = true;
    m->read = counter ? read_energy : read_power;
}

void jl_nvml_add(const jl_nvml_api *api, jl_meters *l)
{
    nvml *v = jl_calloc(1, sizeof *v);
    unsigned n = 0;

    if (!v || api->init() != 0) {
        jl_free(v);
        jl_lib_close(api->lib);
        return;
    }
    v->api = *api;
    if (api->count(&n) != 0)
        n = 0;
    for (unsigned i = 0; i < n && v->n < MAX_GPUS; i++)
        if (api->handle(i, &v->device[v->n]) == 0)
            v->n++;
    jl_meter *m = v->n ? jl_meters_add(l, "nvml") : NULL;
    if (!m) {
        api->shutdown();
        jl_lib_close(api->lib);
        jl_free(v);
        return;
    }
    m->impl = v;
    m->close = nvml_close;
    double value;
    describe(m, v, true);
    if (read_energy(m, 0.0, &value, NULL))
        return;
    describe(m, v, false); /* before Volta there is no counter */
    jl_error err = {0};
    if (!read_power(m, 0.0, &value, &err)) {
        m->info.readable = false;
        snprintf(m->info.problem, sizeof m->info.problem, "%s", err.text);
    }
}

/* A function of the library in a function pointer: ISO C has no cast between the two kinds. */
static bool resolve(jl_lib *lib, const char *name, void *fn)
{
    void *p = jl_lib_symbol(lib, name);

    memcpy(fn, &p, sizeof p);
    return p != NULL;
}

void jl_nvml_find(jl_meters *l)
{
    jl_lib *lib = jl_lib_open("libnvidia-ml.so.1");
    jl_nvml_api api = {.lib = lib};

    if (!lib)
        return;
    if (resolve(lib, "nvmlInit_v2", &api.init) && resolve(lib, "nvmlShutdown", &api.shutdown) &&
        resolve(lib, "nvmlDeviceGetCount_v2", &api.count) &&
        resolve(lib, "nvmlDeviceGetHandleByIndex_v2", &api.handle) &&
        resolve(lib, "nvmlDeviceGetName", &api.name) &&
        resolve(lib, "nvmlDeviceGetTotalEnergyConsumption", &api.energy_mj) &&
        resolve(lib, "nvmlDeviceGetPowerUsage", &api.power_mw))
        jl_nvml_add(&api, l);
    else
        jl_lib_close(lib);
}
