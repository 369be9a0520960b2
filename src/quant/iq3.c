/* About three bits per weight: groups of 4 magnitudes from a grid, with signs. IQ3_XXS, IQ3_S. */
#include "quant/blocks.h"
#include "quant/float16.h"
#include "quant/iq_tables.h"
#include "quant/unpack.h"

static void put4(uint32_t magnitudes, unsigned signs, int8_t w[4])
{
    for (int j = 0; j < 4; j++) {
        const int m = (int)(magnitudes >> 8 * j & 0xff);
        w[j] = (int8_t)(signs >> j & 1 ? -m : m);
    }
}

void jl_unpack32_iq3_xxs(const void *block, unsigned ib, jl_block32 *out)
{
    const jl_block_iq3_xxs *b = block;
    const uint8_t *qs = b->qs + 8 * ib;
    uint32_t codes; /* four 7-bit sign codes, 4-bit scale */

    memcpy(&codes, b->signs + 4 * ib, sizeof codes);
    for (int k = 0; k < 8; k++) {
        const unsigned signs = jl_iq_signs[codes >> 7 * (k / 2) & 127];
        put4(jl_iq3xxs_grid[qs[k]], signs >> 4 * (k % 2), out->w + 4 * k);
    }
    jl_block32_scale(out, jl_half_widen(b->d) * (float)(1 + 2 * (int)(codes >> 28)) / 4.0f);
}

void jl_unpack32_iq3_s(const void *block, unsigned ib, jl_block32 *out)
{
    const jl_block_iq3_s *b = block;
    const uint8_t *qs = b->qs + 8 * ib;
    const uint8_t *signs = b->signs + 4 * ib;
    const int ls = b->scales[ib / 2] >> 4 * (ib % 2) & 15;

    for (int k = 0; k < 8; k++) {
        const unsigned index = qs[k] | (b->qh[ib] >> k & 1u) << 8;
        put4(jl_iq3s_grid[index], (unsigned)signs[k / 2] >> 4 * (k % 2), out->w + 4 * k);
    }
    jl_block32_scale(out, jl_half_widen(b->d) * (float)(1 + 2 * ls));
}
