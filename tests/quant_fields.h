/* Where the scales lie in a block of each weight type, for tests that fill blocks with chosen
 * bits. */
#ifndef JL_TESTS_QUANT_FIELDS_H
#define JL_TESTS_QUANT_FIELDS_H

#include "quant/types.h"

/* Byte offsets of the F16 fields of a block; -1 for none. */
static inline void quant_half_fields(jl_type type, int at[2])
{
    at[0] = 0;
    at[1] = -1;
    switch (type) {
    case JL_TYPE_Q4_1:
    case JL_TYPE_Q5_1:
    case JL_TYPE_Q4_K:
    case JL_TYPE_Q5_K:
        at[1] = 2;
        break;
    case JL_TYPE_Q2_K:
        at[0] = 80;
        at[1] = 82;
        break;
    case JL_TYPE_Q3_K:
        at[0] = 108;
        break;
    case JL_TYPE_Q6_K:
        at[0] = 208;
        break;
    case JL_TYPE_F32:
    case JL_TYPE_BF16:
    case JL_TYPE_MXFP4:
    case JL_TYPE_IQ1_M:
        at[0] = -1;
        break;
    default:
        break;
    }
}

/* IQ1_M spreads its F16 scale over the top nibbles of its last four words. */
static inline unsigned quant_iq1_m_scale(const uint8_t *block)
{
    unsigned h = 0;

    for (int k = 0; k < 4; k++)
        h |= (unsigned)(block[49 + 2 * k] >> 4) << 4 * k;
    return h;
}

static inline void quant_set_iq1_m_scale(uint8_t *block, unsigned h)
{
    for (int k = 0; k < 4; k++)
        block[49 + 2 * k] = (uint8_t)((block[49 + 2 * k] & 15) | (h >> 4 * k & 15) << 4);
}

/* Sets the scale and the minimum of a block to the same F16 bits. MXFP4: the low byte, halved, is
 * the exponent, so that no product overflows. */
static inline void quant_set_scales(jl_type type, uint8_t *block, unsigned h)
{
    int at[2];

    quant_half_fields(type, at);
    for (int f = 0; f < 2; f++) {
        if (at[f] < 0)
            continue;
        block[at[f]] = (uint8_t)(h & 0xff);
        block[at[f] + 1] = (uint8_t)(h >> 8 & 0xff);
    }
    if (type == JL_TYPE_IQ1_M)
        quant_set_iq1_m_scale(block, h);
    if (type == JL_TYPE_MXFP4)
        block[0] = (uint8_t)(h & 0x7f);
}

#endif
