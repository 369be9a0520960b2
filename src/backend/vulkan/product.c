/* Which shader computes a product, and how its work is cut. Every choice here gives the same bits:
 * an output is one sum in one order (docs/numerics.md, sections 2 and 3). */
#include "backend/vulkan/product.h"
#include "quant/unpack.h"

enum {
    MV_COLS = 4,      /* most columns of a work group of mv */
    MV_MOST = 8,      /* columns from which on tiles are faster */
    MV_ROWS = 8,      /* of a work group, times RG */
    MV_GROUPS = 1024, /* work groups that keep a device busy */
    TILE_ROWS = 64,
    FLOAT_ROWS = 16
};

/* Push constants of shaders/product.glsl. */
typedef struct {
    VkDeviceAddress w, q, d, sum, y, ids, order, tiles, table;
    uint32_t row_bytes, n_in, n_rows, n_cols, x_stride, y_stride;
    uint32_t n_used, ids_stride, x_div;
} push;

typedef struct {
    jl_vk_shader mv, mm;
    bool known;
} shaders;

static const shaders by_type[JL_TYPE_MAX] = {
#define BLOCKS(type, name) [JL_TYPE_##type] = {JL_VK_mv_##name, JL_VK_mm_##name, true},
    JL_UNPACK_LIST(BLOCKS)
#undef BLOCKS
    [JL_TYPE_JQ4] = {JL_VK_mv_jq4, JL_VK_mm_jq4, true},
    [JL_TYPE_F32] = {JL_VK_mv_f32, JL_VK_mv_f32, true},
    [JL_TYPE_F16] = {JL_VK_mv_f16, JL_VK_mv_f16, true},
    [JL_TYPE_BF16] = {JL_VK_mv_bf16, JL_VK_mv_bf16, true},
};

unsigned jl_vk_act_kind(jl_type type)
{
    if (type == JL_TYPE_F32 || type == JL_TYPE_F16 || type == JL_TYPE_BF16)
        return 0;
    return jl_type_get((uint32_t)type)->act_block == JL_ACT_WIDE ? JL_VK_ACT_WIDE : JL_VK_ACT_32;
}

static push arguments(jl_vk *v, const jl_vk_product *p)
{
    const unsigned kind = jl_vk_act_kind(p->w->type);
    const jl_vk_act *act = kind == JL_VK_ACT_WIDE ? &p->in.act_wide : &p->in.act;

    return (push){.w = jl_vk_addr(v, p->w),
                  .q = kind ? act->q : p->in.x,
                  .d = act->d,
                  .sum = act->sum,
                  .y = p->y,
                  .ids = p->slots.ids,
                  .order = p->slots.order,
                  .tiles = p->slots.tiles,
                  .table = jl_vk_table(v, p->w->type),
                  .row_bytes = (uint32_t)p->w->row_bytes,
                  .n_in = p->w->ne[0],
                  .n_rows = p->w->ne[1],
                  .n_cols = p->n_cols,
                  .x_stride = p->in.x_stride,
                  .y_stride = p->y_stride,
                  .n_used = p->slots.n_used,
                  .ids_stride = p->slots.ids_stride,
                  .x_div = p->slots.x_div ? p->slots.x_div : 1};
}

/* Constants 0..2 of the mv shaders: RG, columns of a work group, slots or not. */
static void cut_few(const jl_vk_product *p, uint32_t spec[3], uint32_t groups[3])
{
    const bool slots = p->slots.ids != 0;
    const unsigned kind = jl_vk_act_kind(p->w->type);
    const uint32_t n_rows = p->w->ne[1];

    spec[0] = 1;
    spec[1] = slots || p->n_cols == 1 || kind == JL_VK_ACT_WIDE ? 1 : MV_COLS;
    spec[2] = slots;
    groups[1] = vk_div_up(p->n_cols, spec[1]);
    groups[0] = vk_div_up(n_rows, kind == JL_VK_ACT_32 ? MV_ROWS : FLOAT_ROWS);
    if (kind != JL_VK_ACT_32 || (uint64_t)groups[0] * groups[1] < 2 * MV_GROUPS)
        return;
    spec[0] = 2;
    groups[0] = vk_div_up(n_rows, 2 * MV_ROWS);
}

void jl_vk_product_run(jl_vk *v, const jl_vk_product *p)
{
    const shaders *s = &by_type[p->w->type];
    const push args = arguments(v, p);
    const bool grouped = p->slots.order != 0;
    const bool many = jl_vk_act_kind(p->w->type) != 0 &&
                      (grouped || (!p->slots.ids && p->n_cols > MV_MOST));
    uint32_t spec[3] = {grouped, 0, 0};
    jl_vk_call call = {.shader = many ? s->mm : s->mv,
                       .spec = spec,
                       .n_spec = many ? 1 : 3,
                       .push = &args,
                       .push_bytes = sizeof args,
                       .beside = p->beside};

    if (!s->known) {
        jl_vk_failed(v, VK_ERROR_FEATURE_NOT_PRESENT, jl_type_name(p->w->type));
        return;
    }
    if (many) {
        call.groups[0] = vk_div_up(p->w->ne[1], TILE_ROWS);
        call.groups[1] = grouped ? p->slots.n_tiles : vk_div_up(p->n_cols, JL_VK_TILE_COLS);
    } else {
        cut_few(p, spec, call.groups);
    }
    jl_vk_dispatch(v, &call);
}
