/* Super-blocks of 256 with quantised scales: Q2_K, Q3_K, Q4_K, Q5_K, Q6_K. */
#include "quant/blocks.h"
#include "quant/float16.h"
#include "quant/unpack.h"

/* Two bits of each of 32 bytes, at the place Q2_K and Q3_K keep block ib. */
static void unpack_pairs(const uint8_t qs[64], unsigned ib, int8_t w[32])
{
    const uint8_t *q = qs + 32 * (ib / 4);
    const unsigned shift = 2 * (ib % 4);

    for (int l = 0; l < 32; l++)
        w[l] = (int8_t)(q[l] >> shift & 3);
}

/* Four bits of each of 32 bytes, at the place Q4_K and Q5_K keep block ib. */
static void unpack_nibbles(const uint8_t qs[128], unsigned ib, int8_t w[32])
{
    const uint8_t *q = qs + 32 * (ib / 2);
    const unsigned shift = 4 * (ib % 2);

    for (int l = 0; l < 32; l++)
        w[l] = (int8_t)(q[l] >> shift & 15);
}

void jl_unpack32_q2_k(const void *block, unsigned ib, jl_block32 *out)
{
    const jl_block_q2_k *b = block;
    const uint8_t *sc = b->scales + 2 * ib;

    unpack_pairs(b->qs, ib, out->w);
    jl_block32_halves(out, jl_half_widen(b->d), sc[0] & 15, sc[1] & 15);
    out->mw = -jl_half_widen(b->dmin);
    out->mn[0] = sc[0] >> 4;
    out->mn[1] = sc[1] >> 4;
    out->has_min = true;
}

static int q3_scale(const uint8_t scales[12], unsigned k)
{
    const int low = scales[k % 8] >> 4 * (k / 8) & 15;
    const int high = scales[8 + k % 4] >> 2 * (k / 4) & 3;

    return (low | high << 4) - 32;
}

void jl_unpack32_q3_k(const void *block, unsigned ib, jl_block32 *out)
{
    const jl_block_q3_k *b = block;

    unpack_pairs(b->qs, ib, out->w);
    for (int l = 0; l < 32; l++)
        out->w[l] = (int8_t)(out->w[l] - ((~b->hmask[l] >> ib & 1) << 2));
    jl_block32_halves(out, jl_half_widen(b->d), q3_scale(b->scales, 2 * ib),
                      q3_scale(b->scales, 2 * ib + 1));
}

void jl_unpack32_q4_k(const void *block, unsigned ib, jl_block32 *out)
{
    const jl_block_q4_k *b = block;
    int sc;
    int mn;

    unpack_nibbles(b->qs, ib, out->w);
    jl_q4k_scale_min(b->scales, ib, &sc, &mn);
    jl_block32_scale_min(out, jl_half_widen(b->d) * (float)sc,
                         -(jl_half_widen(b->dmin) * (float)mn));
}

void jl_unpack32_q5_k(const void *block, unsigned ib, jl_block32 *out)
{
    const jl_block_q5_k *b = block;
    int sc;
    int mn;

    unpack_nibbles(b->qs, ib, out->w);
    for (int l = 0; l < 32; l++)
        out->w[l] = (int8_t)(out->w[l] + ((b->qh[l] >> ib & 1) << 4));
    jl_q4k_scale_min(b->scales, ib, &sc, &mn);
    jl_block32_scale_min(out, jl_half_widen(b->d) * (float)sc,
                         -(jl_half_widen(b->dmin) * (float)mn));
}

void jl_unpack32_q6_k(const void *block, unsigned ib, jl_block32 *out)
{
    const jl_block_q6_k *b = block;
    const uint8_t *ql = b->ql + 64 * (ib / 4) + 32 * (ib % 2);
    const uint8_t *qh = b->qh + 32 * (ib / 4);
    const unsigned low_shift = 4 * (ib / 2 % 2);
    const unsigned high_shift = 2 * (ib % 4);

    for (int l = 0; l < 32; l++)
        out->w[l] = (int8_t)(((ql[l] >> low_shift & 15) | (qh[l] >> high_shift & 3) << 4) - 32);
    jl_block32_halves(out, jl_half_widen(b->d), b->scales[2 * ib], b->scales[2 * ib + 1]);
}
