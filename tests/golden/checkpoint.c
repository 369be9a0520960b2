#include "checkpoint.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "quant/quant.h"
#include "quant/random.h"
#include "test.h"

static const char *const names[][2] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
    {"attn_norm.weight", "input_layernorm.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"ffn_norm.weight", "post_attention_layernorm.weight"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
};

static const char *const gemma_names[][2] = {
    {"token_embd.weight", "embed_tokens.weight"},
    {"output_norm.weight", "norm.weight"},
    {"per_layer_token_embd.weight", "embed_tokens_per_layer.weight"},
    {"per_layer_model_proj.weight", "per_layer_model_projection.weight"},
    {"per_layer_proj_norm.weight", "per_layer_projection_norm.weight"},
    {"attn_norm.weight", "input_layernorm.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"attn_q_norm.weight", "self_attn.q_norm.weight"},
    {"attn_k_norm.weight", "self_attn.k_norm.weight"},
    {"post_attention_norm.weight", "post_attention_layernorm.weight"},
    {"ffn_norm.weight", "pre_feedforward_layernorm.weight"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
    {"post_ffw_norm.weight", "post_feedforward_layernorm.weight"},
    {"post_ffw_norm_1.weight", "post_feedforward_layernorm_1.weight"},
    {"post_ffw_norm_2.weight", "post_feedforward_layernorm_2.weight"},
    {"pre_ffw_norm_2.weight", "pre_feedforward_layernorm_2.weight"},
    {"ffn_gate_inp.weight", "router.proj.weight"},
    {"ffn_gate_inp.scale", "router.scale"},
    {"ffn_down_exps.scale", "router.per_expert_scale"},
    {"ffn_gate_up_exps.weight", "experts.gate_up_proj"},
    {"ffn_down_exps.weight", "experts.down_proj"},
    {"inp_gate.weight", "per_layer_input_gate.weight"},
    {"proj.weight", "per_layer_projection.weight"},
    {"post_norm.weight", "post_per_layer_input_norm.weight"},
    {"layer_output_scale.weight", "layer_scalar"},
};

/* A safetensors file that grows. */
typedef struct {
    json_t *header;
    uint8_t *data;
    size_t n_bytes;
} shard;

static void add(shard *s, const char *name, const char *dtype, const uint64_t *shape, size_t n_dims,
                const void *data, size_t n_bytes)
{
    json_t *dims = json_array();
    for (size_t d = 0; d < n_dims; d++)
        json_array_append_new(dims, json_integer((json_int_t)shape[d]));
    json_object_set_new(s->header, name,
                        json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype, "shape", dims,
                                  "data_offsets", (json_int_t)s->n_bytes,
                                  (json_int_t)(s->n_bytes + n_bytes)));
    s->data = realloc(s->data, s->n_bytes + n_bytes + 1);
    assert_non_null(s->data);
    memcpy(s->data + s->n_bytes, data, n_bytes);
    s->n_bytes += n_bytes;
}

static void save(shard *s, const char *folder, const char *file)
{
    char path[600];
    char *text = json_dumps(s->header, JSON_COMPACT);
    const uint64_t len = strlen(text);
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int i = 0; i < 8; i++)
        fputc((int)(len >> 8 * i & 255), f);
    fwrite(text, 1, len, f);
    fwrite(s->data, 1, s->n_bytes, f);
    fclose(f);
    free(text);
    free(s->data);
    json_decref(s->header);
}

void checkpoint_write_text(const char *folder, const char *file, const char *text)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* In the file the two halves of a head take turns. */
uint64_t checkpoint_row(uint64_t r, uint64_t n_rows, uint32_t n_head)
{
    const uint64_t d = n_rows / n_head;
    const uint64_t head = r / d;
    const uint64_t pair = r % d / 2;
    return head * d + pair + (r % 2) * (d / 2);
}

static uint32_t awq_bits(uint64_t tensor, int what, uint64_t i, uint64_t o)
{
    return (uint32_t)(jl_random_u64(tensor * 3 + (uint64_t)what, i * 4096 + o) >> 40);
}

static uint16_t awq_scale(uint64_t t, uint64_t i, uint64_t o)
{
    return jl_f32_to_f16(0.002f + (float)(awq_bits(t, 2, i / 32, o) % 1000) * 1e-5f);
}

float checkpoint_awq_offset(uint64_t t, uint64_t i, uint64_t o)
{
    return (float)(awq_bits(t, 1, i / 32, o) % 16) * jl_f16_to_f32(awq_scale(t, i, o));
}

float checkpoint_awq_weight(uint64_t t, uint64_t i, uint64_t o)
{
    const int q = (int)(awq_bits(t, 0, i, o) % 16);
    const int zero = (int)(awq_bits(t, 1, i / 32, o) % 16);
    return (float)(q - zero) * jl_f16_to_f32(awq_scale(t, i, o));
}

/* A matrix to be written as AWQ. */
typedef struct {
    uint64_t tensor, n_in, n_out, group;
    const float *w; /* [n_out][n_in] in the checkpoint's order; NULL: random */
} awq_matrix;

/* Scale of a group as F16 bits, and its least value or 0. */
static uint16_t matrix_scale(const awq_matrix *m, uint64_t g, uint64_t o, float *low)
{
    float high = 0;
    *low = 0;
    if (!m->w)
        return awq_scale(m->tensor, g * 32, o);
    for (uint64_t i = g * m->group; i < (g + 1) * m->group; i++) {
        const float w = m->w[o * m->n_in + i];
        *low = w < *low ? w : *low;
        high = w > high ? w : high;
    }
    return jl_f32_to_f16((high - *low) / 15.0f);
}

static uint32_t hold(float v)
{
    return v < 0 ? 0 : v > 15 ? 15 : (uint32_t)v;
}

static uint32_t matrix_zero(const awq_matrix *m, uint64_t g, uint64_t o)
{
    float low;
    const float scale = jl_f16_to_f32(matrix_scale(m, g, o, &low));
    return m->w ? hold(rintf(-low / scale)) : awq_bits(m->tensor, 1, g, o) % 16;
}

static uint32_t matrix_value(const awq_matrix *m, uint64_t i, uint64_t o)
{
    float low;
    if (!m->w)
        return awq_bits(m->tensor, 0, i, o) % 16;
    const float scale = jl_f16_to_f32(matrix_scale(m, i / m->group, o, &low));
    return hold(rintf(m->w[o * m->n_in + i] / scale) + (float)matrix_zero(m, i / m->group, o));
}

/* Eight values per word: value 8 c + order[k] at bit 4 k. */
static uint32_t pack(const awq_matrix *m,
                     uint32_t (*value)(const awq_matrix *m, uint64_t i, uint64_t o), uint64_t i,
                     uint64_t c)
{
    static const unsigned order[8] = {0, 2, 4, 6, 1, 3, 5, 7};
    uint32_t word = 0;
    for (unsigned k = 0; k < 8; k++)
        word |= value(m, i, 8 * c + order[k]) << 4 * k;
    return word;
}

static void add_awq(shard *s, const char *name, const awq_matrix *m)
{
    const uint64_t n_in = m->n_in, n_out = m->n_out, n_groups = n_in / m->group;
    uint32_t *q = malloc(n_in * n_out / 8 * sizeof *q);
    uint32_t *z = malloc(n_groups * n_out / 8 * sizeof *z);
    uint16_t *d = malloc(n_groups * n_out * sizeof *d);
    char full[200];
    float low;
    const int base = (int)(strlen(name) - strlen("weight"));
    assert_non_null(q && z && d ? q : NULL);
    for (uint64_t i = 0; i < n_in; i++)
        for (uint64_t c = 0; c < n_out / 8; c++)
            q[i * (n_out / 8) + c] = pack(m, matrix_value, i, c);
    for (uint64_t g = 0; g < n_groups; g++)
        for (uint64_t o = 0; o < n_out; o++) {
            d[g * n_out + o] = matrix_scale(m, g, o, &low);
            if (o % 8 == 0)
                z[(g * n_out + o) / 8] = pack(m, matrix_zero, g, o / 8);
        }
    snprintf(full, sizeof full, "%.*sqweight", base, name);
    add(s, full, "I32", (const uint64_t[]){n_in, n_out / 8}, 2, q, n_in * n_out / 2);
    snprintf(full, sizeof full, "%.*sqzeros", base, name);
    add(s, full, "I32", (const uint64_t[]){n_groups, n_out / 8}, 2, z, n_groups * n_out / 2);
    snprintf(full, sizeof full, "%.*sscales", base, name);
    add(s, full, "F16", (const uint64_t[]){n_groups, n_out}, 2, d, n_groups * n_out * 2);
    free(q);
    free(z);
    free(d);
}

/* Name in the checkpoint; false for tensors that it has not. */
static bool checkpoint_name(const checkpoint_plan *p, const char *name, char *out, size_t cap)
{
    const char *const(*list)[2] = p->gemma ? gemma_names : names;
    const size_t n = p->gemma ? sizeof gemma_names / sizeof *gemma_names
                              : sizeof names / sizeof *names;
    const char *prefix = p->gemma ? "model.language_model." : "";
    const char *short_name = name;
    char layer[32] = "";
    if (strncmp(name, "blk.", 4) == 0) {
        short_name = strchr(name + 4, '.') + 1;
        snprintf(layer, sizeof layer, "%slayers.%d.", p->gemma ? "" : "model.", atoi(name + 4));
    }
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i][0], short_name) == 0) {
            snprintf(out, cap, "%s%s%s", prefix, layer, list[i][1]);
            return true;
        }
    return false;
}

/* Rows of a tensor in the checkpoint's order. */
static uint8_t *checkpoint_rows(const checkpoint_plan *p, const jl_gguf_tensor *t)
{
    const bool q = strstr(t->name, "attn_q.weight"), k = strstr(t->name, "attn_k.weight");
    const uint64_t n_rows = t->ne[1] * t->ne[2];
    const uint64_t row_bytes = t->n_bytes / n_rows;
    uint8_t *rows = malloc(t->n_bytes);
    assert_non_null(rows);
    for (uint64_t r = 0; r < n_rows; r++) {
        const bool turned = !p->gemma && (q || k);
        const uint64_t to = turned ? checkpoint_row(r, n_rows, q ? p->n_head : p->n_head_kv) : r;
        memcpy(rows + to * row_bytes, t->data + r * row_bytes, row_bytes);
    }
    return rows;
}

static void add_tensor(const checkpoint_plan *p, shard *s, size_t index, const char *name)
{
    const jl_gguf_tensor *t = jl_gguf_tensor_at(p->model, index);
    uint8_t *rows = checkpoint_rows(p, t);
    if (p->awq && strncmp(t->name, "blk.", 4) == 0 && t->ne[1] > 1) {
        const bool own = p->awq == AWQ_ROUNDED;
        const awq_matrix m = {.tensor = index,
                              .n_in = t->ne[0],
                              .n_out = t->ne[1],
                              .group = own && t->ne[0] % 128 == 0  ? 128
                                       : own && t->ne[0] % 64 == 0 ? 64
                                                                   : 32,
                              .w = own ? (const float *)(const void *)rows : NULL};
        add_awq(s, name, &m);
    } else {
        const uint64_t shape[] = {t->ne[2], t->ne[1], t->ne[0]};
        const size_t n_dims = t->ne[2] > 1 ? 3 : t->ne[1] > 1 ? 2 : 1;
        assert_true(t->type == JL_TYPE_F32 || t->type == JL_TYPE_F16);
        add(s, name, t->type == JL_TYPE_F32 ? "F32" : "F16", shape + 3 - n_dims, n_dims, rows,
            t->n_bytes);
    }
    free(rows);
}

static void write_tokenizer(const checkpoint_plan *p)
{
    json_t *vocab = json_object(), *added = json_array(), *merges = json_array();
    jl_gguf_iter it = {0};
    jl_str s;
    for (uint32_t id = 0;
         jl_gguf_next_str(jl_gguf_find(p->model, "tokenizer.ggml.tokens"), &it, &s); id++) {
        int64_t type = 0;
        (void)jl_gguf_get_i64(p->model, "tokenizer.ggml.token_type", id, &type);
        if (type == 1 || type == 6) {
            char *token = strndup(s.ptr, s.len);
            json_object_set_new(vocab, token, json_integer(id));
            free(token);
        } else {
            json_array_append_new(added, json_pack("{s:i, s:s%, s:b}", "id", (int)id, "content",
                                                   s.ptr, s.len, "special", 1));
        }
    }
    it = (jl_gguf_iter){0};
    for (size_t i = 0; jl_gguf_next_str(jl_gguf_find(p->model, "tokenizer.ggml.merges"), &it, &s);
         i++) {
        const char *blank = memchr(s.ptr, ' ', s.len);
        const size_t n = (size_t)(blank - s.ptr);
        json_array_append_new(merges,
                              i % 2 ? json_stringn(s.ptr, s.len)
                                    : json_pack("[s%, s%]", s.ptr, n, blank + 1, s.len - n - 1));
    }
    json_t *all = json_pack("{s:o, s:{s:s, s:o, s:o}, s:{s:s}}", "added_tokens", added, "model",
                            "type", "BPE", "vocab", vocab, "merges", merges, "pre_tokenizer",
                            "pattern", "(?i:'s|'t|'re|'ve)|\\p{N}{1,3}");
    char *text = json_dumps(all, JSON_COMPACT);
    checkpoint_write_text(p->folder, "tokenizer.json", text);
    checkpoint_write_text(p->folder, "tokenizer_config.json",
                          "{\"bos_token\":\"<|begin_of_text|>\",\"eos_token\":{\"content\":"
                          "\"<|eot_id|>\"},\"chat_template\":\"{{ x }}\"}");
    free(text);
    json_decref(all);
}

void checkpoint_write(const checkpoint_plan *p)
{
    static const char *const files[] = {"model-00001-of-00002.safetensors",
                                        "model-00002-of-00002.safetensors"};
    shard shards[2] = {{.header = json_object()}, {.header = json_object()}};
    json_t *map = json_object();
    for (size_t i = 0; i < jl_gguf_n_tensors(p->model); i++) {
        char name[160];
        if (!checkpoint_name(p, jl_gguf_tensor_at(p->model, i)->name, name, sizeof name))
            continue;
        const size_t which = p->sharded ? i % 2 : 0;
        add_tensor(p, &shards[which], i, name);
        if (!p->awq)
            json_object_set_new(map, name, json_string(files[which]));
    }
    save(&shards[0], p->folder, p->sharded ? files[0] : "model.safetensors");
    if (p->sharded) {
        json_t *index = json_pack("{s:O}", "weight_map", map);
        char *text = json_dumps(index, 0);
        save(&shards[1], p->folder, files[1]);
        checkpoint_write_text(p->folder, "model.safetensors.index.json", text);
        free(text);
        json_decref(index);
    } else {
        json_decref(shards[1].header);
    }
    json_decref(map);
    checkpoint_write_text(p->folder, "config.json", p->config);
    write_tokenizer(p);
}
