/* Attention over one block of 64 keys (docs/numerics.md, section 4) on AVX2, as two small matrix
 * products: scores with lanes = keys, outputs with lanes = head dimensions. Each output stays one
 * chain. For many queries the cells are first made F32 in pieces that the first-level cache holds:
 * PIECE dimensions of the keys, 16 dimensions of the values. */
#include <immintrin.h>
#include <math.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/x86/mathf_avx2_inl.h"
#include "backend/cpu/x86/x86.h"

enum {
    QUERIES = 6, /* query rows per register block: 6 x 2 accumulators */
    PIECE = 64,  /* dimensions of K at a time, a multiple of 32 */
    SLICE = 16,  /* dimensions of V at a time */
    FEW = 12     /* up to so many queries F16 cells are widened on the fly */
};

typedef struct {
    float *k;      /* [PIECE][64] */
    float *v;      /* [64][SLICE] */
    float *scores; /* [n_q][64] */
} attn_space;

/* Visible keys of a query: begin <= j < end. */
typedef struct {
    int begin, end;
} key_range;

static attn_space space_of(const jl_attn_args *a)
{
    float *k = a->scratch;
    float *v = k + JL_KV_BLOCK * (a->head_dim < PIECE ? a->head_dim : PIECE);

    return (attn_space){k, v, v + JL_KV_BLOCK * SLICE};
}

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

ALWAYS __m256 half8(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

ALWAYS __m256 q8x8(const int8_t *q)
{
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)q)));
}

/* ---- scores */

/* 8 cells from index i. */
ALWAYS __m256 load_cells(const void *cells, size_t i, bool half)
{
    return half ? half8((const uint16_t *)cells + i) : _mm256_loadu_ps((const float *)cells + i);
}

/* Dimensions e0 .. e0 + n_e - 1 of K as F32. The Q8_0 scales of 64 keys serve 32 dimensions. */
static void widen_k(const jl_attn_args *a, size_t e0, size_t n_e, float *dst)
{
    const int8_t *q = a->k;
    const uint16_t *d = (const uint16_t *)(const void *)(q + a->head_dim * JL_KV_BLOCK);

    for (size_t e = 0; e < n_e; e++)
        for (size_t j = 0; j < JL_KV_BLOCK; j += 8) {
            const size_t i = (e0 + e) * JL_KV_BLOCK + j;
            const __m256 v =
                a->type_k == JL_CELL_F16
                    ? half8((const uint16_t *)a->k + i)
                    : _mm256_mul_ps(q8x8(q + i), half8(d + (e0 + e) / 32 * JL_KV_BLOCK + j));
            _mm256_storeu_ps(dst + e * JL_KV_BLOCK + j, v);
        }
}

/* A piece of K: dimensions e0 .. e0 + n_e - 1; the first extends empty chains. */
typedef struct {
    const void *cells;
    size_t e0, n_e;
} key_piece;

/* R query rows against 8 V keys: s = fma(q_e, k_je, s), e ascending. */
ALWAYS void score_keys(const jl_attn_args *a, const key_piece *k, bool half, size_t row, size_t key,
                       int R, int V, float *scores)
{
    const float *q[QUERIES];
    __m256 acc[QUERIES][8];

#pragma GCC unroll 6
    for (int r = 0; r < R; r++) {
        q[r] = a->q + a->q_offset[row + (size_t)r] + k->e0;
#pragma GCC unroll 8
        for (int i = 0; i < V; i++)
            acc[r][i] = k->e0 ? _mm256_loadu_ps(scores + JL_KV_BLOCK * r + key + 8 * (size_t)i)
                              : _mm256_setzero_ps();
    }
    for (size_t e = 0; e < k->n_e; e++) {
        __m256 qe[QUERIES];
#pragma GCC unroll 6
        for (int r = 0; r < R && R < 4; r++)
            qe[r] = _mm256_broadcast_ss(q[r] + e);
#pragma GCC unroll 8
        for (int i = 0; i < V && R < 4; i++) {
            const __m256 kv = load_cells(k->cells, e * JL_KV_BLOCK + key + 8 * (size_t)i, half);
#pragma GCC unroll 6
            for (int r = 0; r < R; r++)
                acc[r][i] = _mm256_fmadd_ps(qe[r], kv, acc[r][i]);
        }
        __m256 kv[2];
#pragma GCC unroll 2
        for (int i = 0; i < V && R >= 4; i++)
            kv[i] = load_cells(k->cells, e * JL_KV_BLOCK + key + 8 * (size_t)i, half);
#pragma GCC unroll 6
        for (int r = 0; r < R && R >= 4; r++) {
            const __m256 qr = _mm256_broadcast_ss(q[r] + e);
#pragma GCC unroll 2
            for (int i = 0; i < V; i++)
                acc[r][i] = _mm256_fmadd_ps(qr, kv[i], acc[r][i]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
        for (int i = 0; i < V; i++)
            _mm256_storeu_ps(scores + JL_KV_BLOCK * r + key + 8 * (size_t)i, acc[r][i]);
}

ALWAYS void score_rows(const jl_attn_args *a, const key_piece *k, bool half, size_t row, int R,
                       int V, float *scores)
{
    for (size_t key = 0; key < JL_KV_BLOCK; key += 8 * (size_t)V)
        score_keys(a, k, half, row, key, R, V, scores);
}

ALWAYS void score_group(const jl_attn_args *a, const key_piece *k, bool half, size_t row, size_t n,
                        float *scores)
{
    switch (n) {
    case 1: score_rows(a, k, half, row, 1, 8, scores); break;
    case 2: score_rows(a, k, half, row, 2, 4, scores); break;
    case 3: score_rows(a, k, half, row, 3, 4, scores); break;
    case 4: score_rows(a, k, half, row, 4, 2, scores); break;
    case 5: score_rows(a, k, half, row, 5, 2, scores); break;
    default: score_rows(a, k, half, row, 6, 2, scores); break;
    }
}

static void score_piece(const jl_attn_args *a, const key_piece *k, bool half, float *scores)
{
    size_t n;

    for (size_t row = 0; row < a->n_q; row += n) {
        n = jl_even_part(a->n_q - row, QUERIES);
        if (half)
            score_group(a, k, true, row, n, scores + JL_KV_BLOCK * row);
        else
            score_group(a, k, false, row, n, scores + JL_KV_BLOCK * row);
    }
}

static void score_all(const jl_attn_args *a, const attn_space *space)
{
    const bool widen = a->type_k == JL_CELL_Q8_0 || (a->type_k == JL_CELL_F16 && a->n_q > FEW);
    const bool half = a->type_k == JL_CELL_F16 && !widen;

    for (size_t e = 0; e < a->head_dim; e += PIECE) {
        const size_t at = e * JL_KV_BLOCK;
        key_piece k = {.e0 = e, .n_e = a->head_dim - e < PIECE ? a->head_dim - e : PIECE};
        if (widen) {
            widen_k(a, e, k.n_e, space->k);
            k.cells = space->k;
        } else {
            k.cells = half ? (const void *)((const uint16_t *)a->k + at)
                           : (const void *)((const float *)a->k + at);
        }
        score_piece(a, &k, half, space->scores);
    }
}

/* ---- softmax */

/* How one row's block result joins its running state. */
typedef struct {
    bool skip;      /* no visible key */
    bool fresh;     /* the state is empty: take the block's result */
    float a, c;     /* factors of the state and of the block */
    key_range keys; /* visible ones */
} merge_plan;

/* All ones in the lanes of keys j .. j + 7 that are visible. */
ALWAYS __m256 seen_lanes(key_range keys, int j)
{
    const __m256i at = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
                                        _mm256_set1_epi32(j));
    const __m256i begun = _mm256_cmpgt_epi32(at, _mm256_set1_epi32(keys.begin - 1));
    const __m256i before = _mm256_cmpgt_epi32(_mm256_set1_epi32(keys.end), at);

    return _mm256_castsi256_ps(_mm256_and_si256(begun, before));
}

static float largest_score(const float *s, key_range keys)
{
    __m256 top = _mm256_set1_ps(-INFINITY);

    for (int j = 0; j < JL_KV_BLOCK; j += 8) /* max returns its second operand for NaN */
        top = _mm256_blendv_ps(top, _mm256_max_ps(_mm256_loadu_ps(s + j), top),
                               seen_lanes(keys, j));
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(top), _mm256_extractf128_ps(top, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    m = _mm_max_ss(m, _mm_movehdup_ps(m));
    return _mm_cvtss_f32(m);
}

/* Scores of one row to p_j, and (m, l) of the state; says how the outputs merge. */
static merge_plan softmax_row(const jl_attn_args *a, size_t row, float *s)
{
    merge_plan plan = {.keys = visible(a, row), .fresh = a->m[row] == -INFINITY};
    const float m = largest_score(s, plan.keys);
    __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};

    if (m == -INFINITY)
        return (merge_plan){.skip = true};
    for (int j = 0; j < JL_KV_BLOCK; j += 8) {
        const __m256 diff = _mm256_sub_ps(_mm256_loadu_ps(s + j), _mm256_set1_ps(m));
        const __m256 p = _mm256_and_ps(exp_ps(diff), seen_lanes(plan.keys, j));
        _mm256_storeu_ps(s + j, p);
        sum[j / 8 % 2] = _mm256_add_ps(sum[j / 8 % 2], p);
    }

    const float l = tree_sum(sum[0], sum[1]);
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

/* ---- outputs */

static key_range range_union(key_range all, const merge_plan *plan, size_t n)
{
    for (size_t r = 0; r < n; r++) {
        if (plan[r].skip)
            continue;
        all.begin = plan[r].keys.begin < all.begin ? plan[r].keys.begin : all.begin;
        all.end = plan[r].keys.end > all.end ? plan[r].keys.end : all.end;
    }
    return all;
}

/* A slice of V: cell (j, e) of it at cells[j * stride + e], SLICE or fewer dimensions from e0. */
typedef struct {
    const void *cells;
    size_t stride, e0;
} value_slice;

/* 16 dimensions of V as F32, for the keys given; what is past the head is +0. */
static void widen_v(const jl_attn_args *a, size_t e0, key_range keys, float *dst)
{
    const int8_t *q = a->v;
    const uint16_t *d = (const uint16_t *)(const void *)(q + a->head_dim * JL_KV_BLOCK);
    const size_t n = a->head_dim - e0 < SLICE ? a->head_dim - e0 : SLICE;

    for (size_t j = (size_t)keys.begin; j < (size_t)keys.end; j++) {
        const size_t at = j * a->head_dim + e0;
        float *out = dst + SLICE * j;
        if (a->type_v == JL_CELL_Q8_0) {
            const __m256 s = _mm256_set1_ps(_cvtsh_ss(d[at / 32]));
            _mm256_storeu_ps(out, _mm256_mul_ps(q8x8(q + at), s));
            _mm256_storeu_ps(out + 8, _mm256_mul_ps(q8x8(q + at + 8), s));
            continue;
        }
        if (n == SLICE) {
            const bool half = a->type_v == JL_CELL_F16;
            _mm256_storeu_ps(out, load_cells(a->v, at, half));
            _mm256_storeu_ps(out + 8, load_cells(a->v, at + 8, half));
            continue;
        }
        for (size_t e = 0; e < SLICE; e++)
            out[e] = e >= n                       ? 0.0f
                     : a->type_v == JL_CELL_F16 ? _cvtsh_ss(((const uint16_t *)a->v)[at + e])
                                                : ((const float *)a->v)[at + e];
    }
}

/* R rows, 16 dimensions: o[e] = fma(p_j, v_je, o), j ascending over the keys given, then the merge
 * into the running state. */
ALWAYS void output_rows(const jl_attn_args *a, const value_slice *v, bool half, size_t row, int R,
                        const float *p, key_range keys, const merge_plan *plan)
{
    const size_t left = a->head_dim - v->e0;
    const lanes8 lanes[2] = {lanes_first(left), lanes_first(left > 8 ? left - 8 : 0)};
    __m256 acc[QUERIES][2];

#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
        acc[r][0] = acc[r][1] = _mm256_setzero_ps();
    for (int j = keys.begin; j < keys.end; j++) {
        const __m256 v0 = load_cells(v->cells, (size_t)j * v->stride, half);
        const __m256 v1 = load_cells(v->cells, (size_t)j * v->stride + 8, half);
#pragma GCC unroll 6
        for (int r = 0; r < R; r++) {
            const __m256 pj = _mm256_broadcast_ss(p + JL_KV_BLOCK * r + j);
            acc[r][0] = _mm256_fmadd_ps(pj, v0, acc[r][0]);
            acc[r][1] = _mm256_fmadd_ps(pj, v1, acc[r][1]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; r++) {
        float *o = a->o + (row + (size_t)r) * a->head_dim + v->e0;
        if (plan[r].skip)
            continue;
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            __m256 out = acc[r][i];
            if (!plan[r].fresh)
                out = _mm256_fmadd_ps(load_ps(o + 8 * i, lanes[i]), _mm256_set1_ps(plan[r].a),
                                      _mm256_mul_ps(out, _mm256_set1_ps(plan[r].c)));
            store_ps(o + 8 * i, lanes[i], out);
        }
    }
}

ALWAYS void output_group(const jl_attn_args *a, const value_slice *v, bool half, size_t row,
                         size_t n, const float *p, key_range keys, const merge_plan *plan)
{
    switch (n) {
    case 1: output_rows(a, v, half, row, 1, p, keys, plan); break;
    case 2: output_rows(a, v, half, row, 2, p, keys, plan); break;
    case 3: output_rows(a, v, half, row, 3, p, keys, plan); break;
    case 4: output_rows(a, v, half, row, 4, p, keys, plan); break;
    case 5: output_rows(a, v, half, row, 5, p, keys, plan); break;
    default: output_rows(a, v, half, row, 6, p, keys, plan); break;
    }
}

static void output_slice(const jl_attn_args *a, const value_slice *v, bool half, const float *p,
                         const merge_plan *plan)
{
    size_t n;

    for (size_t row = 0; row < a->n_q; row += n) {
        n = jl_even_part(a->n_q - row, QUERIES);
        const key_range keys = range_union((key_range){JL_KV_BLOCK, 0}, plan + row, n);
        if (keys.begin >= keys.end)
            continue;
        if (half)
            output_group(a, v, true, row, n, p + JL_KV_BLOCK * row, keys, plan + row);
        else
            output_group(a, v, false, row, n, p + JL_KV_BLOCK * row, keys, plan + row);
    }
}

static void output_all(const jl_attn_args *a, const attn_space *space, const merge_plan *plan)
{
    const key_range keys = range_union((key_range){JL_KV_BLOCK, 0}, plan, a->n_q);
    const bool direct = a->type_v != JL_CELL_Q8_0 && a->n_q <= FEW;

    if (keys.begin >= keys.end)
        return;
    for (size_t e = 0; e < a->head_dim; e += SLICE) {
        value_slice v = {.cells = space->v, .stride = SLICE, .e0 = e};
        if (!direct || a->head_dim - e < SLICE) {
            widen_v(a, e, keys, space->v);
            output_slice(a, &v, false, space->scores, plan);
            continue;
        }
        v.stride = a->head_dim;
        v.cells = a->type_v == JL_CELL_F16 ? (const void *)((const uint16_t *)a->v + e)
                                           : (const void *)((const float *)a->v + e);
        output_slice(a, &v, a->type_v == JL_CELL_F16, space->scores, plan);
    }
}

static void attn_block(const jl_attn_args *a)
{
    const attn_space space = space_of(a);
    merge_plan plan[JL_ATTN_ROWS];

    score_all(a, &space);
    for (size_t row = 0; row < a->n_q; row++)
        plan[row] = softmax_row(a, row, space.scores + JL_KV_BLOCK * row);
    output_all(a, &space, plan);
}

void jl_x86_attn_avx2(jl_cpu_kernels *k)
{
    k->attn_block = attn_block;
}
