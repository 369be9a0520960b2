/* Random weights. A block is filled with random bits, all of which are valid codes in every format;
 * then its F16 scale is set so that the values get the wanted spread. Formats with a minimum get
 * the one that centres their codes. */
#include "quant/random.h"

#include <math.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/quant.h"

uint64_t jl_random_u64(uint64_t seed, uint64_t i)
{
    uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

enum { NO_FIELD = 0xFFFF };

/* How to scale the blocks of a type. rms is the root mean square of the values of random blocks
 * whose scale is 1 (measured over 12.8 million weights, mean below 0.1 rms). min_ratio is minus the
 * mean code: minimum = min_ratio * scale centres the values. */
typedef struct {
    jl_type type;
    uint16_t scale_at; /* byte offset of the F16 scale in the block */
    uint16_t min_at;   /* byte offset of the F16 minimum */
    float rms;
    float min_ratio;
} fill_rule;

static const fill_rule rules[] = {
    {JL_TYPE_Q4_0, 0, NO_FIELD, 4.636f, 0},
    {JL_TYPE_Q4_1, 0, 2, 4.611f, -7.5f},
    {JL_TYPE_Q5_0, 0, NO_FIELD, 9.242f, 0},
    {JL_TYPE_Q5_1, 0, 2, 9.234f, -15.5f},
    {JL_TYPE_Q8_0, 0, NO_FIELD, 73.89f, 0},
    {JL_TYPE_Q2_K, 80, 82, 9.834f, 1.5f},
    {JL_TYPE_Q3_K, 108, NO_FIELD, 43.35f, 0},
    {JL_TYPE_Q4_K, 0, 2, 168.1f, 7.5f},
    {JL_TYPE_Q5_K, 0, 2, 337.2f, 15.5f},
    {JL_TYPE_Q6_K, 208, NO_FIELD, 1364.8f, 0},
    {JL_TYPE_IQ2_XXS, 0, NO_FIELD, 53.37f, 0},
    {JL_TYPE_IQ2_XS, 0, NO_FIELD, 55.90f, 0},
    {JL_TYPE_IQ2_S, 0, NO_FIELD, 56.39f, 0},
    {JL_TYPE_IQ3_XXS, 0, NO_FIELD, 142.4f, 0},
    {JL_TYPE_IQ3_S, 0, NO_FIELD, 140.1f, 0},
    {JL_TYPE_IQ1_S, 0, NO_FIELD, 7.199f, 0},
    {JL_TYPE_IQ1_M, NO_FIELD, NO_FIELD, 7.202f, 0},
    {JL_TYPE_IQ4_NL, 0, NO_FIELD, 67.43f, 0},
    {JL_TYPE_IQ4_XS, 0, NO_FIELD, 1245.4f, 0},
    {JL_TYPE_MXFP4, NO_FIELD, NO_FIELD, 2.926f, 0},
    {JL_TYPE_AWQ4, 0, NO_FIELD, 6.519f, 0}, /* sqrt(2 * 255 / 12) */
    {JL_TYPE_IQ3_S4, 0, NO_FIELD, 170.37f, 0}, /* sqrt(85 * 341.5) */
};

static void put_u16(uint8_t *dst, uint16_t v)
{
    dst[0] = (uint8_t)(v & 0xFF);
    dst[1] = (uint8_t)(v >> 8);
}

static void fill_bytes(uint64_t seed, uint8_t *dst, size_t n_bytes)
{
    for (size_t i = 0; i * 8 < n_bytes; i++) {
        const uint64_t z = jl_random_u64(seed, i);
        for (size_t k = 0; k < 8 && i * 8 + k < n_bytes; k++)
            dst[i * 8 + k] = (uint8_t)(z >> (8 * k));
    }
}

/* A uniform number of variance 1 from 24 random bits. */
static float uniform_unit(uint64_t seed, size_t i)
{
    const int32_t u = (int32_t)(jl_random_u64(seed, i) >> 40) - (1 << 23);
    return (float)u * (1.7320508f / 8388608.0f);
}

static void fill_floats(jl_type type, uint64_t seed, float std, void *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float v = uniform_unit(seed, i) * std;
        if (type == JL_TYPE_F32)
            ((float *)dst)[i] = v;
        else
            ((uint16_t *)dst)[i] = type == JL_TYPE_F16 ? jl_f32_to_f16(v) : jl_f32_to_bf16(v);
    }
}

/* Gives the minima of a K-quant block the codes of its scales, so that dmin = min_ratio * d centres
 * every sub-block. Q4_K and Q5_K pack 8 scales and 8 minima of 6 bits into bytes 4..15, Q2_K keeps
 * both in one byte. */
static void pair_minima(jl_type type, uint8_t *block)
{
    if (type == JL_TYPE_Q2_K) {
        for (int i = 0; i < 16; i++)
            block[i] = (uint8_t)((block[i] & 15) * 17);
    } else if (type == JL_TYPE_Q4_K || type == JL_TYPE_Q5_K) {
        for (int i = 0; i < 4; i++) {
            block[8 + i] = block[4 + i];
            block[12 + i] = (uint8_t)((block[12 + i] & 15) * 17);
        }
    }
}

/* IQ1_M spreads its F16 scale over the top four bits of four 16-bit words at byte 48. */
static void put_iq1_m_scale(uint8_t *block, uint16_t d)
{
    for (int k = 0; k < 4; k++) {
        uint8_t *top = block + 48 + 2 * k + 1;
        *top = (uint8_t)((*top & 0x0F) | (((d >> (4 * k)) & 0xF) << 4));
    }
}

/* MXFP4 scales are powers of two: picks the one below or above at random so that the mean square
 * over many blocks is right. */
static uint8_t mxfp4_exponent(float scale, uint64_t bits)
{
    int e;
    const float m = frexpf(scale, &e); /* scale = m * 2^e, 0.5 <= m < 1 */
    const float p_high = (4.0f * m * m - 1.0f) / 3.0f;
    const bool high = (float)(bits >> 40) < p_high * 16777216.0f;
    const int code = 127 + e - 1 + (high ? 1 : 0);
    return (uint8_t)(code < 1 ? 1 : code > 250 ? 250 : code);
}

/* Sets the scale, with a random sign where the format has no minimum, and the minimum. */
static void scale_block(const fill_rule *rule, float d, uint64_t bits, uint8_t *block)
{
    const bool negative = rule->min_at == NO_FIELD && (bits & 1);
    const uint16_t half = (uint16_t)(jl_f32_to_f16(d) | (negative ? 0x8000 : 0));

    if (rule->type == JL_TYPE_MXFP4) {
        block[0] = mxfp4_exponent(d, bits);
    } else if (rule->type == JL_TYPE_IQ1_M) {
        put_iq1_m_scale(block, half);
    } else {
        put_u16(block + rule->scale_at, half);
        if (rule->min_at != NO_FIELD) {
            put_u16(block + rule->min_at, jl_f32_to_f16(jl_f16_to_f32(half) * rule->min_ratio));
            pair_minima(rule->type, block);
        }
    }
}

/* rms of random JQ4 weights with scale 1: of all values of all tables. */
static float jq4_rms(void)
{
    double sum = 0.0;

    for (size_t i = 0; i < (size_t)JL_JQ4_TABLES * 16; i++)
        sum += (double)jl_jq4_values[i / 16][i % 16] * jl_jq4_values[i / 16][i % 16];
    return (float)sqrt(sum / (JL_JQ4_TABLES * 16));
}

static void fill_jq4_group(uint64_t seed, float std, uint8_t *dst, size_t n)
{
    const size_t n_bytes = (size_t)jl_jq4_row_bytes(n) * JL_JQ4_ROWS;
    const size_t codes = (size_t)jl_jq4_code_bytes(n);

    fill_bytes(seed, dst, n_bytes);
    memset(dst + 2 * JL_JQ4_ROWS + n / 8 * 3, 0, codes - n / 8 * 3);
    for (size_t r = 0; r < JL_JQ4_ROWS; r++)
        put_u16(dst + 2 * r, jl_f32_to_f16(std / jq4_rms()));
}

void jl_fill_random_rows(jl_type type, uint64_t seed, uint64_t first, float std, void *dst,
                         size_t n, size_t n_rows)
{
    const uint64_t row_bytes = jl_row_bytes((uint32_t)type, n);
    const size_t group = jl_type_get((uint32_t)type)->group_rows;

    for (size_t r = 0; r < n_rows; r += group) {
        uint8_t *to = (uint8_t *)dst + r * row_bytes;
        const uint64_t row_seed = jl_random_u64(seed, first + r);
        if (type == JL_TYPE_JQ4)
            fill_jq4_group(row_seed, std, to, n);
        else
            jl_fill_random_row(type, row_seed, std, to, n);
    }
}

void jl_fill_random_row(jl_type type, uint64_t seed, float std, void *dst, size_t n)
{
    if (type == JL_TYPE_F32 || type == JL_TYPE_F16 || type == JL_TYPE_BF16) {
        fill_floats(type, seed, std, dst, n);
        return;
    }
    const jl_type_info *info = jl_type_get(type);
    for (size_t r = 0; r < sizeof rules / sizeof rules[0]; r++) {
        if (rules[r].type != type)
            continue;
        fill_bytes(seed, dst, n / info->block_len * info->block_bytes);
        for (size_t b = 0; b < n / info->block_len; b++)
            scale_block(&rules[r], std / rules[r].rms, jl_random_u64(~seed, b),
                        (uint8_t *)dst + b * info->block_bytes);
    }
}
