/* JQ4 with SME: 64 rows and up to 32 columns of up to 8 segments are laid out for `smopa`, in
 * strips of 2 VL rows (columns) as [k / 4][2 VL][4 k], VL being the number of 32-bit lanes of a
 * streaming vector, 4 to 16; then streaming mode is entered once for all of them.
 *
 * The four ZA tiles take the integer sums of 2 VL rows x 2 VL columns over a whole segment: two
 * vectors of weights and two of activations make four outer products. Only after 256 columns a tile
 * is read out, a slice per row of weights, its lanes the columns. The chains lie in a small buffer
 * as ZA does; they leave it by way of ZA, since y holds columns one after the other. */
#ifndef JL_BACKEND_CPU_ARM_MM_JQ4_SME_INL_H
#define JL_BACKEND_CPU_ARM_MM_JQ4_SME_INL_H

#include <arm_sme.h>
#include <string.h>

#include "backend/cpu/arm/mm_jq4_neon_inl.h"
#include "backend/cpu/arm/sme_pack_inl.h"

enum {
    TILE_ROWS = 64,
    TILE_COLS = 32,
    TILE_SEGMENTS = 8,
    TILE_K = TILE_SEGMENTS * SEGMENT,
    MAX_VL = 16
};

typedef struct {
    _Alignas(64) int8_t w[TILE_ROWS * TILE_K]; /* [segment][strip][k / 4][2 VL][4] */
    int8_t q[TILE_COLS * TILE_K];
    float d[TILE_SEGMENTS][TILE_COLS];
    float scale[TILE_ROWS];
    float chains[4 * MAX_VL * MAX_VL];
} jq4_tile;

typedef struct {
    jq4_tile *tile;
    size_t n_k; /* columns of the weights in the tile */
    size_t n_rows, n_cols;
    float *y; /* row 0, column 0 */
    size_t y_stride;
    bool resume; /* chains continue from y */
    bool last;   /* rows end here: their scales are due */
} jq4_part;

/* Where 4 k of row (column) r lie, in a segment of n_lines rows (columns). */
ALWAYS size_t place(size_t n_lines, size_t k, size_t r, size_t vl) __arm_streaming_compatible
{
    return k / SEGMENT * SEGMENT * n_lines + r / (2 * vl) * 2 * vl * SEGMENT +
           k % SEGMENT / 4 * 8 * vl + r % (2 * vl) * 4;
}

static void expand_rows(const jl_mm_args *a, const jq4_part *p, size_t row, size_t k0, size_t vl)
{
    for (size_t r = 0; r < p->n_rows; r += JL_JQ4_ROWS) {
        const jq4_group w = group_at(a, row + r);
        for (int quad = 0; quad < QUADS; quad++) {
            const size_t line = r + 4 * (size_t)quad;
            vst1q_f32(p->tile->scale + line, row_scales(&w, quad));
            for (size_t k = 0; k < p->n_k; k += 8) {
                int8x16_t v[2];
                expand8(&w, (k0 + k) / 8, quad, v);
                vst1q_s8(p->tile->w + place(TILE_ROWS, k, line, vl), v[0]);
                vst1q_s8(p->tile->w + place(TILE_ROWS, k + 4, line, vl), v[1]);
            }
        }
    }
}

/* Columns c .. of the product as the tile's; those that fill up four repeat the last one. */
static void pack_columns(const jl_mm_args *a, const jq4_part *p, size_t c, size_t k0, size_t vl)
{
    for (size_t at = 0; at < p->n_cols; at += 4) {
        jq4_col col[4];
        for (size_t i = 0; i < 4; i++)
            col[i] = column_at(a, c + (at + i < p->n_cols ? at + i : p->n_cols - 1));
        for (size_t k = 0; k < p->n_k; k += 16) {
            int8x16_t x[4];
            for (size_t i = 0; i < 4; i++)
                x[i] = vld1q_s8(col[i].q + k0 + k);
            put_quads(x, p->tile->q + place(TILE_COLS, k, at, vl), 8 * vl);
        }
        for (size_t k = 0; k < p->n_k; k += SEGMENT)
            for (size_t i = 0; i < 4; i++)
                p->tile->d[k / SEGMENT][at + i] = col[i].d[(k0 + k) / SEGMENT];
    }
}

/* ---- streaming mode: no call leaves it, no NEON */

#define STREAMING __arm_streaming __arm_inout("za")

/* Four outer products: two vectors of weights, two of activations. */
#define OUTER(w0, w1, q0, q1)                                                                      \
    do {                                                                                           \
        svmopa_za32_s8_m(0, svptrue_b8(), svptrue_b8(), w0, q0);                                   \
        svmopa_za32_s8_m(1, svptrue_b8(), svptrue_b8(), w0, q1);                                   \
        svmopa_za32_s8_m(2, svptrue_b8(), svptrue_b8(), w1, q0);                                   \
        svmopa_za32_s8_m(3, svptrue_b8(), svptrue_b8(), w1, q1);                                   \
    } while (0)

#ifdef __ARM_FEATURE_SME2
/* 8 k a step: two multi-vector loads for eight outer products. n is a multiple of 32. */
ALWAYS void segment_sums(const int8_t *w, const int8_t *q, size_t n, size_t vl) STREAMING
{
    const svcount_t all = svptrue_c8();

    for (size_t k = 0; k < n; k += 32) {
#pragma GCC unroll 4
        for (int i = 0; i < 16; i += 4) {
            const svint8x4_t wv = svld1_vnum_s8_x4(all, w, i);
            const svint8x4_t qv = svld1_vnum_s8_x4(all, q, i);
            OUTER(svget4_s8(wv, 0), svget4_s8(wv, 1), svget4_s8(qv, 0), svget4_s8(qv, 1));
            OUTER(svget4_s8(wv, 2), svget4_s8(wv, 3), svget4_s8(qv, 2), svget4_s8(qv, 3));
        }
        w += 64 * vl;
        q += 64 * vl;
    }
}

/* Slices of a tile onto its chains, four at a time. With `out` they stay in ZA as floats, times
 * the scales of the rows where these are not NULL. The tile is part of the instruction. */
#define DRAIN(t)                                                                                   \
    ALWAYS void drain_##t(float *chain, svfloat32_t d, bool out, const float *scale,               \
                          uint32_t vl) STREAMING                                                   \
    {                                                                                              \
        const svcount_t all = svptrue_c32();                                                       \
        const svbool_t lanes = svptrue_b32();                                                      \
        for (uint32_t r = 0; r < vl; r += 4) {                                                     \
            const svfloat32x4_t s = svcvt_f32_s32_x4(svread_hor_za32_s32_vg4(t, r));               \
            const svfloat32x4_t c = svld1_f32_x4(all, chain + r * vl);                             \
            svfloat32_t v0 = svmla_f32_x(lanes, svget4_f32(c, 0), svget4_f32(s, 0), d);            \
            svfloat32_t v1 = svmla_f32_x(lanes, svget4_f32(c, 1), svget4_f32(s, 1), d);            \
            svfloat32_t v2 = svmla_f32_x(lanes, svget4_f32(c, 2), svget4_f32(s, 2), d);            \
            svfloat32_t v3 = svmla_f32_x(lanes, svget4_f32(c, 3), svget4_f32(s, 3), d);            \
            if (scale) {                                                                           \
                v0 = svmul_n_f32_x(lanes, v0, scale[r]);                                           \
                v1 = svmul_n_f32_x(lanes, v1, scale[r + 1]);                                       \
                v2 = svmul_n_f32_x(lanes, v2, scale[r + 2]);                                       \
                v3 = svmul_n_f32_x(lanes, v3, scale[r + 3]);                                       \
            }                                                                                      \
            const svfloat32x4_t v = svcreate4_f32(v0, v1, v2, v3);                                 \
            if (out)                                                                               \
                svwrite_hor_za32_f32_vg4(t, r, v);                                                 \
            else                                                                                   \
                svst1_f32_x4(all, chain + r * vl, v);                                              \
        }                                                                                          \
    }
#else
ALWAYS void segment_sums(const int8_t *w, const int8_t *q, size_t n, size_t vl) STREAMING
{
    const svbool_t all = svptrue_b8();

    for (size_t k = 0; k < n; k += 16) {
#pragma GCC unroll 4
        for (int i = 0; i < 8; i += 2)
            OUTER(svld1_vnum_s8(all, w, i), svld1_vnum_s8(all, w, i + 1), svld1_vnum_s8(all, q, i),
                  svld1_vnum_s8(all, q, i + 1));
        w += 32 * vl;
        q += 32 * vl;
    }
}

/* Slices of a tile onto its chains. With `out` they stay in ZA as floats, times the scales of the
 * rows where these are not NULL. The tile is part of the instruction. */
#define DRAIN(t)                                                                                   \
    ALWAYS void drain_##t(float *chain, svfloat32_t d, bool out, const float *scale,               \
                          uint32_t vl) STREAMING                                                   \
    {                                                                                              \
        const svbool_t all = svptrue_b32();                                                        \
        for (uint32_t r = 0; r < vl; r++) {                                                        \
            const svint32_t s = svread_hor_za32_s32_m(svdup_n_s32(0), all, t, r);                  \
            svfloat32_t v = svld1_f32(all, chain + r * vl);                                        \
            v = svmla_f32_x(all, v, svcvt_f32_s32_x(all, s), d);                                   \
            if (scale)                                                                             \
                v = svmul_n_f32_x(all, v, scale[r]);                                               \
            if (out)                                                                               \
                svwrite_hor_za32_f32_m(t, r, all, v);                                              \
            else                                                                                   \
                svst1_f32(all, chain + r * vl, v);                                                 \
        }                                                                                          \
    }
#endif

/* A tile and y, which starts at the tile's first row and column. */
#define MOVES(t)                                                                                   \
    ALWAYS void load_##t(float *chain, const float *y, size_t stride, svbool_t rows, size_t n,     \
                         uint32_t vl) STREAMING                                                    \
    {                                                                                              \
        for (uint32_t c = 0; c < n && c < vl; c++)                                                 \
            svld1_ver_za32(t, c, rows, y + c * stride);                                            \
        for (uint32_t r = 0; r < vl; r++)                                                          \
            svst1_hor_za32(t, r, svptrue_b32(), chain + r * vl);                                   \
    }                                                                                              \
    ALWAYS void store_##t(float *y, size_t stride, svbool_t rows, size_t n, uint32_t vl) STREAMING \
    {                                                                                              \
        for (uint32_t c = 0; c < n && c < vl; c++)                                                 \
            svst1_ver_za32(t, c, rows, y + c * stride);                                            \
    }

DRAIN(0)
DRAIN(1)
DRAIN(2)
DRAIN(3)
MOVES(0)
MOVES(1)
MOVES(2)
MOVES(3)

/* The chains of 2 VL rows x 2 VL columns before the tile's first column of weights. */
ALWAYS void begin_square(const jq4_part *p, const float *y, svbool_t rows0, svbool_t rows1,
                         size_t n, size_t vl) STREAMING
{
    const uint32_t v = (uint32_t)vl;
    const size_t right = n > vl ? n - vl : 0;
    float *chain = p->tile->chains;

    svzero_za();
    load_0(chain, y, p->y_stride, rows0, p->resume ? n : 0, v);
    load_1(chain + vl * vl, y + vl * p->y_stride, p->y_stride, rows0, p->resume ? right : 0, v);
    load_2(chain + 2 * vl * vl, y + vl, p->y_stride, rows1, p->resume ? n : 0, v);
    load_3(chain + 3 * vl * vl, y + vl * p->y_stride + vl, p->y_stride, rows1,
           p->resume ? right : 0, v);
}

/* One segment onto the chains. */
ALWAYS void segment_step(const jq4_part *p, size_t k, size_t row, size_t col,
                         size_t vl) STREAMING
{
    jq4_tile *t = p->tile;
    const svbool_t all = svptrue_b32();
    const size_t n = p->n_k - k < SEGMENT ? p->n_k - k : SEGMENT;
    const bool out = k + n == p->n_k;
    const float *scale = out && p->last ? t->scale + row : NULL;
    const svfloat32_t d0 = svld1_f32(all, t->d[k / SEGMENT] + col);
    const svfloat32_t d1 = svld1_f32(all, t->d[k / SEGMENT] + col + vl);
    const uint32_t v = (uint32_t)vl;

    svzero_za();
    segment_sums(t->w + place(TILE_ROWS, k, row, vl), t->q + place(TILE_COLS, k, col, vl), n, vl);
    drain_0(t->chains, d0, out, scale, v);
    drain_1(t->chains + vl * vl, d1, out, scale, v);
    drain_2(t->chains + 2 * vl * vl, d0, out, scale ? scale + vl : NULL, v);
    drain_3(t->chains + 3 * vl * vl, d1, out, scale ? scale + vl : NULL, v);
}

ALWAYS void square(const jq4_part *p, size_t row, size_t col, size_t vl) STREAMING
{
    const svbool_t rows0 = svwhilelt_b32_u64(row, p->n_rows);
    const svbool_t rows1 = svwhilelt_b32_u64(row + vl, p->n_rows);
    const size_t n = p->n_cols - col;
    const size_t right = n > vl ? n - vl : 0;
    float *y = p->y + col * p->y_stride + row;
    const uint32_t v = (uint32_t)vl;

    begin_square(p, y, rows0, rows1, n, vl);
    for (size_t k = 0; k < p->n_k; k += SEGMENT)
        segment_step(p, k, row, col, vl);
    store_0(y, p->y_stride, rows0, n, v);
    store_1(y + vl * p->y_stride, p->y_stride, rows0, right, v);
    store_2(y + vl, p->y_stride, rows1, n, v);
    store_3(y + vl * p->y_stride + vl, p->y_stride, rows1, right, v);
}

/* Enters streaming mode with a ZA of its own and leaves both as they were. */
__arm_locally_streaming __arm_new("za") static void run_part(const jq4_part *p)
{
    const size_t vl = svcntw();

    for (size_t row = 0; row < p->n_rows; row += 2 * vl)
        for (size_t col = 0; col < p->n_cols; col += 2 * vl)
            square(p, row, col, vl);
}

/* ---- the loops around it */

static void gemm(const jl_mm_args *a)
{
    const size_t vl = svcntsw();
    jq4_part p = {.tile = a->scratch, .y_stride = a->y_stride};

    /* what stands in for missing rows and columns is multiplied, but not stored */
    memset(p.tile, 0, sizeof *p.tile);
    for (size_t r = 0; r < a->n_rows; r += TILE_ROWS)
        for (size_t k = 0; k < a->n_in; k += TILE_K) {
            p.n_rows = a->n_rows - r < TILE_ROWS ? a->n_rows - r : TILE_ROWS;
            p.n_k = a->n_in - k < TILE_K ? a->n_in - k : TILE_K;
            p.resume = k > 0;
            p.last = k + p.n_k == a->n_in;
            expand_rows(a, &p, r, k, vl);
            for (size_t c = 0; c < a->n_cols; c += TILE_COLS) {
                p.n_cols = a->n_cols - c < TILE_COLS ? a->n_cols - c : TILE_COLS;
                p.y = a->y + c * a->y_stride + r;
                pack_columns(a, &p, c, k, vl);
                run_part(&p);
            }
        }
}

static void mm_jq4(const jl_mm_args *a)
{
    if (a->n_cols == 1)
        jl_arm_mm_jq4_any_i8mm(a);
    else
        gemm(a);
}

ALWAYS void mm_jq4_init(jl_cpu_kernels *k)
{
    k->mm[JL_TYPE_JQ4] = mm_jq4;
    k->mm_scratch = k->mm_scratch > sizeof(jq4_tile) ? k->mm_scratch : sizeof(jq4_tile);
}

#endif
