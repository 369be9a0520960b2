/* What the machine could do at best: read bandwidth and int8 arithmetic. */
#include <stdio.h>
#include <string.h>

#include "backend/peak.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/placement.h"
#include "base/pool.h"
#include "joule/bench.h"

enum { PASSES = 5, MAC_ROUNDS = 4000000 };
static const uint64_t buffer_bytes = 1ull << 30;

typedef struct {
    const uint64_t *data; /* buffer_bytes */
    uint64_t sums[256];   /* so that no read can be left out */
    uint64_t ops[256];
} peak_job;

static void read_part(void *ctx, int ith, int nth)
{
    peak_job *p = ctx;
    const jl_range r = jl_split(buffer_bytes / 8, 512, ith, nth);
    uint64_t s[8] = {0};

    for (size_t i = r.begin; i < r.end; i += 8)
        for (size_t j = 0; j < 8; j++)
            s[j] += p->data[i + j];
    p->sums[ith] = s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7];
}

static void mac_part(void *ctx, int ith, int nth)
{
    peak_job *p = ctx;
    (void)nth;

    p->ops[ith] = jl_cpu_int8_peak(MAC_ROUNDS);
}

static double best_seconds(jl_pool *pool, jl_task_fn *fn, peak_job *job)
{
    double best = 1e30;

    for (int i = 0; i < PASSES; i++) {
        const uint64_t t0 = jl_time_ns();
        jl_pool_run(pool, fn, job);
        const double s = (double)(jl_time_ns() - t0) * 1e-9;
        best = s < best ? s : best;
    }
    return best;
}

jl_status jl_roofline_measure(uint32_t n_threads, jl_roofline *out, jl_error *err)
{
    const uint32_t n = n_threads ? n_threads : (uint32_t)jl_topology_threads();
    const jl_pool_config config = {.n_threads = (int)n, .spin_us = 50};
    static peak_job job;
    jl_pool *pool;

    if (n > 256)
        return jl_fail(err, JL_INVALID, "%u threads; at most 256", n);
    void *data = jl_map_anon(buffer_bytes);
    if (!data)
        return jl_fail(err, JL_NO_MEMORY, "no memory for a buffer of 1 GiB");
    const jl_status s = jl_pool_create(&config, &pool, err);
    if (s != JL_OK) {
        jl_unmap_anon(data, buffer_bytes);
        return s;
    }
    memset(data, 1, buffer_bytes);
    job.data = data;
    out->n_threads = n;
    out->read_bytes_per_s = (double)buffer_bytes / best_seconds(pool, read_part, &job);
    const double mac = best_seconds(pool, mac_part, &job);
    uint64_t ops = 0;
    for (uint32_t i = 0; i < n; i++)
        ops += job.ops[i];
    out->int8_ops_per_s = (double)ops / mac;
    snprintf(out->kernels, sizeof out->kernels, "%s", jl_cpu_int8_peak_name());
    jl_pool_destroy(pool);
    jl_unmap_anon(data, buffer_bytes);
    return JL_OK;
}
