/* Matrix products that share their activations: quantised once, then one product per output,
 * side by side. */
#include "backend/vulkan/product.h"

void jl_vk_matmul(jl_backend *be, const jl_tensor *x, const jl_matmul_out *outs, size_t n_outs)
{
    jl_vk *v = vk_of(be);
    const jl_vk_product_in in = {jl_vk_addr(v, x), vk_stride(x), v->act, v->act_wide};
    unsigned kinds = 0;

    for (size_t i = 0; i < n_outs; i++)
        kinds |= jl_vk_act_kind(outs[i].w->type);
    if (kinds)
        jl_vk_act_rows(v, x, kinds);
    for (size_t i = 0; i < n_outs; i++)
        jl_vk_product_run(v, &(jl_vk_product){.w = outs[i].w,
                                              .in = in,
                                              .n_cols = x->ne[1],
                                              .y = jl_vk_addr(v, &outs[i].y),
                                              .y_stride = vk_stride(&outs[i].y),
                                              .beside = i > 0});
}
