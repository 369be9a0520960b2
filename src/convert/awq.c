#include "convert/awq.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/quant.h"

static uint32_t word_at(const jl_st_tensor *t, uint64_t index)
{
    const uint8_t *p = t->data + 4 * index;

    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Value o % 8 of a word: 0 2 4 6 stand in the low half, 1 3 5 7 in the high one. */
static uint32_t nibble(uint32_t word, uint64_t o)
{
    const uint32_t j = (uint32_t)(o % 8);

    return word >> 4 * (j / 2 + 4 * (j % 2)) & 15;
}

uint32_t jl_awq_value(const jl_awq *a, uint64_t i, uint64_t o)
{
    return nibble(word_at(a->qweight, i * (a->n_out / 8) + o / 8), o);
}

uint32_t jl_awq_zero(const jl_awq *a, uint64_t i, uint64_t o)
{
    return nibble(word_at(a->qzeros, i / a->group * (a->n_out / 8) + o / 8), o);
}

uint16_t jl_awq_scale(const jl_awq *a, uint64_t i, uint64_t o)
{
    const uint8_t *p = a->scales->data + 2 * (i / a->group * a->n_out + o);

    return (uint16_t)(p[0] | p[1] << 8);
}

static const jl_st_tensor *part(const jl_st *st, const char *base, const char *what)
{
    char name[256];

    snprintf(name, sizeof name, "%s.%s", base, what);
    return jl_st_find(st, name);
}

jl_status jl_awq_open(const jl_st *st, const char *base, jl_awq *out, jl_error *err)
{
    const jl_awq a = {.qweight = part(st, base, "qweight"),
                      .qzeros = part(st, base, "qzeros"),
                      .scales = part(st, base, "scales")};

    if (!a.qweight || !a.qzeros || !a.scales)
        return jl_fail(err, JL_FORMAT, "%.120s lacks one of qweight, qzeros and scales", base);
    if (a.qweight->dtype != JL_ST_I32 || a.qzeros->dtype != JL_ST_I32 ||
        a.scales->dtype != JL_ST_F16)
        return jl_fail(err, JL_FORMAT,
                       "%.120s: AWQ needs qweight and qzeros in I32 and scales in F16, not %.8s, "
                       "%.8s, %.8s",
                       base, a.qweight->dtype_name, a.qzeros->dtype_name, a.scales->dtype_name);
    *out = a;
    out->n_in = a.qweight->shape[0];
    out->n_out = a.scales->shape[1];
    const uint64_t n_groups = a.scales->shape[0];
    out->group = n_groups ? out->n_in / n_groups : 0;
    if (a.qweight->n_dims != 2 || a.qzeros->n_dims != 2 || a.scales->n_dims != 2 ||
        out->n_out == 0 || out->n_out % 8 || a.qweight->shape[1] != out->n_out / 8 ||
        a.qzeros->shape[1] != out->n_out / 8 || a.qzeros->shape[0] != n_groups || out->group == 0 ||
        out->n_in != out->group * n_groups)
        return jl_fail(err, JL_FORMAT,
                       "%.120s: the shapes of qweight, qzeros and scales do not "
                       "fit together (joule reads the GEMM packing)",
                       base);
    if (out->group % 32)
        return jl_fail(err, JL_UNSUPPORTED,
                       "%.120s: groups of %" PRIu64 "; joule needs multiples of 32", base,
                       out->group);
    return JL_OK;
}

static float weight(const jl_awq *a, uint64_t i, uint64_t o)
{
    return ((float)jl_awq_value(a, i, o) - (float)jl_awq_zero(a, i, o)) *
           jl_f16_to_f32(jl_awq_scale(a, i, o));
}

static void put_q4_1(const jl_awq *a, uint64_t first, uint64_t o, uint8_t *dst)
{
    jl_block_q4_1 b = {.d = jl_awq_scale(a, first, o)};

    b.m = jl_f32_to_f16(-(float)jl_awq_zero(a, first, o) * jl_f16_to_f32(b.d));
    for (uint64_t j = 0; j < 16; j++)
        b.qs[j] =
            (uint8_t)(jl_awq_value(a, first + j, o) | jl_awq_value(a, first + j + 16, o) << 4);
    memcpy(dst, &b, sizeof b);
}

static void put_awq4(const jl_awq *a, uint64_t first, uint64_t o, uint8_t *dst)
{
    const uint16_t d = jl_awq_scale(a, first, o);
    jl_block_awq4 b = {.d = {(uint8_t)(d & 255), (uint8_t)(d >> 8)}};

    b.zero = (uint8_t)jl_awq_zero(a, first, o);
    for (uint64_t j = 0; j < 16; j++)
        b.qs[j] =
            (uint8_t)(jl_awq_value(a, first + j, o) | jl_awq_value(a, first + j + 16, o) << 4);
    memcpy(dst, &b, sizeof b);
}

void jl_awq_row(const jl_awq *a, uint64_t o, jl_type type, uint8_t *dst)
{
    if (type == JL_TYPE_AWQ4) {
        for (uint64_t i = 0; i < a->n_in; i += 32)
            put_awq4(a, i, o, dst + i / 32 * sizeof(jl_block_awq4));
        return;
    }
    if (type == JL_TYPE_Q4_1) {
        for (uint64_t i = 0; i < a->n_in; i += 32)
            put_q4_1(a, i, o, dst + i / 32 * sizeof(jl_block_q4_1));
        return;
    }
    for (uint64_t i = 0; i < a->n_in; i++) {
        const float w = weight(a, i, o);
        const uint16_t h = jl_f32_to_f16(w);
        if (type == JL_TYPE_F32)
            memcpy(dst + 4 * i, &w, sizeof w);
        else
            memcpy(dst + 2 * i, &h, sizeof h);
    }
}
