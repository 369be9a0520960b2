/* Quantising with a search: every type by its block functions. */
#ifndef JL_QUANT_QUANTIZER_H
#define JL_QUANT_QUANTIZER_H

#include "base/status.h"
#include "quant/search.h"
#include "quant/types.h"

/* What the search of a type needs beyond the row: the neighbours in its codebook. Immutable, shared
 * by threads. */
typedef struct jl_quantizer jl_quantizer;

/* Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K .. Q6_K, IQ4_NL, IQ4_XS, IQ3_S, IQ3_XXS, IQ2_S, IQ2_XS,
 * IQ2_XXS, JQ4, F32, F16, BF16. JL_UNSUPPORTED for others. */
JL_MUST_CHECK jl_status jl_quantizer_create(jl_type type, jl_quantizer **out, jl_error *err);
void jl_quantizer_destroy(jl_quantizer *q); /* NULL is fine */

/* Quantises a row of a type that stores rows singly; n is a multiple of its block. importance:
 * [n], not negative, the weight of each squared error, or NULL for equal weights. A block holding
 * a NaN or infinity gets a NaN scale; scales beyond F16 are held at 65504. */
void jl_quantizer_row(const jl_quantizer *q, const float *x, const float *importance, void *dst,
                      size_t n);

/* Quantises n_rows rows of n, one after the other in x; dst takes n_rows * jl_row_bytes. n_rows is
 * a multiple of the type's group_rows. importance: [n], of the columns. Any type of the above. */
void jl_quantizer_rows(const jl_quantizer *q, const float *x, const float *importance, void *dst,
                       size_t n, size_t n_rows);

/* Whether jl_quantizer_create knows the type. */
bool jl_quantizer_has(jl_type type);

/* A quantiser that owns nothing; false for types with a codebook and those without a quantiser. */
bool jl_quantizer_plain(jl_type type, jl_quantizer *out);

/* One block each; b holds 32 or 256 values. dst is written whole. */
typedef void jl_quantize_block_fn(const jl_quantizer *q, const jl_fit_block *b, void *dst);

jl_quantize_block_fn jl_quantize_q4_0, jl_quantize_q4_1, jl_quantize_q5_0, jl_quantize_q5_1,
    jl_quantize_q8_0, jl_quantize_iq4_nl;
jl_quantize_block_fn jl_quantize_q2_k, jl_quantize_q3_k, jl_quantize_q4_k, jl_quantize_q5_k,
    jl_quantize_q6_k, jl_quantize_iq4_xs;
jl_quantize_block_fn jl_quantize_iq2_xxs, jl_quantize_iq2_xs, jl_quantize_iq2_s,
    jl_quantize_iq3_xxs, jl_quantize_iq3_s;

/* A JQ4 group: x [16][n], importance [n] or NULL. dst is written whole. */
void jl_quantize_jq4(const float *x, const float *importance, size_t n, void *dst);

/* The codebook of an IQ2 or IQ3 type, made for searching (codebook.c). */
typedef struct jl_codebook jl_codebook;
JL_MUST_CHECK jl_status jl_codebook_create(jl_type type, jl_codebook **out, jl_error *err);
void jl_codebook_destroy(jl_codebook *c);

struct jl_quantizer {
    jl_type type;
    uint32_t block_len, block_bytes;
    jl_quantize_block_fn *fn; /* NULL: a float type, or JQ4 */
    jl_codebook *codebook;    /* of IQ2 and IQ3, else NULL */
};

#endif
