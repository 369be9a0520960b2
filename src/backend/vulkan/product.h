/* One matrix product on the device, any weight type: what matmul and experts are made of. */
#ifndef JL_BACKEND_VULKAN_PRODUCT_H
#define JL_BACKEND_VULKAN_PRODUCT_H

#include "backend/vulkan/vulkan.h"

enum { JL_VK_TILE_COLS = 64 }; /* columns of a tile of products of many columns */

/* Activations that a product reads, as its weight type wants them. */
typedef struct {
    VkDeviceAddress x; /* F32, rows x_stride floats apart */
    uint32_t x_stride;
    jl_vk_act act, act_wide;
} jl_vk_product_in;

/* Columns are tokens (ids 0), or slots: pairs of token and rank, slot s = token * n_used + rank. */
typedef struct {
    VkDeviceAddress ids; /* I32: rows of n_used experts, ids_stride apart */
    uint32_t n_used, ids_stride;
    uint32_t x_div;        /* slot s reads row s / x_div of the activations */
    VkDeviceAddress order; /* slots sorted by expert and their tiles; 0: not sorted */
    VkDeviceAddress tiles;
    uint32_t n_tiles;
} jl_vk_slots;

typedef struct {
    const jl_tensor *w; /* [n_in][n_out] or, with slots, [n_in][n_out][n_expert] */
    jl_vk_product_in in;
    uint32_t n_cols; /* tokens or slots */
    VkDeviceAddress y; /* F32: row of column c at c * y_stride */
    uint32_t y_stride;
    jl_vk_slots slots; /* all 0: none */
    bool beside;       /* as in jl_vk_call */
} jl_vk_product;

void jl_vk_product_run(jl_vk *v, const jl_vk_product *p);

/* Activations the type is multiplied with: JL_VK_ACT_32 or JL_VK_ACT_WIDE; 0: floats. */
unsigned jl_vk_act_kind(jl_type type);

/* tables.c: the values that some types look up, on the device. */
JL_MUST_CHECK jl_status jl_vk_tables_open(jl_vk *v, jl_error *err);
void jl_vk_tables_close(jl_vk *v);
/* Where a type's table lies; any valid address for types without one. */
VkDeviceAddress jl_vk_table(const jl_vk *v, jl_type type);

#endif
