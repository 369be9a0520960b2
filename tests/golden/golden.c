/* Reads golden cases and makes their models. */
#include "golden.h"

#include "quant/quant.h"
#include "quant/quantizer.h"
#include "quant/random.h"
#include "test.h"

/* ---- case files ---------------------------------------------------------------------------- */

static uint64_t get_u64(const golden_case *c, const char *key, uint64_t index)
{
    uint64_t v = 0;
    if (!jl_gguf_get_u64(c->file, key, index, &v))
        fail_msg("%s.gguf has no number %s[%u]", c->name, key, (unsigned)index);
    return v;
}

static float get_f32(const golden_case *c, const char *key, uint64_t index)
{
    float v = 0;
    if (!jl_gguf_get_f32(c->file, key, index, &v))
        fail_msg("%s.gguf has no number %s[%u]", c->name, key, (unsigned)index);
    return v;
}

/* A hyperparameter, under the name of the architecture. */
static uint32_t hparam(const golden_case *c, const char *key)
{
    char full[128];
    jl_str arch;
    if (!jl_gguf_get_str(c->file, "general.architecture", &arch))
        fail_msg("%s.gguf names no architecture", c->name);
    snprintf(full, sizeof full, "%.*s.%s", (int)arch.len, arch.ptr, key);
    return (uint32_t)get_u64(c, full, 0);
}

static void read_masked(golden_case *c)
{
    const jl_gguf_kv *kv = jl_gguf_find(c->file, "golden.masked");
    if (!kv)
        return;
    c->n_masked = kv->count;
    assert_in_range(c->n_masked, 1, GOLDEN_MAX_MASKED);
    for (size_t i = 0; i < c->n_masked; i++)
        c->masked[i] = (int32_t)get_u64(c, "golden.masked", i);
}

static const jl_gguf_tensor *tensor_of(const golden_case *c, const char *name, jl_type type)
{
    const jl_gguf_tensor *t = jl_gguf_find_tensor(c->file, name);
    if (!t || t->type != type)
        fail_msg("%s.gguf has no tensor %s of type %s", c->name, name, jl_type_name(type));
    return t;
}

void golden_open(golden_case *c, const char *folder, const char *name)
{
    char path[512];
    jl_error err;
    memset(c, 0, sizeof *c);
    c->name = name;
    snprintf(path, sizeof path, "%s/%s.gguf", folder, name);
    assert_ok(jl_gguf_open(path, &c->file, &err));

    c->n_layer = hparam(c, "block_count");
    c->n_embd = hparam(c, "embedding_length");
    const jl_gguf_tensor *tokens = tensor_of(c, "golden.tokens", JL_TYPE_I32);
    const jl_gguf_tensor *logits = tensor_of(c, "golden.logits", JL_TYPE_F32);
    const jl_gguf_tensor *hidden = tensor_of(c, "golden.hidden", JL_TYPE_F32);
    c->n_tokens = tokens->ne[0];
    c->n_vocab = (uint32_t)logits->ne[0];
    c->n_positions = hidden->ne[1];
    assert_int_equal(logits->ne[1], c->n_tokens);
    assert_int_equal(hidden->ne[0], c->n_embd);
    assert_int_equal(hidden->ne[2], c->n_layer + 2);
    assert_in_range(c->n_positions, 1, GOLDEN_MAX_POSITIONS);
    c->tokens = (const int32_t *)(const void *)tokens->data;
    c->logits = (const float *)(const void *)logits->data;
    c->hidden = (const float *)(const void *)hidden->data;
    for (size_t i = 0; i < c->n_positions; i++)
        c->positions[i] = get_u64(c, "golden.positions", i);
    read_masked(c);
}

void golden_close(golden_case *c)
{
    jl_gguf_close(c->file);
    c->file = NULL;
}

void golden_layer_name(const golden_case *c, int layer, char *text, size_t cap)
{
    bool sliding = false;
    if (layer < 0) {
        snprintf(text, cap, "scaled embedding");
    } else if ((uint32_t)layer == c->n_layer) {
        snprintf(text, cap, "final norm");
    } else {
        (void)jl_gguf_get_bool(c->file, "gemma4.attention.sliding_window_pattern", (uint64_t)layer,
                               &sliding);
        if (!jl_gguf_find(c->file, "gemma4.attention.sliding_window_pattern")) {
            snprintf(text, cap, "layer %d", layer);
            return;
        }
        snprintf(text, cap, "layer %d (%s)", layer, sliding ? "sliding" : "global");
    }
}

/* ---- models -------------------------------------------------------------------------------- */

/* One weight tensor of the recipe. */
typedef struct {
    jl_str name;
    uint64_t index, n_rows;
    uint64_t ne[4];
    uint32_t n_dims;
    float mean, scale; /* value = mean + u * scale, u in -2^23 .. 2^23 - 1 */
    jl_type type;
} weight;

static bool ends_with(jl_str s, const char *end)
{
    const size_t n = strlen(end);
    return s.len >= n && memcmp(s.ptr + s.len - n, end, n) == 0;
}

static jl_type stored_type(const weight *w, jl_type want)
{
    if (w->n_dims == 1 || ends_with(w->name, "ffn_gate_inp.weight"))
        return JL_TYPE_F32;
    const bool is_float = want == JL_TYPE_F32 || want == JL_TYPE_F16 || want == JL_TYPE_BF16;
    if (ends_with(w->name, "per_layer_model_proj.weight") && !is_float)
        return JL_TYPE_F16;
    if (w->ne[0] % jl_type_get(want)->block_len == 0 &&
        w->ne[1] % jl_type_get(want)->group_rows == 0)
        return want;
    switch (want) {
    case JL_TYPE_Q4_K: return JL_TYPE_Q5_0;
    case JL_TYPE_Q5_K: return JL_TYPE_Q5_1;
    case JL_TYPE_Q6_K: return JL_TYPE_Q8_0;
    default: return JL_TYPE_IQ4_NL;
    }
}

/* Walks the recipe: it->index = 0 at first, false at the end. */
static bool next_weight(const golden_case *c, jl_gguf_iter *it, jl_type want, weight *w)
{
    w->index = it->index;
    if (!jl_gguf_next_str(jl_gguf_find(c->file, "golden.weight.name"), it, &w->name))
        return false;
    for (int d = 0; d < 4; d++)
        w->ne[d] = get_u64(c, "golden.weight.ne", w->index * 4 + (uint64_t)d);
    w->n_dims = (uint32_t)get_u64(c, "golden.weight.n_dims", w->index);
    w->n_rows = w->ne[1] * w->ne[2] * w->ne[3];
    w->mean = get_f32(c, "golden.weight.mean", w->index);
    w->scale = get_f32(c, "golden.weight.scale", w->index);
    w->type = stored_type(w, want);
    return true;
}

/* Row number row of a weight in F32, as weight_values() of scripts/make-goldens. */
static void make_row(const weight *w, uint64_t seed, uint64_t row, float *dst)
{
    const uint64_t stream = jl_random_u64(seed, w->index);
    for (uint64_t i = 0; i < w->ne[0]; i++) {
        const uint64_t z = jl_random_u64(stream, row * w->ne[0] + i);
        const float u = (float)((int32_t)(z >> 40) - (1 << 23));
        dst[i] = w->mean + u * w->scale;
    }
}

/* Converts rows that are stored together to the type of the weight. */
static void store_rows(const weight *w, uint64_t seed, uint64_t row, const float *values,
                       size_t n_rows, void *stored)
{
    if (w->type == JL_TYPE_F32)
        memcpy(stored, values, w->ne[0] * sizeof *values);
    else if (n_rows > 1)
        jl_quantize_jq4(values, NULL, w->ne[0], stored);
    else if (!jl_quant_row(w->type, values, stored, w->ne[0])) {
        const float std = w->scale * 8388608.0f / 1.7320508f;
        const uint64_t stream = jl_random_u64(seed + 1, w->index);
        jl_fill_random_row(w->type, jl_random_u64(stream, row), std, stored, w->ne[0]);
    }
}

static void write_weight(const golden_case *c, jl_gguf_writer *out, const weight *w)
{
    jl_error err;
    const uint64_t seed = get_u64(c, "golden.seed", 0);
    const size_t n = w->ne[0];
    const size_t group = jl_type_get(w->type)->group_rows;
    float *values = malloc(group * n * sizeof *values);
    uint8_t *stored = malloc(group * n * sizeof *values);
    assert_non_null(values);
    assert_non_null(stored);
    for (uint64_t row = 0; row < w->n_rows; row += group) {
        for (size_t i = 0; i < group; i++)
            make_row(w, seed, row + i, values + i * n);
        store_rows(w, seed, row, values, group, stored);
        assert_ok(jl_gguf_write_data(out, stored, group * jl_row_bytes(w->type, n), &err));
    }
    free(stored);
    free(values);
}

static void write_widened(jl_gguf_writer *out, const jl_gguf_tensor *t)
{
    jl_error err;
    const size_t n = (size_t)t->ne[0];
    float *values = malloc(n * sizeof *values);
    assert_non_null(values);
    for (uint64_t row = 0; row < t->n_elements / n; row++) {
        jl_dequant_matrix_row(t->type, t->data, row, values, n);
        assert_ok(jl_gguf_write_data(out, values, n * sizeof *values, &err));
    }
    free(values);
}

/* Metadata and fixed tensors: everything of the case file that is not about the test itself. */
static void write_metadata(const golden_case *c, jl_gguf_writer *out)
{
    jl_error err;
    for (size_t i = 0; i < jl_gguf_n_kv(c->file); i++) {
        const jl_gguf_kv *kv = jl_gguf_kv_at(c->file, i);
        if (strncmp(kv->key, "golden.", 7) != 0)
            assert_ok(jl_gguf_put_kv(out, kv, &err));
    }
}

/* Opens a model file and writes all up to the weights; widen: they will be F32. */
static jl_gguf_writer *begin_model(const golden_case *c, const char *path, jl_type type, bool widen)
{
    jl_gguf_writer *out;
    jl_error err;
    weight w;
    const jl_gguf_tensor *freqs = jl_gguf_find_tensor(c->file, "model.rope_freqs.weight");

    assert_ok(jl_gguf_writer_create(path, 32, &out, &err));
    write_metadata(c, out);
    if (freqs)
        assert_ok(jl_gguf_put_tensor(out, "rope_freqs.weight", JL_TYPE_F32, freqs->ne, 1, &err));
    for (jl_gguf_iter it = {0}; next_weight(c, &it, type, &w);) {
        char name[80];
        snprintf(name, sizeof name, "%.*s", (int)w.name.len, w.name.ptr);
        const jl_type stored = widen ? JL_TYPE_F32 : w.type;
        assert_ok(jl_gguf_put_tensor(out, name, stored, w.ne, w.n_dims, &err));
    }
    if (freqs)
        assert_ok(jl_gguf_write_data(out, freqs->data, freqs->n_bytes, &err));
    return out;
}

void golden_write_model(const golden_case *c, const char *path, jl_type type)
{
    jl_gguf_writer *out = begin_model(c, path, type, false);
    jl_error err;
    weight w;

    for (jl_gguf_iter it = {0}; next_weight(c, &it, type, &w);)
        write_weight(c, out, &w);
    assert_ok(jl_gguf_writer_finish(out, &err));
}

void golden_open_model(golden_case *c, const char *folder, const char *name,
                       const char *work_folder, const char *file, jl_model **out)
{
    char path[1024];
    jl_error err;

    golden_open(c, folder, name);
    snprintf(path, sizeof path, "%s/%s", work_folder, file);
    golden_write_model(c, path, JL_TYPE_Q8_0);
    assert_ok(jl_model_open(path, NULL, out, &err));
}

void golden_widen_model(const golden_case *c, const char *from, const char *path)
{
    jl_gguf_writer *out = begin_model(c, path, JL_TYPE_F32, true);
    jl_gguf *stored;
    jl_error err;
    weight w;

    assert_ok(jl_gguf_open(from, &stored, &err));
    for (jl_gguf_iter it = {0}; next_weight(c, &it, JL_TYPE_F32, &w);) {
        char name[80];
        snprintf(name, sizeof name, "%.*s", (int)w.name.len, w.name.ptr);
        const jl_gguf_tensor *t = jl_gguf_find_tensor(stored, name);
        assert_non_null(t);
        write_widened(out, t);
    }
    jl_gguf_close(stored);
    assert_ok(jl_gguf_writer_finish(out, &err));
}
