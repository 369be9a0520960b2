/* Micro-benchmark of the matrix kernels, not part of the checks.
 *
 *   bench_kernels [decode|prefill|attn] [type ...]      JOULE_CPU_MASK limits the instruction set
 *
 * decode:  one column: weights in the second-level cache, then weights larger than the caches on 1
 * and 2 threads, GB/s of weights. Times are CPU seconds per thread, which a busy machine disturbs
 *          less than the wall clock does; "wall" is the wall clock of the last.
 * prefill: many columns on one thread, Gop/s (a multiply and an addition are two) and the share of
 *          the int8 peak measured in the same run. Best of several short runs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "act.h"
#include "backend/cpu/kernels.h"
#include "base/cpu.h"
#include "base/mem.h"
#include "base/pool.h"
#include "quant/quant.h"
#include "quant/random.h"

enum {
    N_IN = 2816,
    DECODE_BYTES = 256 << 20,
    PREFILL_ROWS = 704,
    MAX_COLS = 512,
    REPS = 9,
    DECODE_REPS = 40
};

static double seconds(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct {
    const jl_cpu_kernels *k;
    jl_type type;
    size_t row_bytes, n_rows, tile;
    jl_mm_args args; /* first row, all columns */
    uint8_t *scratch;
} bench;

static void decode_task(void *ctx, int ith, int nth)
{
    const bench *b = ctx;
    const jl_range rows = jl_split(b->n_rows, b->tile, ith, nth);

    for (size_t r = rows.begin; r < rows.end; r += b->tile) {
        jl_mm_args a = b->args;
        a.w += r * b->row_bytes;
        a.y += r;
        a.n_rows = rows.end - r < b->tile ? rows.end - r : b->tile;
        a.scratch = b->scratch + (size_t)ith * b->k->mm_scratch;
        b->k->mm[b->type](&a);
    }
}

static void bench_init(bench *b, const jl_cpu_kernels *k, jl_type type, size_t n_rows,
                       size_t n_cols)
{
    const size_t blocks = N_IN / 32; /* enough for both kinds of activations */
    float *x = jl_map_anon(n_cols * N_IN * sizeof *x);
    int8_t *q = jl_map_anon(n_cols * N_IN);
    float *d = jl_map_anon(n_cols * blocks * sizeof *d);
    int16_t *sum = jl_map_anon(n_cols * 2 * blocks * sizeof *sum);
    uint8_t *w;

    *b = (bench){.k = k, .type = type, .n_rows = n_rows};
    b->row_bytes = (size_t)jl_row_bytes((uint32_t)type, N_IN);
    w = jl_map_anon(n_rows * b->row_bytes);
    jl_fill_random_rows(type, 0, 0, 0.05f, w, N_IN, 64);
    for (size_t r = 64; r < n_rows; r++)
        memcpy(w + r * b->row_bytes, w + r % 64 * b->row_bytes, b->row_bytes);
    for (size_t i = 0; i < n_cols * N_IN; i++)
        x[i] = (float)((i * 7919) % 2001) * 1e-3f - 1.0f;
    act_rows(type, x, N_IN, n_cols, q, d, sum);
    b->scratch = jl_map_anon(2 * k->mm_scratch);
    b->args = (jl_mm_args){
        .w = w, .w_stride = b->row_bytes, .n_rows = n_rows, .n_in = N_IN, .q = q, .d = d,
        .sum = sum, .x = x, .n_cols = n_cols, .y = jl_map_anon(n_cols * n_rows * sizeof(float)),
        .y_stride = n_rows, .scratch = b->scratch,
    };
}

static void bench_done(bench *b, size_t n_cols)
{
    const size_t blocks = N_IN / 32;

    jl_unmap_anon((void *)(uintptr_t)b->args.w, b->n_rows * b->row_bytes);
    jl_unmap_anon((void *)(uintptr_t)b->args.x, n_cols * N_IN * sizeof(float));
    jl_unmap_anon((void *)(uintptr_t)b->args.q, n_cols * N_IN);
    jl_unmap_anon((void *)(uintptr_t)b->args.d, n_cols * blocks * sizeof(float));
    jl_unmap_anon((void *)(uintptr_t)b->args.sum, n_cols * 2 * blocks * sizeof(int16_t));
    jl_unmap_anon(b->args.y, n_cols * b->n_rows * sizeof(float));
    jl_unmap_anon(b->scratch, 2 * b->k->mm_scratch);
}

/* Sums of 8 bytes at a time: what the memory gives. */
static void read_task(void *ctx, int ith, int nth)
{
    const bench *b = ctx;
    const jl_range rows = jl_split(b->n_rows * b->row_bytes / 64, 1, ith, nth);
    const uint64_t *p = (const uint64_t *)(const void *)b->args.w;
    uint64_t s[8] = {0};

    for (size_t i = rows.begin; i < rows.end; i++)
        for (size_t j = 0; j < 8; j++)
            s[j] += p[8 * i + j];
    volatile uint64_t sink = s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7];
    (void)sink;
}

/* Best CPU seconds per thread, and wall seconds if asked for. */
static double best_cpu(jl_pool *pool, jl_task_fn *fn, bench *b, double *best_wall)
{
    const int n_threads = jl_pool_n_threads(pool);
    double best = 1e9;

    for (int i = 0; i < DECODE_REPS; i++) {
        const double t = seconds(CLOCK_MONOTONIC);
        const double c = seconds(CLOCK_PROCESS_CPUTIME_ID);
        jl_pool_run(pool, fn, b);
        const double wall = seconds(CLOCK_MONOTONIC) - t;
        const double cpu = (seconds(CLOCK_PROCESS_CPUTIME_ID) - c) / n_threads;
        best = cpu < best ? cpu : best;
        if (best_wall && wall < *best_wall)
            *best_wall = wall;
    }
    return best;
}

/* GB/s per CPU second of one thread over as many rows as fit the second-level cache. */
static double hot_speed(bench *b)
{
    const size_t all = b->n_rows;
    double best = 1e9;

    b->n_rows = (400 << 10) / b->row_bytes / 16 * 16;
    b->tile = b->n_rows;
    for (int i = 0; i < 20 * REPS; i++) {
        const double t = seconds(CLOCK_THREAD_CPUTIME_ID);
        decode_task(b, 0, 1);
        decode_task(b, 0, 1);
        const double cpu = seconds(CLOCK_THREAD_CPUTIME_ID) - t;
        best = cpu < best ? cpu : best;
    }
    const double bytes = 2.0 * (double)(b->n_rows * b->row_bytes);
    b->n_rows = all;
    return bytes / best / 1e9;
}

static void run_decode(const jl_cpu_kernels *k, jl_type type)
{
    const size_t row_bytes = (size_t)jl_row_bytes((uint32_t)type, N_IN);
    const size_t n_rows = DECODE_BYTES / row_bytes / 512 * 512;
    const double bytes = (double)(n_rows * row_bytes);
    bench b;

    bench_init(&b, k, type, n_rows, 1);
    printf("%-8s in cache %5.1f;", jl_type_name((uint32_t)type), hot_speed(&b));
    for (int n_threads = 1; n_threads <= 2; n_threads++) {
        double wall = 1e9;
        jl_pool *pool;
        const jl_pool_config config = {.n_threads = n_threads, .spin_us = 0};
        if (jl_pool_create(&config, &pool, NULL) != JL_OK)
            exit(1);
        printf("  %d thread: read %5.1f", n_threads,
               bytes / best_cpu(pool, read_task, &b, &wall) / 1e9);
        printf(" (wall %5.1f),", bytes / wall / 1e9);
        wall = 1e9;
        for (b.tile = 32; b.tile <= 512; b.tile *= 4)
            printf(" tile %zu %5.1f", b.tile, bytes / best_cpu(pool, decode_task, &b, &wall) / 1e9);
        printf(", wall %5.1f GB/s;", bytes / wall / 1e9);
        jl_pool_destroy(pool);
    }
    printf("\n");
    bench_done(&b, 1);
}

#if defined(__x86_64__)
#include <immintrin.h>
/* 12 independent accumulators hide the latency. */
__attribute__((target("avx512f,avx512vnni"))) static double int8_peak(void)
{
    enum { ROUNDS = 2000000 };
    __m512i acc[12];
    __m512i x = _mm512_set1_epi8(3);
    double best = 1e9;

    for (int i = 0; i < 12; i++)
        acc[i] = _mm512_set1_epi32(i);
    for (int rep = 0; rep < 5; rep++) {
        const double t = seconds(CLOCK_THREAD_CPUTIME_ID);
        for (int k = 0; k < ROUNDS; k++) {
            __asm__ volatile("" : "+v"(x));
#pragma GCC unroll 12
            for (int i = 0; i < 12; i++)
                acc[i] = _mm512_dpbusd_epi32(acc[i], x, x);
        }
        const double wall = seconds(CLOCK_THREAD_CPUTIME_ID) - t;
        best = wall < best ? wall : best;
    }
    for (int i = 1; i < 12; i++)
        acc[0] = _mm512_add_epi32(acc[0], acc[i]);
    volatile int sink = _mm512_reduce_add_epi32(acc[0]);
    (void)sink;
    return 12.0 * ROUNDS * 128 / best / 1e9;
}
#endif

static void run_prefill(const jl_cpu_kernels *k, jl_type type, double peak)
{
    static const size_t cols[] = {2, 4, 8, 16, 32, 64, 128, 512};
    bench b;

    bench_init(&b, k, type, PREFILL_ROWS, MAX_COLS);
    b.tile = k->mm_tile_rows;
    printf("%-8s", jl_type_name((uint32_t)type));
    for (size_t i = 0; i < sizeof cols / sizeof cols[0]; i++) {
        double best = 1e9;
        b.args.n_cols = cols[i];
        for (int rep = 0; rep < REPS; rep++) {
            const double t = seconds(CLOCK_THREAD_CPUTIME_ID);
            decode_task(&b, 0, 1);
            const double cpu = seconds(CLOCK_THREAD_CPUTIME_ID) - t;
            best = cpu < best ? cpu : best;
        }
        const double gops = 2.0 * (double)(b.n_rows * N_IN * cols[i]) / best / 1e9;
        printf("  %zu: %3.0f", cols[i], gops);
        if (peak > 0)
            printf(" (%2.0f%%)", 100 * gops / peak);
    }
    printf("  Gop/s by columns\n");
    bench_done(&b, MAX_COLS);
}

static void run_attn(const jl_cpu_kernels *k, jl_cell_type type, size_t head_dim, size_t n_q)
{
    enum { BLOCKS = 16 };
    static const char *const names[] = {"F16", "F32", "Q8_0"};
    const size_t cells = JL_KV_BLOCK * head_dim;
    uint8_t *kv = jl_map_anon(2 * BLOCKS * cells * 4);
    float *q = jl_map_anon(n_q * head_dim * sizeof *q);
    float *o = jl_map_anon(n_q * head_dim * sizeof *o);
    void *scratch = jl_map_anon(jl_attn_scratch(head_dim));
    size_t q_offset[JL_ATTN_ROWS];
    int32_t pos[JL_ATTN_ROWS];
    float m[JL_ATTN_ROWS];
    float l[JL_ATTN_ROWS];
    double best = 1e9;

    for (size_t i = 0; i < n_q; i++) {
        q_offset[i] = i * head_dim;
        pos[i] = BLOCKS * JL_KV_BLOCK;
        m[i] = -INFINITY;
        l[i] = 0;
    }
    for (size_t i = 0; i < n_q * head_dim; i++)
        q[i] = 0.01f * (float)(i % 7);
    for (int rep = 0; rep < REPS; rep++) {
        const double t = seconds(CLOCK_THREAD_CPUTIME_ID);
        for (int32_t b = 0; b < BLOCKS; b++) {
            const jl_attn_args a = {
                .q = q, .q_offset = q_offset, .pos = pos, .n_q = n_q, .first = b * JL_KV_BLOCK,
                .window = INT32_MAX, .k = kv + (size_t)b * cells * 8,
                .v = kv + (size_t)b * cells * 8 + cells * 4, .type_k = type, .type_v = type,
                .head_dim = head_dim, .m = m, .l = l, .o = o, .scratch = scratch,
            };
            k->attn_block(&a);
        }
        const double cpu = seconds(CLOCK_THREAD_CPUTIME_ID) - t;
        best = cpu < best ? cpu : best;
    }
    const double flops = 4.0 * BLOCKS * (double)(cells * n_q);
    printf("attention %-4s head %3zu, %2zu queries: %5.1f Gflop/s, %5.1f GB/s of cells\n",
           names[type], head_dim, n_q, flops / best / 1e9,
           BLOCKS * 2.0 * (double)cells * (type == JL_CELL_F32 ? 4 : type == JL_CELL_F16 ? 2 : 1) /
               best / 1e9);
    jl_unmap_anon(kv, 2 * BLOCKS * cells * 4);
    jl_unmap_anon(q, n_q * head_dim * sizeof *q);
    jl_unmap_anon(o, n_q * head_dim * sizeof *o);
    jl_unmap_anon(scratch, jl_attn_scratch(head_dim));
}

static void run_all_attn(const jl_cpu_kernels *k)
{
    static const size_t queries[] = {1, 2, 8, 16, 64};

    for (int type = 0; type < 3; type++)
        for (size_t head_dim = 256; head_dim <= 512; head_dim *= 2)
            for (size_t i = 0; i < 5; i++)
                run_attn(k, (jl_cell_type)type, head_dim, queries[i]);
}

int main(int argc, char **argv)
{
    static const jl_type usual[] = {JL_TYPE_Q8_0, JL_TYPE_IQ4_NL, JL_TYPE_IQ3_S, JL_TYPE_IQ4_XS,
                                    JL_TYPE_Q4_0, JL_TYPE_Q4_K,   JL_TYPE_Q6_K,  JL_TYPE_Q5_0,
                                    JL_TYPE_Q5_1, JL_TYPE_Q4_1,   JL_TYPE_Q5_K,  JL_TYPE_F32,
                                    JL_TYPE_F16,  JL_TYPE_BF16,   JL_TYPE_Q3_K,  JL_TYPE_Q2_K,
                                    JL_TYPE_MXFP4, JL_TYPE_IQ3_XXS, JL_TYPE_IQ2_S,
                                    JL_TYPE_IQ2_XXS, JL_TYPE_IQ1_S, JL_TYPE_JQ4, JL_TYPE_IQ3_S4};
    const char *mask = getenv("JOULE_CPU_MASK");
    const char *what = argc > 1 ? argv[1] : "decode";
    jl_cpu_kernels k;
    double peak = 0;

    jl_cpu_kernels_init(&k, jl_cpu_mask(jl_cpu_features(), mask, NULL));
    printf("kernels: %s\n", k.name);
    if (strcmp(what, "attn") == 0) {
        run_all_attn(&k);
        return 0;
    }
#if defined(__x86_64__)
    if (strcmp(what, "prefill") == 0 && (jl_cpu_features() & JL_CPU_AVX512VNNI)) {
        peak = int8_peak();
        printf("int8 peak of one thread: %.0f Gop/s\n", peak);
    }
#endif
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++) {
        bool wanted = argc <= 2;
        for (int j = 2; j < argc; j++)
            wanted = wanted || jl_type_find(argv[j]) == (int)usual[i];
        for (int j = 2; j < argc && argc == 3 && i == 0; j++)
            if (jl_type_find(argv[j]) < 0)
                return 1;
        if (!wanted)
            continue;
        if (strcmp(what, "prefill") == 0)
            run_prefill(&k, usual[i], peak);
        else
            run_decode(&k, usual[i]);
    }
    return 0;
}
