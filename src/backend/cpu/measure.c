/* Speed of the kinds of cores a plan uses, measured with the product prefill spends its time on:
 * all threads at once, since clocks fall as more cores work. */
#include "backend/cpu/cpu.h"
#include "base/file.h"

enum { ROWS = 64, COLS = 8, N_IN = 512, SPAN_NS = 1000000, MAX_THREADS = 1024 };

typedef struct {
    const cpu_backend *c;
    double speed[MAX_THREADS]; /* products per ns of each thread */
} measurement;

/* Zeros: no kernel's time depends on values. */
static struct {
    _Alignas(64) uint8_t w[ROWS * N_IN / 32 * 34];
    _Alignas(64) int8_t q[COLS * N_IN];
    _Alignas(64) float d[COLS * N_IN / 32];
    _Alignas(64) int16_t sum[COLS * N_IN / 16];
} zeros;

static void measure_thread(void *ctx, int ith, int nth)
{
    measurement *m = ctx;
    const jl_mm_args args = {
        .w = zeros.w,
        .w_stride = N_IN / 32 * 34, /* Q8_0 */
        .n_rows = ROWS,
        .n_in = N_IN,
        .q = zeros.q,
        .d = zeros.d,
        .sum = zeros.sum,
        .n_cols = COLS,
        .y = cpu_tmp(m->c, ith),
        .y_stride = ROWS,
        .scratch = cpu_mm_scratch(m->c, ith),
    };
    uint64_t n = 0;

    (void)nth;
    m->c->k.mm[JL_TYPE_Q8_0](&args); /* brings memory and clock up */
    const uint64_t start = jl_time_ns();
    uint64_t now = start;
    for (; now - start < SPAN_NS; now = jl_time_ns(), n++)
        m->c->k.mm[JL_TYPE_Q8_0](&args);
    m->speed[ith] = (double)n / (double)(now - start);
}

void jl_cpu_measure_groups(cpu_backend *c)
{
    jl_thread_plan *p = &c->limits.plan;
    const int n = jl_pool_n_threads(c->pool);
    double speed[JL_MAX_GROUPS] = {0};
    int threads[JL_MAX_GROUPS] = {0};
    measurement m = {.c = c};

    c->measured = true;
    if (!p->bound || p->n_prefill > MAX_THREADS)
        return;
    jl_pool_use(c->pool, p->n_prefill);
    jl_pool_run(c->pool, jl_cpu_bind_thread, c);
    jl_pool_run(c->pool, measure_thread, &m);
    jl_pool_use(c->pool, n);
    for (int i = 0; i < p->n_prefill; i++) {
        const int g = jl_thread_plan_group(p, i);
        speed[g] += m.speed[i];
        threads[g]++;
    }
    for (int g = 0; g < p->n_groups; g++)
        speed[g] = threads[g] ? speed[g] / threads[g] : 0;
    jl_thread_plan_set_speed(p, speed);
}
