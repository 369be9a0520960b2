/* The router of a mixture of experts. */
#include "backend/vulkan/vulkan.h"

static void logits(jl_vk *v, const jl_router_args *a)
{
    const uint32_t type = (uint32_t)a->w->type;
    const struct {
        VkDeviceAddress w, x, y;
        uint64_t row_bytes;
        uint32_t n, n_rows, n_tokens, x_stride, y_stride;
    } push = {jl_vk_addr(v, a->w), jl_vk_addr(v, a->x), v->router,       a->w->row_bytes,
              a->w->ne[0],         a->w->ne[1],         a->x->ne[1],     vk_stride(a->x),
              a->w->ne[1]};

    jl_vk_dispatch(v, &(jl_vk_call){.shader = JL_VK_router,
                                    .spec = &type,
                                    .n_spec = 1,
                                    .push = &push,
                                    .push_bytes = sizeof push,
                                    .groups = {vk_div_up(a->w->ne[1], 16),
                                               vk_at_most(a->x->ne[1], v->info.max_groups[1])}});
}

void jl_vk_router(jl_backend *be, const jl_router_args *a)
{
    jl_vk *v = vk_of(be);
    const bool has_scale = a->scale && a->scale->buf;
    const struct {
        VkDeviceAddress logits, scale, ids, weights;
        uint32_t n, n_used, ids_stride, weights_stride, has_scale, n_tokens;
    } push = {v->router,
              has_scale ? jl_vk_addr(v, a->scale) : 0,
              jl_vk_addr(v, &a->ids),
              jl_vk_addr(v, &a->weights),
              a->w->ne[1],
              a->ids.ne[0],
              vk_stride(&a->ids),
              vk_stride(&a->weights),
              has_scale,
              a->x->ne[1]};

    logits(v, a);
    jl_vk_dispatch(v, &(jl_vk_call){.shader = JL_VK_choose,
                                    .push = &push,
                                    .push_bytes = sizeof push,
                                    .groups = {vk_at_most(a->x->ne[1], v->info.max_groups[0])}});
}
