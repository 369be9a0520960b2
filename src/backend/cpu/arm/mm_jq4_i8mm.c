/* JQ4 with smmla (Armv8.6 i8mm): 64 rows of a segment are expanded to vectors of 2 rows x 8
 * columns, [columns / 8][8][2 rows][8] for every 16 rows, and meet pairs of columns of activations,
 * packed alike: 16 rows x 6 columns are 24 sums of 2 x 2. The chains live in y between segments. */
#include "backend/cpu/arm/mm_jq4_neon_inl.h"

enum { TILE_GROUPS = 4, TILE_COLS = 6, PAIRS = TILE_COLS / 2, ROW_PAIRS = JL_JQ4_ROWS / 2 };

typedef struct {
    _Alignas(64) int8_t w[TILE_GROUPS][SEGMENT / 8][ROW_PAIRS][16];
    int8_t q[SEGMENT / 8][PAIRS][16];
    float scale[TILE_GROUPS][JL_JQ4_ROWS]; /* of the rows, or ones before the row's end */
    float zeros[JL_JQ4_ROWS];              /* where chains start from */
    float unused[JL_JQ4_ROWS];             /* outputs of the missing half of a pair */
} jq4_scratch;

typedef struct {
    jq4_scratch *s;
    jq4_col col[TILE_COLS];
    size_t k, len; /* one segment */
    size_t n_cols; /* of the block: 1 .. TILE_COLS */
    float *y;      /* first row, first column */
    size_t y_stride;
} jq4_part;

ALWAYS void expand_group(const jq4_group *w, const jq4_part *p, size_t group)
{
    for (size_t i = 0; i < p->len; i += 8)
        for (int quad = 0; quad < QUADS; quad++) {
            int8x16_t v[2];
            expand8(w, (p->k + i) / 8, quad, v);
            const int32x4_t a = vreinterpretq_s32_s8(v[0]);
            const int32x4_t b = vreinterpretq_s32_s8(v[1]);
            int8_t(*out)[16] = &p->s->w[group][i / 8][2 * quad];
            vst1q_s8(out[0], vreinterpretq_s8_s32(vzip1q_s32(a, b)));
            vst1q_s8(out[1], vreinterpretq_s8_s32(vzip2q_s32(a, b)));
        }
}

ALWAYS void put_scales(const jq4_group *g, bool due, float out[JL_JQ4_ROWS])
{
    for (int quad = 0; quad < QUADS; quad++)
        vst1q_f32(out + 4 * quad, due ? row_scales(g, quad) : vdupq_n_f32(1.0f));
}

/* The block's columns in pairs; a missing partner repeats the last column. */
ALWAYS void pack_pairs(const jq4_part *p)
{
    for (size_t c = 0; c < p->n_cols; c += 2) {
        const int8_t *q0 = p->col[c].q + p->k;
        const int8_t *q1 = p->col[c + 1 < p->n_cols ? c + 1 : c].q + p->k;
        int8_t *out = p->s->q[0][c / 2];
        for (size_t left = p->len; left > 0; left -= 32) {
#pragma GCC unroll 2
            for (int i = 0; i < 2; i++) {
                const int64x2_t a = vreinterpretq_s64_s8(vld1q_s8(q0 + 16 * i));
                const int64x2_t b = vreinterpretq_s64_s8(vld1q_s8(q1 + 16 * i));
                vst1q_s8(out + 32 * PAIRS * i, vreinterpretq_s8_s64(vzip1q_s64(a, b)));
                vst1q_s8(out + 32 * PAIRS * i + 16 * PAIRS, vreinterpretq_s8_s64(vzip2q_s64(a, b)));
            }
            q0 += 32;
            q1 += 32;
            out += 64 * PAIRS;
        }
    }
}

/* Sums of 16 rows onto one column of y. */
ALWAYS void store_column(const jq4_part *p, size_t c, size_t group, const int32x4_t sums[QUADS])
{
    float *y = c < p->n_cols ? p->y + c * p->y_stride + JL_JQ4_ROWS * group : p->s->unused;
    const float *from = p->k ? y : p->s->zeros;
    const float32x4_t d = vdupq_n_f32(p->col[c < p->n_cols ? c : 0].d[p->k / SEGMENT]);

#pragma GCC unroll 4
    for (int i = 0; i < QUADS; i++) {
        const float32x4_t v = vfmaq_f32(vld1q_f32(from + 4 * i), vcvtq_f32_s32(sums[i]), d);
        vst1q_f32(y + 4 * i, vmulq_f32(vld1q_f32(p->s->scale[group] + 4 * i), v));
    }
}

/* 16 rows by C pairs of columns. */
ALWAYS void gemm_block(const jq4_part *p, size_t group, int C)
{
    int32x4_t sums[ROW_PAIRS][PAIRS];

#pragma GCC unroll 8
    for (int r = 0; r < ROW_PAIRS; r++)
#pragma GCC unroll 3
        for (int c = 0; c < C; c++)
            sums[r][c] = vdupq_n_s32(0);
    for (size_t i = 0; i < p->len / 8; i++) {
        int8x16_t q[PAIRS];
#pragma GCC unroll 3
        for (int c = 0; c < C; c++)
            q[c] = vld1q_s8(p->s->q[i][c]);
#pragma GCC unroll 8
        for (int r = 0; r < ROW_PAIRS; r++) {
            const int8x16_t w = vld1q_s8(p->s->w[group][i][r]);
#pragma GCC unroll 3
            for (int c = 0; c < C; c++)
                sums[r][c] = vmmlaq_s32(sums[r][c], w, q[c]);
        }
    }
#pragma GCC unroll 3
    for (int c = 0; c < C; c++) {
        int32x4_t even[QUADS];
        int32x4_t odd[QUADS];
#pragma GCC unroll 4
        for (int i = 0; i < QUADS; i++) {
            even[i] = vuzp1q_s32(sums[2 * i][c], sums[2 * i + 1][c]);
            odd[i] = vuzp2q_s32(sums[2 * i][c], sums[2 * i + 1][c]);
        }
        store_column(p, 2 * (size_t)c, group, even);
        store_column(p, 2 * (size_t)c + 1, group, odd);
    }
}

static void gemm_groups(const jq4_part *p, size_t n_groups)
{
    for (size_t i = 0; i < n_groups; i++)
        switch ((p->n_cols + 1) / 2) {
        case 1: gemm_block(p, i, 1); break;
        case 2: gemm_block(p, i, 2); break;
        default: gemm_block(p, i, 3); break;
        }
}

static void gemm_columns(const jl_mm_args *a, jq4_part *p, size_t n_groups, size_t row)
{
    for (size_t c = 0; c < a->n_cols; c += p->n_cols) {
        p->n_cols = a->n_cols - c < TILE_COLS ? a->n_cols - c : TILE_COLS;
        for (size_t i = 0; i < p->n_cols; i++)
            p->col[i] = column_at(a, c + i);
        p->y = a->y + c * a->y_stride + row;
        pack_pairs(p);
        gemm_groups(p, n_groups);
    }
}

static void gemm(const jl_mm_args *a)
{
    jq4_part p = {.s = a->scratch, .y_stride = a->y_stride};

    for (int i = 0; i < JL_JQ4_ROWS; i++)
        p.s->zeros[i] = p.s->unused[i] = 0.0f;
    for (size_t r = 0; r < a->n_rows; r += TILE_GROUPS * JL_JQ4_ROWS) {
        const size_t left = (a->n_rows - r) / JL_JQ4_ROWS;
        const size_t n_groups = left < TILE_GROUPS ? left : TILE_GROUPS;
        jq4_group g[TILE_GROUPS];
        for (size_t i = 0; i < n_groups; i++)
            g[i] = group_at(a, r + JL_JQ4_ROWS * i);
        for (p.k = 0; p.k < a->n_in; p.k += SEGMENT) {
            p.len = segment_end(a, p.k) - p.k;
            for (size_t i = 0; i < n_groups; i++) {
                expand_group(&g[i], &p, i);
                put_scales(&g[i], p.k + p.len == a->n_in, p.s->scale[i]);
            }
            gemm_columns(a, &p, n_groups, r);
        }
    }
}

void jl_arm_mm_jq4_any_i8mm(const jl_mm_args *a)
{
    if (a->n_cols == 1)
        gemv(a);
    else
        gemm(a);
}

void jl_arm_mm_jq4_i8mm(jl_cpu_kernels *k)
{
    k->mm[JL_TYPE_JQ4] = jl_arm_mm_jq4_any_i8mm;
    k->mm_scratch = k->mm_scratch > sizeof(jq4_scratch) ? k->mm_scratch : sizeof(jq4_scratch);
}
