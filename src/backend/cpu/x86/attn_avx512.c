/* Attention over one block of 64 keys (docs/numerics.md, section 4) as two small matrix products:
 * scores with lanes = keys, outputs with lanes = head dimensions. Each output stays one chain. */
#include <immintrin.h>
#include <math.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/x86/mathf_avx512_inl.h"
#include "backend/cpu/x86/x86.h"

#define ALWAYS static inline __attribute__((always_inline))

enum { QUERIES = 6 /* query rows per register block: 6 x 4 accumulators */ };

/* Scratch: F32 copies of K and V where they pay, then scores [n_q][64]. */
typedef struct {
    float *k;      /* [head_dim][64] */
    float *v;      /* [64][head_dim] */
    float *scores; /* [n_q][64] */
} attn_space;

/* Visible keys of a query: begin <= j < end. */
typedef struct {
    int begin, end;
} key_range;

static attn_space space_of(const jl_attn_args *a)
{
    float *base = a->scratch;
    const size_t n = JL_KV_BLOCK * a->head_dim;

    return (attn_space){base, base + n, base + 2 * n};
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

/* ---- cells to F32 */

static void widen_f16(const uint16_t *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i += 16)
        _mm512_storeu_ps(dst + i, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(src + i))));
}

/* 16 cells; lanes outside the mask are +0 and not read. */
ALWAYS __m512 load_cells(const void *cells, size_t at, bool half, __mmask16 k)
{
    if (half)
        return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(k, (const uint16_t *)cells + at));
    return _mm512_maskz_loadu_ps(k, (const float *)cells + at);
}

ALWAYS __m512 widen_q8(const int8_t *q)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)q)));
}

/* K: the scales of 64 keys serve 32 dimensions. */
static void widen_k_q8(const int8_t *q, float *dst, size_t head_dim)
{
    const uint16_t *d = (const uint16_t *)(q + head_dim * JL_KV_BLOCK);

    for (size_t e = 0; e < head_dim; e++)
        for (size_t j = 0; j < JL_KV_BLOCK; j += 16) {
            const size_t i = e * JL_KV_BLOCK + j;
            const __m512 s = _mm512_cvtph_ps(
                _mm256_loadu_si256((const __m256i *)(d + e / 32 * JL_KV_BLOCK + j)));
            _mm512_storeu_ps(dst + i, _mm512_mul_ps(widen_q8(q + i), s));
        }
}

static void widen_v_q8(const int8_t *q, float *dst, size_t head_dim)
{
    const uint16_t *d = (const uint16_t *)(q + head_dim * JL_KV_BLOCK);

    for (size_t i = 0; i < head_dim * JL_KV_BLOCK; i += 32) {
        const __m512 s = _mm512_set1_ps(_cvtsh_ss(d[i / 32]));
        _mm512_storeu_ps(dst + i, _mm512_mul_ps(widen_q8(q + i), s));
        _mm512_storeu_ps(dst + i + 16, _mm512_mul_ps(widen_q8(q + i + 16), s));
    }
}

/* ---- scores */

/* R query rows against 64 keys: s = fma(q_e, k_je, s), e ascending. */
ALWAYS void score_rows(const jl_attn_args *a, const void *k, bool half, size_t row, int R,
                       float *scores)
{
    const float *q[QUERIES];
    __m512 acc[QUERIES][4];

#pragma GCC unroll 6
    for (int r = 0; r < R; r++) {
        q[r] = a->q + a->q_offset[row + (size_t)r];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            acc[r][i] = _mm512_setzero_ps();
    }
    for (size_t e = 0; e < a->head_dim; e++) {
        __m512 kv[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const size_t at = e * JL_KV_BLOCK + 16 * (size_t)i;
            kv[i] = load_cells(k, at, half, 0xffff);
        }
#pragma GCC unroll 6
        for (int r = 0; r < R; r++) {
            const __m512 qe = _mm512_set1_ps(q[r][e]);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                acc[r][i] = _mm512_fmadd_ps(qe, kv[i], acc[r][i]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            _mm512_storeu_ps(scores + JL_KV_BLOCK * r + 16 * i, acc[r][i]);
}

ALWAYS void score_group(const jl_attn_args *a, const void *k, bool half, size_t row, size_t n,
                        float *scores)
{
    switch (n) {
    case 1: score_rows(a, k, half, row, 1, scores); break;
    case 2: score_rows(a, k, half, row, 2, scores); break;
    case 3: score_rows(a, k, half, row, 3, scores); break;
    case 4: score_rows(a, k, half, row, 4, scores); break;
    case 5: score_rows(a, k, half, row, 5, scores); break;
    default: score_rows(a, k, half, row, 6, scores); break;
    }
}

/* ---- outputs */

/* R rows, 64 dimensions from e: o[e] = fma(p_j, v_je, o), j ascending over the keys given. lanes
 * holds the dimensions there are. */
ALWAYS void output_rows(const jl_attn_args *a, const void *v, bool half, size_t e, uint64_t lanes,
                        int R, const float *p, key_range keys, __m512 acc[QUERIES][4])
{
#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            acc[r][i] = _mm512_setzero_ps();
    for (int j = keys.begin; j < keys.end; j++) {
        __m512 vv[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const size_t at = (size_t)j * a->head_dim + e + 16 * (size_t)i;
            vv[i] = load_cells(v, at, half, (__mmask16)(lanes >> 16 * i));
        }
#pragma GCC unroll 6
        for (int r = 0; r < R; r++) {
            const __m512 pj = _mm512_set1_ps(p[JL_KV_BLOCK * r + j]);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                acc[r][i] = _mm512_fmadd_ps(pj, vv[i], acc[r][i]);
        }
    }
}

/* How one row's block result joins its running state. */
typedef struct {
    bool skip;    /* no visible key */
    bool fresh;   /* the state is empty: take the block's result */
    float a, c;   /* factors of the state and of the block */
} merge_plan;

ALWAYS void output_slice(const jl_attn_args *a, const void *v, bool half, size_t e, uint64_t lanes,
                         size_t row, int R, const float *p, key_range keys, const merge_plan *plan)
{
    __m512 acc[QUERIES][4];

    output_rows(a, v, half, e, lanes, R, p, keys, acc);
#pragma GCC unroll 6
    for (int r = 0; r < R; r++) {
        float *o = a->o + (row + (size_t)r) * a->head_dim + e;
        if (plan[r].skip)
            continue;
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const __mmask16 k = (__mmask16)(lanes >> 16 * i);
            __m512 out = acc[r][i];
            if (!plan[r].fresh)
                out = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(k, o + 16 * i),
                                      _mm512_set1_ps(plan[r].a),
                                      _mm512_mul_ps(out, _mm512_set1_ps(plan[r].c)));
            _mm512_mask_storeu_ps(o + 16 * i, k, out);
        }
    }
}

ALWAYS void output_group(const jl_attn_args *a, const void *v, bool half, size_t row, int R,
                         const float *p, key_range keys, const merge_plan *plan)
{
    size_t e = 0;

    for (; e + 64 <= a->head_dim; e += 64)
        output_slice(a, v, half, e, ~UINT64_C(0), row, R, p, keys, plan);
    if (e < a->head_dim) {
        const uint64_t lanes = (UINT64_C(1) << (a->head_dim - e)) - 1;
        output_slice(a, v, half, e, lanes, row, R, p, keys, plan);
    }
}

ALWAYS void output_n(const jl_attn_args *a, const void *v, bool half, size_t row, size_t n,
                     const float *p, key_range keys, const merge_plan *plan)
{
    switch (n) {
    case 1: output_group(a, v, half, row, 1, p, keys, plan); break;
    case 2: output_group(a, v, half, row, 2, p, keys, plan); break;
    case 3: output_group(a, v, half, row, 3, p, keys, plan); break;
    case 4: output_group(a, v, half, row, 4, p, keys, plan); break;
    case 5: output_group(a, v, half, row, 5, p, keys, plan); break;
    default: output_group(a, v, half, row, 6, p, keys, plan); break;
    }
}

/* ---- softmax */

ALWAYS float tree_sum(__m512 v)
{
    const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    b = _mm_add_ss(b, _mm_movehdup_ps(b));
    return _mm_cvtss_f32(b);
}

/* Scores of one row to p_j, and (m, l) of the state; says how the outputs merge. */
static merge_plan softmax_row(const jl_attn_args *a, size_t row, float *s, key_range keys)
{
    const uint64_t below_end = keys.end == 64 ? ~UINT64_C(0) : (UINT64_C(1) << keys.end) - 1;
    const uint64_t seen = keys.begin == 64 ? 0 : below_end >> keys.begin << keys.begin;
    __m512 top = _mm512_set1_ps(-INFINITY);
    float m;

    for (int i = 0; i < 4; i++) /* max returns its second operand for NaN: NaN scores are ignored */
        top =
            _mm512_mask_max_ps(top, (__mmask16)(seen >> 16 * i), _mm512_loadu_ps(s + 16 * i), top);
    m = _mm512_reduce_max_ps(top);
    if (m == -INFINITY)
        return (merge_plan){.skip = true};

    __m512 sum = _mm512_setzero_ps();
    for (int i = 0; i < 4; i++) {
        const __m512 diff = _mm512_sub_ps(_mm512_loadu_ps(s + 16 * i), _mm512_set1_ps(m));
        const __m512 p =
            _mm512_maskz_mov_ps((__mmask16)(seen >> 16 * i), exp_ps(diff));
        _mm512_storeu_ps(s + 16 * i, p);
        sum = _mm512_add_ps(sum, p);
    }

    const float l = tree_sum(sum);
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

/* Where the cells are read from, as F32 or F16. */
typedef struct {
    const void *k, *v;
    bool half_k, half_v;
} cell_source;

/* F16 cells are widened on the fly for few queries, once per block for many. */
static cell_source cells_of(const jl_attn_args *a, const attn_space *space)
{
    const size_t n = JL_KV_BLOCK * a->head_dim;
    cell_source src = {a->k, a->v, a->type_k == JL_CELL_F16, a->type_v == JL_CELL_F16};

    if (a->type_k == JL_CELL_Q8_0) {
        widen_k_q8(a->k, space->k, a->head_dim);
        src.k = space->k;
    } else if (src.half_k && a->n_q > 2 * QUERIES) {
        widen_f16(a->k, space->k, n);
        src.k = space->k;
        src.half_k = false;
    }
    if (a->type_v == JL_CELL_Q8_0) {
        widen_v_q8(a->v, space->v, a->head_dim);
        src.v = space->v;
    } else if (src.half_v && a->n_q > 2 * QUERIES) {
        widen_f16(a->v, space->v, n);
        src.v = space->v;
        src.half_v = false;
    }
    return src;
}

static void attn_group(const jl_attn_args *a, const cell_source *src, size_t row, size_t n,
                       float *scores)
{
    merge_plan plan[QUERIES];
    key_range all = {JL_KV_BLOCK, 0};

    if (src->half_k)
        score_group(a, src->k, true, row, n, scores);
    else
        score_group(a, src->k, false, row, n, scores);

    for (size_t r = 0; r < n; r++) {
        const key_range keys = visible(a, row + r);
        plan[r] = softmax_row(a, row + r, scores + JL_KV_BLOCK * r, keys);
        if (plan[r].skip)
            continue;
        all.begin = keys.begin < all.begin ? keys.begin : all.begin;
        all.end = keys.end > all.end ? keys.end : all.end;
    }
    if (all.begin >= all.end)
        return;

    if (src->half_v)
        output_n(a, src->v, true, row, n, scores, all, plan);
    else
        output_n(a, src->v, false, row, n, scores, all, plan);
}

static void attn_block(const jl_attn_args *a)
{
    const attn_space space = space_of(a);
    const cell_source src = cells_of(a, &space);

    for (size_t row = 0; row < a->n_q; row += QUERIES) {
        const size_t left = a->n_q - row;
        attn_group(a, &src, row, left < QUERIES ? left : QUERIES, space.scores);
    }
}

void jl_x86_attn_avx512(jl_cpu_kernels *k)
{
    k->attn_block = attn_block;
}
