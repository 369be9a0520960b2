/* Opening and describing a model. */
#include "model/model.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "model/graph.h"
#include "model/repack.h"

static char *dup_str(const jl_gguf *g, const char *key)
{
    jl_str s;

    if (!jl_gguf_get_str(g, key, &s))
        return NULL;
    return jl_strndup(s.ptr, s.len);
}

static void key_of(const jl_model *m, const char *key, char *text, size_t cap)
{
    snprintf(text, cap, "%s.%s", m->architecture, key);
}

jl_status jl_model_u32(const jl_model *m, const jl_want_u32 *want, uint64_t index, uint32_t *out,
                       jl_error *err)
{
    char key[128];
    uint64_t value;

    key_of(m, want->key, key, sizeof key);
    const jl_gguf_kv *kv = jl_gguf_find(m->gguf, key);
    if (!kv && want->optional)
        return JL_OK;
    if (!kv)
        return jl_fail(err, JL_FORMAT,
                       "metadata key %s is missing; the file is not a complete %s "
                       "model",
                       key, m->architecture);
    if (!jl_gguf_get_u64(m->gguf, key, kv->type == JL_GGUF_ARRAY ? index : 0, &value))
        return jl_fail(err, JL_FORMAT, "metadata key %s (item %" PRIu64 ") is not a whole number",
                       key, index);
    if (value < want->min || value > want->max)
        return jl_fail(err, JL_FORMAT, "metadata key %s is %" PRIu64 "; joule accepts %u to %u",
                       key, value, want->min, want->max);
    *out = (uint32_t)value;
    return JL_OK;
}

jl_status jl_model_f32(const jl_model *m, const char *name, bool optional, float *out,
                       jl_error *err)
{
    char key[128];
    float value;

    key_of(m, name, key, sizeof key);
    if (!jl_gguf_find(m->gguf, key))
        return optional ? JL_OK
                        : jl_fail(err, JL_FORMAT,
                                  "metadata key %s is missing; the file is not a "
                                  "complete %s model",
                                  key, m->architecture);
    if (!jl_gguf_get_f32(m->gguf, key, 0, &value) || !isfinite(value))
        return jl_fail(err, JL_FORMAT, "metadata key %s is not a finite number", key);
    *out = value;
    return JL_OK;
}

static void shape_text(const uint64_t ne[3], char *text, size_t cap)
{
    if (ne[2] > 1)
        snprintf(text, cap, "[%" PRIu64 ", %" PRIu64 ", %" PRIu64 "]", ne[0], ne[1], ne[2]);
    else if (ne[1] > 1)
        snprintf(text, cap, "[%" PRIu64 ", %" PRIu64 "]", ne[0], ne[1]);
    else
        snprintf(text, cap, "[%" PRIu64 "]", ne[0]);
}

jl_status jl_model_tensor(const jl_model *m, const jl_want *want, jl_tensor *out, jl_error *err)
{
    const jl_gguf_tensor *t = jl_gguf_find_tensor(m->gguf, want->name);

    *out = (jl_tensor){0};
    if (!t && want->optional)
        return JL_OK;
    if (!t)
        return jl_fail(err, JL_FORMAT,
                       "tensor %s is missing; the file is incomplete or of another "
                       "architecture",
                       want->name);
    if (t->ne[0] != want->ne[0] || t->ne[1] != want->ne[1] || t->ne[2] != want->ne[2] ||
        t->ne[3] != 1) {
        char have[80], need[80];
        shape_text(t->ne, have, sizeof have);
        shape_text(want->ne, need, sizeof need);
        return jl_fail_at(err, JL_FORMAT, t->offset, "tensor %s has shape %s, expected %s",
                          want->name, have, need);
    }
    if (want->f32 && t->type != JL_TYPE_F32)
        return jl_fail_at(err, JL_FORMAT, t->offset, "tensor %s is %s, expected F32", want->name,
                          jl_type_name(t->type));
    if (!jl_type_get(t->type)->is_weight)
        return jl_fail_at(err, JL_UNSUPPORTED, t->offset,
                          "tensor %s has type %s, which is no weight "
                          "type",
                          want->name, jl_type_name(t->type));

    const jl_buffer *part = &m->parts[t->part];
    *out = (jl_tensor){
        .buf = (jl_buffer *)(uintptr_t)part,
        .offset = (uint64_t)(t->data - part->host),
        .type = t->type,
        .ne = {(uint32_t)t->ne[0], (uint32_t)t->ne[1], (uint32_t)t->ne[2]},
        .row_bytes = jl_row_bytes(t->type, t->ne[0]),
    };
    return JL_OK;
}

jl_status jl_model_layer_tensor(const jl_model *m, uint32_t layer, const jl_want *want,
                                jl_tensor *out, jl_error *err)
{
    char name[96];
    jl_want w = *want;

    snprintf(name, sizeof name, "blk.%u.%s", layer, want->name);
    w.name = name;
    return jl_model_tensor(m, &w, out, err);
}

static jl_status load_parts(jl_model *m, jl_error *err)
{
    const size_t n = jl_gguf_n_parts(m->gguf);

    m->parts = jl_calloc(n, sizeof *m->parts);
    if (!m->parts)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const jl_file *f = jl_gguf_part_file(m->gguf, i);
        /* The backend never writes to weights; jl_buffer has one pointer type for both uses. */
        m->parts[i].host = (uint8_t *)(uintptr_t)f->data;
        m->parts[i].n_bytes = f->n_bytes;
    }
    return JL_OK;
}

/* Newer files of Mistral Small 3.x call the same graph mistral3. */
static const jl_arch archs[] = {
    {"gemma4", jl_gemma4_load, jl_gemma4_forward},
    {"llama", jl_llama_load, jl_llama_forward},
    {"mistral3", jl_llama_load, jl_llama_forward},
};

static const jl_arch *arch_find(const char *name)
{
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        if (strcmp(archs[i].name, name) == 0)
            return &archs[i];
    return NULL;
}

static jl_status load(jl_model *m, const char *path, const jl_model_params *params, jl_error *err)
{
    JL_TRY(jl_gguf_open(path, &m->gguf, err));
    m->architecture = dup_str(m->gguf, "general.architecture");
    if (!m->architecture)
        return jl_fail(err, JL_FORMAT, "%s has no general.architecture; it is not a model file",
                       path);
    m->arch = arch_find(m->architecture);
    if (!m->arch)
        return jl_fail(err, JL_UNSUPPORTED,
                       "architecture '%s' is not supported; joule runs gemma4, llama and mistral3",
                       m->architecture);
    m->name = dup_str(m->gguf, "general.name");
    m->chat_template = dup_str(m->gguf, "tokenizer.chat_template");
    JL_TRY(jl_vocab_create(m->gguf, &m->vocab, err));
    m->hp.n_vocab = jl_vocab_size(m->vocab);
    if (params->vocab_only)
        return JL_OK;
    JL_TRY(load_parts(m, err));
    JL_TRY(m->arch->load(m, err));
    if (params->repack)
        JL_TRY(jl_model_repack(m, path, params->repack, err));
    return jl_model_settle(m, params, err);
}

jl_status jl_model_open(const char *path, const jl_model_params *params, jl_model **out,
                        jl_error *err)
{
    const jl_model_params none = {.struct_size = sizeof none};
    jl_model *m = jl_calloc(1, sizeof *m);

    if (!m)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    const jl_status s = load(m, path, params ? params : &none, err);
    if (s != JL_OK) {
        jl_model_close(m);
        return s;
    }
    *out = m;
    return JL_OK;
}

void jl_model_close(jl_model *m)
{
    if (!m)
        return;
    jl_vocab_destroy(m->vocab);
    jl_gguf_close(m->repacked);
    jl_gguf_close(m->gguf);
    jl_free(m->parts);
    jl_free(m->layers);
    jl_free(m->architecture);
    jl_free(m->name);
    jl_free(m->chat_template);
    jl_free(m);
}
