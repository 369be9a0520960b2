/* Matrix products: the activations are quantised once, then tiles of weight rows are handed out in
 * order. Every output is computed whole by one thread, so the split cannot change a bit. */
#include "backend/cpu/cpu.h"

typedef struct {
    cpu_backend *c;
    const jl_tensor *x;
    const cpu_act *act;
    const jl_matmul_out *outs;
    size_t n_outs;
    size_t tile; /* rows */
} mm_ctx;

static void act_rows(void *ctx, int ith, int nth)
{
    const mm_ctx *m = ctx;
    const size_t n = m->x->ne[0];
    const jl_range rows = jl_split(m->x->ne[1], 1, ith, nth);

    for (size_t t = rows.begin; t < rows.end; t++)
        m->c->k.act_quantize(jl_tensor_row(m->x, t), n, m->act->q + t * n, m->act->d + t * (n / 32),
                             m->act->sum + t * (n / 16));
}

void jl_cpu_act_rows(cpu_backend *c, const jl_tensor *x, const cpu_act *act)
{
    mm_ctx m = {.c = c, .x = x, .act = act};

    if ((uint64_t)x->ne[0] * x->ne[1] < 16384)
        act_rows(&m, 0, 1);
    else
        jl_pool_run(c->pool, act_rows, &m);
}

static void mm_tile(const mm_ctx *m, const jl_matmul_out *out, size_t row, int ith)
{
    const jl_tensor *w = out->w;
    const size_t n_rows = w->ne[1] - row < m->tile ? w->ne[1] - row : m->tile;
    const jl_mm_args a = {
        .w = jl_tensor_host(w) + row * w->row_bytes,
        .w_stride = w->row_bytes,
        .n_rows = n_rows,
        .n_in = w->ne[0],
        .q = m->act->q,
        .d = m->act->d,
        .sum = m->act->sum,
        .x = jl_tensor_f32(m->x),
        .n_cols = m->x->ne[1],
        .y = jl_tensor_f32(&out->y) + row,
        .y_stride = out->y.row_bytes / sizeof(float),
        .scratch = cpu_mm_scratch(m->c, ith),
    };
    m->c->k.mm[w->type](&a);
}

static void mm_tiles(void *ctx, int ith, int nth)
{
    const mm_ctx *m = ctx;
    (void)nth;

    for (;;) {
        size_t i = jl_queue_take(&m->c->queue);
        size_t o = 0;
        for (; o < m->n_outs; o++) {
            const size_t n_tiles = (m->outs[o].w->ne[1] + m->tile - 1) / m->tile;
            if (i < n_tiles)
                break;
            i -= n_tiles;
        }
        if (o == m->n_outs)
            return;
        mm_tile(m, &m->outs[o], i * m->tile, ith);
    }
}

void jl_cpu_matmul(jl_backend *be, const jl_tensor *x, const jl_matmul_out *outs, size_t n_outs)
{
    cpu_backend *c = cpu_of(be);
    mm_ctx m = {.c = c, .x = x, .act = &c->act, .outs = outs, .n_outs = n_outs};
    bool quantised = false;
    uint64_t work = 0;
    size_t n_rows = 0;

    for (size_t i = 0; i < n_outs; i++) {
        quantised = quantised || !cpu_type_is_float(outs[i].w->type);
        n_rows += outs[i].w->ne[1];
        work += (uint64_t)outs[i].w->ne[0] * outs[i].w->ne[1] * x->ne[1];
    }
    m.tile = cpu_tile_rows(c, n_rows, x->ne[1]);
    if (quantised)
        jl_cpu_act_rows(c, x, &c->act);
    jl_queue_reset(&c->queue);
    if (work < 65536)
        mm_tiles(&m, 0, 1);
    else
        jl_pool_run(c->pool, mm_tiles, &m);
}
