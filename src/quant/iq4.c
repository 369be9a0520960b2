/* Four-bit formats with a table of values: IQ4_NL, IQ4_XS, MXFP4, IQ3_S4. */
#include "quant/blocks.h"
#include "quant/float16.h"
#include "quant/unpack.h"

static void look_up(const uint8_t qs[16], const int8_t values[16], int8_t w[32])
{
    for (int j = 0; j < 16; j++) {
        w[j] = values[qs[j] & 15];
        w[j + 16] = values[qs[j] >> 4];
    }
}

void jl_unpack32_iq4_nl(const void *block, unsigned ib, jl_block32 *out)
{
    const jl_block_iq4_nl *b = block;

    look_up(b->qs, jl_iq4_values, out->w);
    jl_block32_scale(out, jl_half_widen(b->d));
}

/* Block ib of the layout of IQ4_XS. */
static void unpack_xs(const jl_block_iq4_xs *b, unsigned ib, const int8_t values[16],
                      jl_block32 *out)
{
    const int low = b->scales_l[ib / 2] >> 4 * (ib % 2) & 15;
    const int high = b->scales_h >> 2 * ib & 3;

    look_up(b->qs + 16 * ib, values, out->w);
    jl_block32_scale(out, jl_half_widen(b->d) * (float)((low | high << 4) - 32));
}

void jl_unpack32_iq4_xs(const void *block, unsigned ib, jl_block32 *out)
{
    unpack_xs(block, ib, jl_iq4_values, out);
}

void jl_unpack32_iq3_s4(const void *block, unsigned ib, jl_block32 *out)
{
    unpack_xs(block, ib, jl_iq3_s4_values, out);
}

/* 2^(e - 128): the E8M0 scale, halved because the table holds doubled values. The lowest two are
 * denormal. 255 is NaN in the OCP MX specification; readers of GGUF files take it as 2^127. */
static float e8m0_half(uint8_t e)
{
    return jl_f32_from_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

void jl_unpack32_mxfp4(const void *block, unsigned ib, jl_block32 *out)
{
    const jl_block_mxfp4 *b = block;

    look_up(b->qs, jl_mxfp4_values, out->w);
    jl_block32_scale(out, e8m0_half(b->e));
}
