/* Byte layout of every weight block, as in GGUF files (little-endian, blocks at even addresses).
 * This header and iq_tables.h are all an instruction-set file needs to know about a format. */
#ifndef JL_QUANT_BLOCKS_H
#define JL_QUANT_BLOCKS_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

enum { JL_QK = 256 }; /* weights per super-block */

/* ---- blocks of 32; d and m are F16 bits. Byte j of qs holds weight j low, weight j + 16 high. */

typedef struct {
    uint16_t d;
    uint8_t qs[16];
} jl_block_q4_0; /* d * (q - 8) */

typedef struct {
    uint16_t d, m;
    uint8_t qs[16];
} jl_block_q4_1; /* d * q + m */

typedef struct {
    uint16_t d;
    uint8_t qh[4]; /* bit j: fifth bit of weight j */
    uint8_t qs[16];
} jl_block_q5_0; /* d * (q - 16) */

typedef struct {
    uint16_t d, m;
    uint8_t qh[4];
    uint8_t qs[16];
} jl_block_q5_1; /* d * q + m */

typedef struct {
    uint16_t d;
    int8_t qs[32];
} jl_block_q8_0; /* d * q */

typedef struct {
    uint16_t d;
    uint8_t qs[16]; /* index into jl_iq4_values */
} jl_block_iq4_nl;

typedef struct {
    uint8_t e;      /* scale 2^(e - 128) of the doubled E2M1 value */
    uint8_t qs[16]; /* index into jl_mxfp4_values */
} jl_block_mxfp4;

typedef struct {
    uint8_t d[2];   /* F16 bits */
    uint8_t zero;   /* 0..15 in the low nibble */
    uint8_t qs[16];
} jl_block_awq4; /* d * (q - zero); bytes, so that blocks have no padding */

/* ---- super-blocks of 256 = 8 blocks of 32 = 16 groups of 16 */

typedef struct {
    uint8_t scales[16]; /* per group: scale low nibble, minimum high nibble */
    uint8_t qs[64];     /* byte 32 h + l, bits 2 j: weight 128 h + 32 j + l */
    uint16_t d, dmin;
} jl_block_q2_k; /* d * sc * q - dmin * mn */

typedef struct {
    uint8_t hmask[32]; /* byte l, bit b: weight 32 b + l; a clear bit subtracts 4 */
    uint8_t qs[64];    /* as Q2_K */
    uint8_t scales[12]; /* 16 of 6 bits: nibbles of 0..7, then bit pairs of 8..11 */
    uint16_t d;
} jl_block_q3_k; /* d * (sc - 32) * q */

typedef struct {
    uint16_t d, dmin;
    uint8_t scales[12]; /* 8 scales and 8 minima of 6 bits, see jl_q4k_scale_min */
    uint8_t qs[128];    /* byte 32 p + l: weight 64 p + l low, 64 p + 32 + l high */
} jl_block_q4_k; /* d * sc * q - dmin * mn */

typedef struct {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t qh[32]; /* byte l, bit b: fifth bit of weight 32 b + l */
    uint8_t qs[128];
} jl_block_q5_k;

typedef struct {
    uint8_t ql[128];    /* byte 64 h + l: weight 128 h + l low, 128 h + 64 + l high */
    uint8_t qh[64];     /* byte 32 h + l, bits 2 j: top bits of weight 128 h + 32 j + l */
    int8_t scales[16];  /* per group */
    uint16_t d;
} jl_block_q6_k; /* d * sc * (q - 32) */

typedef struct {
    uint16_t d;
    uint16_t scales_h;  /* bits 2 b: top bits of scale b */
    uint8_t scales_l[4]; /* nibble b: low bits of scale b */
    uint8_t qs[128];    /* byte 16 b + j: weight 32 b + j low, 32 b + 16 + j high */
} jl_block_iq4_xs; /* d * (ls - 32) * jl_iq4_values[q] */

/* IQ3_S4 is the same block with d * (ls - 32) * (2 * q - 15). */
typedef jl_block_iq4_xs jl_block_iq3_s4;

typedef struct {
    uint16_t d;
    uint8_t qs[64];     /* grid index per 4 weights */
    uint8_t signs[32];  /* 8 u32: four 7-bit sign codes, scale in the top 4 bits */
} jl_block_iq3_xxs;

typedef struct {
    uint16_t d;
    uint8_t qs[64];    /* low 8 bits of the grid index per 4 weights */
    uint8_t qh[8];     /* byte b, bit k: ninth bit of group k of block b */
    uint8_t signs[32]; /* bit i % 8 of byte i / 8: weight i is negative */
    uint8_t scales[4]; /* nibble b */
} jl_block_iq3_s;

typedef struct {
    uint16_t d;
    uint8_t qs[64]; /* per block of 32: four grid indices, then u32 of signs and scale as IQ3_XXS */
} jl_block_iq2_xxs;

typedef struct {
    uint16_t d;
    uint16_t qs[32];   /* per 8 weights: grid index low 9 bits, sign code high 7 bits */
    uint8_t scales[8]; /* per block of 32: one nibble per half */
} jl_block_iq2_xs;

typedef struct {
    uint16_t d;
    uint8_t qs[32];    /* low 8 bits of the grid index per 8 weights */
    uint8_t signs[32];
    uint8_t qh[8];     /* byte b, bits 2 k: top bits of index k of block b */
    uint8_t scales[8]; /* per block of 32: one nibble per half */
} jl_block_iq2_s;

typedef struct {
    uint16_t d;
    uint8_t qs[32];  /* low 8 bits of the grid index per 8 weights */
    uint16_t qh[8];  /* per block: four times 3 top bits, 3-bit scale, sign of the offset */
} jl_block_iq1_s;

typedef struct {
    uint8_t qs[32];     /* low 8 bits of the grid index per 8 weights */
    uint8_t qh[16];     /* nibble g: 3 top bits of index g, then the sign of its offset */
    uint16_t scales[4]; /* four 3-bit scales of 16 weights each; top nibbles form the F16 scale */
} jl_block_iq1_m;

/* ---- JQ4: 16 rows of n weights together (docs/jq4.md)
 *   uint16_t d[16]                       F16 scale of each row
 *   uint8_t codes[jl_jq4_code_bytes(n)]  per 8 columns four codes of 6 bits in 3 bytes, the lowest
 *                                        bits for rows 0..3; zeros up to a multiple of 16 bytes
 *   uint8_t tiles[n / 8][16][4]          byte [g][r][j]: row r, column 8 g + j low, 8 g + 4 + j
 *                                        high
 * A weight is d[row] * jl_jq4_values[code][nibble]. */
enum { JL_JQ4_ROWS = 16 };

static inline uint64_t jl_jq4_code_bytes(uint64_t n)
{
    return (n / 8 * 3 + 15) / 16 * 16;
}

static inline uint64_t jl_jq4_row_bytes(uint64_t n)
{
    return 2 + jl_jq4_code_bytes(n) / 16 + n / 2;
}

static inline const uint8_t *jl_jq4_codes(const uint8_t *group)
{
    return group + 2 * JL_JQ4_ROWS;
}

static inline const uint8_t *jl_jq4_tiles(const uint8_t *group, uint64_t n)
{
    return group + 2 * JL_JQ4_ROWS + jl_jq4_code_bytes(n);
}

/* 64 tables of 16 values, ascending, -127 .. 127 (jq4_tables.c). */
enum { JL_JQ4_TABLES = 64 };
extern const int8_t jl_jq4_values[JL_JQ4_TABLES][16];

static_assert(sizeof(jl_block_q4_0) == 18, "Q4_0");
static_assert(sizeof(jl_block_q4_1) == 20, "Q4_1");
static_assert(sizeof(jl_block_q5_0) == 22, "Q5_0");
static_assert(sizeof(jl_block_q5_1) == 24, "Q5_1");
static_assert(sizeof(jl_block_q8_0) == 34, "Q8_0");
static_assert(sizeof(jl_block_iq4_nl) == 18, "IQ4_NL");
static_assert(sizeof(jl_block_mxfp4) == 17, "MXFP4");
static_assert(sizeof(jl_block_awq4) == 19, "AWQ4");
static_assert(sizeof(jl_block_q2_k) == 84, "Q2_K");
static_assert(sizeof(jl_block_q3_k) == 110, "Q3_K");
static_assert(sizeof(jl_block_q4_k) == 144, "Q4_K");
static_assert(sizeof(jl_block_q5_k) == 176, "Q5_K");
static_assert(sizeof(jl_block_q6_k) == 210, "Q6_K");
static_assert(sizeof(jl_block_iq4_xs) == 136, "IQ4_XS");
static_assert(sizeof(jl_block_iq3_xxs) == 98, "IQ3_XXS");
static_assert(sizeof(jl_block_iq3_s) == 110, "IQ3_S");
static_assert(sizeof(jl_block_iq2_xxs) == 66, "IQ2_XXS");
static_assert(sizeof(jl_block_iq2_xs) == 74, "IQ2_XS");
static_assert(sizeof(jl_block_iq2_s) == 82, "IQ2_S");
static_assert(sizeof(jl_block_iq1_s) == 50, "IQ1_S");
static_assert(sizeof(jl_block_iq1_m) == 56, "IQ1_M");

/* Scale and minimum (0..63) of block j (0..7) of a Q4_K or Q5_K super-block. */
static inline void jl_q4k_scale_min(const uint8_t *scales, unsigned j, int *sc, int *mn)
{
    if (j < 4) {
        *sc = scales[j] & 63;
        *mn = scales[j + 4] & 63;
        return;
    }
    *sc = (scales[j + 4] & 15) | (scales[j - 4] >> 6) << 4;
    *mn = scales[j + 4] >> 4 | (scales[j] >> 6) << 4;
}

/* The 16 values of IQ4_NL and IQ4_XS; those of MXFP4, doubled E2M1 and so integers; the odd ones of
 * IQ3_S4. */
static const int8_t jl_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                         1,    13,   25,  38,  53,  69,  89,  113};
static const int8_t jl_mxfp4_values[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                           0, -1, -2, -3, -4, -6, -8, -12};
static const int8_t jl_iq3_s4_values[16] = {-15, -13, -11, -9, -7, -5, -3, -1,
                                            1,   3,   5,   7,  9,  11, 13, 15};

#endif
