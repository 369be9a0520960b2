/* About two bits per weight: groups of 8 magnitudes from a grid, signs. IQ2_XXS, IQ2_XS, IQ2_S. */
#include "quant/blocks.h"
#include "quant/float16.h"
#include "quant/iq_tables.h"
#include "quant/unpack.h"

static void put8(uint64_t magnitudes, unsigned signs, int8_t w[8])
{
    for (int j = 0; j < 8; j++) {
        const int m = (int)(magnitudes >> 8 * j & 0xff);
        w[j] = (int8_t)(signs >> j & 1 ? -m : m);
    }
}

void jl_unpack32_iq2_xxs(const void *block, unsigned ib, jl_block32 *out)
{
    const jl_block_iq2_xxs *b = block;
    const uint8_t *qs = b->qs + 8 * ib;
    uint32_t codes; /* four 7-bit sign codes, 4-bit scale */

    memcpy(&codes, qs + 4, sizeof codes);
    for (int k = 0; k < 4; k++)
        put8(jl_iq2xxs_grid[qs[k]], jl_iq_signs[codes >> 7 * k & 127], out->w + 8 * k);
    jl_block32_scale(out, jl_half_widen(b->d) * (float)(1 + 2 * (int)(codes >> 28)) / 8.0f);
}

void jl_unpack32_iq2_xs(const void *block, unsigned ib, jl_block32 *out)
{
    const jl_block_iq2_xs *b = block;
    const int ls = b->scales[ib];

    for (int k = 0; k < 4; k++) {
        const unsigned code = b->qs[4 * ib + (unsigned)k];
        put8(jl_iq2xs_grid[code & 511], jl_iq_signs[code >> 9], out->w + 8 * k);
    }
    jl_block32_halves(out, jl_half_widen(b->d) / 8.0f, 1 + 2 * (ls & 15), 1 + 2 * (ls >> 4));
}

void jl_unpack32_iq2_s(const void *block, unsigned ib, jl_block32 *out)
{
    const jl_block_iq2_s *b = block;
    const uint8_t *qs = b->qs + 4 * ib;
    const uint8_t *signs = b->signs + 4 * ib;
    const int ls = b->scales[ib];

    for (int k = 0; k < 4; k++) {
        const unsigned index = qs[k] | (b->qh[ib] >> 2 * k & 3u) << 8;
        put8(jl_iq2s_grid[index], signs[k], out->w + 8 * k);
    }
    jl_block32_halves(out, jl_half_widen(b->d) / 8.0f, 1 + 2 * (ls & 15), 1 + 2 * (ls >> 4));
}
