/* Activations to 8 bits. */
#include "backend/vulkan/vulkan.h"
#include "quant/quant.h"

void jl_vk_act_quantize(jl_vk *v, VkDeviceAddress x, uint32_t x_stride, uint32_t n, uint32_t n_rows,
                        unsigned kind, const jl_vk_act *to)
{
    const uint32_t block = kind == JL_VK_ACT_WIDE ? JL_ACT_WIDE : JL_ACT_BLOCK;
    const uint32_t group = kind == JL_VK_ACT_WIDE ? JL_ACT_WIDE : 256; /* values of a work group */
    const struct {
        VkDeviceAddress x, q, d, sum;
        uint32_t n, n_rows, x_stride;
    } push = {x, to->q, to->d, to->sum, n, n_rows, x_stride};

    jl_vk_dispatch(v, &(jl_vk_call){.shader = JL_VK_act_quant,
                                    .spec = &block,
                                    .n_spec = 1,
                                    .push = &push,
                                    .push_bytes = sizeof push,
                                    .groups = {vk_div_up(n, group),
                                               vk_at_most(n_rows, v->info.max_groups[1])}});
}

void jl_vk_act_rows(jl_vk *v, const jl_tensor *x, unsigned kinds)
{
    const VkDeviceAddress at = jl_vk_addr(v, x);

    if (kinds & JL_VK_ACT_32)
        jl_vk_act_quantize(v, at, vk_stride(x), x->ne[0], x->ne[1], JL_VK_ACT_32, &v->act);
    if (kinds & JL_VK_ACT_WIDE)
        jl_vk_act_quantize(v, at, vk_stride(x), x->ne[0], x->ne[1], JL_VK_ACT_WIDE, &v->act_wide);
}
