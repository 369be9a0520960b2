/* Llama 3 and Mistral: the forward pass. RMS norm, grouped-query attention with RoPE on adjacent
 * pairs (the row order that GGUF files of this family have), SwiGLU; two residual additions. */
#include <math.h>

#include "model/graph_inl.h"

/* x += Wo attention(rope(Wq h) / sqrt(head_dim), rope(Wk h), Wv h), h = RMS(x) */
static void attention(const jl_graph *g, uint32_t il, const jl_tensor *x)
{
    const jl_layer *l = &g->m->layers[il];
    const jl_hparams *hp = &g->m->hp;
    const jl_backend_ops *ops = g->be->ops;
    const jl_activations *act = g->act;
    const uint32_t n = g->n_tokens;
    const jl_tensor h = view(&act->h, hp->n_embd, n);
    const jl_tensor q = view(&act->q, hp->n_head * l->head_dim, n);
    const jl_tensor k = view(&act->k, l->n_head_kv * l->head_dim, n);
    const jl_tensor v = view(&act->v, l->n_head_kv * l->head_dim, n);
    const jl_tensor o = view(&act->o, hp->n_head * l->head_dim, n);
    const jl_tensor f = view(&act->f, hp->n_embd, n);
    const jl_kv_layer *kv = jl_kv_layer_of(g->kv, il);
    const jl_kv_batch batch = {
        .n_tokens = n,
        .pos = g->pos,
        .pages = g->pages[l->is_swa ? JL_KV_SWA : JL_KV_GLOBAL],
    };
    const jl_matmul_out projections[] = {
        {.w = &l->wq, .y = q}, {.w = &l->wk, .y = k}, {.w = &l->wv, .y = v}};

    ops->rms_norm(g->be, x, &l->attn_norm, hp->eps, &h);
    ops->matmul(g->be, &h, projections, 3);
    ops->rope_adjacent(g->be, &q, l->head_dim, 0, 1.0f / sqrtf((float)l->head_dim));
    ops->rope_adjacent(g->be, &k, l->head_dim, 0, 1.0f);
    ops->kv_store(g->be, &k, &v, kv, &batch);
    ops->attention(g->be, &q, kv, &batch, hp->n_head, &o);
    ops->matmul(g->be, &o, &(jl_matmul_out){.w = &l->wo, .y = f}, 1);
    ops->add_scale(g->be, x, &f, 1.0f);
}

/* x += Wdown (silu(Wgate h) * Wup h), h = RMS(x) */
static void feed_forward(const jl_graph *g, const jl_layer *l, const jl_tensor *x)
{
    const jl_hparams *hp = &g->m->hp;
    const jl_backend_ops *ops = g->be->ops;
    const jl_tensor h = view(&g->act->h, hp->n_embd, g->n_tokens);
    const jl_tensor f = view(&g->act->f, hp->n_embd, g->n_tokens);
    const jl_tensor gate = view(&g->act->gate, l->n_ff, g->n_tokens);
    const jl_tensor up = view(&g->act->up, l->n_ff, g->n_tokens);
    const jl_matmul_out outs[] = {{.w = &l->gate, .y = gate}, {.w = &l->up, .y = up}};

    ops->rms_norm(g->be, x, &l->ffn_norm, hp->eps, &h);
    ops->matmul(g->be, &h, outs, 2);
    ops->swiglu(g->be, &gate, &up, &gate);
    ops->matmul(g->be, &gate, &(jl_matmul_out){.w = &l->down, .y = f}, 1);
    ops->add_scale(g->be, x, &f, 1.0f);
}

static void prepare_rope(const jl_graph *g)
{
    g->be->ops->rope_prepare(g->be, 0, g->inv_freq, g->m->hp.head_dim, g->mscale, g->pos,
                             g->n_tokens);
}

jl_status jl_llama_forward(const jl_graph *g, jl_error *err)
{
    const jl_hparams *hp = &g->m->hp;
    const jl_backend_ops *ops = g->be->ops;
    const jl_tensor x = view(&g->act->x, hp->n_embd, g->n_tokens);

    prepare_rope(g);
    ops->embed(g->be, &g->m->token_embd, g->tokens, 1.0f, &x);
    JL_TRY(jl_graph_observe(g, -1, &x, err));
    for (uint32_t il = 0; il < hp->n_layer; il++) {
        if (atomic_load_explicit(g->cancel, memory_order_relaxed))
            return jl_fail(err, JL_CANCELLED, "cancelled at layer %u", il);
        attention(g, il, &x);
        feed_forward(g, &g->m->layers[il], &x);
        JL_TRY(jl_graph_observe(g, (int)il, &x, err));
        if (g->layer_done && g->layer_done(g->layer_done_ctx))
            prepare_rope(g);
    }
    return jl_graph_head(g, err);
}
