/* Gemma 4: hyperparameters and weights. Keys, names and shapes as in the published GGUF files;
 * everything the graph relies on is checked here, so that computing cannot fail. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "model/model.h"

static jl_status load_rope(jl_model *m, jl_error *err)
{
    jl_hparams *hp = &m->hp;

    hp->rope.n_dims = hp->head_dim;
    hp->rope_swa.n_dims = hp->head_dim_swa;
    JL_TRY(jl_model_f32(m, "rope.freq_base", false, &hp->rope.freq_base, err));
    hp->rope_swa.freq_base = 10000.0f;
    JL_TRY(jl_model_f32(m, "rope.freq_base_swa", true, &hp->rope_swa.freq_base, err));
    if (hp->rope.freq_base <= 1.0f || hp->rope_swa.freq_base <= 1.0f)
        return jl_fail(err, JL_FORMAT, "rope.freq_base must be above 1");
    JL_TRY(jl_load_rope_scaling(m, &hp->rope, err));
    /* only the global layers are stretched */
    hp->rope_swa.factor = 1.0f;
    return JL_OK;
}

static jl_status load_experts(jl_model *m, jl_error *err)
{
    jl_hparams *hp = &m->hp;

    JL_TRY(jl_hparam_optional_u32(m, "expert_count", JL_MAX_EXPERTS, &hp->n_expert, err));
    if (hp->n_expert == 0)
        return JL_OK;
    JL_TRY(jl_hparam_u32(m, "expert_used_count", 1, hp->n_expert, &hp->n_expert_used, err));
    JL_TRY(jl_hparam_u32(m, "expert_feed_forward_length", 32, JL_MAX_FF, &hp->n_ff_expert, err));
    if (hp->n_ff_expert % 32 != 0)
        return jl_fail(err, JL_UNSUPPORTED, "expert_feed_forward_length %u is not a multiple of 32",
                       hp->n_ff_expert);
    return JL_OK;
}

static jl_status load_hparams(jl_model *m, jl_error *err)
{
    jl_hparams *hp = &m->hp;

    JL_TRY(jl_hparam_u32(m, "block_count", 1, JL_MAX_LAYERS, &hp->n_layer, err));
    JL_TRY(jl_hparam_u32(m, "context_length", 1, JL_MAX_CTX, &hp->n_ctx_train, err));
    JL_TRY(jl_hparam_u32(m, "embedding_length", 32, JL_MAX_EMBD, &hp->n_embd, err));
    JL_TRY(jl_hparam_u32(m, "attention.head_count", 1, JL_MAX_HEADS, &hp->n_head, err));
    JL_TRY(jl_hparam_u32(m, "attention.key_length", 2, JL_MAX_HEAD_DIM, &hp->head_dim, err));
    hp->head_dim_swa = hp->head_dim;
    JL_TRY(jl_hparam_optional_u32(m, "attention.key_length_swa", JL_MAX_HEAD_DIM,
                                  &hp->head_dim_swa, err));
    uint32_t v = hp->head_dim;
    JL_TRY(jl_hparam_optional_u32(m, "attention.value_length", JL_MAX_HEAD_DIM, &v, err));
    uint32_t v_swa = hp->head_dim_swa;
    JL_TRY(jl_hparam_optional_u32(m, "attention.value_length_swa", JL_MAX_HEAD_DIM, &v_swa, err));
    if (v != hp->head_dim || v_swa != hp->head_dim_swa)
        return jl_fail(err, JL_UNSUPPORTED, "keys and values of different head sizes");
    if (hp->head_dim_swa < 2 || hp->head_dim % 2 || hp->head_dim_swa % 2 || hp->n_embd % 32)
        return jl_fail(err, JL_UNSUPPORTED,
                       "head sizes must be even and embedding_length a multiple "
                       "of 32 (have %u, %u, %u)",
                       hp->head_dim, hp->head_dim_swa, hp->n_embd);
    JL_TRY(jl_hparam_u32(m, "attention.sliding_window", 1, JL_MAX_CTX, &hp->n_swa, err));
    JL_TRY(jl_hparam_optional_u32(m, "attention.shared_kv_layers", hp->n_layer - 1,
                                  &hp->n_kv_shared, err));
    JL_TRY(jl_hparam_optional_u32(m, "embedding_length_per_layer_input", 65536,
                                  &hp->n_embd_per_layer, err));
    if (hp->n_embd_per_layer % 32)
        return jl_fail(err, JL_UNSUPPORTED,
                       "embedding_length_per_layer_input %u is not a multiple of "
                       "32",
                       hp->n_embd_per_layer);
    JL_TRY(jl_model_f32(m, "attention.layer_norm_rms_epsilon", false, &hp->eps, err));
    hp->softcap = 30.0f;
    JL_TRY(jl_model_f32(m, "final_logit_softcapping", true, &hp->softcap, err));
    if (hp->eps < 0.0f || hp->softcap < 0.0f)
        return jl_fail(err, JL_FORMAT, "negative RMS epsilon or soft cap");
    JL_TRY(load_experts(m, err));
    return load_rope(m, err);
}

/* Layers that share KV read the cache of the last earlier layer of their kind. */
static jl_status find_donor(jl_model *m, uint32_t il, jl_error *err)
{
    const uint32_t first_shared = m->hp.n_layer - m->hp.n_kv_shared;
    jl_layer *l = &m->layers[il];

    l->kv_layer = il;
    if (il < first_shared)
        return JL_OK;
    for (uint32_t d = first_shared; d-- > 0;)
        if (m->layers[d].is_swa == l->is_swa) {
            l->kv_layer = d;
            return JL_OK;
        }
    return jl_fail(err, JL_FORMAT,
                   "layer %u shares keys and values, but no earlier layer of its kind "
                   "has any",
                   il);
}

static jl_status layer_shape(jl_model *m, uint32_t il, jl_error *err)
{
    const jl_hparams *hp = &m->hp;
    jl_layer *l = &m->layers[il];
    char key[128];
    bool swa = false;

    snprintf(key, sizeof key, "%s.attention.sliding_window_pattern", m->architecture);
    const jl_gguf_kv *kv = jl_gguf_find(m->gguf, key);
    if (!kv || kv->type != JL_GGUF_ARRAY || kv->count < hp->n_layer ||
        !jl_gguf_get_bool(m->gguf, key, il, &swa))
        return jl_fail(err, JL_FORMAT, "metadata key %s must be an array of %u booleans", key,
                       hp->n_layer);
    l->is_swa = swa;
    l->head_dim = swa ? hp->head_dim_swa : hp->head_dim;
    JL_TRY(jl_model_u32(
        m, &(jl_want_u32){.key = "attention.head_count_kv", .min = 1, .max = hp->n_head}, il,
        &l->n_head_kv, err));
    JL_TRY(jl_model_u32(m,
                        &(jl_want_u32){.key = "feed_forward_length", .min = 32, .max = JL_MAX_FF},
                        il, &l->n_ff, err));
    if (hp->n_head % l->n_head_kv != 0 || hp->n_head / l->n_head_kv > 64)
        return jl_fail(err, JL_UNSUPPORTED, "layer %u: %u heads cannot share %u KV heads", il,
                       hp->n_head, l->n_head_kv);
    if (l->n_ff % 32 || hp->n_head * l->head_dim % 32)
        return jl_fail(err, JL_UNSUPPORTED,
                       "layer %u: FFN width %u and head width %u must be "
                       "multiples of 32",
                       il, l->n_ff, hp->n_head * l->head_dim);
    return find_donor(m, il, err);
}

static jl_status load_attention(jl_model *m, uint32_t il, jl_error *err)
{
    jl_layer *l = &m->layers[il];
    const uint64_t n = m->hp.n_embd;
    const uint64_t d = l->head_dim;
    const uint64_t q = (uint64_t)m->hp.n_head * d;
    const uint64_t kv = (uint64_t)l->n_head_kv * d;
    const unsigned own = l->kv_layer == il ? 0 : JL_LOAD_OPTIONAL;
    const jl_load_entry e[] = {
        {"attn_norm.weight", {n}, &l->attn_norm, JL_LOAD_NORM},
        {"attn_q.weight", {n, q}, &l->wq, 0},
        {"attn_k.weight", {n, kv}, &l->wk, own},
        {"attn_v.weight", {n, kv}, &l->wv, JL_LOAD_OPTIONAL},
        {"attn_output.weight", {q, n}, &l->wo, 0},
        {"attn_q_norm.weight", {d}, &l->q_norm, JL_LOAD_NORM},
        {"attn_k_norm.weight", {d}, &l->k_norm, JL_LOAD_NORM | own},
        {"post_attention_norm.weight", {n}, &l->post_attention_norm, JL_LOAD_NORM},
    };
    return jl_load_entries(m, il, e, sizeof e / sizeof *e, err);
}

static jl_status load_moe(jl_model *m, uint32_t il, jl_error *err)
{
    jl_layer *l = &m->layers[il];
    const uint64_t n = m->hp.n_embd;
    const uint64_t ff = m->hp.n_ff_expert;
    const uint64_t ne = m->hp.n_expert;
    const jl_load_entry e[] = {
        {"ffn_gate_inp.scale", {n}, &l->router_scale, JL_LOAD_NORM},
        {"ffn_down_exps.scale", {ne}, &l->expert_scale, JL_LOAD_NORM | JL_LOAD_OPTIONAL},
        {"pre_ffw_norm_2.weight", {n}, &l->pre_ffw_norm_2, JL_LOAD_NORM},
        {"post_ffw_norm_1.weight", {n}, &l->post_ffw_norm_1, JL_LOAD_NORM},
        {"post_ffw_norm_2.weight", {n}, &l->post_ffw_norm_2, JL_LOAD_NORM},
        {"ffn_gate_up_exps.weight", {n, 2 * ff, ne}, &l->gate_up_exps, JL_LOAD_OPTIONAL},
        {"ffn_down_exps.weight", {ff, n, ne}, &l->down_exps, 0},
    };
    JL_TRY(jl_load_entries(m, il, e, sizeof e / sizeof *e, err));
    if (l->gate_up_exps.buf)
        return JL_OK;

    const jl_load_entry split[] = {
        {"ffn_gate_exps.weight", {n, ff, ne}, &l->gate_exps, 0},
        {"ffn_up_exps.weight", {n, ff, ne}, &l->up_exps, 0},
    };
    return jl_load_entries(m, il, split, 2, err);
}

static jl_status load_ffn(jl_model *m, uint32_t il, jl_error *err)
{
    jl_layer *l = &m->layers[il];
    const uint64_t n = m->hp.n_embd;
    const jl_load_entry e[] = {
        {"ffn_norm.weight", {n}, &l->ffn_norm, JL_LOAD_NORM},
        {"ffn_gate.weight", {n, l->n_ff}, &l->gate, 0},
        {"ffn_up.weight", {n, l->n_ff}, &l->up, 0},
        {"ffn_down.weight", {l->n_ff, n}, &l->down, 0},
        {"post_ffw_norm.weight", {n}, &l->post_ffw_norm, JL_LOAD_NORM},
        {"ffn_gate_inp.weight", {n, m->hp.n_expert}, &l->router, JL_LOAD_OPTIONAL},
    };
    JL_TRY(jl_load_entries(m, il, e, sizeof e / sizeof *e, err));
    if (!l->router.buf)
        return JL_OK;
    if (!(l->router.type == JL_TYPE_F32 || l->router.type == JL_TYPE_F16 ||
          l->router.type == JL_TYPE_BF16))
        return jl_fail(err, JL_UNSUPPORTED,
                       "layer %u: the router is %s; joule needs F32, F16 or BF16", il,
                       jl_type_name(l->router.type));
    return load_moe(m, il, err);
}

static jl_status load_ple_layer(jl_model *m, uint32_t il, jl_error *err)
{
    jl_layer *l = &m->layers[il];
    const uint64_t n = m->hp.n_embd;
    const uint64_t p = m->hp.n_embd_per_layer;
    const jl_load_entry e[] = {
        {"inp_gate.weight", {n, p}, &l->inp_gate, 0},
        {"proj.weight", {p, n}, &l->proj, 0},
        {"post_norm.weight", {n}, &l->post_norm, JL_LOAD_NORM},
    };
    return jl_load_entries(m, il, e, sizeof e / sizeof *e, err);
}

static jl_status load_layer(jl_model *m, uint32_t il, jl_error *err)
{
    jl_layer *l = &m->layers[il];
    jl_tensor scale;

    JL_TRY(load_attention(m, il, err));
    JL_TRY(load_ffn(m, il, err));
    if (m->hp.n_embd_per_layer)
        JL_TRY(load_ple_layer(m, il, err));
    const jl_want want = {
        .name = "layer_output_scale.weight", .ne = {1, 1, 1}, .optional = true, .f32 = true};
    JL_TRY(jl_model_layer_tensor(m, il, &want, &scale, err));
    l->out_scale = scale.buf ? *jl_tensor_f32(&scale) : 1.0f;
    return JL_OK;
}

static jl_status load_globals(jl_model *m, jl_error *err)
{
    const uint64_t n = m->hp.n_embd;
    const uint64_t vocab = m->hp.n_vocab;
    const uint64_t ple = (uint64_t)m->hp.n_embd_per_layer * m->hp.n_layer;
    const struct {
        jl_want want;
        jl_tensor *out;
    } list[] = {
        {{"token_embd.weight", {n, vocab, 1}, false, false}, &m->token_embd},
        {{"output.weight", {n, vocab, 1}, true, false}, &m->output},
        {{"output_norm.weight", {n, 1, 1}, false, true}, &m->output_norm},
        {{"rope_freqs.weight", {m->hp.head_dim / 2, 1, 1}, true, true}, &m->rope_freqs},
        {{"per_layer_token_embd.weight", {ple, vocab, 1}, false, false}, &m->per_layer_token_embd},
        {{"per_layer_model_proj.weight", {n, ple, 1}, false, false}, &m->per_layer_model_proj},
        {{"per_layer_proj_norm.weight", {m->hp.n_embd_per_layer, 1, 1}, false, true},
         &m->per_layer_proj_norm},
    };

    const size_t n_list = sizeof list / sizeof *list;
    for (size_t i = 0; i < (ple ? n_list : n_list - 3); i++) /* the last three are PLE's */
        JL_TRY(jl_model_tensor(m, &list[i].want, list[i].out, err));
    if (!m->output.buf)
        m->output = m->token_embd;
    return JL_OK;
}

jl_status jl_gemma4_load(jl_model *m, jl_error *err)
{
    JL_TRY(load_hparams(m, err));
    m->layers = jl_calloc(m->hp.n_layer, sizeof *m->layers);
    if (!m->layers)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    JL_TRY(load_globals(m, err));
    for (uint32_t il = 0; il < m->hp.n_layer; il++)
        JL_TRY(layer_shape(m, il, err));
    for (uint32_t il = 0; il < m->hp.n_layer; il++)
        JL_TRY(load_layer(m, il, err));
    return JL_OK;
}
