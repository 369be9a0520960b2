/* The end of every forward pass: final norm, head, soft cap. */
#include "base/mem.h"
#include "model/graph_inl.h"

jl_status jl_graph_observe(const jl_graph *g, int layer, const jl_tensor *x, jl_error *err)
{
    if (!g->observe)
        return JL_OK;
    float *rows = jl_malloc((size_t)x->ne[0] * x->ne[1] * sizeof *rows);
    if (!rows)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    const jl_status s = g->be->ops->download(g->be, x, rows, err);
    if (s == JL_OK)
        g->observe(g->observe_ctx, layer, rows, x->ne[1]);
    jl_free(rows);
    return s;
}

/* (12) logits of the wanted rows. */
static jl_status head(const jl_graph *g, jl_error *err)
{
    const jl_model *m = g->m;
    const jl_backend_ops *ops = g->be->ops;
    const jl_tensor x = view(&g->act->x, m->hp.n_embd, g->n_tokens);
    const jl_tensor out = view(&g->act->out, m->hp.n_embd, g->n_out);
    const jl_tensor logits = view(&g->act->logits, m->hp.n_vocab, g->n_out);

    ops->gather_rows(g->be, &x, g->out_rows, &out);
    ops->rms_norm(g->be, &out, &m->output_norm, m->hp.eps, &out);
    JL_TRY(jl_graph_observe(g, (int)m->hp.n_layer, &out, err));
    ops->matmul(g->be, &out, &(jl_matmul_out){.w = &m->output, .y = logits}, 1);
    if (m->hp.softcap > 0.0f)
        ops->softcap(g->be, &logits, m->hp.softcap);
    return JL_OK;
}

jl_status jl_graph_head(const jl_graph *g, jl_error *err)
{
    if (g->n_out)
        JL_TRY(head(g, err));
    return g->be->ops->wait(g->be, err);
}

jl_status jl_graph_forward(const jl_graph *g, jl_error *err)
{
    return g->m->arch->forward(g, err);
}
