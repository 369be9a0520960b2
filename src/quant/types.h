/* Tensor types: ids as in GGUF files, block sizes. */
#ifndef JL_QUANT_TYPES_H
#define JL_QUANT_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* name, GGUF id, weights per block, bytes per block. Weight types can be dequantised and
 * multiplied; plain types are only carried. Ids from 200 on are joule's own; other engines refuse
 * them as unknown (202 is left out: the ik_llama.cpp fork has a type of that number). JQ4
 * (docs/jq4.md) stores 16 rows together, and its bytes per row are not a multiple of the number
 * given here (jl_row_bytes). IQ3_S4 holds the weights of IQ3_S in codes of 4 bits (transcode.h). */
#define JL_WEIGHT_TYPE_LIST(X) \
    X(F32, 0, 1, 4)            \
    X(F16, 1, 1, 2)            \
    X(Q4_0, 2, 32, 18)         \
    X(Q4_1, 3, 32, 20)         \
    X(Q5_0, 6, 32, 22)         \
    X(Q5_1, 7, 32, 24)         \
    X(Q8_0, 8, 32, 34)         \
    X(Q2_K, 10, 256, 84)       \
    X(Q3_K, 11, 256, 110)      \
    X(Q4_K, 12, 256, 144)      \
    X(Q5_K, 13, 256, 176)      \
    X(Q6_K, 14, 256, 210)      \
    X(IQ2_XXS, 16, 256, 66)    \
    X(IQ2_XS, 17, 256, 74)     \
    X(IQ3_XXS, 18, 256, 98)    \
    X(IQ1_S, 19, 256, 50)      \
    X(IQ4_NL, 20, 32, 18)      \
    X(IQ3_S, 21, 256, 110)     \
    X(IQ2_S, 22, 256, 82)      \
    X(IQ4_XS, 23, 256, 136)    \
    X(IQ1_M, 29, 256, 56)      \
    X(BF16, 30, 1, 2)          \
    X(MXFP4, 39, 32, 17)       \
    X(AWQ4, 200, 32, 19)       \
    X(JQ4, 201, 32, 17)        \
    X(IQ3_S4, 203, 256, 136)

#define JL_PLAIN_TYPE_LIST(X) \
    X(I8, 24, 1, 1)           \
    X(I16, 25, 1, 2)          \
    X(I32, 26, 1, 4)          \
    X(I64, 27, 1, 8)          \
    X(F64, 28, 1, 8)

#define JL_TYPE_LIST(X) JL_WEIGHT_TYPE_LIST(X) JL_PLAIN_TYPE_LIST(X)

typedef enum {
#define JL_TYPE_ENUM(name, id, len, bytes) JL_TYPE_##name = id,
    JL_TYPE_LIST(JL_TYPE_ENUM)
#undef JL_TYPE_ENUM
    JL_TYPE_MAX = 204
} jl_type;

/* Activations of JQ4 share a scale so far: the largest power of two for which a sum of products of
 * two bytes, 1024 * 127 * 127, stays below 2^24 and is exact in F32. */
enum { JL_ACT_WIDE = 1024, JL_ACT_WIDE_SUM = 256 /* values with one sum: it fits 16 bits */ };

typedef struct {
    const char *name;     /* "Q4_K"; NULL for an id joule does not know */
    uint32_t block_len;   /* weights per block */
    uint32_t block_bytes; /* bytes per block */
    bool is_weight;       /* has a scalar definition: can be dequantised and multiplied */
    uint32_t group_rows;  /* rows stored together: a matrix holds a multiple of them, and a row has
                           * no bytes of its own unless this is 1 */
    uint32_t act_block;   /* activations that share a scale when multiplied with it: 32, or
                           * JL_ACT_WIDE for JQ4 (quant.h) */
} jl_type_info;

/* Facts of a type; name is NULL if the id is unknown. Never NULL itself, any id is fine. */
const jl_type_info *jl_type_get(uint32_t id);
/* Name of any GGUF type id, also of those joule refuses ("TQ1_0"), or "unknown". */
const char *jl_type_name(uint32_t id);
/* Type of a name such as "q4_k" (any case), or -1. */
int jl_type_find(const char *name);
/* Bytes of a row of n weights, its share of the group where rows are stored together; 0 if n is not
 * a multiple of the block, the type is unknown, or the result does not fit 64 bits. */
uint64_t jl_row_bytes(uint32_t type, uint64_t n);

#endif
