/* The Vulkan backend: opening it, buffers, and the table of operations. */
#include <stdio.h>
#include <string.h>

#include "backend/describe.h"
#include "backend/vulkan/product.h"
#include "backend/vulkan/vulkan.h"
#include "base/mem.h"

/* Bytes for partial results of attention split over keys. */
enum { PARTIAL_BYTES = 64 << 20 };
/* What the shared memory of the shaders is made for. */
enum { MAX_HEAD_DIM = 1024, MAX_EXPERTS = 4096 };

static void layout(jl_vk *v, jl_vk_cursor *c)
{
    const jl_backend_limits *l = &v->limits;
    const uint64_t n_tokens = l->n_tokens;

    const uint64_t n_values = n_tokens * vk_div_up(l->n_in, 32) * 32;
    v->act = jl_vk_take_act(c, n_values);
    v->act_wide = jl_vk_take_act(c, n_values);
    v->router = jl_vk_take(c, n_tokens * l->n_expert * sizeof(float));
    v->partial_bytes = PARTIAL_BYTES;
    v->partial = jl_vk_take(c, v->partial_bytes);
    v->experts = jl_vk_take(c, jl_vk_experts_scratch(l));
}

static uint64_t vk_scratch_bytes(const jl_backend_limits *limits)
{
    jl_vk v = {.limits = *limits};
    jl_vk_cursor c = {0};

    layout(&v, &c);
    return c.used;
}

static void vk_close(jl_backend *be)
{
    jl_vk *v = vk_of(be);

    if (!v)
        return;
    if (v->device && v->api.DeviceWaitIdle) {
        jl_vk_record_close(v);
        jl_vk_weights_free(v);
        jl_vk_memory_free(v, &v->scratch);
        jl_vk_tables_close(v);
        jl_vk_memory_free(v, &v->readback);
        for (size_t i = 0; i < v->ring.n_chunks; i++)
            jl_vk_memory_free(v, &v->ring.chunks[i]);
        jl_vk_pipelines_close(v);
    }
    jl_free(v->ring.chunks);
    jl_vk_device_close(v);
    jl_free(v);
}

/* The first way of exact arithmetic that the device proves. */
static jl_status choose_exact(jl_vk *v, jl_error *err)
{
    for (int k = 0; k < JL_VK_EXACT_KINDS; k++) {
        bool exact = false;
        if (k == JL_VK_EXACT_F64 && !v->info.f64)
            break;
        v->exact = (jl_vk_exact)k;
        jl_vk_pipelines_drop(v);
        JL_TRY(jl_vk_probe(v, &exact, err));
        if (exact)
            return JL_OK;
    }
    return jl_fail(err, JL_UNSUPPORTED,
                   "%s does not round as joule's arithmetic needs (no fused fma%s)", v->info.name,
                   v->info.f64 ? ", and its 64-bit floats do not make up for it"
                               : ", no 64-bit floats");
}

static jl_status open_parts(jl_vk *v, jl_error *err)
{
    jl_vk_cursor c = {0};

    if (v->limits.head_dim > MAX_HEAD_DIM || v->limits.n_expert > MAX_EXPERTS)
        return jl_fail(err, JL_UNSUPPORTED,
                       "the Vulkan backend takes heads of at most %d and at most %d experts",
                       MAX_HEAD_DIM, MAX_EXPERTS);
    JL_TRY(jl_vk_device_open(v, v->limits.device, err));
    JL_TRY(jl_vk_record_open(v, err));
    JL_TRY(jl_vk_pipelines_open(v, err));
    JL_TRY(choose_exact(v, err));
    JL_TRY(jl_vk_tables_open(v, err));
    layout(v, &c);
    JL_TRY(jl_vk_memory_alloc(v, c.used, JL_VK_MEM_DEVICE, &v->scratch, err));
    c = (jl_vk_cursor){.base = v->scratch.address};
    layout(v, &c);
    return JL_OK;
}

static jl_status vk_open(const jl_backend_limits *limits, jl_backend **out, jl_error *err)
{
    jl_vk *v = jl_calloc(1, sizeof *v);

    if (!v)
        return jl_fail(err, JL_NO_MEMORY, "no memory for the Vulkan backend");
    v->base.ops = &jl_backend_vulkan;
    v->limits = *limits;
    const jl_status s = open_parts(v, err);
    if (s != JL_OK) {
        vk_close(&v->base);
        return s;
    }
    *out = &v->base;
    return JL_OK;
}

static uint64_t vk_device_bytes(const jl_backend *be)
{
    return ((const jl_vk *)be)->info.local_bytes;
}

static jl_status vk_buffer_alloc(jl_backend *be, uint64_t n_bytes, jl_buffer **out, jl_error *err)
{
    jl_buffer *buf = jl_calloc(1, sizeof *buf);
    jl_vk_memory *m = jl_calloc(1, sizeof *m);
    const jl_status s = buf && m ? jl_vk_memory_alloc(vk_of(be), n_bytes, JL_VK_MEM_DEVICE, m, err)
                                 : jl_fail(err, JL_NO_MEMORY, "out of memory");

    if (s != JL_OK) {
        jl_free(buf);
        jl_free(m);
        return s;
    }
    *buf = (jl_buffer){.be = be, .n_bytes = n_bytes, .impl = m};
    *out = buf;
    return JL_OK;
}

static void vk_buffer_free(jl_buffer *buf)
{
    if (!buf)
        return;
    (void)jl_vk_wait(buf->be, NULL); /* recorded work may use it */
    jl_vk_memory_free(vk_of(buf->be), buf->impl);
    jl_free(buf->impl);
    jl_free(buf);
}

/* Host memory of at least n_bytes that the device copies to. */
static jl_status readback(jl_vk *v, uint64_t n_bytes, jl_error *err)
{
    if (v->readback.map && v->readback.n_bytes >= n_bytes)
        return JL_OK;
    JL_TRY(jl_vk_wait(&v->base, err));
    jl_vk_memory_free(v, &v->readback);
    return jl_vk_memory_alloc(v, n_bytes, JL_VK_MEM_READBACK, &v->readback, err);
}

static jl_status vk_read(jl_buffer *buf, uint64_t offset, void *dst, uint64_t n_bytes,
                         jl_error *err)
{
    jl_vk *v = vk_of(buf->be);

    JL_TRY(readback(v, n_bytes, err));
    jl_vk_copy(v, ((jl_vk_memory *)buf->impl)->buffer, offset, v->readback.buffer, 0, n_bytes);
    JL_TRY(jl_vk_wait(&v->base, err));
    memcpy(dst, v->readback.map, n_bytes);
    return JL_OK;
}

static jl_status vk_write(jl_buffer *buf, uint64_t offset, const void *src, uint64_t n_bytes,
                          jl_error *err)
{
    return jl_vk_memory_write(vk_of(buf->be), buf->impl, offset, src, n_bytes, err);
}

static jl_status vk_download(jl_backend *be, const jl_tensor *t, float *dst, jl_error *err)
{
    const uint64_t row = t->ne[0] * sizeof *dst;
    const uint64_t n_rows = t->ne[1];

    (void)be;
    if (row == t->row_bytes)
        return vk_read(t->buf, t->offset, dst, row * n_rows, err);
    for (uint64_t r = 0; r < n_rows; r++)
        JL_TRY(vk_read(t->buf, t->offset + r * t->row_bytes, dst + r * t->ne[0], row, err));
    return JL_OK;
}

static void vk_copy(jl_buffer *buf, uint64_t dst, uint64_t src, uint64_t n_bytes)
{
    const VkBuffer b = ((jl_vk_memory *)buf->impl)->buffer;

    jl_vk_copy(vk_of(buf->be), b, src, b, dst, n_bytes);
}

static void vk_use(jl_backend *be, uint32_t n_threads, int kind)
{
    (void)be;
    (void)n_threads;
    (void)kind;
}

static size_t vk_describe(const jl_backend *be, char *text, size_t cap)
{
    const jl_vk *v = (const jl_vk *)be;
    const int n = snprintf(text, cap, "%s, Vulkan, %s arithmetic", v->info.name,
                           v->exact == JL_VK_EXACT_NATIVE ? "native" : "64-bit");

    return n < 0 ? 0 : (size_t)n;
}

const jl_backend_ops jl_backend_vulkan = {
    .name = "vulkan",
    .open = vk_open,
    .close = vk_close,
    .scratch_bytes = vk_scratch_bytes,
    .device_bytes = vk_device_bytes,
    .buffer_alloc = vk_buffer_alloc,
    .buffer_free = vk_buffer_free,
    .weights = jl_vk_weights_load,
    .wait = jl_vk_wait,
    .download = vk_download,
    .read = vk_read,
    .write = vk_write,
    .copy = vk_copy,
    .embed = jl_vk_embed,
    .rms_norm = jl_vk_rms_norm,
    .rms_norm_add = jl_vk_rms_norm_add,
    .rope_prepare = jl_vk_rope_prepare,
    .head_norm_rope = jl_vk_head_norm_rope,
    .rope_adjacent = jl_vk_rope_adjacent,
    .kv_store = jl_vk_kv_store,
    .attention = jl_vk_attention,
    .geglu = jl_vk_geglu,
    .swiglu = jl_vk_swiglu,
    .matmul = jl_vk_matmul,
    .router = jl_vk_router,
    .experts = jl_vk_experts,
    .add_scale = jl_vk_add_scale,
    .mul_row = jl_vk_mul_row,
    .softcap = jl_vk_softcap,
    .gather_rows = jl_vk_gather_rows,
    .use = vk_use,
    .describe = vk_describe,
};

jl_status jl_vulkan_find(int which, jl_device_info *out, jl_error *err)
{
    static const char *const types[] = {"other", "integrated", "discrete", "virtual", "software"};
    jl_vk v = {0};
    const jl_status s = jl_vk_device_open(&v, which, err);

    if (s == JL_OK) {
        out->gpu = v.info.type != VK_PHYSICAL_DEVICE_TYPE_CPU;
        snprintf(out->text, sizeof out->text, "%s, %s, %.1f GiB", v.info.name,
                 types[(unsigned)v.info.type % 5], (double)v.info.local_bytes / 1073741824.0);
    }
    jl_vk_device_close(&v);
    return s;
}
