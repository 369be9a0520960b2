/* Llama 3 and Mistral: hyperparameters and weights. Keys, names and shapes as in published GGUF
 * files; what the graph cannot do (experts, biases, position-dependent query scales) is refused. */
#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "model/model.h"

static jl_status check_shape(const jl_hparams *hp, uint32_t v_dim, jl_error *err)
{
    if (v_dim != hp->head_dim)
        return jl_fail(err, JL_UNSUPPORTED,
                       "keys of %u and values of %u dimensions: joule needs "
                       "heads of one size",
                       hp->head_dim, v_dim);
    if (hp->head_dim % 2 || hp->n_embd % 32 || (uint64_t)hp->n_head * hp->head_dim % 32)
        return jl_fail(err, JL_UNSUPPORTED,
                       "the head size must be even, embedding_length and the width of all heads "
                       "multiples of 32 (have %u, %u, %u heads)",
                       hp->head_dim, hp->n_embd, hp->n_head);
    if (hp->rope.n_dims != hp->head_dim)
        return jl_fail(err, JL_UNSUPPORTED,
                       "rope.dimension_count %u is not the head size %u: joule rotates whole heads",
                       hp->rope.n_dims, hp->head_dim);
    return JL_OK;
}

static jl_status load_rope(jl_model *m, jl_error *err)
{
    jl_hparams *hp = &m->hp;

    hp->rope.n_dims = hp->head_dim;
    hp->rope.freq_base = 10000.0f;
    JL_TRY(
        jl_hparam_optional_u32(m, "rope.dimension_count", JL_MAX_HEAD_DIM, &hp->rope.n_dims, err));
    JL_TRY(jl_model_f32(m, "rope.freq_base", true, &hp->rope.freq_base, err));
    if (hp->rope.freq_base <= 1.0f)
        return jl_fail(err, JL_FORMAT, "rope.freq_base must be above 1");
    JL_TRY(jl_load_rope_scaling(m, &hp->rope, err));
    hp->rope_swa = hp->rope; /* one table serves all layers */
    return JL_OK;
}

/* Features of relatives that share the architecture's name. */
static jl_status refuse_unknown(const jl_model *m, jl_error *err)
{
    uint32_t n_expert = 0;
    float temperature = 0.0f;

    JL_TRY(jl_hparam_optional_u32(m, "expert_count", JL_MAX_EXPERTS, &n_expert, err));
    if (n_expert)
        return jl_fail(err, JL_UNSUPPORTED,
                       "%s with %u experts (Mixtral) is not supported; joule runs the dense models",
                       m->architecture, n_expert);
    JL_TRY(jl_model_f32(m, "attention.temperature_scale", true, &temperature, err));
    if (temperature != 0.0f)
        return jl_fail(err, JL_UNSUPPORTED,
                       "queries scaled by position (Ministral 3) are not supported");
    return JL_OK;
}

static jl_status load_hparams(jl_model *m, jl_error *err)
{
    jl_hparams *hp = &m->hp;

    JL_TRY(refuse_unknown(m, err));
    JL_TRY(jl_hparam_u32(m, "block_count", 1, JL_MAX_LAYERS, &hp->n_layer, err));
    JL_TRY(jl_hparam_u32(m, "context_length", 1, JL_MAX_CTX, &hp->n_ctx_train, err));
    JL_TRY(jl_hparam_u32(m, "embedding_length", 32, JL_MAX_EMBD, &hp->n_embd, err));
    JL_TRY(jl_hparam_u32(m, "attention.head_count", 1, JL_MAX_HEADS, &hp->n_head, err));
    hp->head_dim = hp->n_embd / hp->n_head;
    JL_TRY(jl_hparam_optional_u32(m, "attention.key_length", JL_MAX_HEAD_DIM, &hp->head_dim, err));
    uint32_t v_dim = hp->head_dim;
    JL_TRY(jl_hparam_optional_u32(m, "attention.value_length", JL_MAX_HEAD_DIM, &v_dim, err));
    if (hp->head_dim < 2 || hp->head_dim > JL_MAX_HEAD_DIM)
        return jl_fail(err, JL_FORMAT, "head size %u is out of range", hp->head_dim);
    hp->head_dim_swa = hp->head_dim;
    JL_TRY(jl_hparam_optional_u32(m, "attention.sliding_window", JL_MAX_CTX, &hp->n_swa, err));
    JL_TRY(jl_model_f32(m, "attention.layer_norm_rms_epsilon", false, &hp->eps, err));
    if (hp->eps < 0.0f)
        return jl_fail(err, JL_FORMAT, "negative RMS epsilon");
    JL_TRY(load_rope(m, err));
    return check_shape(hp, v_dim, err);
}

static jl_status layer_shape(jl_model *m, uint32_t il, jl_error *err)
{
    const jl_hparams *hp = &m->hp;
    jl_layer *l = &m->layers[il];

    l->is_swa = hp->n_swa > 0;
    l->head_dim = hp->head_dim;
    l->kv_layer = il;
    l->n_head_kv = hp->n_head;
    l->out_scale = 1.0f;
    JL_TRY(jl_model_u32(
        m,
        &(jl_want_u32){
            .key = "attention.head_count_kv", .min = 1, .max = hp->n_head, .optional = true},
        il, &l->n_head_kv, err));
    JL_TRY(jl_model_u32(m,
                        &(jl_want_u32){.key = "feed_forward_length", .min = 32, .max = JL_MAX_FF},
                        il, &l->n_ff, err));
    if (hp->n_head % l->n_head_kv != 0 || hp->n_head / l->n_head_kv > 64)
        return jl_fail(err, JL_UNSUPPORTED, "layer %u: %u heads cannot share %u KV heads", il,
                       hp->n_head, l->n_head_kv);
    if (l->n_ff % 32)
        return jl_fail(err, JL_UNSUPPORTED, "layer %u: FFN width %u is not a multiple of 32", il,
                       l->n_ff);
    return JL_OK;
}

static jl_status refuse_biases(const jl_model *m, uint32_t il, jl_error *err)
{
    static const char *const names[] = {"attn_q", "attn_k",   "attn_v",  "attn_output",
                                        "ffn_up", "ffn_gate", "ffn_down"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[96];
        snprintf(name, sizeof name, "blk.%u.%s.bias", il, names[i]);
        if (jl_gguf_find_tensor(m->gguf, name))
            return jl_fail(err, JL_UNSUPPORTED,
                           "tensor %s: projections with a bias are not "
                           "supported",
                           name);
    }
    return JL_OK;
}

static jl_status load_layer(jl_model *m, uint32_t il, jl_error *err)
{
    jl_layer *l = &m->layers[il];
    const uint64_t n = m->hp.n_embd;
    const uint64_t q = (uint64_t)m->hp.n_head * l->head_dim;
    const uint64_t kv = (uint64_t)l->n_head_kv * l->head_dim;
    const jl_load_entry e[] = {
        {"attn_norm.weight", {n}, &l->attn_norm, JL_LOAD_NORM},
        {"attn_q.weight", {n, q}, &l->wq, 0},
        {"attn_k.weight", {n, kv}, &l->wk, 0},
        {"attn_v.weight", {n, kv}, &l->wv, 0},
        {"attn_output.weight", {q, n}, &l->wo, 0},
        {"ffn_norm.weight", {n}, &l->ffn_norm, JL_LOAD_NORM},
        {"ffn_gate.weight", {n, l->n_ff}, &l->gate, 0},
        {"ffn_up.weight", {n, l->n_ff}, &l->up, 0},
        {"ffn_down.weight", {l->n_ff, n}, &l->down, 0},
    };

    JL_TRY(refuse_biases(m, il, err));
    return jl_load_entries(m, il, e, sizeof e / sizeof *e, err);
}

static jl_status load_globals(jl_model *m, jl_error *err)
{
    const uint64_t n = m->hp.n_embd;
    const uint64_t vocab = m->hp.n_vocab;
    const struct {
        jl_want want;
        jl_tensor *out;
    } list[] = {
        {{"token_embd.weight", {n, vocab, 1}, false, false}, &m->token_embd},
        {{"output.weight", {n, vocab, 1}, true, false}, &m->output},
        {{"output_norm.weight", {n, 1, 1}, false, true}, &m->output_norm},
        {{"rope_freqs.weight", {m->hp.head_dim / 2, 1, 1}, true, true}, &m->rope_freqs},
    };

    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        JL_TRY(jl_model_tensor(m, &list[i].want, list[i].out, err));
    if (!m->output.buf)
        m->output = m->token_embd; /* tied */
    return JL_OK;
}

jl_status jl_llama_load(jl_model *m, jl_error *err)
{
    JL_TRY(load_hparams(m, err));
    m->layers = jl_calloc(m->hp.n_layer, sizeof *m->layers);
    if (!m->layers)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    JL_TRY(load_globals(m, err));
    for (uint32_t il = 0; il < m->hp.n_layer; il++) {
        JL_TRY(layer_shape(m, il, err));
        JL_TRY(load_layer(m, il, err));
    }
    return JL_OK;
}
