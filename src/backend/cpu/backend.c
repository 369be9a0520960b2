/* The CPU backend: buffers, scratch memory and the table of operations. */
#include <stdio.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "backend/describe.h"
#include "base/cpu.h"

/* Bytes for partial results of attention split over keys. */
enum { PARTIAL_BYTES = 8 << 20 };

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

static void take_act(jl_arena *arena, cpu_act *act, uint64_t n_values)
{
    act->q = jl_arena_take(arena, n_values);
    act->d = jl_arena_take(arena, n_values / 32 * sizeof *act->d);
    act->sum = jl_arena_take(arena, n_values / 16 * sizeof *act->sum);
}

/* The same code measures (arena without base) and hands out the memory. */
static void layout(cpu_backend *c, jl_arena *arena)
{
    const jl_backend_limits *l = &c->limits;
    const uint64_t n_tokens = l->n_tokens;
    const uint64_t n_used = n_tokens * l->n_expert_used;
    const uint64_t group = l->n_head / (l->n_head_kv_min ? l->n_head_kv_min : 1);

    take_act(arena, &c->act, n_tokens * round_up(l->n_in, 32));
    take_act(arena, &c->act_wide, n_tokens * round_up(l->n_in, 32));
    take_act(arena, &c->act_h, n_used * l->n_ff_expert);
    c->h = jl_arena_take(arena, n_used * l->n_ff_expert * sizeof *c->h);
    c->router = jl_arena_take(arena, n_tokens * l->n_expert * sizeof *c->router);
    for (int i = 0; i < 2; i++)
        c->rope[i] = jl_arena_take(arena, n_tokens * l->head_dim * sizeof *c->rope[i]);
    c->tiles = jl_arena_take(arena, n_tokens * sizeof *c->tiles);
    c->expert_start = jl_arena_take(arena, (l->n_expert + 1ull) * sizeof *c->expert_start);
    c->expert_busy = jl_arena_take(arena, l->n_expert * sizeof *c->expert_busy);
    c->expert_token = jl_arena_take(arena, n_used * sizeof *c->expert_token);
    c->expert_weight = jl_arena_take(arena, n_used * sizeof *c->expert_weight);

    /* one wave of split attention holds at least one block of every tile, and the running state */
    const uint64_t row_bytes = (l->head_dim + 2ull) * sizeof(float);
    const uint64_t wave_min = 4ull * l->n_threads * group * row_bytes;
    c->partial_bytes = PARTIAL_BYTES > 2 * wave_min ? PARTIAL_BYTES : 2 * wave_min;
    c->partial = jl_arena_take(arena, c->partial_bytes);

    c->mm_scratch_bytes = round_up(c->k.mm_scratch, 64);
    const uint64_t tile_floats = c->k.mm_tile_rows * n_tokens > c->k.mm_tile_rows_1
                                     ? c->k.mm_tile_rows * n_tokens
                                     : c->k.mm_tile_rows_1;
    c->tmp_bytes = round_up(2 * tile_floats * sizeof(float), 64) +
                   round_up((uint64_t)l->n_expert * 2 * sizeof(float), 64) +
                   round_up((uint64_t)l->n_in * sizeof(float), 64);
    c->attn_bytes = round_up(jl_attn_scratch(l->head_dim), 64) +
                    JL_ATTN_ROWS * (l->head_dim + 8ull) * sizeof(float) + 4096;
    c->thread_bytes = round_up(c->mm_scratch_bytes + c->tmp_bytes + c->attn_bytes, 4096);
    c->thread_mem = jl_arena_take(arena, c->thread_bytes * l->n_threads);
}

static jl_status choose_kernels(cpu_backend *c, jl_error *err)
{
    int known = 1;

    c->features = jl_cpu_mask(jl_cpu_features(), c->limits.cpu_mask, &known);
    if (!known)
        return jl_fail(err, JL_INVALID, "unknown instruction set '%s'; try scalar, avx2, avx512",
                       c->limits.cpu_mask);
    jl_cpu_kernels_init(&c->k, c->features);
    return JL_OK;
}

static uint64_t cpu_scratch_bytes(const jl_backend_limits *limits)
{
    cpu_backend c = {.limits = *limits};
    jl_arena measure = {0};

    if (choose_kernels(&c, NULL) != JL_OK)
        return 0;
    layout(&c, &measure);
    return measure.used;
}

static void cpu_close(jl_backend *be)
{
    cpu_backend *c = cpu_of(be);

    if (!c)
        return;
    jl_pool_destroy(c->pool);
    jl_unmap_anon(c->block, c->block_bytes);
    jl_free(c);
}

static jl_status cpu_open(const jl_backend_limits *limits, jl_backend **out, jl_error *err)
{
    cpu_backend *c = jl_calloc(1, sizeof *c);
    if (!c)
        return jl_fail(err, JL_NO_MEMORY, "no memory for the CPU backend");
    c->base.ops = &jl_backend_cpu;
    c->limits = *limits;
    c->place = JL_USE_KEEP;

    jl_arena arena = {0};
    jl_status s = choose_kernels(c, err);
    if (s != JL_OK)
        goto fail;
    layout(c, &arena);
    c->block_bytes = arena.used;
    c->block = jl_map_anon(c->block_bytes);
    if (!c->block) {
        s = jl_fail(err, JL_NO_MEMORY, "no memory for %.1f MiB of scratch; try a smaller -ub",
                    (double)c->block_bytes / 1048576.0);
        goto fail;
    }
    arena = (jl_arena){.base = c->block, .cap = c->block_bytes};
    layout(c, &arena);

    const jl_pool_config config = {.n_threads = (int)limits->n_threads, .spin_us = 50};
    s = jl_pool_create(&config, &c->pool, err);
    if (s != JL_OK)
        goto fail;
    *out = &c->base;
    return JL_OK;

fail:
    cpu_close(&c->base);
    return s;
}

static jl_status cpu_buffer_alloc(jl_backend *be, uint64_t n_bytes, jl_buffer **out, jl_error *err)
{
    jl_buffer *buf = jl_calloc(1, sizeof *buf);

    if (buf)
        buf->host = jl_map_anon(n_bytes);
    if (!buf || !buf->host) {
        jl_free(buf);
        return jl_fail(err, JL_NO_MEMORY, "no memory for a buffer of %.1f MiB",
                       (double)n_bytes / 1048576.0);
    }
    buf->be = be;
    buf->n_bytes = n_bytes;
    *out = buf;
    return JL_OK;
}

static void cpu_buffer_free(jl_buffer *buf)
{
    if (!buf)
        return;
    jl_unmap_anon(buf->host, buf->n_bytes);
    jl_free(buf);
}

void jl_cpu_bind_thread(void *ctx, int ith, int nth)
{
    const cpu_backend *c = ctx;

    (void)nth;
    if (c->place == JL_USE_PLAN)
        jl_thread_plan_bind(&c->limits.plan, ith);
    else
        jl_cpu_bind((jl_core_kind)c->place);
}

/* Threads that were not in use keep an old binding, so binding is repeated when more are used. The
 * first time with a plan of several kinds of cores, the kinds are measured, too. */
static void cpu_use(jl_backend *be, uint32_t n_threads, int kind)
{
    cpu_backend *c = cpu_of(be);
    const int before = jl_pool_n_threads(c->pool);
    const bool moves = kind != JL_USE_KEEP && kind != c->place;

    if (n_threads)
        jl_pool_use(c->pool, (int)n_threads);
    const bool more = jl_pool_n_threads(c->pool) > before;
    if (moves)
        c->place = kind;
    if (moves || (more && c->place != JL_USE_KEEP))
        jl_pool_run(c->pool, jl_cpu_bind_thread, c);
    if (c->place == JL_USE_PLAN && !c->measured)
        jl_cpu_measure_groups(c);
}

static uint64_t cpu_device_bytes(const jl_backend *be)
{
    (void)be;
    return 0;
}

/* Weights are read where the file is mapped. */
static jl_status cpu_weights(jl_backend *be, const jl_weights_args *a, jl_error *err)
{
    (void)be;
    (void)a;
    (void)err;
    return JL_OK;
}

static jl_status cpu_wait(jl_backend *be, jl_error *err)
{
    (void)be;
    (void)err;
    return JL_OK;
}

static jl_status cpu_download(jl_backend *be, const jl_tensor *t, float *dst, jl_error *err)
{
    (void)be;
    (void)err;
    for (uint32_t r = 0; r < t->ne[1]; r++)
        memcpy(dst + (size_t)r * t->ne[0], jl_tensor_row(t, r), t->ne[0] * sizeof *dst);
    return JL_OK;
}

static jl_status cpu_read(jl_buffer *buf, uint64_t offset, void *dst, uint64_t n_bytes,
                          jl_error *err)
{
    (void)err;
    memcpy(dst, buf->host + offset, n_bytes);
    return JL_OK;
}

static jl_status cpu_write(jl_buffer *buf, uint64_t offset, const void *src, uint64_t n_bytes,
                           jl_error *err)
{
    (void)err;
    memcpy(buf->host + offset, src, n_bytes);
    return JL_OK;
}

static void cpu_copy(jl_buffer *buf, uint64_t dst, uint64_t src, uint64_t n_bytes)
{
    memcpy(buf->host + dst, buf->host + src, n_bytes);
}

static size_t cpu_describe(const jl_backend *be, char *text, size_t cap)
{
    const cpu_backend *c = (const cpu_backend *)be;
    const jl_thread_plan *p = &c->limits.plan;
    char where[64] = "";

    if (p->kind != JL_PLACEMENT_BALANCED)
        snprintf(where, sizeof where, ", placement %s", jl_placement_name(p->kind));
    const int n = snprintf(text, cap, "CPU, %u threads%s, %s kernels", c->limits.n_threads, where,
                           c->k.name);

    return n < 0 ? 0 : (size_t)n;
}

const jl_backend_ops jl_backend_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .scratch_bytes = cpu_scratch_bytes,
    .device_bytes = cpu_device_bytes,
    .buffer_alloc = cpu_buffer_alloc,
    .buffer_free = cpu_buffer_free,
    .weights = cpu_weights,
    .wait = cpu_wait,
    .download = cpu_download,
    .read = cpu_read,
    .write = cpu_write,
    .copy = cpu_copy,
    .embed = jl_cpu_embed,
    .rms_norm = jl_cpu_rms_norm,
    .rms_norm_add = jl_cpu_rms_norm_add,
    .matmul = jl_cpu_matmul,
    .rope_prepare = jl_cpu_rope_prepare,
    .head_norm_rope = jl_cpu_head_norm_rope,
    .rope_adjacent = jl_cpu_rope_adjacent,
    .kv_store = jl_cpu_kv_store,
    .attention = jl_cpu_attention,
    .geglu = jl_cpu_geglu,
    .swiglu = jl_cpu_swiglu,
    .router = jl_cpu_router,
    .experts = jl_cpu_experts,
    .add_scale = jl_cpu_add_scale,
    .mul_row = jl_cpu_mul_row,
    .softcap = jl_cpu_softcap,
    .gather_rows = jl_cpu_gather_rows,
    .use = cpu_use,
    .describe = cpu_describe,
};

size_t jl_cpu_describe_kernels(char *text, size_t cap)
{
    jl_cpu_kernels k;

    jl_cpu_kernels_init(&k, jl_cpu_features());
    const int n = snprintf(text, cap, "%s", k.name);
    return n < 0 ? 0 : (size_t)n;
}
