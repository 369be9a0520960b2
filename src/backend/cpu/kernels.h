/* The CPU kernel table: leaf functions, one per (family, instruction set), and their tile sizes.
 * Kernels do not allocate, lock, log or start threads; they follow docs/numerics.md bit for bit. */
#ifndef JL_BACKEND_CPU_KERNELS_H
#define JL_BACKEND_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/types.h"

/* How many of the `left` to take next, at most `most`, so that all parts are nearly equal and no
 * thin one is left at the end. */
static inline __attribute__((always_inline)) size_t jl_even_part(size_t left, size_t most)
{
    const size_t parts = (left + most - 1) / most;

    return (left + parts - 1) / parts;
}

/* y[c * y_stride + r] = dot(weight row r, activation column c). No output may overlap an input. */
typedef struct {
    const uint8_t *w;      /* weight row r at w + r * w_stride; JQ4: its group of 16 */
    size_t w_stride;       /* bytes */
    size_t n_rows;         /* >= 1; JQ4: a multiple of 16 */
    size_t n_in;           /* weights per row; a multiple of 32 for quantised types */
    const int8_t *q;       /* quantised activations [..][n_in]; quantised types */
    const float *d;        /* [..][n_in / 32]; JQ4: [..][jl_act_blocks] */
    const int16_t *sum;    /* [..][n_in / 16]; JQ4: [..][jl_act_sums] */
    const float *x;        /* F32 activations [..][n_in]; F32, F16, BF16 weights */
    const uint32_t *cols;  /* [n_cols] activation row of each column, NULL: 0, 1, 2, ... */
    size_t n_cols;         /* >= 1 */
    float *y;
    size_t y_stride;       /* floats, >= n_rows */
    void *scratch;         /* kernels->mm_scratch bytes, 64-byte aligned, this thread's own */
} jl_mm_args;
typedef void jl_mm_fn(const jl_mm_args *a);

enum { JL_KV_BLOCK = 64 }; /* keys per attention block and per KV page */

typedef enum { JL_CELL_F16 = 0, JL_CELL_F32, JL_CELL_Q8_0 } jl_cell_type; /* as jl_kv_type */

/* Layout of one head's page of 64 cells.
 *   K: F32/F16  [head_dim][64]            Q8_0: int8 [head_dim][64], then F16 d [head_dim/32][64]
 *   V: F32/F16  [64][head_dim]            Q8_0: int8 [64][head_dim], then F16 d [64][head_dim/32]
 * One block of 64 keys against n_q query rows which share the KV head; merges into (m, l, o). */
typedef struct {
    const float *q;        /* row i at q + q_offset[i]: [head_dim] */
    const size_t *q_offset; /* [n_q] floats */
    const int32_t *pos;    /* [n_q] position of each query */
    size_t n_q;            /* 1 .. JL_ATTN_ROWS */
    int32_t first;         /* position of the block's first key */
    int32_t window;        /* keys seen, the query's own included; INT32_MAX: all */
    const void *k, *v;
    jl_cell_type type_k, type_v;
    size_t head_dim;       /* even; a multiple of 32 for Q8_0 */
    float *m, *l;          /* [n_q] running maximum and sum; m = -INFINITY while empty */
    float *o;              /* [n_q][head_dim] running output */
    void *scratch;         /* jl_attn_scratch(head_dim) bytes, 64-byte aligned */
} jl_attn_args;
enum { JL_ATTN_ROWS = 64 };
typedef void jl_attn_fn(const jl_attn_args *a);

typedef struct {
    const char *name;        /* "scalar", "avx2", "avx512vnni", ... */
    jl_mm_fn *mm[JL_TYPE_MAX]; /* by weight type; NULL for types that are no weights */
    size_t mm_tile_rows;     /* rows per task that suit the kernels, a multiple of 32 */
    size_t mm_tile_rows_1;   /* the same for one column, where long pieces of memory read faster */
    size_t mm_scratch;       /* bytes of scratch one mm call may need */

    void (*act_quantize)(const float *x, size_t n, int8_t *q, float *d, int16_t *sum);
    /* wide blocks, for JQ4 (quant/quant.h) */
    void (*act_quantize_wide)(const float *x, size_t n, int8_t *q, float *d, int16_t *sum);
    /* y = x / rms(x) * w (w NULL: 1); y may be x */
    void (*rms_norm)(const float *x, const float *w, float *y, size_t n, float eps);
    /* y = y + x / rms(x) * w */
    void (*rms_norm_add)(const float *x, const float *w, float *y, size_t n, float eps);
    void (*geglu)(const float *gate, const float *up, float *y, size_t n); /* y may be gate or up */
    void (*swiglu)(const float *gate, const float *up, float *y, size_t n); /* the same */
    void (*softcap)(float *x, size_t n, float cap);                       /* cap * tanh(x / cap) */
    void (*axpy)(float a, const float *x, float *y, size_t n);            /* y = fma(a, x, y) */
    /* NeoX pairs (i, i + n/2): cs holds cos [n/2] then sin [n/2] */
    void (*rope)(float *x, const float *cs, size_t n);
    /* the same for pairs (2 i, 2 i + 1), every result times scale */
    void (*rope_adjacent)(float *x, const float *cs, size_t n, float scale);
    jl_attn_fn *attn_block;
    /* merges (m2, l2, o2) into (m, l, o); the first is the empty state or the left part */
    void (*attn_merge)(float *m, float *l, float *o, float m2, float l2, const float *o2, size_t n);
} jl_cpu_kernels;

/* Bytes of attention scratch for a head size. */
size_t jl_attn_scratch(size_t head_dim);

/* Fills the table: scalar, then better and better as the features (base/cpu.h) allow. */
void jl_cpu_kernels_init(jl_cpu_kernels *k, unsigned features);
void jl_cpu_kernels_scalar(jl_cpu_kernels *k);
void jl_cpu_kernels_x86(jl_cpu_kernels *k, unsigned features);
void jl_cpu_kernels_arm(jl_cpu_kernels *k, unsigned features);
/* Features the compiler of this build had kernels for, of those that depend on it. */
unsigned jl_cpu_kernels_arm_built(void);

#endif
