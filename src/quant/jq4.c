/* JQ4, joule's own layout: rows of a group of 16 (docs/jq4.md, docs/numerics.md section 2). */
#include <math.h>

#include "quant/blocks.h"
#include "quant/float16.h"
#include "quant/quant.h"

/* Table of row r in the 8 columns from 8 g. */
static const int8_t *table(const uint8_t *codes, size_t g, unsigned r)
{
    const uint32_t packed = (uint32_t)codes[3 * g] | (uint32_t)codes[3 * g + 1] << 8 |
                            (uint32_t)codes[3 * g + 2] << 16;

    return jl_jq4_values[packed >> 6 * (r / 4) & 63];
}

/* The 8 integers of row r from column 8 g. */
static void unpack8(const uint8_t *group, unsigned r, size_t n, size_t g, int8_t w[8])
{
    const int8_t *values = table(jl_jq4_codes(group), g, r);
    const uint8_t *nibbles = jl_jq4_tiles(group, n) + 64 * g + 4 * r;

    for (int j = 0; j < 4; j++) {
        w[j] = values[nibbles[j] & 15];
        w[j + 4] = values[nibbles[j] >> 4];
    }
}

static float row_scale(const uint8_t *group, unsigned r)
{
    return jl_half_widen((uint16_t)(group[2 * r] | group[2 * r + 1] << 8));
}

void jl_jq4_dequant(const void *group, unsigned r, size_t n, size_t first, float *dst, size_t len)
{
    const float d = row_scale(group, r);

    for (size_t i = 0; i < len; i += 8) {
        int8_t w[8];
        unpack8(group, r, n, (first + i) / 8, w);
        for (int j = 0; j < 8; j++)
            dst[i + (size_t)j] = d * (float)w[j];
    }
}

float jl_jq4_dot(const void *group, unsigned r, const int8_t *q, const float *d, size_t n)
{
    float acc = 0.0f;

    for (size_t k = 0; k < n; k += JL_ACT_WIDE) {
        const size_t end = n - k < JL_ACT_WIDE ? n : k + JL_ACT_WIDE;
        int isum = 0;
        for (size_t i = k; i < end; i += 8) {
            int8_t w[8];
            unpack8(group, r, n, i / 8, w);
            for (int j = 0; j < 8; j++)
                isum += w[j] * q[i + (size_t)j];
        }
        acc = fmaf((float)isum, d[k / JL_ACT_WIDE], acc);
    }
    return row_scale(group, r) * acc;
}
