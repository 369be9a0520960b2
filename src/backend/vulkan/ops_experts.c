/* The experts' FFN. A slot is a pair of token and rank; every intermediate has a row per slot, so
 * results do not depend on how slots are grouped. Few slots are computed one by one; many are
 * sorted by expert on the device and computed in tiles. */
#include "backend/vulkan/product.h"

enum { SLOTS_MOST = 64 }; /* computed one by one */

/* What v->experts holds. */
typedef struct {
    VkDeviceAddress gate_up; /* F32 [slots][2 n_ff]; then the experts' outputs [slots][n_embd] */
    VkDeviceAddress h;       /* F32 [slots][n_ff] */
    jl_vk_act act;           /* of h */
    VkDeviceAddress order, tiles;
} scratch;

typedef struct {
    jl_vk *v;
    const jl_experts_args *a;
    scratch s;
    uint32_t n_tokens, n_slots, n_tiles;
    jl_vk_slots slots;
} experts_ctx;

static uint64_t most_tiles(uint64_t n_slots, uint64_t n_expert)
{
    return n_slots / JL_VK_TILE_COLS + (n_expert < n_slots ? n_expert : n_slots);
}

static scratch lay_out(jl_vk_cursor *c, const jl_backend_limits *l)
{
    const uint64_t n_slots = (uint64_t)l->n_tokens * l->n_expert_used;
    const uint64_t n_ff = (l->n_ff_expert + 31) / 32 * 32;
    const uint64_t wide = l->n_embd > 2 * n_ff ? l->n_embd : 2 * n_ff;
    scratch s;

    s.gate_up = jl_vk_take(c, n_slots * wide * sizeof(float));
    s.h = jl_vk_take(c, n_slots * n_ff * sizeof(float));
    s.act = jl_vk_take_act(c, n_slots * n_ff);
    s.order = jl_vk_take(c, n_slots * sizeof(uint32_t));
    s.tiles = jl_vk_take(c, most_tiles(n_slots, l->n_expert) * 3 * sizeof(uint32_t));
    return s;
}

uint64_t jl_vk_experts_scratch(const jl_backend_limits *limits)
{
    jl_vk_cursor c = {0};

    (void)lay_out(&c, limits);
    return c.used;
}

static void sort_slots(experts_ctx *x)
{
    const struct {
        VkDeviceAddress ids, order, tiles;
        uint32_t n_slots, n_used, ids_stride, n_expert, n_tiles;
    } push = {x->slots.ids,        x->s.order,        x->s.tiles,    x->n_slots, x->slots.n_used,
              x->slots.ids_stride, x->a->down->ne[2], x->n_tiles};

    jl_vk_dispatch(x->v, &(jl_vk_call){.shader = JL_VK_expert_sort,
                                       .push = &push,
                                       .push_bytes = sizeof push});
    x->slots.order = x->s.order;
    x->slots.tiles = x->s.tiles;
    x->slots.n_tiles = x->n_tiles;
}

static void gate_and_up(experts_ctx *x)
{
    const jl_experts_args *a = x->a;
    const bool fused = a->gate_up && a->gate_up->buf;
    jl_vk_product p = {.w = fused ? a->gate_up : a->gate,
                       .in = {jl_vk_addr(x->v, a->x), vk_stride(a->x), x->v->act, x->v->act_wide},
                       .n_cols = x->n_slots,
                       .y = x->s.gate_up,
                       .y_stride = 2 * a->n_ff,
                       .slots = x->slots};
    const unsigned kinds = jl_vk_act_kind(p.w->type) | (fused ? 0 : jl_vk_act_kind(a->up->type));

    if (kinds)
        jl_vk_act_rows(x->v, a->x, kinds);
    p.slots.x_div = x->slots.n_used;
    jl_vk_product_run(x->v, &p);
    if (fused)
        return;
    p.w = a->up;
    p.y += a->n_ff * sizeof(float);
    p.beside = true;
    jl_vk_product_run(x->v, &p);
}

/* h = gelu(gate) * up, and its 8-bit form for down. */
static void activate(experts_ctx *x)
{
    jl_vk *v = x->v;
    const uint32_t n_ff = x->a->n_ff;
    const unsigned kind = jl_vk_act_kind(x->a->down->type);
    const jl_vk_elementwise push = {.x = x->s.gate_up,
                                    .z = x->s.gate_up + n_ff * sizeof(float),
                                    .y = x->s.h,
                                    .n = n_ff,
                                    .n_rows = x->n_slots,
                                    .x_stride = 2 * n_ff,
                                    .z_stride = 2 * n_ff,
                                    .y_stride = n_ff};

    jl_vk_elementwise_run(v, JL_VK_geglu, &push);
    if (kind)
        jl_vk_act_quantize(v, x->s.h, n_ff, n_ff, x->n_slots, kind, &x->s.act);
}

static void down(experts_ctx *x)
{
    const uint32_t n_embd = x->a->down->ne[1];
    jl_vk_product p = {.w = x->a->down,
                       .in = {x->s.h, x->a->n_ff, x->s.act, x->s.act},
                       .n_cols = x->n_slots,
                       .y = x->s.gate_up,
                       .y_stride = n_embd,
                       .slots = x->slots};

    p.slots.x_div = 1;
    jl_vk_product_run(x->v, &p);
}

static void weighted_sum(experts_ctx *x)
{
    const jl_tensor *y = x->a->y;
    const uint32_t n_embd = x->a->down->ne[1];
    const struct {
        VkDeviceAddress x, weights, y;
        uint32_t n, n_tokens, n_used, weights_stride, y_stride;
    } push = {x->s.gate_up, jl_vk_addr(x->v, x->a->weights), jl_vk_addr(x->v, y),
              n_embd,       x->n_tokens,                     x->slots.n_used,
              vk_stride(x->a->weights), vk_stride(y)};

    jl_vk_dispatch(x->v, &(jl_vk_call){.shader = JL_VK_expert_sum,
                                       .push = &push,
                                       .push_bytes = sizeof push,
                                       .groups = {vk_div_up(n_embd, 256),
                                                  vk_at_most(x->n_tokens,
                                                             x->v->info.max_groups[1])}});
}

void jl_vk_experts(jl_backend *be, const jl_experts_args *a)
{
    jl_vk *v = vk_of(be);
    jl_vk_cursor c = {.base = v->experts};
    experts_ctx x = {.v = v, .a = a, .s = lay_out(&c, &v->limits), .n_tokens = a->x->ne[1]};

    x.n_slots = x.n_tokens * a->ids->ne[0];
    x.n_tiles = (uint32_t)most_tiles(x.n_slots, a->down->ne[2]);
    x.slots = (jl_vk_slots){.ids = jl_vk_addr(v, a->ids),
                            .n_used = a->ids->ne[0],
                            .ids_stride = vk_stride(a->ids)};
    if (x.n_slots > SLOTS_MOST)
        sort_slots(&x);
    gate_and_up(&x);
    activate(&x);
    down(&x);
    weighted_sum(&x);
}
