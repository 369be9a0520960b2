/* Embedding, norms and element-wise operations. */
#include <string.h>

#include "backend/vulkan/vulkan.h"
#include "base/mem.h"
#include "quant/quant.h"

enum { LOCAL = 256 };

static bool has(const jl_tensor *t)
{
    return t && t->buf;
}

/* Rows are read from the mapped file on the host, which knows the ids: a table of embeddings need
 * not lie on the device, and no shader for every weight type is needed. */
void jl_vk_embed(jl_backend *be, const jl_tensor *w, const int32_t *ids, float scale,
                 const jl_tensor *y)
{
    jl_vk *v = vk_of(be);
    const jl_vk_memory *to = y->buf->impl;
    const uint64_t n = y->ne[0];
    VkBuffer from;
    uint64_t offset;
    float *row = jl_malloc(n * sizeof *row);
    float *rows = NULL;

    if (row)
        rows = jl_vk_ring_take_buffer(v, n * y->ne[1] * sizeof *rows, &from, &offset);

    if (!rows) {
        jl_free(row);
        jl_vk_failed(v, VK_ERROR_OUT_OF_HOST_MEMORY, "embeddings");
        return;
    }
    for (uint32_t t = 0; t < y->ne[1]; t++) {
        jl_dequant_matrix_row(w->type, jl_tensor_host(w), (size_t)ids[t], row, n);
        for (uint64_t i = 0; i < n; i++)
            rows[t * n + i] = row[i] * scale;
    }
    jl_free(row);
    for (uint32_t t = 0; t < y->ne[1]; t++) {
        const bool packed = y->row_bytes == n * sizeof *rows;
        jl_vk_copy(v, from, offset + t * n * sizeof *rows, to->buffer, y->offset + t * y->row_bytes,
                   n * sizeof *rows * (packed ? y->ne[1] : 1));
        if (packed)
            return;
    }
}

static void norm(jl_vk *v, const jl_tensor *x, const jl_tensor *w, float eps, const jl_tensor *y,
                 bool add)
{
    const struct {
        VkDeviceAddress x, w, y;
        uint32_t n, n_rows, x_stride, y_stride;
        float eps;
        uint32_t has_w, add;
    } push = {jl_vk_addr(v, x), has(w) ? jl_vk_addr(v, w) : 0, jl_vk_addr(v, y),
              x->ne[0],         x->ne[1],                      vk_stride(x),
              vk_stride(y),     eps,                           has(w),
              add};

    jl_vk_dispatch(v, &(jl_vk_call){.shader = JL_VK_rms_norm,
                                    .push = &push,
                                    .push_bytes = sizeof push,
                                    .groups = {vk_at_most(x->ne[1], v->info.max_groups[0])}});
}

void jl_vk_rms_norm(jl_backend *be, const jl_tensor *x, const jl_tensor *w, float eps,
                    const jl_tensor *y)
{
    norm(vk_of(be), x, w, eps, y, false);
}

void jl_vk_rms_norm_add(jl_backend *be, const jl_tensor *x, const jl_tensor *w, float eps,
                        const jl_tensor *y)
{
    norm(vk_of(be), x, w, eps, y, true);
}

/* A thread per column; shaders loop over rows beyond the device's limit. */
static void run(jl_vk *v, jl_vk_call *call, uint32_t n, uint32_t n_rows)
{
    call->groups[0] = vk_div_up(n, LOCAL);
    call->groups[1] = vk_at_most(n_rows, v->info.max_groups[1]);
    jl_vk_dispatch(v, call);
}

void jl_vk_add_scale(jl_backend *be, const jl_tensor *x, const jl_tensor *y, float scale)
{
    jl_vk *v = vk_of(be);
    const struct {
        VkDeviceAddress x, y;
        uint32_t n, n_rows, x_stride, y_stride;
        float scale;
        uint32_t has_y;
    } push = {jl_vk_addr(v, x), y ? jl_vk_addr(v, y) : 0, x->ne[0], x->ne[1],
              vk_stride(x),     y ? vk_stride(y) : 0,     scale,    y != NULL};
    jl_vk_call call = {.shader = JL_VK_add_scale, .push = &push, .push_bytes = sizeof push};

    if (!y && scale == 1.0f)
        return;
    run(v, &call, x->ne[0], x->ne[1]);
}

void jl_vk_elementwise_run(jl_vk *v, jl_vk_shader shader, const jl_vk_elementwise *push)
{
    jl_vk_call call = {.shader = shader, .push = push, .push_bytes = sizeof *push};

    run(v, &call, push->n, push->n_rows);
}

static void run_elementwise(jl_vk *v, jl_vk_shader shader, const jl_tensor *x, VkDeviceAddress z,
                            uint32_t z_stride, float value, const jl_tensor *y)
{
    const jl_vk_elementwise push = {.x = jl_vk_addr(v, x),
                                    .z = z,
                                    .y = jl_vk_addr(v, y),
                                    .n = y->ne[0],
                                    .n_rows = y->ne[1],
                                    .x_stride = vk_stride(x),
                                    .z_stride = z_stride,
                                    .y_stride = vk_stride(y),
                                    .value = value};

    jl_vk_elementwise_run(v, shader, &push);
}

static void glu(jl_backend *be, jl_vk_shader shader, const jl_tensor *gate, const jl_tensor *up,
                const jl_tensor *y)
{
    jl_vk *v = vk_of(be);
    jl_tensor to = *y; /* y may be wider than gate */

    to.ne[0] = gate->ne[0];
    to.ne[1] = gate->ne[1];
    run_elementwise(v, shader, gate, jl_vk_addr(v, up), vk_stride(up), 0.0f, &to);
}

void jl_vk_geglu(jl_backend *be, const jl_tensor *gate, const jl_tensor *up, const jl_tensor *y)
{
    glu(be, JL_VK_geglu, gate, up, y);
}

void jl_vk_swiglu(jl_backend *be, const jl_tensor *gate, const jl_tensor *up, const jl_tensor *y)
{
    glu(be, JL_VK_swiglu, gate, up, y);
}

void jl_vk_mul_row(jl_backend *be, const jl_tensor *x, const jl_tensor *w, float scale,
                   const jl_tensor *y)
{
    jl_vk *v = vk_of(be);

    run_elementwise(v, JL_VK_mul_row, x, jl_vk_addr(v, w), 0, scale, y);
}

void jl_vk_softcap(jl_backend *be, const jl_tensor *x, float cap)
{
    run_elementwise(vk_of(be), JL_VK_softcap, x, 0, 0, cap, x);
}

void jl_vk_gather_rows(jl_backend *be, const jl_tensor *x, const uint32_t *rows,
                       const jl_tensor *y)
{
    jl_vk *v = vk_of(be);
    const VkDeviceAddress at = jl_vk_ring_put(v, rows, y->ne[1] * sizeof *rows);

    if (at)
        run_elementwise(v, JL_VK_gather, x, at, 0, 0.0f, y);
}
