/* Matrix products: the activations are quantised once, then pieces of weight rows are handed out in
 * order. Every output is computed whole by one thread, so the split cannot change a bit. */
#include "backend/cpu/cpu.h"

typedef struct {
    cpu_backend *c;
    const jl_tensor *x;
    unsigned act_kinds; /* set of cpu_act_kind */
    const jl_matmul_out *outs;
    size_t n_outs;
    cpu_split split;
    size_t n_units; /* of all outputs */
} mm_ctx;

static void act_rows(void *ctx, int ith, int nth)
{
    const mm_ctx *m = ctx;
    const cpu_backend *c = m->c;
    const size_t n = m->x->ne[0];
    const jl_range rows = jl_split(m->x->ne[1], 1, ith, nth);

    for (size_t t = rows.begin; t < rows.end; t++) {
        const float *x = jl_tensor_row(m->x, t);
        if (m->act_kinds & CPU_ACT_32)
            c->k.act_quantize(x, n, c->act.q + t * n, c->act.d + t * (n / 32),
                              c->act.sum + t * (n / 16));
        if (m->act_kinds & CPU_ACT_WIDE)
            cpu_act_row_wide(c, x, n, &c->act_wide, t);
    }
}

void jl_cpu_act_rows(cpu_backend *c, const jl_tensor *x, unsigned kinds)
{
    mm_ctx m = {.c = c, .x = x, .act_kinds = kinds};

    if ((uint64_t)x->ne[0] * x->ne[1] < 16384)
        act_rows(&m, 0, 1);
    else
        jl_pool_run(c->pool, act_rows, &m);
}

static void mm_rows(const mm_ctx *m, const jl_matmul_out *out, size_t row, size_t n_rows, int ith)
{
    const jl_tensor *w = out->w;
    jl_mm_args a = {
        .w = jl_tensor_host(w) + row * w->row_bytes,
        .w_stride = w->row_bytes,
        .n_rows = n_rows,
        .n_in = w->ne[0],
        .x = jl_tensor_f32(m->x),
        .n_cols = m->x->ne[1],
        .y = jl_tensor_f32(&out->y) + row,
        .y_stride = out->y.row_bytes / sizeof(float),
        .scratch = cpu_mm_scratch(m->c, ith),
    };
    cpu_act_bind_input(m->c, w->type, w->ne[0], &a);
    m->c->k.mm[w->type](&a);
}

/* Units are numbered through all outputs; a piece may reach over their borders. */
static void mm_piece(const mm_ctx *m, jl_range piece, int ith)
{
    size_t first = 0; /* unit of output o */

    for (size_t o = 0; o < m->n_outs && piece.begin < piece.end; o++) {
        const size_t n_rows = m->outs[o].w->ne[1];
        const size_t last = first + cpu_n_units(&m->split, n_rows);
        if (piece.begin < last) {
            const size_t end = piece.end < last ? piece.end : last;
            const size_t row = (piece.begin - first) * m->split.unit;
            const size_t row_end = (end - first) * m->split.unit;
            mm_rows(m, &m->outs[o], row, (row_end < n_rows ? row_end : n_rows) - row, ith);
            piece.begin = end;
        }
        first = last;
    }
}

static void mm_pieces(void *ctx, int ith, int nth)
{
    const mm_ctx *m = ctx;

    for (;;) {
        const jl_range piece = cpu_take_piece(m->c, &m->split, m->n_units, ith, nth);
        if (piece.begin == piece.end)
            return;
        mm_piece(m, piece, ith);
    }
}

void jl_cpu_matmul(jl_backend *be, const jl_tensor *x, const jl_matmul_out *outs, size_t n_outs)
{
    cpu_backend *c = cpu_of(be);
    mm_ctx m = {.c = c, .x = x, .outs = outs, .n_outs = n_outs};
    uint64_t work = 0;

    m.split = cpu_split_rows(c, x->ne[1], CPU_GRAIN);
    for (size_t i = 0; i < n_outs; i++) {
        m.act_kinds |= cpu_act_of(outs[i].w->type);
        m.n_units += cpu_n_units(&m.split, outs[i].w->ne[1]);
        work += (uint64_t)outs[i].w->ne[0] * outs[i].w->ne[1] * x->ne[1];
    }
    if (m.act_kinds)
        jl_cpu_act_rows(c, x, m.act_kinds);
    jl_queue_reset(&c->queue);
    if (work < 65536)
        mm_pieces(&m, 0, 1);
    else
        jl_pool_run(c->pool, mm_pieces, &m);
}
