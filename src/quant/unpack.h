/* One block of 32 weights as integers and scales: the single definition behind dequantisation, the
 * scalar dot product, the expansion into int8 tiles, and the tests of all of them. */
#ifndef JL_QUANT_UNPACK_H
#define JL_QUANT_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/types.h"

/* With h = i / 16, weight i is (dw * sc[h]) * w[i], plus mw * mn[h] if has_min. Every product here
 * is exact in F32 (F16 scale times integers), the addition rounds once. */
typedef struct {
    int8_t w[32];
    int16_t sc[2]; /* 1 where the format has one scale for the 32 */
    int16_t mn[2]; /* 1 likewise; 0 without a minimum */
    float dw;
    float mw;      /* 0 without a minimum */
    bool has_min;
} jl_block32;

/* Unpacks block ib of a block of the format: 0 for formats of 32, 0..7 for super-blocks. */
typedef void jl_unpack32_fn(const void *block, unsigned ib, jl_block32 *out);

/* The function of a type, NULL for types that are not block-quantised. */
jl_unpack32_fn *jl_unpack32_get(jl_type type);

/* Block ib (weights 32 ib .. 32 ib + 31) of a row. The type must be block-quantised. */
void jl_unpack32(jl_type type, const void *row, size_t ib, jl_block32 *out);

#define JL_UNPACK_LIST(X)                                                                          \
    X(Q4_0, q4_0)                                                                                  \
    X(Q4_1, q4_1)                                                                                  \
    X(Q5_0, q5_0)                                                                                  \
    X(Q5_1, q5_1)                                                                                  \
    X(Q8_0, q8_0)                                                                                  \
    X(Q2_K, q2_k)                                                                                  \
    X(Q3_K, q3_k)                                                                                  \
    X(Q4_K, q4_k)                                                                                  \
    X(Q5_K, q5_k)                                                                                  \
    X(Q6_K, q6_k)                                                                                  \
    X(IQ4_NL, iq4_nl)                                                                              \
    X(IQ4_XS, iq4_xs)                                                                              \
    X(IQ3_XXS, iq3_xxs)                                                                            \
    X(IQ3_S, iq3_s)                                                                                \
    X(IQ2_XXS, iq2_xxs)                                                                            \
    X(IQ2_XS, iq2_xs)                                                                              \
    X(IQ2_S, iq2_s)                                                                                \
    X(IQ1_S, iq1_s)                                                                                \
    X(IQ1_M, iq1_m)                                                                                \
    X(MXFP4, mxfp4)                                                                                \
    X(AWQ4, awq4)                                                                                  \
    X(IQ3_S4, iq3_s4)

#define JL_UNPACK_DECL(type, name) jl_unpack32_fn jl_unpack32_##name;
JL_UNPACK_LIST(JL_UNPACK_DECL)
#undef JL_UNPACK_DECL

/* The plain shape: one scale for the 32, no minimum. */
static inline void jl_block32_scale(jl_block32 *out, float dw)
{
    out->dw = dw;
    out->mw = 0.0f;
    out->sc[0] = out->sc[1] = 1;
    out->mn[0] = out->mn[1] = 0;
    out->has_min = false;
}

/* One scale and one minimum for the 32. */
static inline void jl_block32_scale_min(jl_block32 *out, float dw, float mw)
{
    jl_block32_scale(out, dw);
    out->mw = mw;
    out->mn[0] = out->mn[1] = 1;
    out->has_min = true;
}

/* Integer scales of the two halves. */
static inline void jl_block32_halves(jl_block32 *out, float dw, int sc0, int sc1)
{
    jl_block32_scale(out, dw);
    out->sc[0] = (int16_t)sc0;
    out->sc[1] = (int16_t)sc1;
}

#endif
