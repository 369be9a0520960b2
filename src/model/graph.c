/* The end of every forward pass: final norm, head, soft cap. */
#include "model/graph_inl.h"

/* (12) logits of the wanted rows. */
static void head(const jl_graph *g)
{
    const jl_model *m = g->m;
    const jl_backend_ops *ops = g->be->ops;
    const jl_tensor x = view(&g->act->x, m->hp.n_embd, g->n_tokens);
    const jl_tensor out = view(&g->act->out, m->hp.n_embd, g->n_out);
    const jl_tensor logits = view(&g->act->logits, m->hp.n_vocab, g->n_out);

    ops->gather_rows(g->be, &x, g->out_rows, &out);
    ops->rms_norm(g->be, &out, &m->output_norm, m->hp.eps, &out);
    observe(g, (int)m->hp.n_layer, &out);
    ops->matmul(g->be, &out, &(jl_matmul_out){.w = &m->output, .y = logits}, 1);
    if (m->hp.softcap > 0.0f)
        ops->softcap(g->be, &logits, m->hp.softcap);
}

jl_status jl_graph_head(const jl_graph *g, jl_error *err)
{
    if (g->n_out)
        head(g);
    return g->be->ops->wait(g->be, err);
}

jl_status jl_graph_forward(const jl_graph *g, jl_error *err)
{
    return g->m->arch->forward(g, err);
}
