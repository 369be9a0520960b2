/* The SMC's key PSTR: watts of the whole machine, on battery and on AC. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "power/mac.h"

_Static_assert(sizeof(jl_smc_param) == 80, "the SMC's driver checks the size");

typedef struct {
    const jl_mac_api *api;
    uint32_t connection;
    uint32_t n_bytes, type; /* of the key */
} smc;

static uint32_t four(const char *s)
{
    return (uint32_t)(uint8_t)s[0] << 24 | (uint32_t)(uint8_t)s[1] << 16 |
           (uint32_t)(uint8_t)s[2] << 8 | (uint32_t)(uint8_t)s[3];
}

bool jl_smc_value(uint32_t type, const uint8_t *b, uint32_t n, double *out)
{
    uint32_t big = 0;
    float f;

    if (n == 0 || n > 4)
        return false;
    for (uint32_t i = 0; i < n; i++)
        big = big << 8 | b[i];
    if (type == four("flt ") && n == 4) { /* little-endian, as every chip that has it */
        const uint32_t bits =
            (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        memcpy(&f, &bits, sizeof f);
        *out = (double)f;
        return isfinite(f);
    }
    if (type == four("sp78") && n == 2)
        *out = (double)(int16_t)big / 256.0;
    else if (type == four("sp96") && n == 2)
        *out = (double)(int16_t)big / 64.0;
    else if (type == four("fpe2") && n == 2)
        *out = (double)big / 4.0;
    else if (type == four("ui8 ") || type == four("ui16") || type == four("ui32"))
        *out = (double)big;
    else
        return false;
    return true;
}

static bool call(const smc *s, jl_smc_param *p)
{
    jl_smc_param answer = {0};
    size_t n = sizeof answer;

    if (s->api->io.call(s->connection, JL_SMC_SELECTOR, p, sizeof *p, &answer, &n) != 0 ||
        n != sizeof answer || answer.result != 0)
        return false;
    *p = answer;
    return true;
}

static bool smc_read(jl_meter *m, double t_s, double *value, jl_error *err)
{
    const smc *s = m->impl;
    jl_smc_param p = {.key = four("PSTR"), .data_size = s->n_bytes, .command = JL_SMC_READ};
    (void)t_s;

    if (!call(s, &p) || !jl_smc_value(s->type, p.bytes, s->n_bytes, value) || *value < 0.0) {
        (void)jl_fail(err, JL_DEVICE, "the SMC gives no value of PSTR");
        return false;
    }
    return true;
}

static void smc_close(jl_meter *m)
{
    smc *s = m->impl;

    s->api->io.close(s->connection);
    jl_free(s);
    m->impl = NULL;
}

static bool connect(smc *s)
{
    const jl_iokit_api *io = &s->api->io;
    const uint32_t service = io->service(0, io->matching("AppleSMC"));

    if (!service)
        return false;
    const int rc = io->open(service, io->task, 0, &s->connection);
    io->release(service);
    return rc == 0;
}

void jl_smc_find(const jl_mac_api *api, jl_meters *l)
{
    smc *s = api->has_io ? jl_calloc(1, sizeof *s) : NULL;

    if (!s)
        return;
    s->api = api;
    if (!connect(s)) {
        jl_free(s);
        return;
    }
    jl_smc_param info = {.key = four("PSTR"), .command = JL_SMC_INFO};
    jl_meter *m = call(s, &info) ? jl_meters_add(l, "smc") : NULL;
    if (!m) {
        api->io.close(s->connection);
        jl_free(s);
        return;
    }
    s->n_bytes = info.data_size;
    s->type = info.data_type;
    m->impl = s;
    m->read = smc_read;
    m->close = smc_close;
    snprintf(m->info.name, sizeof m->info.name, "smc PSTR");
    snprintf(m->info.domain, sizeof m->info.domain, "whole machine");
    m->info.covers = JL_COVERS_CPU | JL_COVERS_DRAM | JL_COVERS_GPU | JL_COVERS_REST;
    m->info.resolution_w = 0.01;
    m->info.period_s = 1.0;
    m->info.delay_s = 1.0;
    double watts;
    jl_error err = {0};
    m->info.readable = smc_read(m, 0.0, &watts, &err);
    if (!m->info.readable)
        snprintf(m->info.problem, sizeof m->info.problem, "%s", err.text);
}
