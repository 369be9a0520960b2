/* NVIDIA's management library, found while running: energy counter and power of each GPU. */
#ifndef JL_POWER_NVML_H
#define JL_POWER_NVML_H

#include "power/meter.h"

/* The functions used, in a table that tests fill with fakes. Return 0 on success. */
typedef struct {
    int (*init)(void);
    int (*shutdown)(void);
    int (*count)(unsigned *n);
    int (*handle)(unsigned index, void **device);
    int (*name)(void *device, char *text, unsigned cap);
    int (*energy_mj)(void *device, unsigned long long *mj); /* since the driver was loaded */
    int (*power_mw)(void *device, unsigned *mw);
    void *lib; /* jl_lib; NULL in tests */
} jl_nvml_api;

/* Adds the GPUs of an API that was filled; keeps a copy. Calls shutdown when no meter needs it. */
void jl_nvml_add(const jl_nvml_api *api, jl_meters *l);
/* Looks for the library and adds its GPUs. */
void jl_nvml_find(jl_meters *l);

#endif
