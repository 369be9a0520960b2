/* Embedding, norms and element-wise operations. */
#include <string.h>

#include "backend/vulkan/vulkan.h"

enum { LOCAL = 256 };

static uint32_t stride(const jl_tensor *t)
{
    return (uint32_t)(t->row_bytes / sizeof(float));
}

/* Work groups for all values of n_rows rows of n; shaders loop over rows beyond the limit. */
static void grid(const jl_vk *v, uint32_t n, uint32_t n_rows, jl_vk_call *call)
{
    call->groups[0] = vk_div_up(n, LOCAL);
    call->groups[1] = n_rows < v->info.max_groups[1] ? n_rows : v->info.max_groups[1];
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
              stride(x),        y ? stride(y) : 0,        scale,    y != NULL};
    jl_vk_call call = {.shader = JL_VK_add_scale, .push = &push, .push_bytes = sizeof push};

    if (!y && scale == 1.0f)
        return;
    grid(v, x->ne[0], x->ne[1], &call);
    jl_vk_dispatch(v, &call);
}
