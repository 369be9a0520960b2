/* JQ4 with several columns, sdot or plain NEON: 16 rows are expanded, [columns / 4][4][4 rows][4],
 * and multiplied with 4 columns at a time; the chains live in y between segments. */
#ifndef JL_BACKEND_CPU_ARM_MM_JQ4_GEMM_NEON_INL_H
#define JL_BACKEND_CPU_ARM_MM_JQ4_GEMM_NEON_INL_H

#include "backend/cpu/arm/mm_jq4_neon_inl.h"

enum { TILE_COLS = 4 };

typedef struct {
    _Alignas(64) int8_t w[SEGMENT / 4][QUADS][16];
} jq4_scratch;

typedef struct {
    const jq4_scratch *s;
    jq4_col col[TILE_COLS];
    size_t k, len; /* columns of the weights in the tile: one segment */
    float *y;      /* first row, first column */
    size_t y_stride;
    const float32x4_t *scale; /* of the four quads, on the last segment; else NULL */
} jq4_part;

/* Sums of 16 rows by C columns. Lane numbers are part of the instruction. */
ALWAYS void gemm_sums(const jq4_part *p, int C, int32x4_t sums[TILE_COLS][QUADS])
{
    for (size_t i = 0; i < p->len; i += 16) {
        int8x16_t q[TILE_COLS];
#pragma GCC unroll 4
        for (int c = 0; c < C; c++)
            q[c] = vld1q_s8(p->col[c].q + p->k + i);
#define STEP(lane)                                                                                 \
    {                                                                                              \
        int8x16_t w[QUADS];                                                                        \
        _Pragma("GCC unroll 4") for (int j = 0; j < QUADS; j++)                                    \
            w[j] = vld1q_s8(p->s->w[i / 4 + (lane)][j]);                                           \
        _Pragma("GCC unroll 4") for (int c = 0; c < C; c++)                                        \
            _Pragma("GCC unroll 4") for (int j = 0; j < QUADS; j++)                                \
                sums[c][j] = DOT_LANE(sums[c][j], w[j], q[c], lane);                        \
    }
        STEP(0)
        STEP(1)
        STEP(2)
        STEP(3)
#undef STEP
    }
}

ALWAYS void gemm_block(const jq4_part *p, int C)
{
    int32x4_t sums[TILE_COLS][QUADS];

#pragma GCC unroll 4
    for (int c = 0; c < C; c++)
#pragma GCC unroll 4
        for (int j = 0; j < QUADS; j++)
            sums[c][j] = vdupq_n_s32(0);
    gemm_sums(p, C, sums);
#pragma GCC unroll 4
    for (int c = 0; c < C; c++) {
        const float32x4_t d = vdupq_n_f32(p->col[c].d[p->k / SEGMENT]);
#pragma GCC unroll 4
        for (int j = 0; j < QUADS; j++) {
            float *y = p->y + (size_t)c * p->y_stride + 4 * j;
            const float32x4_t acc = p->k ? vld1q_f32(y) : vdupq_n_f32(0);
            const float32x4_t v = vfmaq_f32(acc, vcvtq_f32_s32(sums[c][j]), d);
            vst1q_f32(y, p->scale ? vmulq_f32(p->scale[j], v) : v);
        }
    }
}

static void gemm_columns(const jl_mm_args *a, jq4_part *p, size_t row)
{
    size_t width;

    for (size_t c = 0; c < a->n_cols; c += width) {
        width = jl_even_part(a->n_cols - c, TILE_COLS);
        for (size_t i = 0; i < width; i++)
            p->col[i] = column_at(a, c + i);
        p->y = a->y + c * a->y_stride + row;
        switch (width) {
        case 1: gemm_block(p, 1); break;
        case 2: gemm_block(p, 2); break;
        case 3: gemm_block(p, 3); break;
        default: gemm_block(p, 4); break;
        }
    }
}

static void gemm(const jl_mm_args *a)
{
    jq4_scratch *s = a->scratch;
    jq4_part p = {.s = s, .y_stride = a->y_stride};

    for (size_t r = 0; r < a->n_rows; r += JL_JQ4_ROWS) {
        const jq4_group w = group_at(a, r);
        const float32x4_t scale[QUADS] = {row_scales(&w, 0), row_scales(&w, 1), row_scales(&w, 2),
                                          row_scales(&w, 3)};
        for (p.k = 0; p.k < a->n_in; p.k += SEGMENT) {
            p.len = segment_end(a, p.k) - p.k;
            p.scale = p.k + p.len == a->n_in ? scale : NULL;
            for (size_t i = 0; i < p.len; i += 8) {
                for (int quad = 0; quad < QUADS; quad++) {
                    int8x16_t v[2];
                    expand8(&w, (p.k + i) / 8, quad, v);
                    vst1q_s8(s->w[i / 4][quad], v[0]);
                    vst1q_s8(s->w[i / 4 + 1][quad], v[1]);
                }
            }
            gemm_columns(a, &p, r);
        }
    }
}

static void mm_jq4(const jl_mm_args *a)
{
    if (a->n_cols == 1)
        gemv(a);
    else
        gemm(a);
}

ALWAYS void mm_jq4_init(jl_cpu_kernels *k)
{
    k->mm[JL_TYPE_JQ4] = mm_jq4;
    k->mm_scratch = k->mm_scratch > sizeof(jq4_scratch) ? k->mm_scratch : sizeof(jq4_scratch);
}

#endif
