/* JQ4 with SME: up to 512 rows and 4096 columns of the weights are expanded to signed bytes,
 * then met by all columns of activations, 2 VL at a time, VL being the number of 32-bit lanes of
 * a streaming vector: 4, 8 or 16. All of it happens in one stay in streaming mode.
 *
 * Both operands lie in strips of 2 VL rows (columns): for every 16 k the first VL of them, then
 * the other VL, each 4 vectors, so that one instruction loads 16 k of VL rows
 * (mm_jq4_sme_lay_inl.h). Four ZA tiles take the integer sums of a strip by a strip over a
 * segment. The sums of all segments go to memory, and when ZA is free, the F32 chains
 * are made from them (mm_jq4_sme_sum_inl.h): in ZA together with the sums they would leave
 * `smopa` two tiles, which costs more loads than the way through memory does. */
#ifndef JL_BACKEND_CPU_ARM_MM_JQ4_SME_INL_H
#define JL_BACKEND_CPU_ARM_MM_JQ4_SME_INL_H

#include <arm_sme.h>

#include "backend/cpu/arm/jq4_pairs.h"
#include "backend/cpu/arm/mm_jq4_neon_inl.h"

enum {
    TILE_ROWS = 512,
    TILE_SEGMENTS = 4,
    TILE_K = TILE_SEGMENTS * SEGMENT,
    MAX_VL = 16,
    STRIP = 2 * MAX_VL, /* rows or columns, at most */
};

typedef struct {
    _Alignas(64) int8_t w[TILE_ROWS * TILE_K]; /* strips of 2 VL rows x TILE_K */
    int8_t q[STRIP * TILE_K];                  /* one strip */
    int32_t sums[TILE_SEGMENTS][4 * MAX_VL * MAX_VL];
    float d[TILE_SEGMENTS][2 * STRIP]; /* the strip's scales, twice */
    float chains[4 * MAX_VL * MAX_VL];
    float scale[TILE_ROWS]; /* of the rows, or ones */
} jq4_tile;

typedef struct {
    const jl_mm_args *a;
    jq4_tile *tile;
    jq4_group groups[TILE_ROWS / JL_JQ4_ROWS];
    size_t row, n_rows; /* of the tile */
    size_t k, n_k;
    bool resume; /* chains continue from y */
} jq4_part;

#ifdef __ARM_FEATURE_SME2
#define STATE "za", "zt0"
#else
#define STATE "za"
#endif
#define STREAMING __arm_streaming __arm_inout(STATE)

#include "backend/cpu/arm/mm_jq4_sme_lay_inl.h"
#include "backend/cpu/arm/mm_jq4_sme_sum_inl.h"

/* All rows of the tile by n columns from c on. */
ALWAYS void column_strip(const jq4_part *p, const jq4_run *run, size_t c, size_t n,
                         size_t vl) STREAMING
{
    const size_t n_rows = p->n_rows;
    float *y = p->a->y + c * run->y_stride + p->row;

    pack_strip(p, c, n, vl);
    for (size_t r = 0; r < n_rows; r += 2 * vl) {
        float *at = y + r;
        __asm__("" : "+r"(at)); /* what is rarely needed is not kept up to date */
        const jq4_square s = {
            .n_rows = n_rows - r,
            .n_cols = n,
            .w = run->tile->w + r * TILE_K,
            .scale = run->tile->scale + r,
            .y = at,
        };
        square_sums(run, &s, vl);
        square_chains(run, &s, vl);
    }
}

ALWAYS void part(const jq4_part *p, size_t vl) STREAMING
{
    const jq4_run run = {
        .tile = p->tile,
        .n_whole = p->n_k / SEGMENT,
        .n_rest = p->n_k % SEGMENT,
        .y_stride = p->a->y_stride,
        .resume = p->resume,
    };
    const size_t n_cols = p->a->n_cols;

    expand_rows(p, vl);
    for (size_t c = 0; c < n_cols; c += 2 * vl)
        column_strip(p, &run, c, n_cols - c < 2 * vl ? n_cols - c : 2 * vl, vl);
}

/* Enters streaming mode with a ZA of its own and leaves both as they were. The vector length is a
 * constant in each branch: addresses become parts of instructions. */
__arm_locally_streaming __arm_new(STATE) static void run_part(const jq4_part *p)
{
    switch (svcntw()) {
    case 4: part(p, 4); break;
    case 8: part(p, 8); break;
    default: part(p, 16); break;
    }
}

/* ---- the loops around it */

/* What y is multiplied with: at the end of the rows, when it is due, their scales. */
static void put_scales(const jq4_part *p, bool due)
{
    for (size_t r = 0; r < p->n_rows; r += 4)
        vst1q_f32(p->tile->scale + r, due ? row_scales(&p->groups[r / JL_JQ4_ROWS], r / 4 % QUADS)
                                          : vdupq_n_f32(1.0f));
}

static void gemm(const jl_mm_args *a)
{
    jq4_part p = {.a = a, .tile = a->scratch};

    for (p.row = 0; p.row < a->n_rows; p.row += TILE_ROWS) {
        p.n_rows = a->n_rows - p.row < TILE_ROWS ? a->n_rows - p.row : TILE_ROWS;
        for (size_t r = 0; r < p.n_rows; r += JL_JQ4_ROWS)
            p.groups[r / JL_JQ4_ROWS] = group_at(a, p.row + r);
        for (p.k = 0; p.k < a->n_in; p.k += TILE_K) {
            p.n_k = a->n_in - p.k < TILE_K ? a->n_in - p.k : TILE_K;
            p.resume = p.k > 0;
            put_scales(&p, p.k + p.n_k == a->n_in);
            run_part(&p);
        }
    }
}

static void mm_jq4(const jl_mm_args *a)
{
    if (a->n_cols == 1 || svcntsw() > MAX_VL)
        jl_arm_mm_jq4_any_i8mm(a);
    else
        gemm(a);
}

ALWAYS void mm_jq4_init(jl_cpu_kernels *k)
{
    jl_arm_jq4_pairs_fill();
    k->mm[JL_TYPE_JQ4] = mm_jq4;
    k->mm_tile_rows = TILE_ROWS; /* activations are packed once for all of a task's rows */
    k->mm_scratch = k->mm_scratch > sizeof(jq4_tile) ? k->mm_scratch : sizeof(jq4_tile);
}

#endif
