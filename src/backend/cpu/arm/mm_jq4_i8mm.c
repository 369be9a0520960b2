/* JQ4 with smmla (Armv8.6 i8mm): 64 rows of a segment are expanded to vectors of 2 rows x 8
 * columns, [columns / 8][8][2 rows][8] for every 16 rows, and meet pairs of columns of activations,
 * packed alike: 16 rows x 6 columns are 24 sums of 2 x 2. The chains live in y between segments. */
#include "backend/cpu/arm/mm_jq4_neon_inl.h"

enum { TILE_GROUPS = 4, TILE_COLS = 6, PAIRS = TILE_COLS / 2, ROW_PAIRS = JL_JQ4_ROWS / 2 };

typedef struct {
    _Alignas(64) int8_t w[TILE_GROUPS][SEGMENT / 8][ROW_PAIRS][16];
    int8_t q[SEGMENT / 8][PAIRS][16];
} jq4_scratch;

typedef struct {
    jq4_scratch *s;
    jq4_col col[TILE_COLS];
    size_t k, len; /* one segment */
    size_t n_cols; /* of the block: 1 .. TILE_COLS */
    float *y;      /* first row, first column */
    size_t y_stride;
    bool last; /* the row ends here: its scale is due */
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

/* The block's columns in pairs; a missing partner repeats the last column. */
ALWAYS void pack_pairs(const jq4_part *p)
{
    for (size_t c = 0; c < p->n_cols; c += 2) {
        const int8_t *q0 = p->col[c].q + p->k;
        const int8_t *q1 = p->col[c + 1 < p->n_cols ? c + 1 : c].q + p->k;
        for (size_t i = 0; i < p->len; i += 8)
            vst1q_s8(p->s->q[i / 8][c / 2], vcombine_s8(vld1_s8(q0 + i), vld1_s8(q1 + i)));
    }
}

/* Sums of two pairs of rows, 2 x 2 each, onto one column of y. */
ALWAYS void store_quad(const jq4_part *p, size_t c, int32x4_t sums, float32x4_t scale, float *y)
{
    const float32x4_t acc = p->k ? vld1q_f32(y) : vdupq_n_f32(0);
    const float32x4_t d = vdupq_n_f32(p->col[c].d[p->k / SEGMENT]);
    const float32x4_t v = vfmaq_f32(acc, vcvtq_f32_s32(sums), d);

    vst1q_f32(y, p->last ? vmulq_f32(scale, v) : v);
}

/* 16 rows by C pairs of columns. */
ALWAYS void gemm_block(const jq4_part *p, const jq4_group *g, size_t group, int C)
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
    for (int c = 0; c < C; c++)
#pragma GCC unroll 4
        for (int quad = 0; quad < QUADS; quad++) {
            const size_t at = 2 * (size_t)c;
            const float32x4_t scale = row_scales(g, quad);
            const int32x4_t a = sums[2 * quad][c];
            const int32x4_t b = sums[2 * quad + 1][c];
            float *y = p->y + at * p->y_stride + 16 * group + 4 * (size_t)quad;
            store_quad(p, at, vuzp1q_s32(a, b), scale, y);
            if (at + 1 < p->n_cols)
                store_quad(p, at + 1, vuzp2q_s32(a, b), scale, y + p->y_stride);
        }
}

static void gemm_groups(const jq4_part *p, const jq4_group *g, size_t n_groups)
{
    for (size_t i = 0; i < n_groups; i++)
        switch ((p->n_cols + 1) / 2) {
        case 1: gemm_block(p, &g[i], i, 1); break;
        case 2: gemm_block(p, &g[i], i, 2); break;
        default: gemm_block(p, &g[i], i, 3); break;
        }
}

static void gemm_columns(const jl_mm_args *a, jq4_part *p, const jq4_group *g, size_t n_groups,
                         size_t row)
{
    for (size_t c = 0; c < a->n_cols; c += p->n_cols) {
        p->n_cols = a->n_cols - c < TILE_COLS ? a->n_cols - c : TILE_COLS;
        for (size_t i = 0; i < p->n_cols; i++)
            p->col[i] = column_at(a, c + i);
        p->y = a->y + c * a->y_stride + row;
        pack_pairs(p);
        gemm_groups(p, g, n_groups);
    }
}

static void gemm(const jl_mm_args *a)
{
    jq4_part p = {.s = a->scratch, .y_stride = a->y_stride};

    for (size_t r = 0; r < a->n_rows; r += TILE_GROUPS * JL_JQ4_ROWS) {
        const size_t left = (a->n_rows - r) / JL_JQ4_ROWS;
        const size_t n_groups = left < TILE_GROUPS ? left : TILE_GROUPS;
        jq4_group g[TILE_GROUPS];
        for (size_t i = 0; i < n_groups; i++)
            g[i] = group_at(a, r + JL_JQ4_ROWS * i);
        for (p.k = 0; p.k < a->n_in; p.k += SEGMENT) {
            p.len = segment_end(a, p.k) - p.k;
            p.last = p.k + p.len == a->n_in;
            for (size_t i = 0; i < n_groups; i++)
                expand_group(&g[i], &p, i);
            gemm_columns(a, &p, g, n_groups, r);
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
