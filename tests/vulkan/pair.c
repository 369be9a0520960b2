#include "pair.h"

#include <math.h>

#include "quant/quant.h"

jl_backend_limits pair_limits(void)
{
    return (jl_backend_limits){.n_threads = 1,
                               .cpu_mask = "scalar",
                               .n_tokens = 64,
                               .n_in = 4096,
                               .n_head = 16,
                               .n_head_kv_min = 1,
                               .head_dim = 512,
                               .n_ctx = 4096,
                               .n_expert = 256,
                               .n_expert_used = 16,
                               .n_ff_expert = 512,
                               .n_embd = 4096,
                               .device = -1};
}

void pair_open(pair *p, const jl_backend_limits *limits)
{
    jl_error err = {0};

    *p = (pair){.seed = 1};
    need_vulkan(jl_backend_vulkan.open(limits, &p->gpu, &err), &err);
    assert_ok(jl_backend_cpu.open(limits, &p->cpu, &err));
}

void pair_close(pair *p)
{
    p->gpu->ops->close(p->gpu);
    p->cpu->ops->close(p->cpu);
}

uint32_t pair_random(pair *p, uint32_t below)
{
    p->seed = p->seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)(p->seed ^ p->seed >> 15) * below >> 32);
}

float pair_unit(pair *p)
{
    return (float)(int32_t)(pair_random(p, 1u << 24)) * 0x1p-23f - 1.0f;
}

static both make(pair *p, uint32_t n, uint32_t n_rows, uint32_t pad)
{
    const uint64_t row = (uint64_t)(n + pad) * sizeof(float);
    const jl_tensor t = {.type = JL_TYPE_F32, .ne = {n, n_rows, 1}, .row_bytes = row};
    both b = {t, t};
    jl_error err = {0};

    assert_ok(p->cpu->ops->buffer_alloc(p->cpu, row * n_rows, &b.cpu.buf, &err));
    assert_ok(p->gpu->ops->buffer_alloc(p->gpu, row * n_rows, &b.gpu.buf, &err));
    return b;
}

static void upload(pair *p, const both *b)
{
    jl_error err = {0};

    assert_ok(p->gpu->ops->write(b->gpu.buf, 0, b->cpu.buf->host, b->cpu.buf->n_bytes, &err));
}

both pair_f32(pair *p, uint32_t n, uint32_t n_rows, uint32_t pad)
{
    const both b = make(p, n, n_rows, pad);

    for (uint64_t i = 0; i < b.cpu.buf->n_bytes / sizeof(float); i++)
        jl_tensor_f32(&b.cpu)[i] = ldexpf(pair_unit(p), (int)pair_random(p, 6) - 2);
    upload(p, &b);
    return b;
}

both pair_values(pair *p, const void *values, uint32_t n, uint32_t n_rows)
{
    const both b = make(p, n, n_rows, 0);

    memcpy(b.cpu.buf->host, values, b.cpu.buf->n_bytes);
    upload(p, &b);
    return b;
}

void pair_free(both *t)
{
    t->cpu.buf->be->ops->buffer_free(t->cpu.buf);
    t->gpu.buf->be->ops->buffer_free(t->gpu.buf);
}

/* Any bits are a weight; scales that overflow would only make NaN of everything, so F16 and BF16
 * fields get small exponents by way of quantising real numbers where the type can do that. */
static void fill_weight(pair *p, jl_tensor *w)
{
    float row[8192];

    for (uint64_t r = 0; r < (uint64_t)w->ne[1] * w->ne[2]; r++) {
        uint8_t *to = jl_tensor_host(w) + r * w->row_bytes;
        for (uint32_t i = 0; i < w->ne[0]; i++)
            row[i] = pair_unit(p);
        if (jl_quant_row(w->type, row, to, w->ne[0]))
            continue;
        for (uint64_t i = 0; i < w->row_bytes; i++)
            to[i] = (uint8_t)pair_random(p, 256);
    }
}

jl_tensor pair_weight(pair *p, jl_type type, uint32_t n, uint32_t n_rows, uint32_t n_mats)
{
    jl_tensor w = {.type = type, .ne = {n, n_rows, n_mats}, .row_bytes = jl_row_bytes(type, n)};
    jl_error err = {0};

    assert_true(n <= 8192 && w.row_bytes > 0);
    assert_ok(p->cpu->ops->buffer_alloc(p->cpu, w.row_bytes * n_rows * n_mats, &w.buf, &err));
    fill_weight(p, &w);
    pair_weights(p, &w, 1);
    return w;
}

void pair_weights(pair *p, const jl_tensor *weights, size_t n)
{
    jl_error err = {0};

    assert_ok(p->gpu->ops->weights(p->gpu, &(jl_weights_args){.tensors = weights, .n = n}, &err));
}

void pair_free_weight(jl_tensor *w)
{
    w->buf->be->ops->buffer_free(w->buf);
}

static bool same(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

void pair_same(pair *p, const char *what, const both *t)
{
    const size_t n = t->cpu.ne[0];
    const size_t n_rows = t->cpu.ne[1];
    float *got = malloc(n * n_rows * sizeof *got);
    jl_error err = {0};

    assert_non_null(got);
    assert_ok(p->gpu->ops->download(p->gpu, &t->gpu, got, &err));
    for (size_t r = 0; r < n_rows; r++)
        for (size_t i = 0; i < n; i++) {
            const float want = jl_tensor_row(&t->cpu, r)[i];
            if (!same(want, got[r * n + i]))
                fail_msg("%s: [%zu][%zu] is %a, expected %a", what, r, i, (double)got[r * n + i],
                         (double)want);
        }
    free(got);
}
