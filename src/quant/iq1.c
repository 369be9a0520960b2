/* About 1.6 bits per weight: groups of 8 from a grid of -1, 0, 1, plus an offset of +-1/8.
 * Eight times the value is an integer. IQ1_S, IQ1_M. */
#include "quant/blocks.h"
#include "quant/float16.h"
#include "quant/iq_tables.h"
#include "quant/unpack.h"

static void put8(uint64_t signed_bytes, int offset, int8_t w[8])
{
    for (int j = 0; j < 8; j++) {
        const int g = (int8_t)(signed_bytes >> 8 * j & 0xff);
        w[j] = (int8_t)(8 * g + offset);
    }
}

void jl_unpack32_iq1_s(const void *block, unsigned ib, jl_block32 *out)
{
    const jl_block_iq1_s *b = block;
    const unsigned qh = b->qh[ib];
    const int offset = qh & 0x8000u ? -1 : 1;

    for (unsigned k = 0; k < 4; k++) {
        const unsigned index = b->qs[4 * ib + k] | (qh >> 3 * k & 7u) << 8;
        put8(jl_iq1_grid[index], offset, out->w + 8 * k);
    }
    jl_block32_scale(out, jl_half_widen(b->d) * (float)(1 + 2 * (int)(qh >> 12 & 7)) / 8.0f);
}

/* The F16 scale of a block is spread over the top nibbles of its four scale words. */
static float iq1_m_scale(const uint16_t scales[4])
{
    return jl_half_widen((uint16_t)(scales[0] >> 12 | (scales[1] >> 8 & 0x00f0) |
                                    (scales[2] >> 4 & 0x0f00) | (scales[3] & 0xf000)));
}

void jl_unpack32_iq1_m(const void *block, unsigned ib, jl_block32 *out)
{
    const jl_block_iq1_m *b = block;
    const int ls = b->scales[ib / 2] >> 6 * (ib % 2); /* two 3-bit scales */

    for (unsigned k = 0; k < 4; k++) {
        const unsigned qh = (unsigned)b->qh[2 * ib + k / 2] >> 4 * (k % 2);
        const unsigned index = b->qs[4 * ib + k] | (qh & 7u) << 8;
        put8(jl_iq1_grid[index], qh & 8u ? -1 : 1, out->w + 8 * k);
    }
    jl_block32_halves(out, iq1_m_scale(b->scales) / 8.0f, 1 + 2 * (ls & 7), 1 + 2 * (ls >> 3 & 7));
}
