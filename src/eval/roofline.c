/* What the machine could do at best: read bandwidth, int8 and F32 arithmetic. Many ways to read are
 * tried, because no single one is the fastest everywhere: how many streams a thread reads, what it
 * fetches ahead, and the size of the pages each cost or bring a third. */
#include <stdio.h>
#include <string.h>

#include "backend/peak.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/placement.h"
#include "base/pool.h"
#include "joule/bench.h"

enum {
    MAX_THREADS = 1024,
    SECTIONS = 8, /* of the buffer; a way is tried on one, when the others were read since */
    TRIES = 2,    /* of each way */
    PASSES = 5,   /* of the best way, over the whole buffer */
    CHUNK_NS = 500000, /* of arithmetic between two looks at the clock */
    CHUNKS = 60,
};
static const uint64_t buffer_least = 1ull << 30, buffer_most = 4ull << 30;
static const uint64_t budget_ns = 2000000000; /* of reading with one size of pages */

typedef struct {
    size_t streams, ahead;
} read_way;

static const read_way ways[] = {{1, 0}, {1, 1024}, {1, 4096}, {2, 0}, {2, 1024}, {4, 0}, {4, 1024},
                                {8, 0}, {8, 512}, {16, 0}, {16, 512}};
enum { N_WAYS = sizeof ways / sizeof *ways };

typedef struct {
    const jl_thread_plan *plan;
    uint8_t *buffer;
    uint64_t section_bytes;
    int first, end; /* sections to read */
    jl_read_loop read;
    read_way way;
    jl_peak_loop peak;
    uint64_t sums[MAX_THREADS]; /* so that no read can be left out */
    double ops_per_ns[MAX_THREADS];
} roof_job;

/* Each thread's part of each section: the same for touching and reading. */
static jl_range part_of(const roof_job *j, int section, int ith, int nth)
{
    jl_range r = jl_split(j->section_bytes, JL_READ_GRAIN, ith, nth);

    r.begin += (uint64_t)section * j->section_bytes;
    r.end += (uint64_t)section * j->section_bytes;
    return r;
}

static void bind_part(void *ctx, int ith, int nth)
{
    const roof_job *j = ctx;

    (void)nth;
    jl_thread_plan_bind(j->plan, ith);
}

static void touch_part(void *ctx, int ith, int nth)
{
    roof_job *j = ctx;

    for (int s = 0; s < SECTIONS; s++) {
        const jl_range r = part_of(j, s, ith, nth);
        memset(j->buffer + r.begin, 1, r.end - r.begin);
    }
}

static void read_part(void *ctx, int ith, int nth)
{
    roof_job *j = ctx;

    for (int s = j->first; s < j->end; s++) {
        const jl_range r = part_of(j, s, ith, nth);
        j->sums[ith] +=
            j->read.run(j->buffer + r.begin, r.end - r.begin, j->way.streams, j->way.ahead);
    }
}

/* The fastest of many chunks, so that other work on the machine is left out; all threads compute at
 * once, because clocks fall as more cores work. */
static void peak_part(void *ctx, int ith, int nth)
{
    roof_job *j = ctx;
    uint64_t rounds = 500;
    uint64_t ns = 0;
    int64_t sum;
    double best = 0;

    (void)nth;
    for (int i = 0; i < CHUNKS; i++) {
        const uint64_t t0 = jl_time_ns();
        const uint64_t ops = j->peak.run(rounds, &sum);
        ns = jl_time_ns() - t0;
        j->sums[ith] += (uint64_t)sum;
        if (ns < CHUNK_NS / 2 && rounds < UINT64_C(1) << 40) {
            rounds *= 2;
            continue;
        }
        best = (double)ops / (double)ns > best ? (double)ops / (double)ns : best;
    }
    j->ops_per_ns[ith] = best;
}

static double seconds(jl_pool *pool, jl_task_fn *fn, roof_job *job)
{
    const uint64_t t0 = jl_time_ns();

    jl_pool_run(pool, fn, job);
    return (double)(jl_time_ns() - t0) * 1e-9;
}

/* Bytes per second of the job's way over sections [first, end). */
static double read_rate(jl_pool *pool, roof_job *job, int first, int end)
{
    job->first = first;
    job->end = end;
    return (double)(end - first) * (double)job->section_bytes / seconds(pool, read_part, job);
}

/* The fastest way over a touched buffer; its rate over the whole of it. */
static double best_read(jl_pool *pool, roof_job *job)
{
    const uint64_t until = jl_time_ns() + budget_ns;
    double rate = 0;
    double best = 0;
    read_way chosen = ways[0];

    for (int i = 0; i < TRIES * N_WAYS && (i == 0 || jl_time_ns() < until); i++) {
        job->way = ways[i % N_WAYS];
        const double r = read_rate(pool, job, i % SECTIONS, i % SECTIONS + 1);
        chosen = r > best ? job->way : chosen;
        best = r > best ? r : best;
    }
    job->way = chosen;
    for (int i = 0; i < PASSES && (i == 0 || jl_time_ns() < until); i++) {
        const double r = read_rate(pool, job, 0, SECTIONS);
        rate = r > rate ? r : rate;
    }
    return rate;
}

static jl_status measure_read(jl_pool *pool, roof_job *job, jl_roofline *out, jl_error *err)
{
    const uint64_t available = jl_memory_available();
    uint64_t bytes = 8 * out->cache_bytes;

    bytes = bytes < buffer_least ? buffer_least : bytes > buffer_most ? buffer_most : bytes;
    bytes = available && bytes > available / 4 ? available / 4 : bytes;
    job->section_bytes = bytes / SECTIONS / JL_READ_GRAIN * JL_READ_GRAIN;
    out->buffer_bytes = job->section_bytes * SECTIONS;
    for (int small = 0; small < 2; small++) {
        job->buffer = jl_map_anon(out->buffer_bytes);
        if (!job->buffer)
            return jl_fail(err, JL_NO_MEMORY, "no memory for a buffer of %.1f MiB to read",
                           (double)out->buffer_bytes / 1048576.0);
        if (small)
            jl_map_small_pages(job->buffer, out->buffer_bytes);
        jl_pool_run(pool, touch_part, job);
        const double rate = best_read(pool, job);
        jl_unmap_anon(job->buffer, out->buffer_bytes);
        if (rate <= out->read_bytes_per_s)
            continue;
        out->read_bytes_per_s = rate;
        int n = snprintf(out->read_how, sizeof out->read_how, "%s, %zu stream%s per thread, %s",
                         job->read.name, job->way.streams, job->way.streams == 1 ? "" : "s",
                         small ? "small pages" : "huge pages");
        if (job->way.ahead)
            snprintf(out->read_how + n, sizeof out->read_how - (size_t)n, ", %zu bytes ahead",
                     job->way.ahead);
    }
    return JL_OK;
}

/* Operations per second of one loop on all threads; more threads than processors add nothing. */
static double measure_peak(jl_pool *pool, roof_job *job, jl_peak_loop loop)
{
    const int n = jl_pool_n_threads(pool);
    double sum = 0;

    job->peak = loop;
    jl_pool_run(pool, peak_part, job);
    for (int t = 0; t < n; t++)
        sum += job->ops_per_ns[t] * 1e9;
    return n > jl_cpu_count() ? sum * jl_cpu_count() / n : sum;
}

static void measure_peaks(jl_pool *pool, roof_job *job, unsigned features, jl_roofline *out)
{
    jl_peak_loop loops[JL_PEAK_LOOPS];
    const size_t n = jl_cpu_int8_peaks(features, loops);
    const jl_peak_loop f32 = jl_cpu_f32_peak(features);

    snprintf(out->kernels, sizeof out->kernels, "none");
    for (size_t i = 0; i < n && i < JL_PEAKS_MAX; i++) {
        jl_peak *p = &out->int8[out->n_int8++];
        snprintf(p->name, sizeof p->name, "%s", loops[i].name);
        p->ops_per_s = measure_peak(pool, job, loops[i]);
        if (p->ops_per_s <= out->int8_ops_per_s)
            continue;
        out->int8_ops_per_s = p->ops_per_s;
        snprintf(out->kernels, sizeof out->kernels, "%s", p->name);
    }
    if (f32.run)
        out->f32_ops_per_s = measure_peak(pool, job, f32);
}

jl_status jl_roofline_measure(const jl_roofline_params *params, jl_roofline *out, jl_error *err)
{
    const jl_roofline_params p = params ? *params : (jl_roofline_params){0};
    int known;
    const unsigned features = jl_cpu_mask(jl_cpu_features(), p.cpu_mask, &known);
    jl_thread_plan plan;
    jl_pool *pool;

    if (!known)
        return jl_fail(err, JL_INVALID, "unknown instruction set '%s'", p.cpu_mask);
    if (p.n_threads > MAX_THREADS)
        return jl_fail(err, JL_INVALID, "%u threads; at most %d", p.n_threads, MAX_THREADS);
    if ((unsigned)p.placement > JL_PLACEMENT_EFFICIENCY)
        return jl_fail(err, JL_INVALID, "unknown placement %d", (int)p.placement);
    jl_thread_plan_session(jl_topology_machine(), p.placement, (int)p.n_threads,
                           features & JL_CPU_SME_ASKED, &plan);

    const jl_pool_config config = {.n_threads = jl_thread_plan_threads(&plan), .spin_us = 50};
    roof_job *job = jl_calloc(1, sizeof *job);
    if (!job)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    jl_status s = jl_pool_create(&config, &pool, err);
    if (s == JL_OK) {
        *out = (jl_roofline){.n_threads = (uint32_t)config.n_threads,
                             .cache_bytes = jl_cpu_cache_bytes()};
        job->plan = &plan;
        job->read = jl_cpu_read_loop(features);
        jl_pool_run(pool, bind_part, job);
        s = measure_read(pool, job, out, err);
        if (s == JL_OK)
            measure_peaks(pool, job, features, out);
        jl_pool_destroy(pool);
    }
    jl_memory_peak_reset(); /* the buffer is nobody's need but ours */
    jl_free(job);
    return s;
}
