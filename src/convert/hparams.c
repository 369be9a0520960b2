/* config.json to the keys of GGUF files. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "convert/convert.h"

enum { MAX_LAYERS = 1024 };

static const json_t *get(const jl_checkpoint *c, const char *key)
{
    return json_object_get(c->config, key);
}

static uint32_t u32_or(const json_t *object, const char *key, uint32_t fallback)
{
    const json_t *v = json_object_get(object, key);
    const json_int_t i = json_integer_value(v);

    return json_is_integer(v) && i >= 0 && i <= UINT32_MAX ? (uint32_t)i : fallback;
}

static double real_or(const json_t *object, const char *key, double fallback)
{
    const json_t *v = json_object_get(object, key);

    return json_is_number(v) ? json_number_value(v) : fallback;
}

static uint32_t need_u32(jl_keys *k, const char *key)
{
    const uint32_t v = u32_or(k->c->config, key, 0);

    if (v == 0)
        jl_keys_fail(k, JL_FORMAT, "config.json: %s must be a whole number above 0", key);
    return v;
}

static jl_status find_arch(const json_t *config, jl_checkpoint *c, jl_error *err)
{
    const json_t *text = json_object_get(config, "text_config");
    c->config = json_is_object(text) ? text : config;
    const char *type = json_string_value(get(c, "model_type"));

    if (!type)
        return jl_fail(err, JL_FORMAT, "config.json names no model_type");
    c->gemma = strncmp(type, "gemma4", 6) == 0;
    if (!c->gemma && strcmp(type, "llama") != 0 && strcmp(type, "mistral") != 0)
        return jl_fail(err, JL_UNSUPPORTED,
                       "config.json: model_type '%.60s'; joule converts gemma4, llama and mistral",
                       type);
    c->arch = c->gemma ? "gemma4" : "llama";
    return JL_OK;
}

static jl_status refuse_quantised(const json_t *config, jl_error *err)
{
    const json_t *q = json_object_get(config, "quantization_config");
    const char *method = json_string_value(json_object_get(q, "quant_method"));

    if (!q || json_is_null(q) || (method && strcmp(method, "awq") == 0))
        return JL_OK;
    return jl_fail(err, JL_UNSUPPORTED,
                   "the checkpoint is quantised with '%.40s'; joule converts plain and AWQ "
                   "checkpoints",
                   method ? method : "an unnamed method");
}

jl_status jl_checkpoint_read(const json_t *config, jl_checkpoint *out, jl_error *err)
{
    *out = (jl_checkpoint){0};
    JL_TRY(find_arch(config, out, err));
    JL_TRY(refuse_quantised(config, err));
    out->n_layer = u32_or(out->config, "num_hidden_layers", 0);
    out->n_head = u32_or(out->config, "num_attention_heads", 0);
    out->n_head_kv = u32_or(out->config, "num_key_value_heads", out->n_head);
    if (out->n_layer == 0 || out->n_layer > MAX_LAYERS || out->n_head == 0 || out->n_head_kv == 0)
        return jl_fail(err, JL_FORMAT,
                       "config.json: num_hidden_layers (1 to %d), num_attention_heads and "
                       "num_key_value_heads must be whole numbers above 0",
                       MAX_LAYERS);
    /* the outer file wins: it is the model that has the head */
    const json_t *tied = json_object_get(config, "tie_word_embeddings");
    if (!json_is_boolean(tied))
        tied = get(out, "tie_word_embeddings");
    out->tied = json_is_boolean(tied) ? json_is_true(tied) : out->gemma;
    return JL_OK;
}

/* ---- Llama and Mistral ------------------------------------------------------------------ */

/* rope_parameters of newer files, rope_scaling of older ones; may be NULL. */
static const json_t *rope_of(const jl_checkpoint *c)
{
    const json_t *p = get(c, "rope_parameters");

    return json_is_object(p) ? p : get(c, "rope_scaling");
}

static const char *rope_type(const json_t *p)
{
    const char *type = json_string_value(json_object_get(p, "rope_type"));

    if (!type)
        type = json_string_value(json_object_get(p, "type"));
    return type ? type : "default";
}

static uint32_t head_dim_of(const jl_checkpoint *c)
{
    return u32_or(c->config, "head_dim", u32_or(c->config, "hidden_size", 0) / c->n_head);
}

static void put_rope_scaling(jl_keys *k, const json_t *p, const char *type)
{
    if (strcmp(type, "linear") != 0 && strcmp(type, "yarn") != 0)
        return;
    jl_keys_str(k, "rope.scaling.type", type);
    jl_keys_f32(k, "rope.scaling.factor", real_or(p, "factor", 1));
    if (strcmp(type, "yarn") == 0)
        jl_keys_u32(k, "rope.scaling.original_context_length",
                    u32_or(p, "original_max_position_embeddings", 0));
}

static void put_llama(jl_keys *k)
{
    const jl_checkpoint *c = k->c;
    const json_t *p = rope_of(c);
    const char *type = rope_type(p);
    const char *act = json_string_value(get(c, "hidden_act"));
    const uint32_t d = head_dim_of(c);
    const uint32_t window = u32_or(c->config, "sliding_window", 0);

    if (strcmp(type, "default") != 0 && strcmp(type, "llama3") != 0 &&
        strcmp(type, "linear") != 0 && strcmp(type, "yarn") != 0)
        jl_keys_fail(k, JL_UNSUPPORTED,
                     "config.json: RoPE of type '%.40s'; joule knows default, "
                     "llama3, linear and yarn",
                     type);
    if (act && strcmp(act, "silu") != 0)
        jl_keys_fail(k, JL_UNSUPPORTED, "config.json: hidden_act '%.40s'; joule knows silu", act);
    jl_keys_u32(k, "vocab_size", need_u32(k, "vocab_size"));
    jl_keys_u32(k, "context_length", need_u32(k, "max_position_embeddings"));
    jl_keys_u32(k, "embedding_length", need_u32(k, "hidden_size"));
    jl_keys_u32(k, "block_count", c->n_layer);
    jl_keys_u32(k, "feed_forward_length", need_u32(k, "intermediate_size"));
    jl_keys_u32(k, "attention.head_count", c->n_head);
    jl_keys_u32(k, "attention.head_count_kv", c->n_head_kv);
    jl_keys_u32(k, "attention.key_length", d);
    jl_keys_u32(k, "attention.value_length", d);
    jl_keys_u32(k, "rope.dimension_count", d);
    jl_keys_f32(k, "rope.freq_base",
                real_or(p, "rope_theta", real_or(c->config, "rope_theta", 1e4)));
    jl_keys_f32(k, "attention.layer_norm_rms_epsilon", real_or(c->config, "rms_norm_eps", 1e-6));
    if (window)
        jl_keys_u32(k, "attention.sliding_window", window);
    put_rope_scaling(k, p, type);
}

/* Llama 3.1: waves longer than the trained context are slowed by the factor, with a ramp. */
static void llama3_divisors(const json_t *p, double base, uint32_t d, float *out)
{
    const double low = real_or(p, "low_freq_factor", 1);
    const double high = real_or(p, "high_freq_factor", 4);
    const double n_ctx = real_or(p, "original_max_position_embeddings", 8192);

    for (uint32_t i = 0; i < d / 2; i++) {
        const double wave = 6.283185307179586 * pow(base, 2.0 * i / d);
        const double share = fmin(1, fmax(0, (n_ctx / wave - low) / (high - low)));
        out[i] = (float)(1 / ((1 - share) / real_or(p, "factor", 1) + share));
    }
}

/* ---- Gemma 4 ---------------------------------------------------------------------------- */

static bool is_global(const jl_checkpoint *c, uint32_t layer)
{
    const char *kind = json_string_value(json_array_get(get(c, "layer_types"), layer));

    return kind && strcmp(kind, "full_attention") == 0;
}

static const json_t *gemma_rope(const jl_checkpoint *c, const char *kind)
{
    return json_object_get(get(c, "rope_parameters"), kind);
}

static uint32_t gemma_head_dim(const jl_checkpoint *c, bool global)
{
    const uint32_t d = head_dim_of(c);

    return global ? u32_or(c->config, "global_head_dim", d) : d;
}

/* One number if all layers agree, else one for each. */
static void put_per_layer(jl_keys *k, const char *key, const int32_t *values)
{
    for (uint32_t i = 1; i < k->c->n_layer; i++)
        if (values[i] != values[0]) {
            jl_keys_array(k, key, JL_GGUF_I32, values, k->c->n_layer);
            return;
        }
    jl_keys_u32(k, key, (uint32_t)values[0]);
}

static void put_gemma_layers(jl_keys *k)
{
    const jl_checkpoint *c = k->c;
    const uint32_t n_ff = need_u32(k, "intermediate_size");
    const uint32_t n_shared = u32_or(c->config, "num_kv_shared_layers", 0);
    const bool wide = json_is_true(get(c, "use_double_wide_mlp")) && n_shared < c->n_layer;
    const bool k_is_v = json_is_true(get(c, "attention_k_eq_v"));
    int32_t ff[MAX_LAYERS];
    int32_t kv[MAX_LAYERS];
    uint8_t local[MAX_LAYERS];

    if (json_array_size(get(c, "layer_types")) != c->n_layer)
        jl_keys_fail(k, JL_FORMAT,
                     "config.json: layer_types must name the kind of each of the %u "
                     "layers",
                     c->n_layer);
    for (uint32_t i = 0; i < c->n_layer; i++) {
        local[i] = !is_global(c, i);
        ff[i] = (int32_t)(wide && i >= c->n_layer - n_shared ? 2 * n_ff : n_ff);
        kv[i] = (int32_t)(k_is_v && !local[i]
                              ? u32_or(c->config, "num_global_key_value_heads", c->n_head_kv)
                              : c->n_head_kv);
    }
    put_per_layer(k, "feed_forward_length", ff);
    put_per_layer(k, "attention.head_count_kv", kv);
    jl_keys_array(k, "attention.sliding_window_pattern", JL_GGUF_BOOL, local, c->n_layer);
    jl_keys_u32(k, "attention.shared_kv_layers", n_shared);
}

static void put_gemma(jl_keys *k)
{
    const jl_checkpoint *c = k->c;
    const json_t *full = gemma_rope(c, "full_attention");

    jl_keys_u32(k, "block_count", c->n_layer);
    jl_keys_u32(k, "context_length", need_u32(k, "max_position_embeddings"));
    jl_keys_u32(k, "embedding_length", need_u32(k, "hidden_size"));
    jl_keys_u32(k, "attention.head_count", c->n_head);
    put_gemma_layers(k);
    jl_keys_u32(k, "attention.key_length", gemma_head_dim(c, true));
    jl_keys_u32(k, "attention.value_length", gemma_head_dim(c, true));
    jl_keys_u32(k, "attention.key_length_swa", gemma_head_dim(c, false));
    jl_keys_u32(k, "attention.value_length_swa", gemma_head_dim(c, false));
    jl_keys_f32(k, "attention.layer_norm_rms_epsilon", real_or(c->config, "rms_norm_eps", 1e-6));
    jl_keys_u32(k, "attention.sliding_window", need_u32(k, "sliding_window"));
    jl_keys_f32(k, "rope.freq_base", real_or(full, "rope_theta", 1e6));
    jl_keys_f32(k, "rope.freq_base_swa",
                real_or(gemma_rope(c, "sliding_attention"), "rope_theta", 1e4));
    put_rope_scaling(k, full, rope_type(full));
    jl_keys_u32(k, "rope.dimension_count", gemma_head_dim(c, true));
    jl_keys_u32(k, "rope.dimension_count_swa", gemma_head_dim(c, false));
    jl_keys_u32(k, "embedding_length_per_layer_input",
                u32_or(c->config, "hidden_size_per_layer_input", 0));
    if (json_is_number(get(c, "final_logit_softcapping")))
        jl_keys_f32(k, "final_logit_softcapping", real_or(c->config, "final_logit_softcapping", 0));
    if (json_is_true(get(c, "enable_moe_block"))) {
        jl_keys_u32(k, "expert_count", need_u32(k, "num_experts"));
        jl_keys_u32(k, "expert_used_count", need_u32(k, "top_k_experts"));
        jl_keys_u32(k, "expert_feed_forward_length", need_u32(k, "moe_intermediate_size"));
    }
}

/* Pairs that do not rotate are divided by 1e30. */
static void gemma_divisors(const json_t *p, uint32_t d, float *out)
{
    const bool partial = strcmp(rope_type(p), "proportional") == 0;
    const uint32_t n = partial ? (uint32_t)(real_or(p, "partial_rotary_factor", 1) * d / 2) : d / 2;

    for (uint32_t i = 0; i < d / 2; i++)
        out[i] = i < n ? (partial ? (float)real_or(p, "factor", 1) : 1.0f) : 1e30f;
}

/* ---- */

void jl_put_hparams(jl_keys *k)
{
    if (k->c->gemma)
        put_gemma(k);
    else
        put_llama(k);
}

/* A factor of 0, or equal bounds, give no frequencies that could be used. */
static bool all_positive(const float *values, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!isfinite(values[i]) || values[i] <= 0.0f)
            return false;
    return true;
}

jl_status jl_rope_divisors(const jl_checkpoint *c, float **out, uint64_t *n, jl_error *err)
{
    const json_t *p = c->gemma ? gemma_rope(c, "full_attention") : rope_of(c);
    const uint32_t d = c->gemma ? gemma_head_dim(c, true) : head_dim_of(c);

    *out = NULL;
    *n = 0;
    if (!c->gemma && strcmp(rope_type(p), "llama3") != 0)
        return JL_OK;
    if (d < 2 || d > 65536)
        return jl_fail(err, JL_FORMAT, "config.json: a head size of %u", d);
    float *values = jl_malloc(d / 2 * sizeof *values);
    if (!values)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    if (c->gemma)
        gemma_divisors(p, d, values);
    else
        llama3_divisors(p, real_or(p, "rope_theta", real_or(c->config, "rope_theta", 1e4)), d,
                        values);
    if (!all_positive(values, d / 2)) {
        jl_free(values);
        return jl_fail(err, JL_FORMAT,
                       "config.json: the factors of the RoPE scaling give a frequency that is no "
                       "positive number");
    }
    *out = values;
    *n = d / 2;
    return JL_OK;
}
