/* Rows of weights: dequantisation and dot products, docs/numerics.md sections 2 and 3. */
#include <assert.h>
#include <math.h>

#include "quant/blocks.h"
#include "quant/float16.h"
#include "quant/quant.h"
#include "quant/unpack.h"

static jl_unpack32_fn *const unpackers[JL_TYPE_MAX] = {
#define FN(type, name) [JL_TYPE_##type] = jl_unpack32_##name,
    JL_UNPACK_LIST(FN)
#undef FN
};

jl_unpack32_fn *jl_unpack32_get(jl_type type)
{
    return (uint32_t)type < JL_TYPE_MAX ? unpackers[type] : NULL;
}

void jl_unpack32(jl_type type, const void *row, size_t ib, jl_block32 *out)
{
    const jl_type_info *info = jl_type_get((uint32_t)type);
    const size_t per_block = info->block_len / 32;

    assert(jl_unpack32_get(type));
    const uint8_t *block = (const uint8_t *)row + ib / per_block * info->block_bytes;
    unpackers[type](block, (unsigned)(ib % per_block), out);
}

/* Unpacks the 32-blocks of a row one after the other. */
typedef struct {
    jl_unpack32_fn *unpack;
    const uint8_t *block;
    size_t block_bytes;
    unsigned ib;
    unsigned per_block; /* 32-blocks in one block of the format */
} row_reader;

static row_reader row_open(jl_type type, const void *row)
{
    const jl_type_info *info = jl_type_get((uint32_t)type);

    assert(jl_unpack32_get(type));
    return (row_reader){unpackers[type], row, info->block_bytes, 0, info->block_len / 32};
}

static void row_next(row_reader *r, jl_block32 *out)
{
    r->unpack(r->block, r->ib, out);
    if (++r->ib == r->per_block) {
        r->ib = 0;
        r->block += r->block_bytes;
    }
}

static void dequant_half(const jl_block32 *b, int h, float *dst)
{
    const float scale = b->dw * (float)b->sc[h];
    const int8_t *w = b->w + 16 * h;

    for (int i = 0; i < 16; i++)
        dst[i] = scale * (float)w[i];
    if (!b->has_min)
        return;
    const float min = b->mw * (float)b->mn[h];
    for (int i = 0; i < 16; i++)
        dst[i] += min;
}

static void dequant_floats(jl_type type, const void *src, float *dst, size_t n)
{
    const uint16_t *half = src;

    if (type == JL_TYPE_F32)
        memcpy(dst, src, n * sizeof *dst);
    else if (type == JL_TYPE_F16)
        for (size_t i = 0; i < n; i++)
            dst[i] = jl_half_widen(half[i]);
    else
        for (size_t i = 0; i < n; i++)
            dst[i] = jl_bf16_to_f32(half[i]);
}

static bool is_float(jl_type type)
{
    return type == JL_TYPE_F32 || type == JL_TYPE_F16 || type == JL_TYPE_BF16;
}

void jl_dequant_row(jl_type type, const void *src, float *dst, size_t n)
{
    if (is_float(type)) {
        dequant_floats(type, src, dst, n);
        return;
    }

    row_reader r = row_open(type, src);
    for (size_t i = 0; i < n; i += 32) {
        jl_block32 b;
        row_next(&r, &b);
        dequant_half(&b, 0, dst + i);
        dequant_half(&b, 1, dst + i + 16);
    }
}

void jl_dequant_matrix_part(jl_type type, const void *matrix, size_t row, size_t n, size_t first,
                            float *dst, size_t len)
{
    const jl_type_info *info = jl_type_get((uint32_t)type);
    const uint64_t row_bytes = jl_row_bytes((uint32_t)type, n);
    const uint8_t *at =
        (const uint8_t *)matrix + row / info->group_rows * info->group_rows * row_bytes;

    if (type == JL_TYPE_JQ4)
        jl_jq4_dequant(at, row % JL_JQ4_ROWS, n, first, dst, len);
    else
        jl_dequant_row(type, at + first / info->block_len * info->block_bytes, dst, len);
}

void jl_dequant_matrix_row(jl_type type, const void *matrix, size_t row, float *dst, size_t n)
{
    jl_dequant_matrix_part(type, matrix, row, n, 0, dst, n);
}

static int dot16(const int8_t *w, const int8_t *q)
{
    int s = 0;

    for (int i = 0; i < 16; i++)
        s += w[i] * q[i];
    return s;
}

float jl_dot_row(jl_type type, const void *w, const jl_act_row *a, size_t n)
{
    row_reader r = row_open(type, w);
    float acc = 0.0f;

    for (size_t ib = 0; ib < n / 32; ib++) {
        const int8_t *q = a->q + 32 * ib;
        const int16_t *sum = a->sum + 2 * ib;
        jl_block32 b;

        row_next(&r, &b);
        const int isum = b.sc[0] * dot16(b.w, q) + b.sc[1] * dot16(b.w + 16, q + 16);
        acc = fmaf((float)isum, b.dw * a->d[ib], acc);
        if (b.has_min) {
            const int msum = b.mn[0] * sum[0] + b.mn[1] * sum[1];
            acc = fmaf((float)msum, b.mw * a->d[ib], acc);
        }
    }
    return acc;
}

float jl_dot_row_f(jl_type type, const void *w, const float *x, size_t n)
{
    float lane[16] = {0};
    float wide[16];
    const size_t w_bytes = type == JL_TYPE_F32 ? 4 : 2;

    assert(is_float(type));
    for (size_t i = 0; i < n; i += 16) {
        const size_t len = n - i < 16 ? n - i : 16;
        dequant_floats(type, (const uint8_t *)w + i * w_bytes, wide, len);
        for (size_t l = 0; l < len; l++)
            lane[l] = fmaf(wide[l], x[i + l], lane[l]);
    }
    for (size_t step = 8; step > 0; step /= 2)
        for (size_t l = 0; l < step; l++)
            lane[l] += lane[l + step];
    return lane[0];
}
