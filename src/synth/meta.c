/* The keys a published file of the same shape has. */
#include "synth/meta.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { MAX_LAYERS = 128 };

typedef struct {
    jl_gguf_writer *w;
    const jl_shape *s;
    uint32_t n_layer;
    jl_error *err;
    jl_status status; /* the first failure; later calls do nothing */
} meta;

/* "gemma4.block_count" for "block_count"; keys with "general." or "tokenizer." stay. */
static const char *full_key(const meta *m, const char *key, char out[96])
{
    const bool whole = strncmp(key, "general.", 8) == 0 || strncmp(key, "tokenizer.", 10) == 0;

    snprintf(out, 96, "%s%s%s", whole ? "" : m->s->arch, whole ? "" : ".", key);
    return out;
}

static void put(meta *m, const char *key, jl_gguf_type type, const void *value)
{
    char name[96];

    if (m->status == JL_OK)
        m->status = jl_gguf_put_scalar(m->w, full_key(m, key, name), type, value, m->err);
}

static void put_u32(meta *m, const char *key, uint32_t value)
{
    put(m, key, JL_GGUF_U32, &value);
}

static void put_f32(meta *m, const char *key, float value)
{
    put(m, key, JL_GGUF_F32, &value);
}

static void put_bool(meta *m, const char *key, bool value)
{
    const uint8_t b = value;
    put(m, key, JL_GGUF_BOOL, &b);
}

static void put_str(meta *m, const char *key, const char *s, size_t len)
{
    char name[96];

    if (m->status == JL_OK)
        m->status = jl_gguf_put_str(m->w, full_key(m, key, name), s, len, m->err);
}

static void put_text(meta *m, const char *key, const char *s)
{
    put_str(m, key, s, strlen(s));
}

static void put_array(meta *m, const char *key, jl_gguf_type type, const void *items, uint64_t n)
{
    char name[96];

    if (m->status == JL_OK)
        m->status = jl_gguf_put_array(m->w, full_key(m, key, name), type, items, n, m->err);
}

static void put_general(meta *m, const char *type_name)
{
    char name[160];

    snprintf(name, sizeof name, "synthetic %s %s (random weights)", m->s->name, type_name);
    put_text(m, "general.architecture", m->s->arch);
    put_text(m, "general.name", name);
    put_text(m, "general.size_label", m->s->label);
    put_u32(m, "general.quantization_version", 2);
    if (jl_shape_is_gemma(m->s)) {
        const int32_t top_k = 64;
        put(m, "general.sampling.top_k", JL_GGUF_I32, &top_k);
        put_f32(m, "general.sampling.top_p", 0.95f);
        put_f32(m, "general.sampling.temp", 1.0f);
    }
}

static void put_common(meta *m)
{
    const jl_shape *s = m->s;

    put_u32(m, "block_count", m->n_layer);
    put_u32(m, "context_length", s->n_ctx);
    put_u32(m, "embedding_length", s->n_embd);
    put_u32(m, "attention.head_count", s->n_head);
    put_u32(m, "attention.key_length", s->head_dim_global);
    put_u32(m, "attention.value_length", s->head_dim_global);
    put_f32(m, "rope.freq_base", s->rope_base);
    put_u32(m, "rope.dimension_count", s->head_dim_global);
}

static void put_ffn_lengths(meta *m)
{
    const jl_shape *s = m->s;
    int32_t n_ff[MAX_LAYERS];

    if (!s->n_ff_shared) {
        put_u32(m, "feed_forward_length", s->n_ff);
        return;
    }
    for (uint32_t i = 0; i < m->n_layer; i++)
        n_ff[i] = (int32_t)(i >= s->n_layer - s->n_shared_kv ? s->n_ff_shared : s->n_ff);
    put_array(m, "feed_forward_length", JL_GGUF_I32, n_ff, m->n_layer);
}

static void put_gemma(meta *m)
{
    const jl_shape *s = m->s;
    int32_t n_kv[MAX_LAYERS];
    uint8_t local[MAX_LAYERS];

    for (uint32_t i = 0; i < m->n_layer; i++) {
        local[i] = !jl_shape_is_global(s, i);
        n_kv[i] = (int32_t)(local[i] ? s->n_head_kv : s->n_head_kv_global);
    }
    put_ffn_lengths(m);
    if (s->n_head_kv != s->n_head_kv_global)
        put_array(m, "attention.head_count_kv", JL_GGUF_I32, n_kv, m->n_layer);
    else
        put_u32(m, "attention.head_count_kv", s->n_head_kv);
    put_array(m, "attention.sliding_window_pattern", JL_GGUF_BOOL, local, m->n_layer);
    put_u32(m, "attention.sliding_window", s->window);
    put_u32(m, "attention.key_length_swa", s->head_dim);
    put_u32(m, "attention.value_length_swa", s->head_dim);
    put_f32(m, "attention.layer_norm_rms_epsilon", 1e-6f);
    const uint32_t own = s->n_layer - s->n_shared_kv;
    put_u32(m, "attention.shared_kv_layers", m->n_layer > own ? m->n_layer - own : 0);
    put_f32(m, "rope.freq_base_swa", 1e4f);
    put_u32(m, "rope.dimension_count_swa", s->head_dim);
    put_u32(m, "embedding_length_per_layer_input", s->n_ple);
    put_f32(m, "final_logit_softcapping", 30.0f);
    if (s->n_expert) {
        put_u32(m, "expert_count", s->n_expert);
        put_u32(m, "expert_used_count", s->n_expert_used);
        put_u32(m, "expert_feed_forward_length", s->n_ff_expert);
    }
}

static void put_llama(meta *m)
{
    put_u32(m, "feed_forward_length", m->s->n_ff);
    put_u32(m, "attention.head_count_kv", m->s->n_head_kv);
    put_f32(m, "attention.layer_norm_rms_epsilon", 1e-5f);
    put_u32(m, "vocab_size", m->s->n_vocab);
}

static void put_special_ids(meta *m)
{
    const bool gemma = jl_shape_is_gemma(m->s);
    const bool mistral = m->s->n_vocab == 131072;

    put_u32(m, "tokenizer.ggml.bos_token_id", gemma ? 2 : mistral ? 1 : 128000);
    put_u32(m, "tokenizer.ggml.eos_token_id", gemma ? 1 : mistral ? 2 : 128009);
    if (gemma) {
        put_u32(m, "tokenizer.ggml.unknown_token_id", 3);
        put_u32(m, "tokenizer.ggml.padding_token_id", 0);
        put_u32(m, "tokenizer.ggml.mask_token_id", 4);
        put_bool(m, "tokenizer.ggml.add_space_prefix", false);
    }
    put_bool(m, "tokenizer.ggml.add_bos_token", true);
}

static void put_tokenizer(meta *m, const jl_synth_vocab *v)
{
    const bool gemma = jl_shape_is_gemma(m->s);

    put_text(m, "tokenizer.ggml.model", gemma ? "gemma4" : "gpt2");
    if (!gemma)
        put_text(m, "tokenizer.ggml.pre", v->n == 131072 ? "tekken" : "llama-bpe");
    if (m->status == JL_OK)
        m->status = jl_gguf_put_str_array(m->w, "tokenizer.ggml.tokens", v->tokens, v->n, m->err);
    put_array(m, "tokenizer.ggml.scores", JL_GGUF_F32, v->scores, v->n);
    put_array(m, "tokenizer.ggml.token_type", JL_GGUF_I32, v->types, v->n);
    if (m->status == JL_OK)
        m->status =
            jl_gguf_put_str_array(m->w, "tokenizer.ggml.merges", v->merges, v->n_merges, m->err);
    put_special_ids(m);
}

jl_status jl_synth_write_meta(jl_gguf_writer *w, const jl_plan *plan, const char *type_name,
                              const jl_synth_vocab *vocab, const jl_gguf *from, jl_error *err)
{
    meta m = {.w = w, .s = plan->shape, .n_layer = plan->n_layer, .err = err};
    jl_str chat;

    put_general(&m, type_name);
    put_common(&m);
    if (jl_shape_is_gemma(m.s))
        put_gemma(&m);
    else
        put_llama(&m);
    put_tokenizer(&m, vocab);
    if (from && jl_shape_is_gemma(m.s) && jl_gguf_get_str(from, "tokenizer.chat_template", &chat))
        put_str(&m, "tokenizer.chat_template", chat.ptr, chat.len);
    return m.status;
}
