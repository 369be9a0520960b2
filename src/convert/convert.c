/* A checkpoint to one GGUF file: plan the tensors, write the keys, then stream row by row. */
#include "convert/convert.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "convert/awq.h"
#include "quant/quant.h"

enum { SLICE_BYTES = 8 << 20, MAX_JSON = 256 << 20 };

/* One tensor of the output. */
typedef struct {
    char name[96];
    const jl_st_tensor *from; /* NULL: an AWQ matrix */
    jl_awq awq;
    jl_type type;
    uint64_t ne[4]; /* innermost first */
    uint32_t n_dims;
    uint32_t pair_heads; /* rows of so many heads are interleaved for RoPE; 0: as they are */
} item;

typedef struct {
    const jl_convert_params *params;
    jl_convert_result *result;
    jl_checkpoint c;
    jl_type awq_type;
    jl_st st;
    json_t *config;
    item *items;
    size_t n_items;
    jl_gguf_writer *w;
    uint8_t *slice;
    uint64_t done;
} job;

jl_status jl_read_json(const char *folder, const char *file, json_t **out, jl_error *err)
{
    char path[4096];
    jl_error missing;
    json_error_t e;
    jl_file f;

    *out = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    if (jl_file_map(path, &f, &missing) != JL_OK)
        return JL_OK;
    if (f.n_bytes <= MAX_JSON)
        *out = json_loadb((const char *)f.data, (size_t)f.n_bytes, 0, &e);
    jl_file_unmap(&f);
    if (!*out)
        return jl_fail(err, JL_FORMAT, "%.150s is no JSON of at most %d MiB", path, MAX_JSON >> 20);
    return JL_OK;
}

/* ---- plan ------------------------------------------------------------------------------- */

static bool ends(const char *s, const char *end)
{
    const size_t n = strlen(s);
    const size_t m = strlen(end);

    return n >= m && strcmp(s + n - m, end) == 0;
}

static void set_shape(job *j, item *it, uint64_t n_in, uint64_t n_rows)
{
    it->ne[0] = n_in;
    it->ne[1] = n_rows;
    it->ne[2] = it->ne[3] = 1;
    it->n_dims = 2;
    if (!j->c.gemma && ends(it->name, "attn_q.weight"))
        it->pair_heads = j->c.n_head;
    if (!j->c.gemma && ends(it->name, "attn_k.weight"))
        it->pair_heads = j->c.n_head_kv;
}

static jl_status check_pairs(const item *it, jl_error *err)
{
    if (it->pair_heads && (it->n_dims != 2 || it->ne[1] % (2ull * it->pair_heads)))
        return jl_fail(err, JL_FORMAT, "%s: %" PRIu64 " rows cannot be %u heads", it->name,
                       it->ne[1], it->pair_heads);
    return JL_OK;
}

static jl_status plan_plain(job *j, const jl_st_tensor *t, item *it, jl_error *err)
{
    static const jl_type types[] = {JL_TYPE_F32, JL_TYPE_F16, JL_TYPE_BF16};

    if (t->dtype > JL_ST_BF16)
        return jl_fail(err, JL_UNSUPPORTED,
                       "tensor %.120s is %.16s; joule converts F32, F16, BF16 and AWQ", t->name,
                       t->dtype_name);
    if (t->n_bytes == 0)
        return jl_fail(err, JL_FORMAT, "tensor %.120s is empty", t->name);
    it->from = t;
    it->type = types[t->dtype];
    set_shape(j, it, 1, 1);
    it->n_dims = t->n_dims ? t->n_dims : 1;
    for (uint32_t d = 0; d < t->n_dims; d++)
        it->ne[d] = t->shape[t->n_dims - 1 - d];
    if (it->n_dims == 1 || ends(it->name, "ffn_gate_inp.weight"))
        it->type = JL_TYPE_F32;
    return check_pairs(it, err);
}

static jl_status plan_awq(job *j, const char *base, item *it, jl_error *err)
{
    JL_TRY(jl_awq_open(&j->st, base, &it->awq, err));
    it->type = j->awq_type;
    set_shape(j, it, it->awq.n_in, it->awq.n_out);
    return check_pairs(it, err);
}

static jl_status plan_one(job *j, const jl_st_tensor *t, jl_error *err)
{
    item *it = &j->items[j->n_items];
    char name[256];
    const bool awq = ends(t->name, ".qweight");

    if (ends(t->name, ".qzeros") || ends(t->name, ".scales"))
        return JL_OK; /* with their qweight */
    if (strlen(t->name) >= sizeof name - 8)
        return jl_fail(err, JL_FORMAT, "a tensor with a name of %zu bytes", strlen(t->name));
    snprintf(name, sizeof name, "%s", t->name);
    if (awq)
        snprintf(name + strlen(name) - strlen("qweight"), 8, "weight");
    *it = (item){0};
    const int found = jl_tensor_name(&j->c, name, it->name, sizeof it->name);
    if (found == 0)
        j->result->n_left_out++;
    if (found < 0)
        return jl_fail(err, JL_UNSUPPORTED, "tensor %.120s has no place in a %s file", t->name,
                       j->c.arch);
    if (found <= 0)
        return JL_OK;
    if (awq)
        name[strlen(name) - strlen(".weight")] = 0;
    JL_TRY(awq ? plan_awq(j, name, it, err) : plan_plain(j, t, it, err));
    j->n_items++;
    return JL_OK;
}

static bool have(const job *j, const char *name)
{
    for (size_t i = 0; i < j->n_items; i++)
        if (strcmp(j->items[i].name, name) == 0)
            return true;
    return false;
}

/* A shard that is missing from a folder without an index shows here. */
static jl_status check_complete(const job *j, jl_error *err)
{
    static const char *const top[] = {"token_embd.weight", "output_norm.weight"};
    static const char *const layer[] = {"attn_norm.weight", "attn_q.weight",   "attn_output.weight",
                                        "ffn_norm.weight",  "ffn_gate.weight", "ffn_up.weight",
                                        "ffn_down.weight"};
    char name[64];

    for (size_t i = 0; i < sizeof top / sizeof *top; i++)
        if (!have(j, top[i]))
            return jl_fail(err, JL_FORMAT, "the checkpoint has no %s; is a file missing?", top[i]);
    for (uint32_t il = 0; il < j->c.n_layer; il++)
        for (size_t i = 0; i < sizeof layer / sizeof *layer; i++) {
            snprintf(name, sizeof name, "blk.%u.%s", il, layer[i]);
            if (!have(j, name))
                return jl_fail(err, JL_FORMAT, "the checkpoint has no %s; is a file missing?",
                               name);
        }
    if (!j->c.tied && !have(j, "output.weight"))
        return jl_fail(err, JL_FORMAT,
                       "the checkpoint has no lm_head.weight, but its embeddings "
                       "are not tied");
    return JL_OK;
}

static jl_status plan(job *j, jl_error *err)
{
    j->items = jl_calloc(j->st.n_tensors + 1, sizeof *j->items);
    if (!j->items)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < j->st.n_tensors; i++)
        JL_TRY(plan_one(j, &j->st.tensors[i], err));
    return check_complete(j, err);
}

/* ---- data ------------------------------------------------------------------------------- */

static uint64_t n_rows(const item *it)
{
    return it->ne[1] * it->ne[2] * it->ne[3];
}

/* Row of the checkpoint that is row r of the file: of each head, the two halves interleaved. */
static uint64_t source_row(const item *it, uint64_t r)
{
    if (!it->pair_heads)
        return r;
    const uint64_t d = it->ne[1] / it->pair_heads;
    const uint64_t k = r % d;

    return r - k + k / 2 + (k % 2 ? d / 2 : 0);
}

static float value_at(const jl_st_tensor *t, uint64_t i)
{
    uint16_t h;
    float f;

    if (t->dtype == JL_ST_F32) {
        memcpy(&f, t->data + 4 * i, sizeof f);
        return f;
    }
    memcpy(&h, t->data + 2 * i, sizeof h);
    return t->dtype == JL_ST_F16 ? jl_f16_to_f32(h) : jl_bf16_to_f32(h);
}

static jl_status check_finite(const jl_st_tensor *t, uint64_t first, uint64_t n, jl_error *err)
{
    for (uint64_t i = first; i < first + n; i++)
        if (!isfinite(value_at(t, i)))
            return jl_fail(err, JL_FORMAT,
                           "tensor %.120s: value %" PRIu64 " is not a finite number; the "
                           "checkpoint is damaged",
                           t->name, i);
    return JL_OK;
}

static jl_status make_row(const item *it, uint64_t r, uint8_t *dst, jl_error *err)
{
    const uint64_t n = it->ne[0];
    const uint64_t row = source_row(it, r);

    if (!it->from) {
        for (uint64_t i = 0; i < n; i += it->awq.group)
            if (!isfinite(jl_f16_to_f32(jl_awq_scale(&it->awq, i, row))))
                return jl_fail(err, JL_FORMAT,
                               "%s: a scale is not a finite number; the "
                               "checkpoint is damaged",
                               it->name);
        jl_awq_row(&it->awq, row, it->type, dst);
        return JL_OK;
    }
    JL_TRY(check_finite(it->from, row * n, n, err));
    if (it->type == JL_TYPE_F32 && it->from->dtype != JL_ST_F32)
        for (uint64_t i = 0; i < n; i++) {
            const float f = value_at(it->from, row * n + i);
            memcpy(dst + 4 * i, &f, sizeof f);
        }
    else
        memcpy(dst, it->from->data + row * jl_row_bytes(it->type, n), jl_row_bytes(it->type, n));
    return JL_OK;
}

static jl_status write_item(job *j, const item *it, jl_error *err)
{
    const uint64_t row_bytes = jl_row_bytes(it->type, it->ne[0]);
    const uint64_t at_once = SLICE_BYTES / row_bytes ? SLICE_BYTES / row_bytes : 1;

    for (uint64_t first = 0; first < n_rows(it); first += at_once) {
        const uint64_t n = n_rows(it) - first < at_once ? n_rows(it) - first : at_once;
        for (uint64_t r = 0; r < n; r++)
            JL_TRY(make_row(it, first + r, j->slice + r * row_bytes, err));
        JL_TRY(jl_gguf_write_data(j->w, j->slice, n * row_bytes, err));
        j->done += n * row_bytes;
        if (j->params->progress &&
            !j->params->progress(j->params->progress_ctx, j->done, j->result->bytes))
            return jl_fail(err, JL_CANCELLED, "stopped; no file was written");
    }
    return JL_OK;
}

/* ---- the file --------------------------------------------------------------------------- */

/* llama.cpp's numbers for general.file_type, by the type of most matrices. */
static uint32_t file_type(const job *j)
{
    uint64_t bytes[JL_TYPE_MAX] = {0};
    jl_type most = JL_TYPE_F32;

    for (size_t i = 0; i < j->n_items; i++)
        bytes[j->items[i].type] +=
            jl_row_bytes(j->items[i].type, j->items[i].ne[0]) * n_rows(&j->items[i]);
    for (uint32_t t = 0; t < JL_TYPE_MAX; t++)
        if (bytes[t] > bytes[most])
            most = (jl_type)t;
    return most == JL_TYPE_F16 ? 1 : most == JL_TYPE_Q4_1 ? 3 : most == JL_TYPE_BF16 ? 32 : 0;
}

static const char *base_name(const char *folder)
{
    const char *name = folder;

    for (const char *p = folder; *p; p++)
        if (*p == '/' && p[1])
            name = p + 1;
    return name;
}

static jl_status write_keys(job *j, const char *folder, jl_error *err)
{
    jl_keys k = {.w = j->w, .c = &j->c, .err = err};
    const char *name = j->params->name ? j->params->name : base_name(folder);

    jl_keys_str(&k, "general.architecture", j->c.arch);
    jl_keys_str(&k, "general.name", *name ? name : "model");
    jl_keys_u32(&k, "general.file_type", file_type(j));
    jl_keys_u32(&k, "general.quantization_version", 2);
    jl_put_hparams(&k);
    jl_put_tokenizer(&k, folder);
    return k.status;
}

static jl_status declare(job *j, const float *freqs, uint64_t n_freqs, jl_error *err)
{
    uint64_t slice = SLICE_BYTES;

    if (freqs)
        JL_TRY(jl_gguf_put_tensor(j->w, "rope_freqs.weight", JL_TYPE_F32, &n_freqs, 1, err));
    for (size_t i = 0; i < j->n_items; i++) {
        const item *it = &j->items[i];
        const uint64_t row_bytes = jl_row_bytes(it->type, it->ne[0]);
        JL_TRY(jl_gguf_put_tensor(j->w, it->name, it->type, it->ne, it->n_dims, err));
        slice = row_bytes > slice ? row_bytes : slice;
        j->result->bytes += row_bytes * n_rows(it);
        j->result->n_params += it->ne[0] * n_rows(it);
    }
    j->result->n_tensors = (uint32_t)j->n_items + (freqs != NULL);
    j->slice = jl_malloc((size_t)slice);
    return j->slice ? JL_OK
                    : jl_fail(err, JL_NO_MEMORY, "no memory for a row of %" PRIu64 " bytes", slice);
}

static jl_status write_file(job *j, const char *folder, const char *path, jl_error *err)
{
    float *freqs = NULL;
    uint64_t n_freqs = 0;

    JL_TRY(jl_gguf_writer_create(path, 0, &j->w, err));
    JL_TRY(write_keys(j, folder, err));
    JL_TRY(jl_rope_divisors(&j->c, &freqs, &n_freqs, err));
    jl_status status = declare(j, freqs, n_freqs, err);
    if (status == JL_OK && freqs)
        status = jl_gguf_write_data(j->w, freqs, n_freqs * sizeof *freqs, err);
    jl_free(freqs);
    JL_TRY(status);
    for (size_t i = 0; i < j->n_items; i++)
        JL_TRY(write_item(j, &j->items[i], err));
    jl_gguf_writer *w = j->w;
    j->w = NULL;
    return jl_gguf_writer_finish(w, err);
}

static jl_status run(job *j, const char *folder, const char *path, jl_error *err)
{
    if (strlen(folder) > 3900)
        return jl_fail(err, JL_INVALID, "the folder's name is too long");
    JL_TRY(jl_read_json(folder, "config.json", &j->config, err));
    if (!j->config)
        return jl_fail(err, JL_FORMAT, "%.150s has no config.json; give the folder of a checkpoint",
                       folder);
    JL_TRY(jl_checkpoint_read(j->config, &j->c, err));
    snprintf(j->result->architecture, sizeof j->result->architecture, "%s", j->c.arch);
    JL_TRY(jl_st_open(folder, &j->st, err));
    JL_TRY(plan(j, err));
    return write_file(j, folder, path, err);
}

jl_status jl_convert(const char *folder, const char *path, const jl_convert_params *params,
                     jl_convert_result *result, jl_error *err)
{
    jl_convert_result unused;
    jl_convert_params p = params ? *params : (jl_convert_params){0};
    job j = {.params = &p, .result = result ? result : &unused};

    *j.result = (jl_convert_result){0};
    const int awq = jl_type_find(p.awq ? p.awq : "AWQ4");
    if (awq != JL_TYPE_AWQ4 && awq != JL_TYPE_Q4_1 && awq != JL_TYPE_F16 && awq != JL_TYPE_F32)
        return jl_fail(err, JL_INVALID,
                       "AWQ matrices can become AWQ4, Q4_1, F16 or F32, not '%.40s'", p.awq);
    j.awq_type = (jl_type)awq;
    const jl_status status = run(&j, folder, path, err);
    if (j.w)
        jl_gguf_writer_abort(j.w);
    jl_st_close(&j.st);
    json_decref(j.config);
    jl_free(j.items);
    jl_free(j.slice);
    return status;
}
