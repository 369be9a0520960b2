/* Attention over one block of 64 keys (docs/numerics.md, section 4) as two small matrix products:
 * scores with lanes = keys, outputs with lanes = head dimensions. Each output stays one chain. */
#include <math.h>

#include "backend/cpu/arm/arm.h"
#include "backend/cpu/arm/mathf_neon_inl.h"
#include "backend/cpu/kernels.h"

enum { QUERIES = 6 /* query rows per register block: 6 x 4 accumulators of 4 lanes */ };

/* Scratch: F32 copies of K and V where they are not F32, then scores [n_q][64]. */
typedef struct {
    const float *k; /* [head_dim][64] */
    const float *v; /* [64][head_dim] */
    float *scores;  /* [QUERIES][64] */
} attn_cells;

/* Visible keys of a query: begin <= j < end. */
typedef struct {
    int begin, end;
} key_range;

static key_range visible(const jl_attn_args *a, size_t row)
{
    const int64_t last = (int64_t)a->pos[row] - a->first; /* key index of the query itself */
    const int64_t first = last - a->window + 1;
    key_range r = {0, JL_KV_BLOCK};

    if (first > 0)
        r.begin = first < JL_KV_BLOCK ? (int)first : JL_KV_BLOCK;
    if (last < JL_KV_BLOCK - 1)
        r.end = last >= 0 ? (int)last + 1 : 0;
    if (r.begin > r.end)
        r.begin = r.end;
    return r;
}

/* ---- cells to F32 */

ALWAYS float32x4_t widen4(const uint16_t *h)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(h)));
}

static void widen_f16(const uint16_t *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i += 4)
        vst1q_f32(dst + i, widen4(src + i));
}

/* 8 bytes times two vectors of scales. */
ALWAYS void widen_q8(const int8_t *q, float32x4_t s0, float32x4_t s1, float *dst)
{
    const int16x8_t w = vmovl_s8(vld1_s8(q));

    vst1q_f32(dst, vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(w))), s0));
    vst1q_f32(dst + 4, vmulq_f32(vcvtq_f32_s32(vmovl_high_s16(w)), s1));
}

/* K: the scales of 64 keys serve 32 dimensions. */
static void widen_k_q8(const int8_t *q, float *dst, size_t head_dim)
{
    const uint16_t *d = (const uint16_t *)(const void *)(q + head_dim * JL_KV_BLOCK);

    for (size_t e = 0; e < head_dim; e++)
        for (size_t j = 0; j < JL_KV_BLOCK; j += 8) {
            const uint16_t *s = d + e / 32 * JL_KV_BLOCK + j;
            widen_q8(q + e * JL_KV_BLOCK + j, widen4(s), widen4(s + 4), dst + e * JL_KV_BLOCK + j);
        }
}

static void widen_v_q8(const int8_t *q, float *dst, size_t head_dim)
{
    const uint16_t *d = (const uint16_t *)(const void *)(q + head_dim * JL_KV_BLOCK);

    for (size_t i = 0; i < head_dim * JL_KV_BLOCK; i += 8) {
        const float32x4_t s = vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(d[i / 32])));
        widen_q8(q + i, s, s, dst + i);
    }
}

/* Values outside the visible keys may be what an earlier owner of the page left: they are widened,
 * never used. */
static attn_cells cells_of(const jl_attn_args *a)
{
    const size_t n = JL_KV_BLOCK * a->head_dim;
    float *k = a->scratch;
    float *v = k + n;
    attn_cells c = {a->k, a->v, v + n};

    if (a->type_k != JL_CELL_F32)
        c.k = k;
    if (a->type_v != JL_CELL_F32)
        c.v = v;
    if (a->type_k == JL_CELL_F16)
        widen_f16(a->k, k, n);
    else if (a->type_k == JL_CELL_Q8_0)
        widen_k_q8(a->k, k, a->head_dim);
    if (a->type_v == JL_CELL_F16)
        widen_f16(a->v, v, n);
    else if (a->type_v == JL_CELL_Q8_0)
        widen_v_q8(a->v, v, a->head_dim);
    return c;
}

/* ---- scores */

/* R query rows against 16 keys at j: s = fma(q_e, k_je, s), e ascending. */
ALWAYS void score_rows(const jl_attn_args *a, const float *k, size_t row, int R, size_t j,
                       float *scores)
{
    const float *q[QUERIES];
    float32x4_t acc[QUERIES][4];

#pragma GCC unroll 6
    for (int r = 0; r < R; r++) {
        q[r] = a->q + a->q_offset[row + (size_t)r];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            acc[r][i] = vdupq_n_f32(0.0f);
    }
    for (size_t e = 0; e < a->head_dim; e++) {
        const float *ke = k + e * JL_KV_BLOCK + j;
        float32x4_t kv[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            kv[i] = vld1q_f32(ke + 4 * i);
#pragma GCC unroll 6
        for (int r = 0; r < R; r++)
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                acc[r][i] = vfmaq_n_f32(acc[r][i], kv[i], q[r][e]);
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            vst1q_f32(scores + JL_KV_BLOCK * r + j + 4 * (size_t)i, acc[r][i]);
}

/* ---- outputs */

/* How one row's block result joins its running state. */
typedef struct {
    bool skip;  /* no visible key */
    bool fresh; /* the state is empty: take the block's result */
    float a, c; /* factors of the state and of the block */
} merge_plan;

ALWAYS void merge_one(const merge_plan *plan, float acc, float *o)
{
    *o = plan->fresh ? acc : fmaf(*o, plan->a, acc * plan->c);
}

ALWAYS void merge4(const merge_plan *plan, float32x4_t acc, float *o)
{
    if (!plan->fresh)
        acc = vfmaq_n_f32(vmulq_n_f32(acc, plan->c), vld1q_f32(o), plan->a);
    vst1q_f32(o, acc);
}

/* R rows, 4 V dimensions from e: o[e] = fma(p_j, v_je, o), j ascending over the keys given. */
ALWAYS void output_slice(const jl_attn_args *a, const float *v, size_t e, int V, size_t row, int R,
                         const float *p, key_range keys, const merge_plan *plan)
{
    float32x4_t acc[QUERIES][4];

#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int i = 0; i < V; i++)
            acc[r][i] = vdupq_n_f32(0.0f);
    for (int j = keys.begin; j < keys.end; j++) {
        const float *vj = v + (size_t)j * a->head_dim + e;
        float32x4_t vv[4];
#pragma GCC unroll 4
        for (int i = 0; i < V; i++)
            vv[i] = vld1q_f32(vj + 4 * i);
#pragma GCC unroll 6
        for (int r = 0; r < R; r++)
#pragma GCC unroll 4
            for (int i = 0; i < V; i++)
                acc[r][i] = vfmaq_n_f32(acc[r][i], vv[i], p[JL_KV_BLOCK * r + j]);
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int i = 0; i < V && !plan[r].skip; i++)
            merge4(&plan[r], acc[r][i], a->o + (row + (size_t)r) * a->head_dim + e + 4 * i);
}

ALWAYS void output_rows(const jl_attn_args *a, const float *v, size_t row, int R, const float *p,
                        key_range keys, const merge_plan *plan)
{
    size_t e = 0;

    for (; e + 16 <= a->head_dim; e += 16)
        output_slice(a, v, e, 4, row, R, p, keys, plan);
    for (; e + 4 <= a->head_dim; e += 4)
        output_slice(a, v, e, 1, row, R, p, keys, plan);
    for (; e < a->head_dim; e++)
        for (int r = 0; r < R; r++) {
            float acc = 0.0f;
            for (int j = keys.begin; j < keys.end; j++)
                acc = fmaf(p[JL_KV_BLOCK * r + j], v[(size_t)j * a->head_dim + e], acc);
            if (!plan[r].skip)
                merge_one(&plan[r], acc, a->o + (row + (size_t)r) * a->head_dim + e);
        }
}

/* ---- softmax */

/* Scores of one row to p_j, and (m, l) of the state; says how the outputs merge. */
static merge_plan softmax_row(const jl_attn_args *a, size_t row, float *s, key_range keys)
{
    float m = -INFINITY;
    lanes16 sum = lanes_zero();

    for (int j = keys.begin; j < keys.end; j++)
        m = s[j] > m ? s[j] : m; /* NaN scores are ignored */
    if (m == -INFINITY)
        return (merge_plan){.skip = true};

    for (int j = 0; j < keys.begin; j++)
        s[j] = -INFINITY; /* whose exp is +0 */
    for (int j = keys.end; j < JL_KV_BLOCK; j++)
        s[j] = -INFINITY;
    for (int j = 0; j < JL_KV_BLOCK; j += 4) {
        const float32x4_t p = exp_f32x4(vsubq_f32(vld1q_f32(s + j), vdupq_n_f32(m)));
        vst1q_f32(s + j, p);
        sum.v[j / 4 % 4] = vaddq_f32(sum.v[j / 4 % 4], p);
    }

    const float l = lanes_sum(&sum);
    merge_plan plan = {.fresh = a->m[row] == -INFINITY};
    if (plan.fresh) {
        a->m[row] = m;
        a->l[row] = l;
        return plan;
    }
    const float both = m > a->m[row] ? m : a->m[row];
    plan.a = jl_expf(a->m[row] - both);
    plan.c = jl_expf(m - both);
    a->m[row] = both;
    a->l[row] = fmaf(a->l[row], plan.a, l * plan.c);
    return plan;
}

/* ---- the block */

ALWAYS void attn_rows(const jl_attn_args *a, const attn_cells *cells, size_t row, int R)
{
    merge_plan plan[QUERIES];
    key_range all = {JL_KV_BLOCK, 0};

    for (size_t j = 0; j < JL_KV_BLOCK; j += 16)
        score_rows(a, cells->k, row, R, j, cells->scores);
    for (int r = 0; r < R; r++) {
        const key_range keys = visible(a, row + (size_t)r);
        plan[r] = softmax_row(a, row + (size_t)r, cells->scores + JL_KV_BLOCK * r, keys);
        if (plan[r].skip)
            continue;
        all.begin = keys.begin < all.begin ? keys.begin : all.begin;
        all.end = keys.end > all.end ? keys.end : all.end;
    }
    if (all.begin < all.end)
        output_rows(a, cells->v, row, R, cells->scores, all, plan);
}

static void attn_block(const jl_attn_args *a)
{
    const attn_cells cells = cells_of(a);
    size_t row = 0;

    for (; row + QUERIES <= a->n_q; row += QUERIES)
        attn_rows(a, &cells, row, QUERIES);
    switch (a->n_q - row) {
    case 5: attn_rows(a, &cells, row, 5); break;
    case 4: attn_rows(a, &cells, row, 4); break;
    case 3: attn_rows(a, &cells, row, 3); break;
    case 2: attn_rows(a, &cells, row, 2); break;
    case 1: attn_rows(a, &cells, row, 1); break;
    default: break;
    }
}

void jl_arm_attn_neon(jl_cpu_kernels *k)
{
    k->attn_block = attn_block;
}
