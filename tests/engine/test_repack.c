/* Repacked weights: the same logits to the bit, whatever happened to the file they are kept in. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

#include "base/folder.h"
#include "gguf/gguf.h"
#include "joule/joule.h"
#include "joule/repack.h"
#include "joule/synth.h"
#include "joule/sys.h"
#include "model/repack.h"
#include "test.h"

enum { N_TOKENS = 9, MAX_REPORTS = 4 };

static const char *scratch;
static char model_path[512], ple_path[512], plain_path[512], folder[512], kept[1024];
static float *want; /* logits without repacking */
static uint32_t n_vocab;

typedef struct {
    size_t n;
    jl_repack_outcome outcome[MAX_REPORTS];
    jl_repack_report last;
    char why[MAX_REPORTS][400];
    char path[1024];
    bool stop; /* at the first sign of progress */
} heard;

static void on_report(void *ctx, const jl_repack_report *r)
{
    heard *h = ctx;

    assert_true(h->n < MAX_REPORTS);
    h->outcome[h->n] = r->outcome;
    snprintf(h->why[h->n], sizeof h->why[h->n], "%s", r->why ? r->why->text : "");
    snprintf(h->path, sizeof h->path, "%s", r->path);
    h->last = *r;
    h->n++;
}

static bool on_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    assert_true(done > 0 && total > 0 && *what);
    return !((heard *)ctx)->stop;
}

static jl_repack_params params_of(heard *h, uint32_t n_threads)
{
    return (jl_repack_params){.struct_size = sizeof(jl_repack_params),
                              .folder = folder,
                              .n_threads = n_threads,
                              .progress = on_progress,
                              .report = on_report,
                              .ctx = h};
}

static jl_status open_repacked(const char *path, const jl_repack_params *p, jl_model **out,
                               jl_error *err)
{
    const jl_model_params params = {.struct_size = sizeof params, .repack = p};

    return jl_model_open(path, &params, out, err);
}

/* Logits behind some tokens; free. */
static float *logits_of(jl_model *m)
{
    static const int32_t tokens[N_TOKENS] = {2, 17, 5, 100, 33, 7, 7, 250, 60};
    const jl_session_params sp = {.struct_size = sizeof sp, .n_ctx = 64, .n_threads = 2};
    const jl_piece piece = {.tokens = tokens, .n_tokens = N_TOKENS};
    jl_session *s;
    jl_error err;

    assert_ok(jl_session_create(m, &sp, &s, &err));
    assert_ok(jl_session_eval(s, &piece, 1, &err));
    float *copy = malloc(n_vocab * sizeof *copy);
    memcpy(copy, jl_session_logits(s, 0), n_vocab * sizeof *copy);
    jl_session_destroy(s);
    return copy;
}

static void check_logits(jl_model *m)
{
    float *got = logits_of(m);

    assert_memory_equal(got, want, n_vocab * sizeof *got);
    free(got);
}

/* Opens the model with repacking; the logits are right; what was reported is in h. */
static void load(heard *h, uint32_t n_threads)
{
    const jl_repack_params p = params_of(h, n_threads);
    jl_model *m;
    jl_error err;

    h->n = 0;
    assert_ok(open_repacked(model_path, &p, &m, &err));
    check_logits(m);
    jl_model_close(m);
}

static void expect(const heard *h, size_t n, jl_repack_outcome first, jl_repack_outcome last)
{
    assert_int_equal(h->n, n);
    assert_int_equal(h->outcome[0], first);
    assert_int_equal(h->outcome[n - 1], last);
}

static void expect_not(const heard *h, const char *part)
{
    expect(h, 1, JL_REPACK_NOT, JL_REPACK_NOT);
    if (!strstr(h->why[0], part))
        fail_msg("\"%s\" lacks \"%s\"", h->why[0], part);
}

static bool count_file(void *ctx, const jl_folder_item *item)
{
    *(size_t *)ctx += strcmp(item->name, "lock") != 0;
    return true;
}

static size_t n_files(void)
{
    size_t n = 0;
    const jl_status s = jl_folder_each(folder, count_file, &n, NULL);

    return s == JL_OK ? n : 0;
}

static void clear_folder(void)
{
    uint32_t n;
    uint64_t bytes;
    jl_error err;

    assert_ok(jl_repack_clear(folder, false, &n, &bytes, &err));
}

static void fresh(heard *h)
{
    *h = (heard){0};
    clear_folder();
    load(h, 2);
    expect(h, 1, JL_REPACK_MADE, JL_REPACK_MADE);
    snprintf(kept, sizeof kept, "%s", h->path);
}

/* ---- making and using ---------------------------------------------------------------------- */

static void test_made_once(void **state)
{
    heard h;

    fresh(&h);
    assert_int_equal(n_files(), 1);
    assert_string_equal(h.last.from, "IQ3_S");
    assert_string_equal(h.last.to, "IQ3_S4");
    assert_int_equal(h.last.bytes_from / 110, h.last.bytes / 136);
    assert_int_equal(h.last.bytes_from % 110, 0);
    for (uint32_t t = 1; t <= 3; t++) {
        load(&h, t);
        expect(&h, 1, JL_REPACK_USED, JL_REPACK_USED);
    }
}

/* Any number of threads writes the same bytes. */
static void test_same_file(void **state)
{
    heard h;
    char *a;
    char *b;
    size_t n_a;
    size_t n_b;
    jl_error err;

    fresh(&h);
    assert_ok(jl_file_read(kept, 1 << 28, &a, &n_a, &err));
    clear_folder();
    load(&h, 5);
    assert_ok(jl_file_read(kept, 1 << 28, &b, &n_b, &err));
    assert_int_equal(n_a, n_b);
    assert_memory_equal(a, b, n_a);
    jl_free(a);
    jl_free(b);
}

static void test_numbers(void **state)
{
    heard h = {0};
    const jl_repack_params p = params_of(&h, 1);
    jl_model *plain;
    jl_model *m;
    jl_model_info before;
    jl_model_info after;
    jl_memory need_before;
    jl_memory need;
    jl_gguf *g;
    jl_error err;

    assert_ok(jl_model_open(model_path, NULL, &plain, &err));
    assert_ok(open_repacked(model_path, &p, &m, &err));
    jl_model_get_info(plain, &before);
    jl_model_get_info(m, &after);
    assert_true(after.bytes_per_token > before.bytes_per_token);
    assert_true(after.bytes_per_token < before.bytes_per_token * 136 / 110);
    assert_int_equal(after.file_bytes, before.file_bytes);
    assert_ok(jl_session_measure(plain, NULL, &need_before, &err));
    assert_ok(jl_session_measure(m, NULL, &need, &err));
    assert_ok(jl_gguf_open(h.path, &g, &err));
    assert_int_equal(need.weights - need_before.weights,
                     jl_gguf_file_bytes(g) - h.last.bytes_from);
    jl_gguf_close(g);
    jl_model_close(plain);
    jl_model_close(m);
}

/* Per-layer embeddings are read by rows: they stay. The tied output matrix is multiplied. */
static void test_only_products(void **state)
{
    heard h = {0};
    const jl_repack_params p = params_of(&h, 2);
    jl_model *m;
    jl_gguf *g;
    jl_error err;

    assert_ok(open_repacked(ple_path, &p, &m, &err));
    expect(&h, 1, JL_REPACK_MADE, JL_REPACK_MADE);
    assert_ok(jl_gguf_open(h.path, &g, &err));
    assert_non_null(jl_gguf_find_tensor(g, "token_embd.weight"));
    assert_null(jl_gguf_find_tensor(g, "per_layer_token_embd.weight"));
    jl_gguf_close(g);
    jl_model_close(m);
}

static void test_nothing_to_do(void **state)
{
    heard h = {0};
    const jl_repack_params p = params_of(&h, 2);
    jl_model *m;
    jl_error err;

    assert_ok(open_repacked(plain_path, &p, &m, &err));
    assert_int_equal(h.n, 0);
    jl_model_close(m);
}

static bool on_share(void *ctx, float done)
{
    float *last = ctx;

    assert_true(done >= *last && done <= 1.0f);
    *last = done;
    return true;
}

static void test_prefault(void **state)
{
    heard h = {0};
    float share = 0;
    const jl_repack_params p = params_of(&h, 2);
    const jl_model_params params = {.struct_size = sizeof params, .prefault = true,
                                    .progress = on_share, .progress_ctx = &share, .repack = &p};
    jl_model *m;
    jl_error err;

    assert_ok(jl_model_open(model_path, &params, &m, &err));
    check_logits(m);
    jl_model_close(m);
    assert_true(share > 0.99f);
}

/* ---- damage -------------------------------------------------------------------------------- */

static void write_at(size_t at, const void *data, size_t n)
{
    FILE *f = fopen(kept, "r+b");

    assert_non_null(f);
    assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* The next start names the damage, makes the file anew, and computes the same. */
static void check_remade(const char *part)
{
    heard h = {0};

    load(&h, 2);
    expect(&h, 2, JL_REPACK_DAMAGED, JL_REPACK_MADE);
    if (!strstr(h.why[0], part) || !strstr(h.why[0], kept))
        fail_msg("\"%s\" lacks \"%s\" or the path", h.why[0], part);
    assert_int_equal(n_files(), 1);
    load(&h, 2);
    expect(&h, 1, JL_REPACK_USED, JL_REPACK_USED);
}

static void test_flipped_bytes(void **state)
{
    heard h;
    char *data;
    size_t n;
    jl_gguf *g;
    jl_error err;

    fresh(&h);
    assert_ok(jl_file_read(kept, 1 << 28, &data, &n, &err));
    assert_ok(jl_gguf_open(kept, &g, &err));
    for (size_t i = 0; i < jl_gguf_n_tensors(g); i += 5) {
        const jl_gguf_tensor *t = jl_gguf_tensor_at(g, i);
        const size_t at = (size_t)(t->offset + t->n_bytes * (i % 3) / 3);
        const char flipped = (char)(data[at] ^ (1 << i % 8));
        write_at(at, &flipped, 1);
        check_remade("checksum");
    }
    const jl_gguf_tensor *sums = jl_gguf_find_tensor(g, JL_REPACK_SUMS);
    const char other = (char)(data[sums->offset] ^ 4);
    write_at((size_t)sums->offset, &other, 1);
    check_remade("checksum");
    jl_gguf_close(g);
    jl_free(data);
}

/* Offset of a text in the file's header. */
static size_t find_text(const char *text)
{
    char *data;
    size_t n;
    size_t at = 0;
    jl_error err;

    assert_ok(jl_file_read(kept, 1 << 28, &data, &n, &err));
    while (memcmp(data + at, text, strlen(text)) != 0) {
        at++;
        assert_true(at + strlen(text) < n);
    }
    jl_free(data);
    return at;
}

/* behind a key's name: its type (4), then the value; behind a tensor's: 4 dimensions, ne, type */
static void test_header(void **state)
{
    static const uint8_t many[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};
    static const char key[] = "joule.repack.version";
    static const char tensor[] = "blk.0.attn_q.weight";
    const uint32_t version = JL_REPACK_VERSION + 1;
    const uint64_t two = 2;
    heard h;

    fresh(&h);
    write_at(0, "GGUX", 4);
    check_remade("GGUF");
    write_at(8, many, sizeof many);
    check_remade(".gguf");
    write_at(find_text(key) + strlen(key) + 4, &version, sizeof version);
    check_remade("version 2");
    write_at(find_text("joule-repack"), "jouls", 5);
    check_remade("holds no repacked weights");
    write_at(find_text("repack.fingerprint") + 18 + 4 + 4 + 8, many, sizeof many);
    check_remade("another model");
    write_at(find_text(tensor), "blk.9", 5);
    check_remade("blk.0.attn_q.weight");
    write_at(find_text(tensor) + strlen(tensor) + 4 + 8, &two, sizeof two);
    check_remade("blk.0.attn_q.weight");
    const uint32_t other_type = JL_TYPE_IQ4_XS; /* of the same size */
    write_at(find_text(tensor) + strlen(tensor) + 4 + 16, &other_type, sizeof other_type);
    check_remade("blk.0.attn_q.weight");
}

static void test_truncated(void **state)
{
    struct stat st;
    heard h;

    fresh(&h);
    assert_int_equal(stat(kept, &st), 0);
    const off_t lengths[] = {0, 3, 24, 100, 4096, st.st_size / 2,
                             st.st_size - 4000}; /* the last page holds the checksums */;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        assert_int_equal(truncate(kept, lengths[i]), 0);
        check_remade("");
    }
}

/* The files of other models, and no GGUF file at all, under the right name. */
static void test_foreign(void **state)
{
    heard h;
    char *data;
    size_t n;
    jl_error err;

    fresh(&h);
    assert_ok(jl_file_read(plain_path, 1 << 28, &data, &n, &err));
    FILE *f = fopen(kept, "wb");
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    jl_free(data);
    check_remade("holds no repacked weights");
    write_at(0, "a text\n", 7);
    assert_int_equal(truncate(kept, 7), 0);
    check_remade("");
}

/* ---- what stands in the way ---------------------------------------------------------------- */

static void test_locked(void **state)
{
    heard h;
    jl_folder_lock *held;
    uint32_t n;
    uint64_t bytes;
    jl_error err;

    clear_folder();
    assert_ok(jl_repack_lock(folder, &held, &err));
    load(&h, 2);
    expect_not(&h, "another joule is writing");
    jl_folder_lock_leave(held);
    fresh(&h);
    assert_ok(jl_repack_lock(folder, &held, &err));
    load(&h, 2); /* reading needs no lock */
    expect(&h, 1, JL_REPACK_USED, JL_REPACK_USED);
    assert_fails(jl_repack_clear(folder, false, &n, &bytes, &err), JL_INVALID, "another joule");
    jl_folder_lock_leave(held);
}

static void test_no_folder(void **state)
{
    heard h = {0};
    jl_repack_params p = params_of(&h, 2);
    jl_model *m;
    jl_error err;

    p.folder = plain_path; /* a file */
    assert_ok(open_repacked(model_path, &p, &m, &err));
    expect_not(&h, plain_path);
    check_logits(m);
    jl_model_close(m);
}

static void test_no_memory(void **state)
{
    heard h = {0};
    jl_repack_params p = params_of(&h, 2);
    jl_model *m;
    jl_error err;

    clear_folder();
    p.memory = 1 << 20;
    assert_ok(open_repacked(model_path, &p, &m, &err));
    expect_not(&h, "would take");
    assert_int_equal(n_files(), 0);
    jl_model_close(m);
}

static void test_file_limit(void **state)
{
    heard h = {0};
    struct rlimit was;

    clear_folder();
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    const struct rlimit small = {1 << 20, was.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    load(&h, 2);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    expect_not(&h, "cannot write");
    assert_int_equal(n_files(), 0);
}

static void test_cancelled(void **state)
{
    heard h = {0};
    const jl_repack_params p = params_of(&h, 2);
    jl_model *m;
    jl_error err;

    clear_folder();
    h.stop = true;
    assert_fails(open_repacked(model_path, &p, &m, &err), JL_CANCELLED, "stopped");
    assert_int_equal(n_files(), 0);
    fresh(&h);
    h.stop = true;
    assert_fails(open_repacked(model_path, &p, &m, &err), JL_CANCELLED, "cancelled");
    assert_int_equal(n_files(), 1);
}

/* ---- the folder ---------------------------------------------------------------------------- */

static void put_file(const char *name)
{
    char path[1024];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
}

typedef struct {
    size_t n, usable;
    char source[1024];
} listed;

static void on_entry(void *ctx, const jl_repack_entry *e)
{
    listed *l = ctx;

    l->n++;
    if (!e->usable)
        return;
    l->usable++;
    assert_true(e->n_tensors > 0 && e->bytes > 0 && e->age_s < 1000);
    assert_string_equal(e->path, kept);
    snprintf(l->source, sizeof l->source, "%s", e->source);
}

static void test_list_and_clear(void **state)
{
    static const char *const foreign[] = {"notes.txt", "model.gguf", "0123-v1.gguf",
                                          "0123456789abcdef0123456789abcdeg-v1.gguf",
                                          "0123456789abcdef0123456789abcdef-v1.gguf.bak"};
    heard h;
    listed l = {0};
    char real[4096];
    uint32_t n = 0;
    uint64_t bytes = 0;
    jl_error err;

    fresh(&h);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        put_file(foreign[i]);
    put_file("0123456789abcdef0123456789abcdef-v12.gguf");
    put_file("0123456789abcdef0123456789abcdef-v1.gguf.77.tmp");
    assert_ok(jl_repack_list(folder, on_entry, &l, &err));
    assert_int_equal(l.n, 3);
    assert_int_equal(l.usable, 1);
    assert_non_null(realpath(model_path, real));
    assert_string_equal(l.source, real);
    assert_ok(jl_repack_clear(folder, true, &n, &bytes, &err));
    assert_int_equal(n, 3);
    assert_int_equal(n_files(), 8);
    assert_ok(jl_repack_clear(folder, false, &n, &bytes, &err));
    assert_int_equal(n, 3);
    assert_true(bytes > h.last.bytes);
    assert_int_equal(n_files(), 5);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", folder, foreign[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_ok(jl_repack_list("/no/such/folder", on_entry, &l, &err));
    assert_int_equal(l.n, 3);
}

static void test_cleared_while_used(void **state)
{
    heard h;
    jl_model *m;
    jl_error err;

    fresh(&h);
    const jl_repack_params p = params_of(&h, 2);
    assert_ok(open_repacked(model_path, &p, &m, &err));
    clear_folder();
    assert_int_equal(n_files(), 0);
    check_logits(m);
    jl_model_close(m);
}

/* A model that changed gets a new file; the old one goes, as does what a killed program left. */
static void test_changed_model(void **state)
{
    const struct utimbuf past = {1000000000, 1000000000};
    heard h;
    char old[1024];

    fresh(&h);
    snprintf(old, sizeof old, "%s", kept);
    put_file("0123456789abcdef0123456789abcdef-v1.gguf.77.tmp");
    assert_int_equal(utime(model_path, &past), 0);
    load(&h, 2);
    expect(&h, 1, JL_REPACK_MADE, JL_REPACK_MADE);
    assert_string_not_equal(h.path, old);
    assert_int_equal(n_files(), 1);
}

/* ---- */

static void make_model(char path[512], const char *shape, const char *type)
{
    const jl_synth_params p = {.struct_size = sizeof p, .shape = shape, .type = type,
                               .n_threads = 2, .seed = 3};
    jl_error err;

    snprintf(path, 512, "%s/repack-%s-%s.tmp", scratch, shape, type);
    assert_ok(jl_synth_write(&p, path, &err));
}

static int set_up(void **state)
{
    jl_model *m;
    jl_model_info info;
    jl_error err;

    snprintf(folder, sizeof folder, "%s/repack.tmp", scratch);
    clear_folder();
    make_model(model_path, "tiny-moe", "IQ3_S");
    make_model(ple_path, "tiny-ple", "IQ3_S");
    make_model(plain_path, "tiny-moe", "Q8_0");
    assert_ok(jl_model_open(model_path, NULL, &m, &err));
    jl_model_get_info(m, &info);
    n_vocab = info.n_vocab;
    want = logits_of(m);
    jl_model_close(m);
    return 0;
}

static int tear_down(void **state)
{
    clear_folder();
    (void)unlink(model_path);
    (void)unlink(ple_path);
    (void)unlink(plain_path);
    free(want);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_once),       cmocka_unit_test(test_same_file),
        cmocka_unit_test(test_numbers),         cmocka_unit_test(test_only_products),
        cmocka_unit_test(test_nothing_to_do),   cmocka_unit_test(test_prefault),
        cmocka_unit_test(test_flipped_bytes),   cmocka_unit_test(test_header),
        cmocka_unit_test(test_truncated),       cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_locked),          cmocka_unit_test(test_no_folder),
        cmocka_unit_test(test_no_memory),       cmocka_unit_test(test_file_limit),
        cmocka_unit_test(test_cancelled),       cmocka_unit_test(test_list_and_clear),
        cmocka_unit_test(test_cleared_while_used), cmocka_unit_test(test_changed_model),
    };

    if (argc != 2) {
        fprintf(stderr, "usage: test_repack SCRATCH\n");
        return 2;
    }
    scratch = argv[1];
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
