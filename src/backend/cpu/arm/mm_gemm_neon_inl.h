/* The product with several columns: 64 rows are expanded to signed bytes once, 64 blocks at a time,
 * then meet the columns in register blocks of 8 rows. Chains longer than the tile continue from y.
 *
 * sdot: a vector is 4 rows x 4 k, met by 4 activations of one column taken from a lane; an
 * accumulator is 4 rows of one column. smmla: a vector is 2 rows x 8 k, met by 2 columns x 8 k, and
 * an accumulator is 2 rows x 2 columns; columns are interleaved once per tile. */
#ifndef JL_BACKEND_CPU_ARM_MM_GEMM_NEON_INL_H
#define JL_BACKEND_CPU_ARM_MM_GEMM_NEON_INL_H

#include "backend/cpu/arm/mm_formats_neon_inl.h"

#ifdef __ARM_FEATURE_MATMUL_INT8
#define SMMLA 1
#else
#define SMMLA 0
#endif

enum {
    MAX_COLS = SMMLA ? 6 : 5,
    ACC_ROWS = SMMLA ? 4 : 2,  /* accumulators that cover 8 rows */
    GROUPS = TILE_ROWS / GROUP,
    PAIRS = (MAX_COLS + 1) / 2,
};

/* A block of 8 rows: [8 k4][2][4 rows][4 k] or, for smmla, [4 k8][4][2 rows][8 k]; scales are
 * vectors that match the accumulators. What a block's step reads lies behind one pointer. */
typedef struct {
    int8_t w[8 * 32];
    float dw[ACC_ROWS][4];
} mm_weights;

/* smmla: a block of columns in pairs; lane i of a scale vector belongs to column i % 2. */
typedef struct {
    int8_t q[4][PAIRS][16];
    float da[PAIRS][4];
} mm_acts;

/* Expanded weights, groups of 8 rows, and columns. */
typedef struct {
    mm_weights w[GROUPS][TILE_BLOCKS];
    float mw[GROUPS][TILE_BLOCKS][ACC_ROWS][4];
    int32_t sc[GROUPS][TILE_BLOCKS][2][ACC_ROWS][4], mn[GROUPS][TILE_BLOCKS][2][ACC_ROWS][4];
    mm_acts q[TILE_BLOCKS];
    int32_t sum[TILE_BLOCKS][2][PAIRS][4];
} mm_tile;

/* What the inner loops are compiled for. */
typedef struct {
    bool has_min, halves;
} mm_kind;

typedef struct {
    mm_tile *tile;
    size_t group, n_blocks;
    mm_col col[MAX_COLS];
    float *y[MAX_COLS]; /* first row of the group, 8 of them */
    bool resume;        /* chains continue from y */
} gemm_part;

/* ---- expansion */

ALWAYS int8x16_t zip64(int8x16_t a, int8x16_t b, int high)
{
    const int64x2_t x = vreinterpretq_s64_s8(a);
    const int64x2_t y = vreinterpretq_s64_s8(b);

    return vreinterpretq_s8_s64(high ? vzip2q_s64(x, y) : vzip1q_s64(x, y));
}

ALWAYS int8x16_t zip32(int8x16_t a, int8x16_t b, int high)
{
    const int32x4_t x = vreinterpretq_s32_s8(a);
    const int32x4_t y = vreinterpretq_s32_s8(b);

    return vreinterpretq_s8_s32(high ? vzip2q_s32(x, y) : vzip1q_s32(x, y));
}

/* Weights 16 h .. 16 h + 15 of 4 rows into the block; g: rows 0..3 or 4..7. */
ALWAYS void put_weights(const int8x16_t w[4], int8_t *block, int g, int h)
{
    if (SMMLA) {
        int8_t *out = block + 128 * h + 32 * g;
        for (int i = 0; i < 2; i++) {
            vst1q_s8(out + 64 * i, zip64(w[0], w[1], i));
            vst1q_s8(out + 64 * i + 16, zip64(w[2], w[3], i));
        }
        return;
    }
    int8_t *out = block + 128 * h + 16 * g;
    for (int i = 0; i < 2; i++) {
        const int8x16_t ac = zip32(w[0], w[2], i);
        const int8x16_t bd = zip32(w[1], w[3], i);
        vst1q_s8(out + 64 * i, zip32(ac, bd, 0));
        vst1q_s8(out + 64 * i + 32, zip32(ac, bd, 1));
    }
}

ALWAYS void put_floats(float32x4_t v, float out[][4], int g)
{
    if (SMMLA) {
        vst1q_f32(out[2 * g], vzip1q_f32(v, v));
        vst1q_f32(out[2 * g + 1], vzip2q_f32(v, v));
    } else {
        vst1q_f32(out[g], v);
    }
}

ALWAYS void put_ints(int32x4_t v, int32_t out[][4], int g)
{
    if (SMMLA) {
        vst1q_s32(out[2 * g], vzip1q_s32(v, v));
        vst1q_s32(out[2 * g + 1], vzip2q_s32(v, v));
    } else {
        vst1q_s32(out[g], v);
    }
}

ALWAYS void put_scale(bool has_min, bool halves, const mm_scale *s, mm_tile *t, size_t group,
                      size_t b, int g)
{
    put_floats(s->dw, t->w[group][b].dw, g);
    if (has_min)
        put_floats(s->mw, t->mw[group][b], g);
    for (int i = 0; i < 2 && halves; i++) {
        put_ints(s->sc[i], t->sc[group][b][i], g);
        if (has_min)
            put_ints(s->mn[i], t->mn[group][b][i], g);
    }
}

/* Blocks first .. first + n - 1 of 4 rows. */
typedef void mm_expand_fn(const row_set *rows, size_t first, size_t n, mm_tile *t, size_t group,
                          int g);

ALWAYS void expand_format(const mm_format *f, const row_set *rows, size_t first, size_t n,
                          mm_tile *t, size_t group, int g)
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
                int8x16_t row[2];
                f->weights(rows->p[i] + at, ib, row);
                w[0][i] = row[0];
                w[1][i] = row[1];
            }
            put_weights(w[0], t->w[group][b + (size_t)ib].w, g, 0);
            put_weights(w[1], t->w[group][b + (size_t)ib].w, g, 1);
            f->scale(&h, ib, &s);
            put_scale(f->has_min, f->halves, &s, t, group, b + (size_t)ib, g);
        }
    }
}

/* The same for formats unpacked by their scalar definition, which have no minimum. */
ALWAYS void expand_unpacked(jl_unpack32_fn *unpack, size_t bytes, bool halves, const row_set *rows,
                            size_t first, size_t n, mm_tile *t, size_t group, int g)
{
    for (size_t b = 0; b < n; b++) {
        const size_t at = (first + b) / 8 * bytes;
        float dw[4];
        int32_t sc[2][4];
        int8x16_t w[2][4];
        for (int i = 0; i < 4; i++) {
            jl_block32 out;
            unpack(rows->p[i] + at, (unsigned)((first + b) % 8), &out);
            w[0][i] = vld1q_s8(out.w);
            w[1][i] = vld1q_s8(out.w + 16);
            dw[i] = out.dw;
            sc[0][i] = out.sc[0];
            sc[1][i] = out.sc[1];
        }
        const mm_scale s = {.dw = vld1q_f32(dw), .sc = {vld1q_s32(sc[0]), vld1q_s32(sc[1])}};
        put_weights(w[0], t->w[group][b].w, g, 0);
        put_weights(w[1], t->w[group][b].w, g, 1);
        put_scale(false, halves, &s, t, group, b, g);
    }
}

/* ---- accumulators: ACC[r][c], c a column or, for smmla, a pair of columns */

enum { MAX_ACC = SMMLA ? PAIRS : MAX_COLS };

/* The step of smmla has 24 registers of sums and 8 left for operands. Compilers do not pair the
 * loads then (the unpaired half would be a tenth of the loop) and move them up until sums are
 * spilled, so LOAD_PAIR is two loads in one instruction, and KEEP says: these sums are complete
 * here, before any later LOAD_PAIR. `of` is what p points into. Without optimisation `at` is no
 * constant yet, and nothing is fast anyway. */
#if SMMLA && defined(__OPTIMIZE__)
#define LOAD_PAIR(a, b, p, at, of)                                                                 \
    __asm__ volatile("ldp %q0, %q1, [%2, %3]"                                                      \
                     : "=w"(a), "=w"(b)                                                            \
                     : "r"(p), "i"(at), "m"(*(const of *)(p)))
#define KEEP(v) __asm__ volatile("" : "+w"(v))
#else
#define LOAD_PAIR(a, b, p, at, of)                                                                 \
    do {                                                                                           \
        __builtin_memcpy(&(a), (const char *)(p) + (at), 16);                                      \
        __builtin_memcpy(&(b), (const char *)(p) + (at) + 16, 16);                                 \
    } while (0)
#define KEEP(v) ((void)0)
#endif

/* Sums of weights 16 h .. 16 h + 15. */
ALWAYS void gemm_sums(const gemm_part *g, size_t b, int C, int h,
                      int32x4_t isum[ACC_ROWS][MAX_ACC])
{
#if SMMLA
    const mm_weights *w = &g->tile->w[g->group][b];
    const mm_acts *q = &g->tile->q[b];
    int8x16_t qv[2][PAIRS];
#pragma GCC unroll 2
    for (int k = 0; k < 2; k++) {
        const int at = (2 * h + k) * 16 * PAIRS;
        if (C == 1)
            qv[k][0] = vld1q_s8(q->q[2 * h + k][0]);
        else if (C == 2 || k == 0)
            LOAD_PAIR(qv[k][0], qv[k][1], q, at, mm_acts);
        if (C == 3 && k == 0) /* an odd number each: the third comes with the next k's first */
            LOAD_PAIR(qv[0][2], qv[1][0], q, at + 32, mm_acts);
        else if (C == 3)
            LOAD_PAIR(qv[1][1], qv[1][2], q, at + 16, mm_acts);
#pragma GCC unroll 2
        for (int r = 0; r < ACC_ROWS; r += 2) {
            int8x16_t wv[2];
            LOAD_PAIR(wv[0], wv[1], w, 128 * h + 64 * k + 16 * r, mm_weights);
#pragma GCC unroll 3
            for (int c = 0; c < C; c++) {
                isum[r][c] = vmmlaq_s32(isum[r][c], wv[0], qv[k][c]);
                isum[r + 1][c] = vmmlaq_s32(isum[r + 1][c], wv[1], qv[k][c]);
                KEEP(isum[r][c]);
                KEEP(isum[r + 1][c]);
            }
        }
    }
#else
    const int8_t *w = g->tile->w[g->group][b].w + 128 * h;
    int8x16_t qv[MAX_COLS];
#pragma GCC unroll 6
    for (int c = 0; c < C; c++)
        qv[c] = vld1q_s8(g->col[c].q + 32 * b + 16 * h);
#ifdef __ARM_FEATURE_DOTPROD
#define DOT_LANE(acc, w, q, k) vdotq_laneq_s32(acc, w, q, k)
#else
#define DOT_LANE(acc, w, q, k)                                                                     \
    dot4(acc, w, vreinterpretq_s8_s32(vdupq_laneq_s32(vreinterpretq_s32_s8(q), k)))
#endif
#define K4(k)                                                                                      \
    do {                                                                                           \
        const int8x16_t w0 = vld1q_s8(w + 32 * (k));                                               \
        const int8x16_t w1 = vld1q_s8(w + 32 * (k) + 16);                                          \
        _Pragma("GCC unroll 6") for (int c = 0; c < C; c++)                                        \
        {                                                                                          \
            isum[0][c] = DOT_LANE(isum[0][c], w0, qv[c], k);                                       \
            isum[1][c] = DOT_LANE(isum[1][c], w1, qv[c], k);                                       \
        }                                                                                          \
    } while (0)
    K4(0);
    K4(1);
    K4(2);
    K4(3);
#undef K4
#endif
}

/* Activation scales of the accumulator columns. */
ALWAYS void load_da(const gemm_part *g, size_t b, int C, float32x4_t da[MAX_ACC])
{
#if SMMLA
    const mm_acts *q = &g->tile->q[b];

    if (C > 1)
        LOAD_PAIR(da[0], da[1], q, 4 * 16 * PAIRS, mm_acts);
#pragma GCC unroll 3
    for (int c = C > 1 ? 2 : 0; c < C; c++)
        da[c] = vld1q_f32(q->da[c]);
#else
#pragma GCC unroll 6
    for (int c = 0; c < C; c++)
        da[c] = vdupq_n_f32(g->col[c].d[b]);
#endif
}

/* Weight scales of accumulator rows r and r + 1. */
ALWAYS void load_dw(const gemm_part *g, size_t b, int r, float32x4_t dw[2])
{
    const mm_weights *w = &g->tile->w[g->group][b];

#if SMMLA
    LOAD_PAIR(dw[0], dw[1], w, 256 + 16 * r, mm_weights);
#else
    dw[0] = vld1q_f32(w->dw[r]);
    dw[1] = vld1q_f32(w->dw[r + 1]);
#endif
}

/* sums of the activations' half h as a vector */
ALWAYS int32x4_t half_sum(const gemm_part *g, size_t b, int c, int h)
{
    return SMMLA ? vld1q_s32(g->tile->sum[b][h][c]) : vdupq_n_s32(g->col[c].sum[2 * b + (size_t)h]);
}

ALWAYS float32x4_t add_min(const mm_kind *f, const gemm_part *g, size_t b, int r, int c,
                           float32x4_t da, float32x4_t acc)
{
    const mm_tile *t = g->tile;
    int32x4_t s0 = half_sum(g, b, c, 0);
    int32x4_t s1 = half_sum(g, b, c, 1);

    if (f->halves) {
        s0 = vmulq_s32(s0, vld1q_s32(t->mn[g->group][b][0][r]));
        s1 = vmulq_s32(s1, vld1q_s32(t->mn[g->group][b][1][r]));
    }
    const float32x4_t msum = vcvtq_f32_s32(vaddq_s32(s0, s1));
    return vfmaq_f32(acc, msum, vmulq_f32(vld1q_f32(t->mw[g->group][b][r]), da));
}

ALWAYS void gemm_step(const mm_kind *f, const gemm_part *g, size_t b, int C,
                      float32x4_t acc[ACC_ROWS][MAX_ACC])
{
    const mm_tile *t = g->tile;
    int32x4_t isum[ACC_ROWS][MAX_ACC];
    int32x4_t first[ACC_ROWS][MAX_ACC];
    float32x4_t dw[2];
    float32x4_t da[MAX_ACC];

#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
#pragma GCC unroll 4
        for (int r = 0; r < ACC_ROWS; r++)
#pragma GCC unroll 6
            for (int c = 0; c < C; c++) {
                if (h == 1 && f->halves)
                    first[r][c] = vmulq_s32(isum[r][c], vld1q_s32(t->sc[g->group][b][0][r]));
                if (h == 0 || f->halves)
                    isum[r][c] = vdupq_n_s32(0);
            }
        gemm_sums(g, b, C, h, isum);
    }
    load_da(g, b, C, da);
#pragma GCC unroll 4
    for (int r = 0; r < ACC_ROWS; r++) {
        if (r % 2 == 0)
            load_dw(g, b, r, dw);
#pragma GCC unroll 6
        for (int c = 0; c < C; c++) {
            int32x4_t s = isum[r][c];
            if (f->halves)
                s = vmlaq_s32(first[r][c], s, vld1q_s32(t->sc[g->group][b][1][r]));
            float32x4_t d = vmulq_f32(dw[r % 2], da[c]);
            KEEP(d);
            acc[r][c] = vfmaq_f32(acc[r][c], vcvtq_f32_s32(s), d);
            if (f->has_min)
                acc[r][c] = add_min(f, g, b, r, c, da[c], acc[r][c]);
            KEEP(acc[r][c]);
        }
    }
}

/* y of the group to accumulators and back. */
ALWAYS void acc_load(const gemm_part *g, int C, float32x4_t acc[ACC_ROWS][MAX_ACC])
{
#pragma GCC unroll 6
    for (int c = 0; c < C; c++)
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
#if SMMLA
            const float32x4_t y0 = vld1q_f32(g->y[2 * c] + 4 * i);
            const float32x4_t y1 = vld1q_f32(g->y[2 * c + 1] + 4 * i);
            acc[2 * i][c] = vzip1q_f32(y0, y1);
            acc[2 * i + 1][c] = vzip2q_f32(y0, y1);
#else
            acc[i][c] = vld1q_f32(g->y[c] + 4 * i);
#endif
        }
}

ALWAYS void acc_store(const gemm_part *g, int C, float32x4_t acc[ACC_ROWS][MAX_ACC])
{
#pragma GCC unroll 6
    for (int c = 0; c < C; c++)
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
#if SMMLA
            vst1q_f32(g->y[2 * c] + 4 * i, vuzp1q_f32(acc[2 * i][c], acc[2 * i + 1][c]));
            vst1q_f32(g->y[2 * c + 1] + 4 * i, vuzp2q_f32(acc[2 * i][c], acc[2 * i + 1][c]));
#else
            vst1q_f32(g->y[c] + 4 * i, acc[i][c]);
#endif
        }
}

#if SMMLA
/* All blocks of the part for the common case: three pairs of columns, scales only. In assembly
 * because of its loads of three and four registers that follow each other, which with 24 sums
 * and chains leave one register. Sums are v12 to v23, chains v0 to v11, weights v24 to v27,
 * activations v28 to v30. */
#define SUMS_0 "movi v12.4s, #0\n movi v13.4s, #0\n movi v14.4s, #0\n movi v15.4s, #0\n"           \
               "movi v16.4s, #0\n movi v17.4s, #0\n movi v18.4s, #0\n movi v19.4s, #0\n"           \
               "movi v20.4s, #0\n movi v21.4s, #0\n movi v22.4s, #0\n movi v23.4s, #0\n"
#define SUMS_ROW(w, a, b, c)                                                                       \
    "smmla v" #a ".4s, v" #w ".16b, v28.16b\n"                                                     \
    "smmla v" #b ".4s, v" #w ".16b, v29.16b\n"                                                     \
    "smmla v" #c ".4s, v" #w ".16b, v30.16b\n"
#define SUMS_8 /* 8 k */                                                                           \
    "ld1 {v24.16b-v27.16b}, [%[w]], #64\n"                                                         \
    "ld1 {v28.16b-v30.16b}, [%[q]], #48\n"                                                         \
    SUMS_ROW(24, 12, 13, 14) SUMS_ROW(25, 15, 16, 17) SUMS_ROW(26, 18, 19, 20)                     \
    SUMS_ROW(27, 21, 22, 23)
#define CHAIN(acc, sum, dw, da)                                                                    \
    "scvtf v" #sum ".4s, v" #sum ".4s\n"                                                           \
    "fmul v31.4s, v" #dw ".4s, v" #da ".4s\n"                                                      \
    "fmla v" #acc ".4s, v" #sum ".4s, v31.4s\n"
#define CHAIN_ROW(w, a, sa, b, sb, c, sc)                                                          \
    CHAIN(a, sa, w, 28) CHAIN(b, sb, w, 29) CHAIN(c, sc, w, 30)
#define CHAINS_MOVE(op, at)                                                                        \
    op " {v0.4s-v3.4s}, [%[" at "]], #64\n" op " {v4.4s-v7.4s}, [%[" at "]], #64\n"                \
    op " {v8.4s-v11.4s}, [%[" at "]]\n"

ALWAYS void gemm_blocks_3(const gemm_part *g, float32x4_t acc[ACC_ROWS][MAX_ACC])
{
    const mm_weights *w = g->tile->w[g->group];
    const mm_acts *q = g->tile->q;
    const float32x4_t *from = acc[0];
    float32x4_t *to = acc[0];
    size_t n = g->n_blocks;

    __asm__ volatile(CHAINS_MOVE("ld1", "from")
                     "1:\n" SUMS_0 SUMS_8 SUMS_8 SUMS_8 SUMS_8
                     "ld1 {v24.4s-v27.4s}, [%[w]], #64\n"
                     "ld1 {v28.4s-v30.4s}, [%[q]], #48\n"
                     CHAIN_ROW(24, 0, 12, 1, 13, 2, 14) CHAIN_ROW(25, 3, 15, 4, 16, 5, 17)
                     CHAIN_ROW(26, 6, 18, 7, 19, 8, 20) CHAIN_ROW(27, 9, 21, 10, 22, 11, 23)
                     "subs %[n], %[n], #1\n"
                     "b.ne 1b\n" CHAINS_MOVE("st1", "to")
                     : [w] "+r"(w), [q] "+r"(q), [n] "+r"(n), [from] "+r"(from), [to] "+r"(to)
                     :
                     : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11",
                       "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22",
                       "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31", "cc",
                       "memory");
}
#else
ALWAYS void gemm_blocks_3(const gemm_part *g, float32x4_t acc[ACC_ROWS][MAX_ACC])
{
    (void)g;
    (void)acc;
}
#endif

ALWAYS void gemm_block(const mm_kind *f, const gemm_part *g, int C)
{
    float32x4_t acc[ACC_ROWS][MAX_ACC];

#pragma GCC unroll 4
    for (int r = 0; r < ACC_ROWS; r++)
#pragma GCC unroll 6
        for (int c = 0; c < C; c++)
            acc[r][c] = vdupq_n_f32(0.0f);
    if (g->resume)
        acc_load(g, C, acc);
    if (SMMLA && C == 3 && !f->has_min && !f->halves)
        gemm_blocks_3(g, acc);
    else
        for (size_t b = 0; b < g->n_blocks; b++)
            gemm_step(f, g, b, C, acc);
    acc_store(g, C, acc);
}

/* ---- the loops around it */

/* Interleaves the columns of the part in pairs. */
ALWAYS void pack_columns(const mm_kind *f, const gemm_part *g, int n_pairs)
{
    mm_tile *t = g->tile;

    for (int c = 0; c < n_pairs; c++) {
        const mm_col *x = &g->col[2 * c];
        const mm_col *y = &g->col[2 * c + 1];
        for (size_t b = 0; b < g->n_blocks; b++) {
            const int8x16_t x0 = vld1q_s8(x->q + 32 * b);
            const int8x16_t x1 = vld1q_s8(x->q + 32 * b + 16);
            const int8x16_t y0 = vld1q_s8(y->q + 32 * b);
            const int8x16_t y1 = vld1q_s8(y->q + 32 * b + 16);
            vst1q_s8(t->q[b].q[0][c], zip64(x0, y0, 0));
            vst1q_s8(t->q[b].q[1][c], zip64(x0, y0, 1));
            vst1q_s8(t->q[b].q[2][c], zip64(x1, y1, 0));
            vst1q_s8(t->q[b].q[3][c], zip64(x1, y1, 1));
            vst1q_f32(t->q[b].da[c], vzip1q_f32(vld1q_dup_f32(x->d + b), vld1q_dup_f32(y->d + b)));
            for (int i = 0; i < 8 && f->has_min; i++)
                t->sum[b][i / 4][c][i % 4] = (i % 2 ? y : x)->sum[2 * b + (size_t)i / 4];
        }
    }
}

ALWAYS void gemm_width(const mm_kind *f, const gemm_part *g, size_t n_cols)
{
    switch (SMMLA ? (n_cols + 1) / 2 : n_cols) {
    case 1: gemm_block(f, g, 1); break;
    case 2: gemm_block(f, g, 2); break;
#if SMMLA
    default: gemm_block(f, g, 3); break;
#else
    case 3: gemm_block(f, g, 3); break;
    case 4: gemm_block(f, g, 4); break;
    default: gemm_block(f, g, 5); break;
#endif
    }
}

/* Columns c .. c + width - 1 against all rows of the tile. A group that is not full works on a
 * copy of its outputs, and so does the missing half of a pair of columns. */
ALWAYS void gemm_group(const mm_kind *f, const jl_mm_args *a, gemm_part *g, size_t row, size_t c,
                       size_t width)
{
    float edge[MAX_COLS][GROUP] = {{0}};
    const size_t n_rows = a->n_rows - row < TILE_ROWS ? a->n_rows - row : TILE_ROWS;

    for (g->group = 0; g->group * GROUP < n_rows; g->group++) {
        const size_t r = row + g->group * GROUP;
        const size_t n = a->n_rows - r < GROUP ? a->n_rows - r : GROUP;
        for (size_t i = 0; i < MAX_COLS; i++) {
            float *y = a->y + (c + i) * a->y_stride + r;
            const bool whole = n == GROUP && i < width;
            g->y[i] = whole ? y : edge[i];
            for (size_t j = 0; j < n && !whole && i < width && g->resume; j++)
                edge[i][j] = y[j];
        }
        gemm_width(f, g, width);
        for (size_t i = 0; i < width && n < GROUP; i++)
            for (size_t j = 0; j < n; j++)
                a->y[(c + i) * a->y_stride + r + j] = edge[i][j];
    }
}

/* Columns in groups of nearly equal width, so that no thin group is left at the end. */
ALWAYS size_t group_width(size_t left)
{
    const size_t unit = SMMLA ? 2 : 1;
    const size_t width = (jl_even_part(left, MAX_COLS) + unit - 1) / unit * unit;

    return width < left ? width : left;
}

ALWAYS void gemm_tile(const mm_kind *f, const jl_mm_args *a, gemm_part *g, size_t row, size_t first)
{
    size_t width;

    for (size_t c = 0; c < a->n_cols; c += width) {
        width = group_width(a->n_cols - c);
        for (size_t i = 0; i < MAX_COLS; i++) {
            g->col[i] = mm_column(a, c + (i < width ? i : width - 1));
            g->col[i].q += 32 * first;
            g->col[i].d += first;
            g->col[i].sum += 2 * first;
        }
        if (SMMLA)
            pack_columns(f, g, (int)(width + 1) / 2);
        gemm_group(f, a, g, row, c, width);
    }
}

static void expand_rows(mm_expand_fn *expand, const jl_mm_args *a, size_t row, size_t first,
                        size_t n_blocks)
{
    for (size_t r = row; r < row + TILE_ROWS && r / GROUP * GROUP < a->n_rows; r += 4) {
        row_set rows;
        for (size_t i = 0; i < 4; i++)
            rows.p[i] = a->w + (r + i < a->n_rows ? r + i : a->n_rows - 1) * a->w_stride;
        expand(&rows, first, n_blocks, a->scratch, (r - row) / GROUP, (int)(r / 4 % 2));
    }
}

ALWAYS void mm_gemm(const mm_kind *f, mm_expand_fn *expand, const jl_mm_args *a)
{
    const size_t blocks = a->n_in / 32;
    gemm_part g = {.tile = a->scratch};

    for (size_t row = 0; row < a->n_rows; row += TILE_ROWS)
        for (size_t b = 0; b < blocks; b += TILE_BLOCKS) {
            g.n_blocks = blocks - b < TILE_BLOCKS ? blocks - b : TILE_BLOCKS;
            g.resume = b > 0;
            expand_rows(expand, a, row, b, g.n_blocks);
            gemm_tile(f, a, &g, row, b);
        }
}

/* The four kinds. */
static void mm_gemm_any(bool has_min, bool halves, mm_expand_fn *expand, const jl_mm_args *a)
{
    static const mm_kind plain = {false, false};
    static const mm_kind with_min = {true, false};
    static const mm_kind with_halves = {false, true};
    static const mm_kind halves_min = {true, true};

    if (halves && has_min)
        mm_gemm(&halves_min, expand, a);
    else if (halves)
        mm_gemm(&with_halves, expand, a);
    else if (has_min)
        mm_gemm(&with_min, expand, a);
    else
        mm_gemm(&plain, expand, a);
}

/* The kernels of all formats: mm_<name>. */
#define FORMAT_KERNEL(type, name, bytes, per, has_min, halves, head, scale)                        \
    static void expand_##name(const row_set *rows, size_t first, size_t n, mm_tile *t,             \
                              size_t group, int g)                                                 \
    {                                                                                              \
        expand_format(&fmt_##name, rows, first, n, t, group, g);                                   \
    }                                                                                              \
    static void mm_##name(const jl_mm_args *a)                                                     \
    {                                                                                              \
        if (a->n_cols == 1)                                                                        \
            mm_gemv(&fmt_##name, a);                                                               \
        else                                                                                       \
            mm_gemm_any(has_min, halves, expand_##name, a);                                        \
    }
#define GRID_KERNEL(type, name, bytes, halves)                                                     \
    static void expand_##name(const row_set *rows, size_t first, size_t n, mm_tile *t,             \
                              size_t group, int g)                                                 \
    {                                                                                              \
        expand_unpacked(jl_unpack32_##name, bytes, halves, rows, first, n, t, group, g);           \
    }                                                                                              \
    static void mm_##name(const jl_mm_args *a)                                                     \
    {                                                                                              \
        mm_gemm_any(false, halves, expand_##name, a);                                              \
    }
FORMAT_LIST(FORMAT_KERNEL)
GRID_LIST(GRID_KERNEL)

static jl_mm_fn *const mm_table[JL_TYPE_MAX] = {
#define FORMAT_SLOT(type, name, ...) [JL_TYPE_##type] = mm_##name,
    FORMAT_LIST(FORMAT_SLOT) GRID_LIST(FORMAT_SLOT)
#undef FORMAT_SLOT
};

ALWAYS void mm_init(jl_cpu_kernels *k)
{
    for (size_t i = 0; i < JL_TYPE_MAX; i++)
        if (mm_table[i])
            k->mm[i] = mm_table[i];
    k->mm_scratch = sizeof(mm_tile);
    k->mm_tile_rows = TILE_ROWS;
    k->mm_tile_rows_1 = 512;
}

#endif
