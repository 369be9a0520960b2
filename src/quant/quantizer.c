/* Quantising with a search: rows, block by block. */
#include "quant/quantizer.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "quant/quant.h"

static const struct {
    jl_type type;
    jl_quantize_block_fn *fn;
} functions[] = {
    {JL_TYPE_Q4_0, jl_quantize_q4_0},       {JL_TYPE_Q4_1, jl_quantize_q4_1},
    {JL_TYPE_Q5_0, jl_quantize_q5_0},       {JL_TYPE_Q5_1, jl_quantize_q5_1},
    {JL_TYPE_Q8_0, jl_quantize_q8_0},       {JL_TYPE_IQ4_NL, jl_quantize_iq4_nl},
    {JL_TYPE_Q2_K, jl_quantize_q2_k},       {JL_TYPE_Q3_K, jl_quantize_q3_k},
    {JL_TYPE_Q4_K, jl_quantize_q4_k},       {JL_TYPE_Q5_K, jl_quantize_q5_k},
    {JL_TYPE_Q6_K, jl_quantize_q6_k},       {JL_TYPE_IQ4_XS, jl_quantize_iq4_xs},
    {JL_TYPE_IQ2_XXS, jl_quantize_iq2_xxs}, {JL_TYPE_IQ2_XS, jl_quantize_iq2_xs},
    {JL_TYPE_IQ2_S, jl_quantize_iq2_s},     {JL_TYPE_IQ3_XXS, jl_quantize_iq3_xxs},
    {JL_TYPE_IQ3_S, jl_quantize_iq3_s},
};

static jl_quantize_block_fn *find(jl_type type)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (functions[i].type == type)
            return functions[i].fn;
    return NULL;
}

static bool is_float(jl_type type)
{
    return type == JL_TYPE_F32 || type == JL_TYPE_F16 || type == JL_TYPE_BF16;
}

bool jl_quantizer_has(jl_type type)
{
    return is_float(type) || type == JL_TYPE_JQ4 || find(type);
}

static bool has_codebook(jl_type type)
{
    return type == JL_TYPE_IQ2_XXS || type == JL_TYPE_IQ2_XS || type == JL_TYPE_IQ2_S ||
           type == JL_TYPE_IQ3_XXS || type == JL_TYPE_IQ3_S;
}

static void fill(jl_type type, jl_quantizer *q)
{
    const jl_type_info *info = jl_type_get((uint32_t)type);

    *q = (jl_quantizer){type, info->block_len, info->block_bytes, find(type), NULL};
}

bool jl_quantizer_plain(jl_type type, jl_quantizer *out)
{
    if (!jl_quantizer_has(type) || has_codebook(type) || type == JL_TYPE_JQ4)
        return false;
    fill(type, out);
    return true;
}

jl_status jl_quantizer_create(jl_type type, jl_quantizer **out, jl_error *err)
{
    if (!jl_quantizer_has(type))
        return jl_fail(err, JL_UNSUPPORTED, "joule has no quantiser for %s",
                       jl_type_name((uint32_t)type));
    jl_quantizer *q = jl_calloc(1, sizeof *q);
    if (!q)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    fill(type, q);
    const jl_status s = has_codebook(type) ? jl_codebook_create(type, &q->codebook, err) : JL_OK;
    if (s != JL_OK) {
        jl_quantizer_destroy(q);
        return s;
    }
    *out = q;
    return JL_OK;
}

void jl_quantizer_destroy(jl_quantizer *q)
{
    if (!q)
        return;
    jl_codebook_destroy(q->codebook);
    jl_free(q);
}

void jl_quantizer_row(const jl_quantizer *q, const float *x, const float *importance, void *dst,
                      size_t n)
{
    jl_fit_block block;

    assert(q->type != JL_TYPE_JQ4);
    if (!q->fn) {
        jl_quant_row(q->type, x, dst, n);
        return;
    }
    for (size_t i = 0; i < n; i += q->block_len) {
        uint8_t *to = (uint8_t *)dst + i / q->block_len * q->block_bytes;
        jl_fit_prepare(x + i, importance ? importance + i : NULL, (int)q->block_len, &block);
        memset(to, 0, q->block_bytes);
        if (block.amax == 0.0f)
            memset(block.unit, 0, sizeof block.unit);
        q->fn(q, &block, to);
    }
}

void jl_quantizer_rows(const jl_quantizer *q, const float *x, const float *importance, void *dst,
                       size_t n, size_t n_rows)
{
    const size_t group = jl_type_get((uint32_t)q->type)->group_rows;
    const uint64_t row_bytes = jl_row_bytes((uint32_t)q->type, n);

    for (size_t r = 0; r < n_rows; r += group) {
        uint8_t *to = (uint8_t *)dst + r * row_bytes;
        if (q->type == JL_TYPE_JQ4)
            jl_quantize_jq4(x + r * n, importance, n, to);
        else
            jl_quantizer_row(q, x + r * n, importance, to, n);
    }
}
