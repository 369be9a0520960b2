/* What the JQ4 kernels of all processors share (docs/jq4.md): where a group's parts and a column's
 * activations lie. No intrinsics. */
#ifndef JL_BACKEND_CPU_MM_JQ4_INL_H
#define JL_BACKEND_CPU_MM_JQ4_INL_H

#include "backend/cpu/kernels.h"
#include "quant/blocks.h"

#define ALWAYS static inline __attribute__((always_inline))

enum { SEGMENT = JL_ACT_WIDE /* columns with one activation scale */ };

/* A group of 16 rows in the file. */
typedef struct {
    const uint8_t *scales, *codes, *tiles;
} jq4_group;

ALWAYS jq4_group group_at(const jl_mm_args *a, size_t row)
{
    const uint8_t *p = a->w + row * a->w_stride;

    return (jq4_group){p, jl_jq4_codes(p), jl_jq4_tiles(p, a->n_in)};
}

/* Activations of a column: values, a scale per segment, a sum per JL_ACT_WIDE_SUM. */
typedef struct {
    const int8_t *q;
    const float *d;
    const int16_t *sum;
} jq4_col;

ALWAYS jq4_col column_at(const jl_mm_args *a, size_t c)
{
    const size_t row = a->cols ? a->cols[c] : c;
    const size_t n_d = (a->n_in + SEGMENT - 1) / SEGMENT;
    const size_t n_sum = (a->n_in + JL_ACT_WIDE_SUM - 1) / JL_ACT_WIDE_SUM;

    return (jq4_col){a->q + row * a->n_in, a->d + row * n_d, a->sum + row * n_sum};
}

/* Sum of the column's values k .. end - 1, k where a segment begins. */
ALWAYS int segment_sum(const jq4_col *col, size_t k, size_t end)
{
    int sum = 0;

    for (; k < end; k += JL_ACT_WIDE_SUM)
        sum += col->sum[k / JL_ACT_WIDE_SUM];
    return sum;
}

#endif
