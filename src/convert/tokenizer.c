/* tokenizer.json and its companions to tokenizer.* keys. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "convert/convert.h"

enum {
    MAX_TOKENS = 1 << 22,
    TYPE_NORMAL = 1,
    TYPE_CONTROL = 3,
    TYPE_USER = 4,
    TYPE_UNUSED = 5,
    TYPE_BYTE = 6
};

typedef struct {
    jl_str *tokens; /* [n] */
    int32_t *types; /* [n] */
    float *scores;  /* [n] */
    char *made;     /* text of tokens that the file does not name */
    uint32_t n;
    jl_str *merges; /* [n_merges] */
    char *merge_text;
    size_t n_merges;
} vocab;

static void vocab_free(vocab *v)
{
    jl_free(v->tokens);
    jl_free(v->types);
    jl_free(v->scores);
    jl_free(v->made);
    jl_free(v->merges);
    jl_free(v->merge_text);
}

static bool id_of(const json_t *v, uint32_t *id)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) >= MAX_TOKENS)
        return false;
    *id = (uint32_t)json_integer_value(v);
    return true;
}

/* Highest id + 1, at least the model's vocab_size. */
static jl_status count_tokens(jl_keys *k, const json_t *words, const json_t *added, uint32_t *n)
{
    const json_t *size = json_object_get(k->c->config, "vocab_size");
    const char *text;
    json_t *v;
    size_t i;
    uint32_t id;

    *n = 0;
    if (id_of(size, &id))
        *n = id;
    json_object_foreach((json_t *)(uintptr_t)words, text, v)
    {
        if (!id_of(v, &id))
            return jl_fail(k->err, JL_FORMAT, "tokenizer.json: token '%.40s' has no usable id",
                           text);
        *n = id >= *n ? id + 1 : *n;
    }
    json_array_foreach((json_t *)(uintptr_t)added, i, v)
    {
        if (!id_of(json_object_get(v, "id"), &id) || !json_is_string(json_object_get(v, "content")))
            return jl_fail(k->err, JL_FORMAT,
                           "tokenizer.json: added_tokens[%zu] needs an id and a content", i);
        *n = id >= *n ? id + 1 : *n;
    }
    return JL_OK;
}

/* Shown as text although they are special, as in the published files. */
static bool is_user_defined(const char *text)
{
    static const char *const names[] = {"<|channel>",   "<channel|>",       "<|tool_call>",
                                        "<tool_call|>", "<|tool_response>", "<tool_response|>",
                                        "<|\"|>"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], text) == 0)
            return true;
    return false;
}

static bool is_byte(const char *s)
{
    return strlen(s) == 6 && memcmp(s, "<0x", 3) == 0 && s[5] == '>';
}

static void set_token(vocab *v, uint32_t id, const json_t *text, int32_t type)
{
    v->tokens[id] = (jl_str){json_string_value(text), json_string_length(text)};
    v->types[id] = type;
}

/* Ids that the file does not name get a text of their own. */
static jl_status fill_gaps(jl_keys *k, vocab *v)
{
    uint32_t n_gaps = 0;

    for (uint32_t i = 0; i < v->n; i++)
        n_gaps += !v->tokens[i].ptr;
    v->made = jl_malloc((size_t)n_gaps * 16 + 1);
    if (!v->made)
        return jl_fail(k->err, JL_NO_MEMORY, "out of memory");
    char *at = v->made;
    for (uint32_t i = 0; i < v->n; i++) {
        if (v->tokens[i].ptr)
            continue;
        const int len = snprintf(at, 16, "[PAD%u]", i);
        v->tokens[i] = (jl_str){at, (size_t)len};
        v->types[i] = TYPE_UNUSED;
        at += 16;
    }
    return JL_OK;
}

static jl_status read_tokens(jl_keys *k, const json_t *tokenizer, vocab *v)
{
    const json_t *words = json_object_get(json_object_get(tokenizer, "model"), "vocab");
    const json_t *added = json_object_get(tokenizer, "added_tokens");
    const char *text;
    json_t *item;
    size_t i;

    if (json_object_size(words) == 0)
        return jl_fail(k->err, JL_FORMAT, "tokenizer.json: model.vocab must be an object");
    JL_TRY(count_tokens(k, words, added, &v->n));
    v->tokens = jl_calloc(v->n, sizeof *v->tokens);
    v->types = jl_calloc(v->n, sizeof *v->types);
    v->scores = jl_calloc(v->n, sizeof *v->scores);
    if (!v->tokens || !v->types || !v->scores)
        return jl_fail(k->err, JL_NO_MEMORY, "no memory for %u tokens", v->n);
    json_object_foreach((json_t *)(uintptr_t)words, text, item)
    {
        const uint32_t id = (uint32_t)json_integer_value(item);
        v->tokens[id] = (jl_str){text, strlen(text)};
        v->types[id] = k->c->gemma && is_byte(text) ? TYPE_BYTE : TYPE_NORMAL;
        if (k->c->gemma && is_user_defined(text))
            v->types[id] = TYPE_USER;
    }
    json_array_foreach((json_t *)(uintptr_t)added, i, item)
    {
        const json_t *content = json_object_get(item, "content");
        const bool special = json_is_true(json_object_get(item, "special")) &&
                             !(k->c->gemma && is_user_defined(json_string_value(content)));
        set_token(v, (uint32_t)json_integer_value(json_object_get(item, "id")), content,
                  special ? TYPE_CONTROL : TYPE_USER);
    }
    for (uint32_t t = 0; t < v->n; t++)
        v->scores[t] = -1000.0f;
    return fill_gaps(k, v);
}

/* A merge is "left right" or ["left", "right"]. */
static bool merge_parts(const json_t *m, const char *parts[2])
{
    parts[1] = NULL;
    parts[0] = json_string_value(m);
    if (parts[0])
        return strchr(parts[0], ' ') != NULL;
    parts[0] = json_string_value(json_array_get(m, 0));
    parts[1] = json_string_value(json_array_get(m, 1));
    return json_array_size(m) == 2 && parts[0] && parts[1];
}

static jl_status read_merges(jl_keys *k, const json_t *tokenizer, vocab *v)
{
    const json_t *list = json_object_get(json_object_get(tokenizer, "model"), "merges");
    const char *p[2];
    size_t n_bytes = 1;

    v->n_merges = json_array_size(list);
    for (size_t i = 0; i < v->n_merges; i++) {
        if (!merge_parts(json_array_get(list, i), p))
            return jl_fail(k->err, JL_FORMAT, "tokenizer.json: merges[%zu] is no pair", i);
        n_bytes += strlen(p[0]) + (p[1] ? strlen(p[1]) : 0) + 2;
    }
    if (v->n_merges == 0)
        return jl_fail(k->err, JL_FORMAT, "tokenizer.json: model.merges is missing");
    v->merges = jl_calloc(v->n_merges, sizeof *v->merges);
    v->merge_text = jl_malloc(n_bytes);
    if (!v->merges || !v->merge_text)
        return jl_fail(k->err, JL_NO_MEMORY, "no memory for %zu merges", v->n_merges);
    char *at = v->merge_text;
    for (size_t i = 0; i < v->n_merges; i++) {
        (void)merge_parts(json_array_get(list, i), p);
        const size_t room = n_bytes - (size_t)(at - v->merge_text);
        const int len = snprintf(at, room, "%s%s%s", p[0], p[1] ? " " : "", p[1] ? p[1] : "");
        v->merges[i] = (jl_str){at, (size_t)len};
        at += len + 1;
    }
    return JL_OK;
}

static bool find_text(const json_t *v, const char *part)
{
    const char *s = json_string_value(v);
    const char *key;
    json_t *item;
    size_t i;

    if (s)
        return strstr(s, part) != NULL;
    json_array_foreach((json_t *)(uintptr_t)v, i, item) if (find_text(item, part)) return true;
    json_object_foreach((json_t *)(uintptr_t)v, key, item) if (find_text(item, part)) return true;
    return false;
}

/* The pre-tokeniser by its pattern; NULL and a failure if it is another one. */
static const char *pre_of(jl_keys *k, const json_t *tokenizer)
{
    const json_t *pre = json_object_get(tokenizer, "pre_tokenizer");
    const bool contractions = find_text(pre, "'s|'t|'re");

    if (json_is_true(json_object_get(json_object_get(tokenizer, "model"), "byte_fallback")))
        jl_keys_fail(k, JL_UNSUPPORTED,
                     "tokenizer.json is of the SentencePiece kind, which carries "
                     "no scores; joule converts the tokenizers of Llama 3 and Tekken");
    else if (contractions && find_text(pre, "\\p{N}{1,3}") && !find_text(pre, "\\p{Lu}"))
        return "llama-bpe";
    else if (!contractions && find_text(pre, "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}"))
        return "tekken";
    else
        jl_keys_fail(k, JL_UNSUPPORTED,
                     "tokenizer.json splits text by a pattern that joule does not "
                     "know; it knows those of Llama 3 and Tekken");
    return NULL;
}

static void put_id(jl_keys *k, const vocab *v, const char *key, const json_t *token)
{
    const char *text = json_string_value(token);

    if (!text)
        text = json_string_value(json_object_get(token, "content"));
    for (uint32_t i = 0; text && i < v->n; i++)
        if (v->tokens[i].len == strlen(text) &&
            memcmp(v->tokens[i].ptr, text, v->tokens[i].len) == 0) {
            jl_keys_u32(k, key, i);
            return;
        }
}

static void put_ids(jl_keys *k, const vocab *v, const json_t *config)
{
    static const struct {
        const char *key, *name, *gemma;
    } ids[] = {{"tokenizer.ggml.bos_token_id", "bos_token", "<bos>"},
               {"tokenizer.ggml.eos_token_id", "eos_token", "<eos>"},
               {"tokenizer.ggml.unknown_token_id", "unk_token", "<unk>"},
               {"tokenizer.ggml.padding_token_id", "pad_token", "<pad>"},
               {"tokenizer.ggml.mask_token_id", "mask_token", "<mask>"}};

    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        json_t *gemma = k->c->gemma ? json_string(ids[i].gemma) : NULL;
        put_id(k, v, ids[i].key, gemma ? gemma : json_object_get(config, ids[i].name));
        json_decref(gemma);
    }
}

static void put_vocab(jl_keys *k, const vocab *v, const char *pre, const json_t *config)
{
    const json_t *add_bos = json_object_get(config, "add_bos_token");

    jl_keys_str(k, "tokenizer.ggml.model", k->c->gemma ? "gemma4" : "gpt2");
    if (pre)
        jl_keys_str(k, "tokenizer.ggml.pre", pre);
    jl_keys_strs(k, "tokenizer.ggml.tokens", v->tokens, v->n);
    if (k->c->gemma)
        jl_keys_array(k, "tokenizer.ggml.scores", JL_GGUF_F32, v->scores, v->n);
    jl_keys_array(k, "tokenizer.ggml.token_type", JL_GGUF_I32, v->types, v->n);
    jl_keys_strs(k, "tokenizer.ggml.merges", v->merges, v->n_merges);
    put_ids(k, v, config);
    jl_keys_bool(k, "tokenizer.ggml.add_bos_token", !json_is_false(add_bos));
    if (k->c->gemma)
        jl_keys_bool(k, "tokenizer.ggml.add_space_prefix", false);
}

void jl_put_tokenizer_json(jl_keys *k, const json_t *tokenizer, const json_t *config)
{
    const char *type =
        json_string_value(json_object_get(json_object_get(tokenizer, "model"), "type"));
    vocab v = {0};

    if (type && strcmp(type, "BPE") != 0)
        jl_keys_fail(k, JL_UNSUPPORTED, "tokenizer.json: a model of type %.40s; joule knows BPE",
                     type);
    const char *pre = k->c->gemma ? NULL : pre_of(k, tokenizer);
    if (k->status == JL_OK)
        k->status = read_tokens(k, tokenizer, &v);
    if (k->status == JL_OK)
        k->status = read_merges(k, tokenizer, &v);
    if (k->status == JL_OK)
        put_vocab(k, &v, pre, config);
    vocab_free(&v);
}

/* ---- chat template, sampling ------------------------------------------------------------ */

static void put_template_file(jl_keys *k, const char *folder, bool *found)
{
    char path[4096];
    char *text = NULL;
    size_t len = 0;
    jl_error ignored;

    snprintf(path, sizeof path, "%s/chat_template.jinja", folder);
    *found = jl_file_read(path, 1 << 24, &text, &len, &ignored) == JL_OK;
    if (*found && k->status == JL_OK)
        k->status = jl_gguf_put_str(k->w, "tokenizer.chat_template", text, len, k->err);
    jl_free(text);
}

/* A template is a text, or a list of named ones. */
static const char *template_of(const json_t *config)
{
    const json_t *v = json_object_get(config, "chat_template");
    json_t *item;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)v, i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        if (name && strcmp(name, "default") == 0)
            return json_string_value(json_object_get(item, "template"));
    }
    return json_string_value(v);
}

static void put_template(jl_keys *k, const char *folder, const json_t *config)
{
    bool found = false;
    json_t *other = NULL;

    put_template_file(k, folder, &found);
    if (found || k->status != JL_OK)
        return;
    const char *text = template_of(config);
    if (!text) {
        k->status = jl_read_json(folder, "chat_template.json", &other, k->err);
        text = template_of(other);
    }
    if (text)
        jl_keys_str(k, "tokenizer.chat_template", text);
    json_decref(other);
}

static void put_generation(jl_keys *k, const json_t *g)
{
    const json_t *top_k = json_object_get(g, "top_k");
    const json_t *top_p = json_object_get(g, "top_p");
    const json_t *temp = json_object_get(g, "temperature");
    const json_t *suppress = json_object_get(g, "suppress_tokens");
    const size_t n = json_array_size(suppress);

    if (json_is_integer(top_k) && json_integer_value(top_k) >= 0 &&
        json_integer_value(top_k) < INT32_MAX)
        jl_keys_i32(k, "general.sampling.top_k", (int32_t)json_integer_value(top_k));
    if (json_is_number(top_p))
        jl_keys_f32(k, "general.sampling.top_p", json_number_value(top_p));
    if (json_is_number(temp))
        jl_keys_f32(k, "general.sampling.temp", json_number_value(temp));
    int32_t *ids = n && n < MAX_TOKENS ? jl_calloc(n, sizeof *ids) : NULL;
    for (size_t i = 0; ids && i < n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(suppress, i));
    if (ids && k->c->gemma)
        jl_keys_array(k, "tokenizer.ggml.suppress_tokens", JL_GGUF_I32, ids, n);
    jl_free(ids);
}

void jl_put_tokenizer(jl_keys *k, const char *folder)
{
    json_t *tokenizer = NULL;
    json_t *config = NULL;
    json_t *generation = NULL;

    if (k->status == JL_OK)
        k->status = jl_read_json(folder, "tokenizer.json", &tokenizer, k->err);
    if (k->status == JL_OK && !tokenizer)
        jl_keys_fail(k, JL_FORMAT, "%.150s has no tokenizer.json", folder);
    if (k->status == JL_OK)
        k->status = jl_read_json(folder, "tokenizer_config.json", &config, k->err);
    if (k->status == JL_OK)
        k->status = jl_read_json(folder, "generation_config.json", &generation, k->err);
    if (k->status == JL_OK)
        jl_put_tokenizer_json(k, tokenizer, config);
    if (k->status == JL_OK)
        put_template(k, folder, config);
    if (k->status == JL_OK)
        put_generation(k, generation);
    json_decref(tokenizer);
    json_decref(config);
    json_decref(generation);
}
