/* Gemma 4, text part: the forward pass. The numbers in brackets are the equations of the
 * architecture as docs/gemma4.md lists them. All variants share this file: a layer does what its
 * tensors say (V or K = V, dense FFN alone or beside experts, per-layer embeddings, shared KV). */
#include <math.h>

#include "model/graph_inl.h"

static const jl_tensor no_weight = {0}; /* RMS norm without weight */

/* (2) per-layer inputs: token identity and context, e = (a + b) / sqrt(2). */
static void per_layer_inputs(const jl_graph *g, const jl_tensor *x)
{
    const jl_model *m = g->m;
    const jl_backend_ops *ops = g->be->ops;
    const uint32_t width = m->hp.n_embd_per_layer;
    const uint32_t all = width * m->hp.n_layer;
    const jl_tensor e = view(&g->act->ple, all, g->n_tokens);
    const jl_tensor b = view(&g->act->ple_t, all, g->n_tokens);
    const jl_tensor b_layers = view(&g->act->ple_t, width, g->n_tokens * m->hp.n_layer);

    ops->embed(g->be, &m->per_layer_token_embd, g->tokens, sqrtf((float)width), &e);
    ops->matmul(g->be, x, &(jl_matmul_out){.w = &m->per_layer_model_proj, .y = b}, 1);
    ops->add_scale(g->be, &b, NULL, 1.0f / sqrtf((float)m->hp.n_embd));
    ops->rms_norm(g->be, &b_layers, &m->per_layer_proj_norm, m->hp.eps, &b_layers);
    ops->add_scale(g->be, &e, &b, 1.0f / sqrtf(2.0f));
}

/* (5) keys and values of a layer that owns its cache. */
static void store_kv(const jl_graph *g, const jl_layer *l, const jl_kv_layer *kv,
                     const jl_kv_batch *batch, const jl_tensor *k, const jl_tensor *v, int slot)
{
    const jl_backend_ops *ops = g->be->ops;
    const jl_tensor *v0 = l->wv.buf ? v : k; /* K = V: the raw projection serves both */

    if (!l->wv.buf) {
        /* the norm of V is taken before K is normed in place */
        const uint32_t n_heads = g->n_tokens * l->n_head_kv;
        const jl_tensor kh = view(k, l->head_dim, n_heads);
        const jl_tensor vh = view(v, l->head_dim, n_heads);
        ops->rms_norm(g->be, &kh, &no_weight, g->m->hp.eps, &vh);
        v0 = v;
    } else {
        ops->head_norm_rope(g->be, v, &no_weight, g->m->hp.eps, l->head_dim, -1);
    }
    ops->head_norm_rope(g->be, k, &l->k_norm, g->m->hp.eps, l->head_dim, slot);
    ops->kv_store(g->be, k, v0, kv, batch);
}

/* (3)-(7) attention sub-block: x += RMS(Wo attention(...)). */
static void attention(const jl_graph *g, uint32_t il, const jl_tensor *x)
{
    const jl_layer *l = &g->m->layers[il];
    const jl_backend_ops *ops = g->be->ops;
    const jl_activations *act = g->act;
    const float eps = g->m->hp.eps;
    const uint32_t n = g->n_tokens;
    const bool owns = l->kv_layer == il;
    const int slot = l->is_swa ? 1 : 0;
    const jl_tensor h = view(&act->h, g->m->hp.n_embd, n);
    const jl_tensor q = view(&act->q, g->m->hp.n_head * l->head_dim, n);
    const jl_tensor k = view(&act->k, l->n_head_kv * l->head_dim, n);
    const jl_tensor v = view(&act->v, l->n_head_kv * l->head_dim, n);
    const jl_tensor o = view(&act->o, g->m->hp.n_head * l->head_dim, n);
    const jl_tensor f = view(&act->f, g->m->hp.n_embd, n);
    const jl_kv_layer *kv = jl_kv_layer_of(g->kv, il);
    const jl_kv_batch batch = {
        .n_tokens = n,
        .pos = g->pos,
        .pages = g->pages[l->is_swa ? JL_KV_SWA : JL_KV_GLOBAL],
    };
    const jl_matmul_out projections[] = {
        {.w = &l->wq, .y = q}, {.w = &l->wk, .y = k}, {.w = &l->wv, .y = v}};

    ops->rms_norm(g->be, x, &l->attn_norm, eps, &h);
    ops->matmul(g->be, &h, projections, owns ? (l->wv.buf ? 3 : 2) : 1);
    ops->head_norm_rope(g->be, &q, &l->q_norm, eps, l->head_dim, slot);
    if (owns)
        store_kv(g, l, kv, &batch, &k, &v, slot);
    ops->attention(g->be, &q, kv, &batch, g->m->hp.n_head, &o);
    ops->matmul(g->be, &o, &(jl_matmul_out){.w = &l->wo, .y = f}, 1);
    ops->rms_norm_add(g->be, &f, &l->post_attention_norm, eps, x);
}

/* (8) f = Wdown (gelu(Wgate h) * Wup h) */
static void dense_ffn(const jl_graph *g, const jl_layer *l, const jl_tensor *h, const jl_tensor *f)
{
    const jl_backend_ops *ops = g->be->ops;
    const jl_tensor gate = view(&g->act->gate, l->n_ff, g->n_tokens);
    const jl_tensor up = view(&g->act->up, l->n_ff, g->n_tokens);
    const jl_matmul_out outs[] = {{.w = &l->gate, .y = gate}, {.w = &l->up, .y = up}};

    ops->matmul(g->be, h, outs, 2);
    ops->geglu(g->be, &gate, &up, &gate);
    ops->matmul(g->be, &gate, &(jl_matmul_out){.w = &l->down, .y = *f}, 1);
}

/* (8b)-(8d) experts: f2 = RMS(sum of w_e y_e); the router reads x itself. */
static void experts(const jl_graph *g, const jl_layer *l, const jl_tensor *x, const jl_tensor *f2)
{
    const jl_hparams *hp = &g->m->hp;
    const jl_backend_ops *ops = g->be->ops;
    const jl_tensor h = view(&g->act->h, hp->n_embd, g->n_tokens);
    const jl_router_args router = {
        .w = &l->router,
        .x = &h,
        .scale = &l->expert_scale,
        .ids = view(&g->act->ids, hp->n_expert_used, g->n_tokens),
        .weights = view(&g->act->weights, hp->n_expert_used, g->n_tokens),
    };

    ops->rms_norm(g->be, x, &no_weight, hp->eps, &h);
    ops->mul_row(g->be, &h, &l->router_scale, 1.0f / sqrtf((float)hp->n_embd), &h);
    ops->router(g->be, &router);

    ops->rms_norm(g->be, x, &l->pre_ffw_norm_2, hp->eps, &h);
    ops->experts(g->be, &(jl_experts_args){.gate_up = &l->gate_up_exps,
                                           .gate = &l->gate_exps,
                                           .up = &l->up_exps,
                                           .down = &l->down_exps,
                                           .ids = &router.ids,
                                           .weights = &router.weights,
                                           .x = &h,
                                           .y = f2,
                                           .n_ff = hp->n_ff_expert});
    ops->rms_norm(g->be, f2, &l->post_ffw_norm_2, hp->eps, f2);
}

/* (8)-(9') feed-forward sub-block: x += RMS(f), f dense alone or dense + experts. */
static void feed_forward(const jl_graph *g, const jl_layer *l, const jl_tensor *x)
{
    const jl_backend_ops *ops = g->be->ops;
    const float eps = g->m->hp.eps;
    const jl_tensor h = view(&g->act->h, g->m->hp.n_embd, g->n_tokens);
    const jl_tensor f = view(&g->act->f, g->m->hp.n_embd, g->n_tokens);
    const jl_tensor f2 = view(&g->act->f2, g->m->hp.n_embd, g->n_tokens);

    ops->rms_norm(g->be, x, &l->ffn_norm, eps, &h);
    dense_ffn(g, l, &h, &f);
    if (l->router.buf) {
        ops->rms_norm(g->be, &f, &l->post_ffw_norm_1, eps, &f);
        experts(g, l, x, &f2);
        ops->add_scale(g->be, &f, &f2, 1.0f);
    }
    ops->rms_norm_add(g->be, &f, &l->post_ffw_norm, eps, x);
}

/* (10) x += RMS(Wpj (gelu(Wig x) * e_l)) */
static void inject_per_layer(const jl_graph *g, uint32_t il, const jl_tensor *x)
{
    const jl_layer *l = &g->m->layers[il];
    const jl_backend_ops *ops = g->be->ops;
    const uint32_t width = g->m->hp.n_embd_per_layer;
    const jl_tensor t = view(&g->act->ple_t, width, g->n_tokens);
    const jl_tensor f = view(&g->act->f, g->m->hp.n_embd, g->n_tokens);
    jl_tensor e = view(&g->act->ple, width * g->m->hp.n_layer, g->n_tokens);

    e.offset += (uint64_t)il * width * sizeof(float);
    e.ne[0] = width;
    ops->matmul(g->be, x, &(jl_matmul_out){.w = &l->inp_gate, .y = t}, 1);
    ops->geglu(g->be, &t, &e, &t);
    ops->matmul(g->be, &t, &(jl_matmul_out){.w = &l->proj, .y = f}, 1);
    ops->rms_norm_add(g->be, &f, &l->post_norm, g->m->hp.eps, x);
}

static void prepare_rope(const jl_graph *g)
{
    const jl_hparams *hp = &g->m->hp;
    const jl_backend_ops *ops = g->be->ops;

    ops->rope_prepare(g->be, 0, g->inv_freq, hp->head_dim, g->mscale, g->pos, g->n_tokens);
    ops->rope_prepare(g->be, 1, g->inv_freq_swa, hp->head_dim_swa, 1.0f, g->pos, g->n_tokens);
}

jl_status jl_gemma4_forward(const jl_graph *g, jl_error *err)
{
    const jl_hparams *hp = &g->m->hp;
    const jl_backend_ops *ops = g->be->ops;
    const jl_tensor x = view(&g->act->x, hp->n_embd, g->n_tokens);

    prepare_rope(g);
    ops->embed(g->be, &g->m->token_embd, g->tokens, sqrtf((float)hp->n_embd), &x); /* (1) */
    JL_TRY(jl_graph_observe(g, -1, &x, err));
    if (hp->n_embd_per_layer)
        per_layer_inputs(g, &x);

    for (uint32_t il = 0; il < hp->n_layer; il++) {
        if (atomic_load_explicit(g->cancel, memory_order_relaxed))
            return jl_fail(err, JL_CANCELLED, "cancelled at layer %u", il);
        attention(g, il, &x);
        feed_forward(g, &g->m->layers[il], &x);
        if (hp->n_embd_per_layer)
            inject_per_layer(g, il, &x);
        ops->add_scale(g->be, &x, NULL, g->m->layers[il].out_scale); /* (11) */
        JL_TRY(jl_graph_observe(g, (int)il, &x, err));
        if (g->layer_done && g->layer_done(g->layer_done_ctx))
            prepare_rope(g);
    }
    return jl_graph_head(g, err);
}
