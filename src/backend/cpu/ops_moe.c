/* Mixture of experts: the router, and the experts' FFN with tokens sorted by expert. Outputs are
 * added in ascending expert id by the thread that owns the output rows, so no batch or thread count
 * changes the order (docs/numerics.md, section 5). */
#include <string.h>

#include "backend/cpu/cpu.h"
#include "backend/cpu/mathf.h"

typedef struct {
    cpu_backend *c;
    const jl_router_args *a;
} router_ctx;

/* Softmax over all experts, the n_used best by probability (ties: lower id), their weights. */
static void choose(const jl_router_args *a, size_t t, float *p, float *taken)
{
    const uint32_t n = a->w->ne[1];
    const uint32_t n_used = a->ids.ne[0];
    int32_t *ids = (int32_t *)(void *)jl_tensor_row(&a->ids, t);
    float *weights = jl_tensor_row(&a->weights, t);
    float top = p[0];
    float sum = 0.0f;

    for (uint32_t e = 1; e < n; e++)
        top = p[e] > top ? p[e] : top;
    for (uint32_t e = 0; e < n; e++) {
        p[e] = jl_expf(p[e] - top);
        sum += p[e];
        taken[e] = 0.0f;
    }
    for (uint32_t e = 0; e < n; e++)
        p[e] /= sum;
    for (uint32_t k = 0; k < n_used; k++) {
        uint32_t best = n;
        for (uint32_t e = 0; e < n; e++)
            if (taken[e] == 0.0f && (best == n || p[e] > p[best]))
                best = e;
        taken[best] = 1.0f;
    }

    float chosen = 0.0f;
    uint32_t k = 0;
    for (uint32_t e = 0; e < n; e++)
        if (taken[e] != 0.0f) {
            ids[k] = (int32_t)e;
            weights[k++] = p[e];
            chosen += p[e];
        }
    const float *scale = a->scale && a->scale->buf ? jl_tensor_f32(a->scale) : NULL;
    for (k = 0; k < n_used; k++) {
        weights[k] /= chosen;
        if (scale)
            weights[k] *= scale[ids[k]];
    }
}

/* Router logits in tiles of experts and tokens, so that one token keeps every thread busy, and many
 * give all threads the same. */
enum { ROUTER_ROWS = 8, ROUTER_COLS = 64 };

static void router_tiles(void *ctx, int ith, int nth)
{
    const router_ctx *r = ctx;
    const jl_tensor *w = r->a->w;
    const uint32_t n_expert = w->ne[1];
    const uint32_t n_tokens = r->a->x->ne[1];
    const size_t n_rows = (n_expert + ROUTER_ROWS - 1) / ROUTER_ROWS;
    const size_t n_cols = (n_tokens + ROUTER_COLS - 1) / ROUTER_COLS;
    const jl_range tiles = jl_split(n_rows * n_cols, 1, ith, nth);

    for (size_t i = tiles.begin; i < tiles.end; i++) {
        const uint32_t row = (uint32_t)(i % n_rows) * ROUTER_ROWS;
        const uint32_t col = (uint32_t)(i / n_rows) * ROUTER_COLS;
        const jl_mm_args mm = {
            .w = jl_tensor_host(w) + row * w->row_bytes,
            .w_stride = w->row_bytes,
            .n_rows = n_expert - row < ROUTER_ROWS ? n_expert - row : ROUTER_ROWS,
            .n_in = w->ne[0],
            .x = jl_tensor_row(r->a->x, col),
            .n_cols = n_tokens - col < ROUTER_COLS ? n_tokens - col : ROUTER_COLS,
            .y = r->c->router + (size_t)col * n_expert + row,
            .y_stride = n_expert,
            .scratch = cpu_mm_scratch(r->c, ith),
        };
        r->c->k.mm[w->type](&mm);
    }
}

static void choose_rows(void *ctx, int ith, int nth)
{
    const router_ctx *r = ctx;
    const uint32_t n_expert = r->a->w->ne[1];
    const jl_range rows = jl_split(r->a->x->ne[1], 1, ith, nth);

    for (size_t t = rows.begin; t < rows.end; t++)
        choose(r->a, t, r->c->router + t * n_expert, cpu_tmp(r->c, ith));
}

void jl_cpu_router(jl_backend *be, const jl_router_args *a)
{
    cpu_backend *c = cpu_of(be);
    router_ctx r = {.c = c, .a = a};

    jl_pool_run(c->pool, router_tiles, &r);
    if (a->x->ne[1] == 1)
        choose_rows(&r, 0, 1);
    else
        jl_pool_run(c->pool, choose_rows, &r);
}

typedef struct {
    cpu_backend *c;
    const jl_experts_args *a;
    const jl_tensor *gate, *up; /* the same tensor when fused */
    uint32_t up_row;            /* first row of up in it */
    uint32_t n_ff, n_embd;
    cpu_split split, down_split; /* of gate and up; of down */
} moe_ctx;

/* Counting sort of (token, rank) by expert; tokens ascend within an expert. */
static void sort_tokens(cpu_backend *c, const jl_experts_args *a, uint32_t n_expert)
{
    const uint32_t n_tokens = a->x->ne[1];
    const uint32_t n_used = a->ids->ne[0];
    uint32_t *start = c->expert_start;

    c->n_busy = 0;
    memset(start, 0, (n_expert + 1) * sizeof *start);
    for (uint32_t t = 0; t < n_tokens; t++) {
        const int32_t *ids = (const int32_t *)(const void *)jl_tensor_row(a->ids, t);
        for (uint32_t k = 0; k < n_used; k++)
            start[ids[k] + 1]++;
    }
    for (uint32_t e = 0; e < n_expert; e++) {
        if (start[e + 1])
            c->expert_busy[c->n_busy++] = e;
        start[e + 1] += start[e];
    }
    for (uint32_t t = 0; t < n_tokens; t++) {
        const int32_t *ids = (const int32_t *)(const void *)jl_tensor_row(a->ids, t);
        const float *weights = jl_tensor_row(a->weights, t);
        for (uint32_t k = 0; k < n_used; k++) {
            const uint32_t i = start[ids[k]]++;
            c->expert_token[i] = t;
            c->expert_weight[i] = weights[k];
        }
    }
    for (uint32_t e = n_expert; e > 0; e--)
        start[e] = start[e - 1];
    start[0] = 0;
}

static void mm_rows(const moe_ctx *m, const jl_tensor *w, uint32_t expert, uint32_t row,
                    jl_mm_args *mm)
{
    mm->w = jl_tensor_host(w) + ((uint64_t)expert * w->ne[1] + row) * w->row_bytes;
    mm->w_stride = w->row_bytes;
    mm->n_in = w->ne[0];
    m->c->k.mm[w->type](mm);
}

/* h = gelu(gate) * up for rows [row, row + n_rows) of one expert, all its tokens; quantised if down
 * wants blocks of 32, which never reach over the border of a piece. */
static void gate_up_rows(const moe_ctx *m, uint32_t expert, uint32_t row, uint32_t n_rows, int ith)
{
    cpu_backend *c = m->c;
    const uint32_t begin = c->expert_start[expert];
    const uint32_t n_cols = c->expert_start[expert + 1] - begin;
    float *gate = cpu_tmp(c, ith);
    float *up = gate + (size_t)n_cols * n_rows;
    jl_mm_args mm = {
        .n_rows = n_rows,
        .x = jl_tensor_f32(m->a->x),
        .cols = c->expert_token + begin,
        .n_cols = n_cols,
        .y_stride = n_rows,
        .scratch = cpu_mm_scratch(c, ith),
    };

    mm.y = gate;
    cpu_act_bind_input(c, m->gate->type, m->gate->ne[0], &mm);
    mm_rows(m, m->gate, expert, row, &mm);
    mm.y = up;
    cpu_act_bind_input(c, m->up->type, m->up->ne[0], &mm);
    mm_rows(m, m->up, expert, m->up_row + row, &mm);

    const bool quantise = cpu_act_of(m->a->down->type) == CPU_ACT_32;
    for (uint32_t i = 0; i < n_cols; i++) {
        const size_t at = (size_t)(begin + i) * m->n_ff + row;
        float *g = gate + (size_t)i * n_rows;
        if (!quantise) {
            c->k.geglu(g, up + (size_t)i * n_rows, c->h + at, n_rows);
            continue;
        }
        c->k.geglu(g, up + (size_t)i * n_rows, g, n_rows);
        c->k.act_quantize(g, n_rows, c->act_h.q + at, c->act_h.d + at / 32, c->act_h.sum + at / 16);
    }
}

/* Units are numbered through the busy experts; a piece may reach over their borders. */
static void gate_up_pieces(void *ctx, int ith, int nth)
{
    const moe_ctx *m = ctx;
    const size_t per_expert = cpu_n_units(&m->split, m->n_ff);
    const size_t n_units = per_expert * m->c->n_busy;

    for (;;) {
        jl_range piece = cpu_take_piece(m->c, &m->split, n_units, ith, nth);
        if (piece.begin == piece.end)
            return;
        while (piece.begin < piece.end) {
            const size_t busy = piece.begin / per_expert;
            const size_t last = (busy + 1) * per_expert;
            const size_t end = piece.end < last ? piece.end : last;
            const uint32_t row = (uint32_t)(piece.begin % per_expert) * m->split.unit;
            const uint32_t most = (uint32_t)(end - piece.begin) * m->split.unit;
            gate_up_rows(m, m->c->expert_busy[busy], row,
                         m->n_ff - row < most ? m->n_ff - row : most, ith);
            piece.begin = end;
        }
    }
}

/* Quantises h in wide blocks, all experts' tokens. */
static void h_rows(void *ctx, int ith, int nth)
{
    const moe_ctx *m = ctx;
    const cpu_backend *c = m->c;
    const size_t n_rows = c->expert_start[m->a->down->ne[2]];
    const jl_range rows = jl_split(n_rows, 1, ith, nth);

    for (size_t i = rows.begin; i < rows.end; i++)
        cpu_act_row_wide(c, c->h + i * m->n_ff, m->n_ff, &c->act_h, i);
}

static void down_rows(const moe_ctx *m, uint32_t row, uint32_t n_rows, int ith)
{
    cpu_backend *c = m->c;
    float *tmp = cpu_tmp(c, ith);

    for (uint32_t t = 0; t < m->a->x->ne[1]; t++)
        memset(jl_tensor_row(m->a->y, t) + row, 0, n_rows * sizeof(float));
    for (uint32_t b = 0; b < c->n_busy; b++) {
        const uint32_t e = c->expert_busy[b];
        const uint32_t begin = c->expert_start[e];
        const uint32_t n_cols = c->expert_start[e + 1] - begin;
        const size_t at = (size_t)begin * m->n_ff;
        jl_mm_args mm = {
            .n_rows = n_rows,
            .x = c->h + at,
            .n_cols = n_cols,
            .y = tmp,
            .y_stride = n_rows,
            .scratch = cpu_mm_scratch(c, ith),
        };
        cpu_act_bind(&c->act_h, m->a->down->type, m->n_ff, begin, &mm);
        mm_rows(m, m->a->down, e, row, &mm);
        for (uint32_t i = 0; i < n_cols; i++)
            c->k.axpy(c->expert_weight[begin + i], tmp + (size_t)i * n_rows,
                      jl_tensor_row(m->a->y, c->expert_token[begin + i]) + row, n_rows);
    }
}

static void down_pieces(void *ctx, int ith, int nth)
{
    const moe_ctx *m = ctx;
    const size_t n_units = cpu_n_units(&m->down_split, m->n_embd);

    for (;;) {
        const jl_range piece = cpu_take_piece(m->c, &m->down_split, n_units, ith, nth);
        if (piece.begin == piece.end)
            return;
        const uint32_t row = (uint32_t)piece.begin * m->down_split.unit;
        const uint32_t most = (uint32_t)(piece.end - piece.begin) * m->down_split.unit;
        down_rows(m, row, m->n_embd - row < most ? m->n_embd - row : most, ith);
    }
}

void jl_cpu_experts(jl_backend *be, const jl_experts_args *a)
{
    cpu_backend *c = cpu_of(be);
    const bool fused = a->gate_up && a->gate_up->buf;
    moe_ctx m = {
        .c = c,
        .a = a,
        .gate = fused ? a->gate_up : a->gate,
        .up = fused ? a->gate_up : a->up,
        .up_row = fused ? a->n_ff : 0,
        .n_ff = a->n_ff,
        .n_embd = a->down->ne[1],
        .split = cpu_split_rows(c, a->x->ne[1], CPU_GRAIN_BLOCK),
        .down_split = cpu_split_rows(c, a->x->ne[1], CPU_GRAIN),
    };

    /* a piece of down is read from every expert: few long runs of memory rather than many short */
    m.down_split.lots = 1;

    sort_tokens(c, a, a->down->ne[2]);
    const unsigned kinds = cpu_act_of(m.gate->type) | cpu_act_of(m.up->type);
    if (kinds)
        jl_cpu_act_rows(c, a->x, kinds);
    jl_queue_reset(&c->queue);
    jl_pool_run(c->pool, gate_up_pieces, &m);
    if (cpu_act_of(a->down->type) == CPU_ACT_WIDE)
        jl_pool_run(c->pool, h_rows, &m);
    jl_queue_reset(&c->queue);
    jl_pool_run(c->pool, down_pieces, &m);
}
