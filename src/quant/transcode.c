#include "quant/transcode.h"

#include <assert.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/iq_tables.h"

/* The codes of group k (weights 4 k .. 4 k + 3) of block ib, one per byte. A magnitude m is odd, so
 * (15 + m) / 2 is the code of m without a carry between bytes; that of -m is 15 less it. */
static uint32_t group_codes(const jl_block_iq3_s *b, unsigned ib, unsigned k)
{
    const unsigned index = b->qs[8 * ib + k] | (b->qh[ib] >> k & 1u) << 8;
    const uint32_t signs = b->signs[4 * ib + k / 2] >> 4 * (k % 2) & 15u;
    const uint32_t minus = (signs * 0x00204081u & 0x01010101u) * 15; /* bit j to byte j */

    return (jl_iq3s_grid[index] + 0x0f0f0f0fu) / 2 ^ minus;
}

static void transcode_iq3_s(const jl_block_iq3_s *b, jl_block_iq3_s4 *out)
{
    memset(out, 0, offsetof(jl_block_iq3_s4, qs));
    out->d = b->d;
    for (unsigned ib = 0; ib < 8; ib++) {
        const unsigned s = b->scales[ib / 2] >> 4 * (ib % 2) & 15u;
        const unsigned ls = 32 + 1 + 2 * s;

        out->scales_l[ib / 2] |= (uint8_t)((ls & 15u) << 4 * (ib % 2));
        out->scales_h |= (uint16_t)(ls >> 4 << 2 * ib);
        for (unsigned k = 0; k < 4; k++) {
            const uint32_t both = group_codes(b, ib, k) | group_codes(b, ib, k + 4) << 4;
            memcpy(out->qs + 16 * ib + 4 * k, &both, sizeof both);
        }
    }
}

jl_type jl_transcode_type(jl_type type)
{
    return type == JL_TYPE_IQ3_S ? JL_TYPE_IQ3_S4 : type;
}

void jl_transcode_rows(jl_type from, const void *src, void *dst, size_t n, size_t n_rows)
{
    const jl_block_iq3_s *b = src;
    jl_block_iq3_s4 *out = dst;

    assert(from == JL_TYPE_IQ3_S && n % JL_QK == 0);
    for (size_t i = 0; i < n / JL_QK * n_rows; i++)
        transcode_iq3_s(b + i, out + i);
}
