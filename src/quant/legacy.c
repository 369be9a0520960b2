/* Formats of 32 weights with one F16 scale: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, AWQ4. */
#include "quant/blocks.h"
#include "quant/float16.h"
#include "quant/unpack.h"

static void unpack_nibbles(const uint8_t qs[16], int8_t w[32], int offset)
{
    for (int j = 0; j < 16; j++) {
        w[j] = (int8_t)((qs[j] & 15) + offset);
        w[j + 16] = (int8_t)((qs[j] >> 4) + offset);
    }
}

static void add_fifth_bits(const uint8_t qh[4], int8_t w[32])
{
    static const uint8_t bit[8] = {1, 2, 4, 8, 16, 32, 64, 128};

    for (int k = 0; k < 4; k++)
        for (int i = 0; i < 8; i++)
            w[8 * k + i] = (int8_t)(w[8 * k + i] + (qh[k] & bit[i] ? 16 : 0));
}

void jl_unpack32_q4_0(const void *block, unsigned ib, jl_block32 *out)
{
    const jl_block_q4_0 *b = block;

    unpack_nibbles(b->qs, out->w, -8);
    jl_block32_scale(out, jl_half_widen(b->d));
}

void jl_unpack32_q4_1(const void *block, unsigned ib, jl_block32 *out)
{
    const jl_block_q4_1 *b = block;

    unpack_nibbles(b->qs, out->w, 0);
    jl_block32_scale_min(out, jl_half_widen(b->d), jl_half_widen(b->m));
}

void jl_unpack32_q5_0(const void *block, unsigned ib, jl_block32 *out)
{
    const jl_block_q5_0 *b = block;

    unpack_nibbles(b->qs, out->w, -16);
    add_fifth_bits(b->qh, out->w);
    jl_block32_scale(out, jl_half_widen(b->d));
}

void jl_unpack32_q5_1(const void *block, unsigned ib, jl_block32 *out)
{
    const jl_block_q5_1 *b = block;

    unpack_nibbles(b->qs, out->w, 0);
    add_fifth_bits(b->qh, out->w);
    jl_block32_scale_min(out, jl_half_widen(b->d), jl_half_widen(b->m));
}

void jl_unpack32_q8_0(const void *block, unsigned ib, jl_block32 *out)
{
    const jl_block_q8_0 *b = block;

    memcpy(out->w, b->qs, sizeof out->w);
    jl_block32_scale(out, jl_half_widen(b->d));
}

void jl_unpack32_awq4(const void *block, unsigned ib, jl_block32 *out)
{
    const jl_block_awq4 *b = block;

    unpack_nibbles(b->qs, out->w, -(b->zero & 15));
    jl_block32_scale(out, jl_half_widen((uint16_t)(b->d[0] | b->d[1] << 8)));
}
