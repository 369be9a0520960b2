/* Quantised matrix products with SME: 256 rows and up to 32 columns are laid out as bytes for
 * `smopa`, groups of VL rows (columns) x 4 k, where VL is the number of 32-bit lanes of a streaming
 * vector, 4 to 16; then streaming mode is entered once for all of them.
 *
 * ZA tile 0 takes the integer sums of a block (of its first half where halves have scales of their
 * own, and tile 1 the second's), tile 2 the products dw * da as an outer product onto +0, tile 3
 * the F32 chains, row = weight row, column = activation column.
 *
 * An outer product onto +0 turns a product of -0 into +0. The chain cannot tell: it starts at +0
 * and never becomes -0, since isum * dw * da is exact where it is small. */
#ifndef JL_BACKEND_CPU_ARM_MM_SME_INL_H
#define JL_BACKEND_CPU_ARM_MM_SME_INL_H

#include <arm_sme.h>

#include "backend/cpu/arm/arm.h"
#include "backend/cpu/arm/mm_formats_neon_inl.h"
#include "backend/cpu/arm/sme_pack_inl.h"

enum {
    SME_ROWS = 256,
    SME_COLS = 32,
    MAX_VL = 16,
    ZA0 = 0x11, /* masks of the 32-bit tiles for svzero_mask_za */
    ZA1 = 0x22,
    ZA2 = 0x44,
    ZA3 = 0x88,
};

/* Expanded weights and columns. Rows (columns) r are at group r / VL, lane r % VL: in every block
 * the groups follow each other as [8 k4][VL][4 k]. */
typedef struct {
    int8_t w[TILE_BLOCKS][SME_ROWS * 32];
    float dw[TILE_BLOCKS][SME_ROWS], mw[TILE_BLOCKS][SME_ROWS];
    int32_t sc[TILE_BLOCKS][2][SME_ROWS], mn[TILE_BLOCKS][2][SME_ROWS];
    int8_t q[TILE_BLOCKS][SME_COLS * 32];
    float da[TILE_BLOCKS][SME_COLS];
    int32_t sum[TILE_BLOCKS][2][SME_COLS];
} mm_tile;

typedef struct {
    bool has_min, halves;
} mm_kind;

typedef struct {
    const mm_tile *tile;
    size_t n_blocks, n_rows, n_cols;
    float *y; /* row 0, column 0 */
    size_t y_stride;
    bool resume; /* chains continue from y */
} sme_part;

/* ---- layout */

/* Where row `row` of a block has k = 16 h .. 16 h + 3; each next 4 k lie 4 VL bytes on. */
ALWAYS int8_t *quad_at(int8_t *block, size_t row, int h, size_t vl)
{
    return block + row / vl * vl * 32 + row % vl * 4 + 16 * vl * (size_t)h;
}

ALWAYS void put_scale(bool has_min, bool halves, const mm_scale *s, mm_tile *t, size_t b,
                      size_t row)
{
    vst1q_f32(&t->dw[b][row], s->dw);
    if (has_min)
        vst1q_f32(&t->mw[b][row], s->mw);
    for (int i = 0; i < 2 && halves; i++) {
        vst1q_s32(&t->sc[b][i][row], s->sc[i]);
        if (has_min)
            vst1q_s32(&t->mn[b][i][row], s->mn[i]);
    }
}

/* Blocks first .. first + n - 1 of rows row .. row + 3 of the tile. */
typedef void mm_expand_fn(const row_set *rows, size_t first, size_t n, mm_tile *t, size_t row,
                          size_t vl);

ALWAYS void expand_format(const mm_format *f, const row_set *rows, size_t first, size_t n,
                          mm_tile *t, size_t row, size_t vl)
{
    for (size_t b = 0; b < n; b += (size_t)f->per) {
        const size_t at = (first + b) / (size_t)f->per * f->bytes;
        mm_head h;
        f->head(rows, at, &h);
#pragma GCC unroll 8
        for (int ib = 0; ib < f->per; ib++) {
            int8x16_t w[2][4];
            mm_scale s;
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                int8x16_t out[2];
                f->weights(rows->p[i] + at, ib, out);
                w[0][i] = out[0];
                w[1][i] = out[1];
            }
            put_quads(w[0], quad_at(t->w[b + (size_t)ib], row, 0, vl), 4 * vl);
            put_quads(w[1], quad_at(t->w[b + (size_t)ib], row, 1, vl), 4 * vl);
            f->scale(&h, ib, &s);
            put_scale(f->has_min, f->halves, &s, t, b + (size_t)ib, row);
        }
    }
}

/* Columns c .. c + 3 of the part; those past the end repeat the last one. */
static void pack_columns(bool has_min, const jl_mm_args *a, size_t c, size_t n, size_t first,
                         size_t n_blocks, mm_tile *t, size_t at, size_t vl)
{
    mm_col col[4];

    for (size_t i = 0; i < 4; i++)
        col[i] = mm_column(a, c + (i < n ? i : n - 1));
    for (size_t b = 0; b < n_blocks; b++) {
        for (int h = 0; h < 2; h++) {
            int8x16_t q[4];
            for (size_t i = 0; i < 4; i++) {
                q[i] = vld1q_s8(col[i].q + 32 * (first + b) + 16 * h);
                if (has_min)
                    t->sum[b][h][at + i] = col[i].sum[2 * (first + b) + (size_t)h];
            }
            put_quads(q, quad_at(t->q[b], at, h, vl), 4 * vl);
        }
        for (size_t i = 0; i < 4; i++)
            t->da[b][at + i] = col[i].d[first + b];
    }
}

/* ---- streaming mode: no call leaves it, no NEON */

/* Sums of k4 groups begin .. end - 1 into a ZA tile (a constant, so a macro). */
#define SME_SUMS(tile, w, q, vl, begin, end)                                                       \
    for (size_t k = begin; k < (end); k++)                                                         \
    svmopa_za32_s8_m(tile, svptrue_b8(), svptrue_b8(), svld1_s8(svptrue_b8(), (w) + 4 * (vl)*k),   \
                     svld1_s8(svptrue_b8(), (q) + 4 * (vl)*k))

/* One row of the ZA tiles: its chain takes the block's step. */
ALWAYS void sme_row(const mm_kind *f, const mm_tile *t, size_t b, size_t row, size_t col,
                    uint32_t r) __arm_streaming __arm_inout("za")
{
    const svbool_t all = svptrue_b32();
    const svint32_t none = svdup_n_s32(0);
    svint32_t s = svread_hor_za32_s32_m(none, all, 0, r);
    svfloat32_t acc = svread_hor_za32_f32_m(svdup_n_f32(0.0f), all, 3, r);

    if (f->halves) {
        s = svmul_n_s32_x(all, s, t->sc[b][0][row + r]);
        s = svmla_n_s32_x(all, s, svread_hor_za32_s32_m(none, all, 1, r), t->sc[b][1][row + r]);
    }
    acc = svmla_f32_x(all, acc, svcvt_f32_s32_x(all, s),
                      svread_hor_za32_f32_m(svdup_n_f32(0.0f), all, 2, r));
    if (f->has_min) {
        svint32_t s0 = svld1_s32(all, &t->sum[b][0][col]);
        svint32_t s1 = svld1_s32(all, &t->sum[b][1][col]);
        if (f->halves) {
            s0 = svmul_n_s32_x(all, s0, t->mn[b][0][row + r]);
            s1 = svmul_n_s32_x(all, s1, t->mn[b][1][row + r]);
        }
        const svfloat32_t mw =
            svmul_n_f32_x(all, svld1_f32(all, &t->da[b][col]), t->mw[b][row + r]);
        acc = svmla_f32_x(all, acc, svcvt_f32_s32_x(all, svadd_s32_x(all, s0, s1)), mw);
    }
    svwrite_hor_za32_f32_m(3, r, all, acc);
}

#ifdef __ARM_FEATURE_SME2
/* The same for all rows, four at a time: vector 4 r + t of ZA is row r of tile t, and a group of
 * four takes every VL-th vector. Plain formats only; tile 1 holds mw * da. */
ALWAYS void sme_rows(const mm_kind *f, const mm_tile *t, size_t b, size_t col,
                     uint32_t vl) __arm_streaming __arm_inout("za")
{
    const svbool_t all = svptrue_b32();
    const svint32_t sum = svadd_s32_x(all, svld1_s32(all, &t->sum[b][0][col]),
                                      svld1_s32(all, &t->sum[b][1][col]));
    const svfloat32_t ms = svcvt_f32_s32_x(all, sum);

    for (uint32_t v = 0; v < vl; v += 4) {
        svmla_za32_f32_vg1x4(v + 3, svcvt_f32_s32_x4(svread_za32_s32_vg1x4(v)),
                             svread_za32_f32_vg1x4(v + 2));
        if (f->has_min)
            svmla_za32_f32_vg1x4(v + 3, svcreate4_f32(ms, ms, ms, ms),
                                 svread_za32_f32_vg1x4(v + 1));
    }
}
#endif

ALWAYS void sme_block(const mm_kind *f, const mm_tile *t, size_t b, size_t row, size_t col,
                      size_t vl) __arm_streaming __arm_inout("za")
{
    const svbool_t all = svptrue_b32();
    const int8_t *w = t->w[b] + 32 * row;
    const int8_t *q = t->q[b] + 32 * col;
    const svfloat32_t da = svld1_f32(all, &t->da[b][col]);

    svzero_mask_za(ZA0 | ZA1 | ZA2);
    if (f->halves) {
        SME_SUMS(0, w, q, vl, 0, 4);
        SME_SUMS(1, w, q, vl, 4, 8);
    } else {
        SME_SUMS(0, w, q, vl, 0, 8);
    }
    svmopa_za32_f32_m(2, all, all, svld1_f32(all, &t->dw[b][row]), da);
#ifdef __ARM_FEATURE_SME2
    if (!f->halves) {
        if (f->has_min)
            svmopa_za32_f32_m(1, all, all, svld1_f32(all, &t->mw[b][row]), da);
        sme_rows(f, t, b, col, (uint32_t)vl);
        return;
    }
#endif
    for (uint32_t r = 0; r < vl; r++)
        sme_row(f, t, b, row, col, r);
}

/* The chains of VL rows x VL columns over the blocks of the tile. */
ALWAYS void sme_square(const mm_kind *f, const sme_part *p, size_t row, size_t col,
                       size_t vl) __arm_streaming __arm_inout("za")
{
    const svbool_t rows = svwhilelt_b32_u64(row, p->n_rows);
    const size_t n_cols = p->n_cols - col < vl ? p->n_cols - col : vl;
    float *y = p->y + col * p->y_stride + row;

    svzero_mask_za(ZA3);
    if (p->resume)
        for (size_t c = 0; c < n_cols; c++)
            svld1_ver_za32(3, (uint32_t)c, rows, y + c * p->y_stride);
    for (size_t b = 0; b < p->n_blocks; b++)
        sme_block(f, p->tile, b, row, col, vl);
    for (size_t c = 0; c < n_cols; c++)
        svst1_ver_za32(3, (uint32_t)c, rows, y + c * p->y_stride);
}

ALWAYS void sme_part_any(const mm_kind *f, const sme_part *p) __arm_streaming __arm_inout("za")
{
    const size_t vl = svcntw();

    for (size_t row = 0; row < p->n_rows; row += vl)
        for (size_t col = 0; col < p->n_cols; col += vl)
            sme_square(f, p, row, col, vl);
}

/* Enters streaming mode with a ZA of its own and leaves both as they were. */
__arm_locally_streaming __arm_new("za") static void sme_run(bool has_min, bool halves,
                                                            const sme_part *p)
{
    const mm_kind plain = {false, false};
    const mm_kind with_min = {true, false};
    const mm_kind with_halves = {false, true};
    const mm_kind halves_min = {true, true};

    if (halves && has_min)
        sme_part_any(&halves_min, p);
    else if (halves)
        sme_part_any(&with_halves, p);
    else if (has_min)
        sme_part_any(&with_min, p);
    else
        sme_part_any(&plain, p);
}

/* ---- the loops around it */

static void expand_rows(mm_expand_fn *expand, const jl_mm_args *a, size_t row, size_t first,
                        size_t n_blocks, size_t vl)
{
    for (size_t r = 0; r < SME_ROWS && (row + r) / vl * vl < a->n_rows; r += 4) {
        row_set rows;
        for (size_t i = 0; i < 4; i++) {
            const size_t at = row + r + i;
            rows.p[i] = a->w + (at < a->n_rows ? at : a->n_rows - 1) * a->w_stride;
        }
        expand(&rows, first, n_blocks, a->scratch, r, vl);
    }
}

static void sme_columns(bool has_min, bool halves, const jl_mm_args *a, sme_part *p, size_t row,
                        size_t first, size_t vl)
{
    for (size_t c = 0; c < a->n_cols; c += SME_COLS) {
        p->n_cols = a->n_cols - c < SME_COLS ? a->n_cols - c : SME_COLS;
        p->y = a->y + c * a->y_stride + row;
        for (size_t i = 0; i / vl * vl < p->n_cols && i < SME_COLS; i += 4) {
            const size_t left = p->n_cols > i ? p->n_cols - i : 0;
            pack_columns(has_min, a, left ? c + i : c, left ? left : 1, first, p->n_blocks,
                         a->scratch, i, vl);
        }
        sme_run(has_min, halves, p);
    }
}

static void mm_sme(bool has_min, bool halves, mm_expand_fn *expand, const jl_mm_args *a)
{
    const size_t vl = svcntsw();
    const size_t blocks = a->n_in / 32;
    sme_part p = {.tile = a->scratch, .y_stride = a->y_stride};

    for (size_t row = 0; row < a->n_rows; row += SME_ROWS)
        for (size_t b = 0; b < blocks; b += TILE_BLOCKS) {
            p.n_rows = a->n_rows - row < SME_ROWS ? a->n_rows - row : SME_ROWS;
            p.n_blocks = blocks - b < TILE_BLOCKS ? blocks - b : TILE_BLOCKS;
            p.resume = b > 0;
            expand_rows(expand, a, row, b, p.n_blocks, vl);
            sme_columns(has_min, halves, a, &p, row, b, vl);
        }
}

/* mm_<name>: SME for several columns; one column has no use for it. */
#define SME_KERNEL(type, name, bytes, per, has_min, halves, head, scale)                           \
    static void expand_##name(const row_set *rows, size_t first, size_t n, mm_tile *t, size_t row, \
                              size_t vl)                                                           \
    {                                                                                              \
        expand_format(&fmt_##name, rows, first, n, t, row, vl);                                    \
    }                                                                                              \
    static void mm_##name(const jl_mm_args *a)                                                     \
    {                                                                                              \
        if (a->n_cols == 1)                                                                        \
            jl_arm_mm_any_i8mm(JL_TYPE_##type, a);                                                 \
        else                                                                                       \
            mm_sme(has_min, halves, expand_##name, a);                                             \
    }
FORMAT_LIST(SME_KERNEL)

ALWAYS void mm_init(jl_cpu_kernels *k)
{
    k->mm_tile_rows = SME_ROWS;
#define SME_SLOT(type, name, ...) k->mm[JL_TYPE_##type] = mm_##name;
    FORMAT_LIST(SME_SLOT)
#undef SME_SLOT
    k->mm_scratch = k->mm_scratch > sizeof(mm_tile) ? k->mm_scratch : sizeof(mm_tile);
}

#endif
