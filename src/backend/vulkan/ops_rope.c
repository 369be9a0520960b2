/* Per-head norm and rotary position embedding. The angles' cos and sin are taken on the host, in
 * double as the contract says: no device promises those bits. */
#include <math.h>

#include "backend/vulkan/vulkan.h"

void jl_vk_rope_prepare(jl_backend *be, int slot, const float *inv_freq, uint32_t head_dim,
                        float mscale, const int32_t *pos, uint32_t n_tokens)
{
    jl_vk *v = vk_of(be);
    const uint32_t half = head_dim / 2;
    float *cs = jl_vk_ring_take(v, (uint64_t)n_tokens * head_dim * sizeof *cs, &v->rope[slot]);

    for (uint32_t t = 0; cs && t < n_tokens; t++, cs += head_dim)
        for (uint32_t i = 0; i < half; i++) {
            const float angle = (float)pos[t] * inv_freq[i];
            cs[i] = (float)cos((double)angle) * mscale;
            cs[i + half] = (float)sin((double)angle) * mscale;
        }
}

typedef struct {
    VkDeviceAddress x, w, rope;
    uint32_t head_dim, n_head, n_tokens, x_stride;
    float eps, scale;
    uint32_t norm, has_w;
} head_args;

enum { MODE_NO_ROPE = 0, MODE_HALVES = 1, MODE_ADJACENT = 2 };

static void run(jl_vk *v, const jl_tensor *x, head_args *a, uint32_t mode)
{
    a->x = jl_vk_addr(v, x);
    a->n_head = x->ne[0] / a->head_dim;
    a->n_tokens = x->ne[1];
    a->x_stride = vk_stride(x);
    jl_vk_dispatch(v, &(jl_vk_call){.shader = JL_VK_head,
                                    .spec = &mode,
                                    .n_spec = 1,
                                    .push = a,
                                    .push_bytes = sizeof *a,
                                    .groups = {a->n_head, vk_at_most(a->n_tokens,
                                                                     v->info.max_groups[1])}});
}

void jl_vk_head_norm_rope(jl_backend *be, const jl_tensor *x, const jl_tensor *w, float eps,
                          uint32_t head_dim, int slot)
{
    jl_vk *v = vk_of(be);
    const bool has_w = w && w->buf;
    head_args a = {.w = has_w ? jl_vk_addr(v, w) : 0,
                   .rope = slot >= 0 ? v->rope[slot] : 0,
                   .head_dim = head_dim,
                   .eps = eps,
                   .norm = w != NULL,
                   .has_w = has_w};

    run(v, x, &a, slot >= 0 ? MODE_HALVES : MODE_NO_ROPE);
}

void jl_vk_rope_adjacent(jl_backend *be, const jl_tensor *x, uint32_t head_dim, int slot,
                         float scale)
{
    jl_vk *v = vk_of(be);
    head_args a = {.rope = v->rope[slot], .head_dim = head_dim, .scale = scale};

    run(v, x, &a, MODE_ADJACENT);
}
