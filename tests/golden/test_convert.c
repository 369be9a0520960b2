/* Checkpoints of tiny Gemma 4, Llama and Mistral models: converted they are the very tensors of the
 * golden models, whose logits test_golden compares with transformers. AWQ checkpoints give the
 * dequantised weights, damaged ones a message and no file. Usage: test_convert DATA SCRATCH */
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint_case.h"
#include "joule/convert.h"
#include "joule/sys.h"
#include "quant/quant.h"
#include "test.h"

static const char *data_folder, *scratch_folder;

static void open_case(checkpoint_case *s, const char *name, checkpoint_awq awq)
{
    checkpoint_case_open(s, data_folder, scratch_folder, name, awq);
}

static void check_tensors(const jl_gguf *want, const jl_gguf *got)
{
    assert_int_equal(jl_gguf_n_tensors(want), jl_gguf_n_tensors(got));
    for (size_t i = 0; i < jl_gguf_n_tensors(want); i++) {
        const jl_gguf_tensor *a = jl_gguf_tensor_at(want, i);
        const jl_gguf_tensor *b = jl_gguf_find_tensor(got, a->name);
        if (!b || b->type != a->type || memcmp(a->ne, b->ne, sizeof a->ne) != 0)
            fail_msg("tensor %s is missing or of another shape", a->name);
        if (memcmp(a->data, b->data, a->n_bytes) != 0)
            fail_msg("tensor %s has other values", a->name);
    }
}

/* Every key of the golden model, and its value, is in the converted file. */
static void check_keys(const jl_gguf *want, const jl_gguf *got)
{
    for (size_t i = 0; i < jl_gguf_n_kv(want); i++) {
        const jl_gguf_kv *a = jl_gguf_kv_at(want, i);
        const jl_gguf_kv *b = jl_gguf_find(got, a->key);
        uint64_t x = 0, y = 0;
        float p = 0, q = 0;
        if (strncmp(a->key, "general.", 8) == 0)
            continue;
        if (!b || a->count != b->count)
            fail_msg("key %s is missing or of another length", a->key);
        for (uint64_t k = 0; k < (a->type == JL_GGUF_ARRAY ? a->count : 1); k++) {
            if (jl_gguf_get_u64(want, a->key, k, &x) &&
                (!jl_gguf_get_u64(got, a->key, k, &y) || x != y))
                fail_msg("key %s item %u differs", a->key, (unsigned)k);
            if (jl_gguf_get_f32(want, a->key, k, &p) &&
                (!jl_gguf_get_f32(got, a->key, k, &q) || p != q))
                fail_msg("key %s differs", a->key);
        }
    }
}

static void check_texts(const jl_gguf *want, const jl_gguf *got, const char *key)
{
    jl_gguf_iter a = {0}, b = {0};
    jl_str s, t;
    while (jl_gguf_next_str(jl_gguf_find(want, key), &a, &s)) {
        assert_true(jl_gguf_next_str(jl_gguf_find(got, key), &b, &t));
        assert_int_equal(s.len, t.len);
        assert_memory_equal(s.ptr, t.ptr, s.len);
    }
}

/* Tokens of images and sound are never generated: joule's logit is -inf. */
static bool is_masked(const checkpoint_case *s, size_t token)
{
    for (size_t i = 0; i < s->c.n_masked; i++)
        if (s->c.masked[i] == (int32_t)token)
            return true;
    return false;
}

static void check_logits(const checkpoint_case *s)
{
    jl_model *model;
    jl_error err;
    assert_ok(jl_model_open(s->out, NULL, &model, &err));
    const golden_plan plan = {.n_threads = 2, .kv = JL_KV_F32};
    const size_t n = 64;
    float *logits = golden_run(model, s->c.tokens, n, &plan);
    for (size_t i = 0; i < n * s->c.n_vocab; i++)
        if (!is_masked(s, i % s->c.n_vocab) &&
            !(fabs((double)logits[i] - (double)s->c.logits[i]) <= 1e-3))
            fail_msg("logit %zu: %g, transformers has %g", i, (double)logits[i],
                     (double)s->c.logits[i]);
    free(logits);
    jl_model_close(model);
}

static void check_plain(const char *name)
{
    checkpoint_case s;
    jl_gguf *got;
    jl_error err = {0};
    jl_convert_result r;
    open_case(&s, name, AWQ_NONE);
    if (jl_convert(s.folder, s.out, NULL, &r, &err) != JL_OK)
        fail_msg("%s: %s", name, err.text);
    assert_ok(jl_gguf_open(s.out, &got, &err));
    check_tensors(s.model, got);
    check_keys(s.model, got);
    check_texts(s.model, got, "tokenizer.ggml.tokens");
    check_texts(s.model, got, "tokenizer.ggml.merges");
    assert_non_null(jl_gguf_find(got, "tokenizer.chat_template"));
    assert_int_equal(r.n_tensors, jl_gguf_n_tensors(got));
    jl_gguf_close(got);
    check_logits(&s);
    checkpoint_case_close(&s);
}

static void test_llama(void **state)
{
    (void)state;
    check_plain("llama3");
}

static void test_mistral(void **state)
{
    (void)state;
    check_plain("mistral");
}

static void test_gemma(void **state)
{
    (void)state;
    check_plain("e2b");
    check_plain("26b-a4b");
}

/* ---- AWQ -------------------------------------------------------------------------------- */

static void check_awq_row(const checkpoint_case *s, const jl_gguf_tensor *t, size_t index,
                          uint64_t r)
{
    const bool q = strstr(t->name, "attn_q."), k = strstr(t->name, "attn_k.");
    const uint64_t o =
        q || k ? checkpoint_row(r, t->ne[1], q ? s->plan.n_head : s->plan.n_head_kv) : r;
    static float row[4096];
    assert_in_range(t->ne[0], 1, 4096);
    jl_dequant_row(t->type, t->data + r * jl_row_bytes(t->type, t->ne[0]), row, t->ne[0]);
    for (uint64_t i = 0; i < t->ne[0]; i++) {
        const float want = checkpoint_awq_weight(index, i, o);
        /* Q4_1 rounds zero * scale to 11 bits, and the sum once more */
        const float slack =
            t->type != JL_TYPE_Q4_1 ? 0 : checkpoint_awq_offset(index, i, o) * 0x1.01p-11f + 1e-7f;
        if (!(fabsf(row[i] - want) <= slack))
            fail_msg("%s row %u input %u: %a, expected %a", t->name, (unsigned)r, (unsigned)i,
                     (double)row[i], (double)want);
    }
}

static void check_awq(const char *type)
{
    checkpoint_case s;
    jl_gguf *got;
    jl_error err = {0};
    const jl_convert_params params = {.struct_size = sizeof params, .awq = type};
    open_case(&s, "mistral", AWQ_RANDOM);
    if (jl_convert(s.folder, s.out, &params, NULL, &err) != JL_OK)
        fail_msg("%s", err.text);
    assert_ok(jl_gguf_open(s.out, &got, &err));
    for (size_t i = 0; i < jl_gguf_n_tensors(s.model); i++) {
        const char *name = jl_gguf_tensor_at(s.model, i)->name;
        const jl_gguf_tensor *t = jl_gguf_find_tensor(got, name);
        assert_non_null(t);
        if (strncmp(name, "blk.", 4) != 0 || t->ne[1] == 1)
            continue;
        assert_int_equal(t->type, jl_type_find(type));
        for (uint64_t r = 0; r < t->ne[1]; r++)
            check_awq_row(&s, t, i, r);
    }
    jl_gguf_close(got);
    jl_model *model;
    assert_ok(jl_model_open(s.out, NULL, &model, &err));
    jl_model_close(model);
    checkpoint_case_close(&s);
}

static void test_awq(void **state)
{
    (void)state;
    check_awq("F32");
    check_awq("AWQ4");
    check_awq("Q4_1");
}

/* Logits of scripts/make-awq-goldens for the first *n tokens, to be freed. */
static float *read_reference(const checkpoint_case *s, const char *name, size_t *n)
{
    char path[600];
    char *bytes;
    size_t n_bytes;
    jl_error err;
    snprintf(path, sizeof path, "%s/awq-%s.logits", data_folder, name);
    if (jl_file_read(path, 1 << 24, &bytes, &n_bytes, &err) != JL_OK)
        fail_msg("%s", err.text);
    *n = n_bytes / sizeof(float) / s->c.n_vocab;
    assert_int_equal(*n * s->c.n_vocab * sizeof(float), n_bytes);
    assert_in_range(*n, 32, s->c.n_tokens);
    return (float *)(void *)bytes;
}

static void convert_as(const checkpoint_case *s, const char *type)
{
    const jl_convert_params params = {.struct_size = sizeof params, .awq = type};
    jl_error err = {0};
    if (jl_convert(s->folder, s->out, &params, NULL, &err) != JL_OK)
        fail_msg("%s", err.text);
}

static float *run_out(const checkpoint_case *s, size_t n, const char *cpu_mask)
{
    const golden_plan plan = {.n_threads = 2, .kv = JL_KV_F32, .cpu_mask = cpu_mask};
    jl_model *model;
    jl_error err;
    assert_ok(jl_model_open(s->out, NULL, &model, &err));
    float *logits = golden_run(model, s->c.tokens, n, &plan);
    jl_model_close(model);
    return logits;
}

/* Every matrix of two files has the same values. */
static void check_same_values(const char *path_a, const char *path_b)
{
    static float a[4096], b[4096];
    jl_gguf *files[2];
    jl_error err;
    size_t n_awq = 0;
    assert_ok(jl_gguf_open(path_a, &files[0], &err));
    assert_ok(jl_gguf_open(path_b, &files[1], &err));
    for (size_t i = 0; i < jl_gguf_n_tensors(files[0]); i++) {
        const jl_gguf_tensor *t = jl_gguf_tensor_at(files[0], i);
        const jl_gguf_tensor *u = jl_gguf_find_tensor(files[1], t->name);
        const uint64_t n = t->ne[0];
        n_awq += u->type == JL_TYPE_AWQ4;
        assert_in_range(n, 1, 4096);
        for (uint64_t r = 0; r < t->ne[1]; r++) {
            jl_dequant_row(t->type, t->data + r * jl_row_bytes(t->type, n), a, n);
            jl_dequant_row(u->type, u->data + r * jl_row_bytes(u->type, n), b, n);
            assert_memory_equal(a, b, n * sizeof *a);
        }
    }
    assert_int_equal(n_awq, 4 * 7);
    jl_gguf_close(files[0]);
    jl_gguf_close(files[1]);
}

/* The models rounded to an AWQ grid: as F32 the logits of the reference; as AWQ4 the same weights
 * to the bit, and what 8-bit activations make of them, the same with every kernel. */
static void check_parity(const char *name)
{
    checkpoint_case s;
    size_t n;
    char wide_path[512];
    open_case(&s, name, AWQ_ROUNDED);
    float *want = read_reference(&s, name, &n);
    convert_as(&s, "F32");
    float *wide = run_out(&s, n, NULL);
    double worst = 0;
    for (size_t i = 0; i < n * s.c.n_vocab; i++)
        worst = fmax(worst, fabs((double)wide[i] - (double)want[i]));
    for (size_t i = 0; i < n; i++)
        assert_int_equal(golden_argmax(wide + i * s.c.n_vocab, s.c.n_vocab),
                         golden_argmax(want + i * s.c.n_vocab, s.c.n_vocab));
    memcpy(wide_path, s.model_path, sizeof wide_path);
    assert_int_equal(rename(s.out, wide_path), 0);
    convert_as(&s, NULL);
    check_same_values(wide_path, s.out);
    float *packed = run_out(&s, n, NULL);
    float *scalar = run_out(&s, n, "scalar");
    golden_assert_same(packed, scalar, n, s.c.n_vocab, "AWQ4, scalar kernels");
    const golden_kl kl = golden_divergence(want, packed, n, s.c.n_vocab);
    print_message("# %s: F32 within %.1e of the reference, same best tokens; AWQ4: KL median %.2g, "
                  "mean %.2g nats, %zu of %zu best tokens differ\n",
                  name, worst, kl.median, kl.mean, kl.n_other_top, n);
    assert_true(worst <= 1e-3);
    assert_true(kl.median <= 0.033); /* what 8-bit activations cost: see test_types */
    free(want);
    free(wide);
    free(packed);
    free(scalar);
    checkpoint_case_close(&s);
}

static void test_awq_parity(void **state)
{
    (void)state;
    check_parity("llama3");
    check_parity("mistral");
}

/* ---- bad input -------------------------------------------------------------------------- */

static void refuse(const checkpoint_case *s, jl_status status, const char *part)
{
    jl_error err = {0};
    const jl_status got = jl_convert(s->folder, s->out, NULL, NULL, &err);
    if (got != status || !strstr(err.text, part))
        fail_msg("expected '%s', got status %d: %s", part, (int)got, err.text);
    assert_int_equal(access(s->out, F_OK), -1);
}

static void put_bytes(const checkpoint_case *s, const char *file, long at, const void *bytes,
                      size_t n)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", s->folder, file);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    fwrite(bytes, 1, n, f);
    fclose(f);
}

static void test_damaged(void **state)
{
    static const char weights[] = "model.safetensors";
    static const uint8_t nan[4] = {0, 0, 0xc0, 0x7f};
    static const uint8_t huge[8] = {255, 255, 255, 255, 255, 255, 255, 127};
    char path[600];
    checkpoint_case s;
    (void)state;
    open_case(&s, "llama3", AWQ_NONE);
    snprintf(path, sizeof path, "%s/%s", s.folder, weights);
    put_bytes(&s, weights, -4, nan, 4);
    refuse(&s, JL_FORMAT, "not a finite number");
    assert_int_equal(truncate(path, 100000), 0);
    refuse(&s, JL_FORMAT, "is the download complete?");
    assert_int_equal(truncate(path, 5), 0);
    refuse(&s, JL_FORMAT, "5 bytes");
    put_bytes(&s, weights, 0, huge, 8);
    refuse(&s, JL_FORMAT, "cut short");
    put_bytes(&s, weights, 0, "\2\0\0\0\0\0\0\0{x", 10);
    refuse(&s, JL_FORMAT, "no JSON object");
    put_bytes(&s, weights, 0, "\2\0\0\0\0\0\0\0{}", 10);
    refuse(&s, JL_FORMAT, "has no token_embd.weight");
    static const char wrong[] =
        "\x4d\0\0\0\0\0\0\0{\"model.embed_tokens.weight\":{\"dtype\":\"I8\","
        "\"shape\":[1],\"data_offsets\":[0,1]}}xx";
    put_bytes(&s, weights, 0, wrong, sizeof wrong);
    refuse(&s, JL_UNSUPPORTED, "is I8");
    (void)unlink(path);
    refuse(&s, JL_IO, weights);
    checkpoint_write_text(s.folder, "model.safetensors.index.json",
                          "{\"weight_map\":{\"a\":\"../secret\"}}");
    refuse(&s, JL_FORMAT, "outside the folder");
    checkpoint_write_text(s.folder, "config.json", "{\"model_type\":\"gpt2\"}");
    refuse(&s, JL_UNSUPPORTED, "gpt2");
    checkpoint_write_text(s.folder, "config.json", "{\"model_type\":\"llama\"}");
    refuse(&s, JL_FORMAT, "num_hidden_layers");
    checkpoint_write_text(s.folder, "config.json", "{");
    refuse(&s, JL_FORMAT, "is no JSON");
    checkpoint_case_close(&s);
}

static void test_tokenizer(void **state)
{
    checkpoint_case s;
    (void)state;
    open_case(&s, "llama3", AWQ_NONE);
    checkpoint_write_text(s.folder, "tokenizer.json", "[]");
    refuse(&s, JL_UNSUPPORTED, "does not know");
    checkpoint_write_text(s.folder, "tokenizer.json",
                          "{\"pre_tokenizer\":\"'s|'t|'re \\\\p{N}{1,3}\",\"model\":{\"vocab\":"
                          "{\"a\":-1},\"merges\":[\"a a\"]}}");
    refuse(&s, JL_FORMAT, "no usable id");
    checkpoint_write_text(s.folder, "tokenizer.json",
                          "{\"pre_tokenizer\":\"'s|'t|'re \\\\p{N}{1,3}\",\"model\":{\"vocab\":"
                          "{\"a\":1},\"merges\":[\"aa\"]}}");
    refuse(&s, JL_FORMAT, "merges[0]");
    checkpoint_case_close(&s);
}

static void test_rope_factor(void **state)
{
    checkpoint_case s;
    (void)state;
    open_case(&s, "llama3", AWQ_NONE);
    char *factor = strstr(s.config, "\"factor\":8.0");
    assert_non_null(factor);
    factor[9] = '0';
    checkpoint_write_text(s.folder, "config.json", s.config);
    refuse(&s, JL_FORMAT, "RoPE scaling");
    checkpoint_case_close(&s);
}

static bool stop(void *ctx, uint64_t done, uint64_t total)
{
    (void)done;
    (void)total;
    return ++*(int *)ctx < 3;
}

static void test_interrupted(void **state)
{
    int calls = 0;
    const jl_convert_params params = {
        .struct_size = sizeof params, .progress = stop, .progress_ctx = &calls};
    jl_error err = {0};
    checkpoint_case s;
    (void)state;
    open_case(&s, "llama3", AWQ_NONE);
    assert_int_equal(jl_convert(s.folder, s.out, &params, NULL, &err), JL_CANCELLED);
    assert_int_equal(access(s.out, F_OK), -1);
    checkpoint_case_close(&s);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama),     cmocka_unit_test(test_mistral),
        cmocka_unit_test(test_gemma),     cmocka_unit_test(test_rope_factor),
        cmocka_unit_test(test_awq),       cmocka_unit_test(test_awq_parity),
        cmocka_unit_test(test_damaged),   cmocka_unit_test(test_tokenizer),
        cmocka_unit_test(test_interrupted),
    };
    if (argc != 3) {
        fprintf(stderr, "usage: test_convert DATA SCRATCH\n");
        return 2;
    }
    data_folder = argv[1];
    scratch_folder = argv[2];
    return cmocka_run_group_tests_name("convert", tests, NULL, NULL);
}
