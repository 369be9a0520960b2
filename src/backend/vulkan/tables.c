/* Tables of values of the weight types, as shaders/unpack_*.glsl read them. */
#include <string.h>

#include "backend/vulkan/product.h"
#include "quant/blocks.h"
#include "quant/iq_tables.h"

enum {
    AT_IQ4, /* in words */
    AT_MXFP4 = AT_IQ4 + 256,
    AT_IQ3_S4 = AT_MXFP4 + 256,
    AT_JQ4 = AT_IQ3_S4 + 256,
    AT_IQ3_S = AT_JQ4 + JL_JQ4_TABLES * 4,
    AT_IQ3_XXS = AT_IQ3_S + 512,
    AT_IQ2_XXS = AT_IQ3_XXS + 256,
    AT_IQ2_XS = AT_IQ2_XXS + 512,
    AT_IQ2_S = AT_IQ2_XS + 1024,
    AT_IQ1 = AT_IQ2_S + 2048,
    N_WORDS = AT_IQ1 + 4096
};

/* Entry v: the value of its low nibble in byte 0, of the high one in byte 2. */
static void pairs(const int8_t values[16], uint32_t *to)
{
    for (unsigned v = 0; v < 256; v++)
        to[v] = (uint8_t)values[v & 15] | (uint32_t)(uint8_t)values[v >> 4] << 16;
}

static void halves(const uint64_t *grid, size_t n, uint32_t *to)
{
    for (size_t i = 0; i < n; i++) {
        to[2 * i] = (uint32_t)grid[i];
        to[2 * i + 1] = (uint32_t)(grid[i] >> 32);
    }
}

static void fill(uint32_t *to)
{
    pairs(jl_iq4_values, to + AT_IQ4);
    pairs(jl_mxfp4_values, to + AT_MXFP4);
    pairs(jl_iq3_s4_values, to + AT_IQ3_S4);
    for (unsigned i = 0; i < JL_JQ4_TABLES * 16; i++) /* byte i % 4 of word i / 4 */
        to[AT_JQ4 + i / 4] |= (uint32_t)(uint8_t)jl_jq4_values[i / 16][i % 16] << 8 * (i % 4);
    memcpy(to + AT_IQ3_S, jl_iq3s_grid, sizeof jl_iq3s_grid);
    memcpy(to + AT_IQ3_XXS, jl_iq3xxs_grid, sizeof jl_iq3xxs_grid);
    halves(jl_iq2xxs_grid, 256, to + AT_IQ2_XXS);
    halves(jl_iq2xs_grid, 512, to + AT_IQ2_XS);
    halves(jl_iq2s_grid, 1024, to + AT_IQ2_S);
    halves(jl_iq1_grid, 2048, to + AT_IQ1);
}

jl_status jl_vk_tables_open(jl_vk *v, jl_error *err)
{
    uint32_t words[N_WORDS] = {0};

    JL_TRY(jl_vk_memory_alloc(v, sizeof words, JL_VK_MEM_DEVICE, &v->tables, err));
    fill(words);
    return jl_vk_memory_write(v, &v->tables, 0, words, sizeof words, err);
}

void jl_vk_tables_close(jl_vk *v)
{
    jl_vk_memory_free(v, &v->tables);
}

VkDeviceAddress jl_vk_table(const jl_vk *v, jl_type type)
{
    static const uint16_t at[JL_TYPE_MAX] = {
        [JL_TYPE_IQ4_NL] = AT_IQ4,       [JL_TYPE_IQ4_XS] = AT_IQ4,
        [JL_TYPE_MXFP4] = AT_MXFP4,      [JL_TYPE_JQ4] = AT_JQ4,
        [JL_TYPE_IQ3_S] = AT_IQ3_S,      [JL_TYPE_IQ3_XXS] = AT_IQ3_XXS,
        [JL_TYPE_IQ2_XXS] = AT_IQ2_XXS,  [JL_TYPE_IQ2_XS] = AT_IQ2_XS,
        [JL_TYPE_IQ2_S] = AT_IQ2_S,      [JL_TYPE_IQ1_S] = AT_IQ1,
        [JL_TYPE_IQ1_M] = AT_IQ1,        [JL_TYPE_IQ3_S4] = AT_IQ3_S4,
    };

    return v->tables.address + at[type] * sizeof(uint32_t);
}
