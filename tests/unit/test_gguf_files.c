/* GGUF files on disk: the writer, round trips, split models, full disks, large arrays. */
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "gguf/gguf.h"
#include "gguf_image.h"
#include "test.h"

static char folder[64];
static const char *const all_names[] = {"a.gguf", "b.gguf", "m-00001-of-00003.gguf",
                                        "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"};

static char *in_folder(const char *name)
{
    static char paths[8][128];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state)
{
    strcpy(folder, "/tmp/joule-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

/* Fails when a test left anything else behind, such as a temporary file. */
static int remove_folder(void **state)
{
    for (size_t i = 0; i < sizeof all_names / sizeof *all_names; i++)
        (void)unlink(in_folder(all_names[i]));
    return rmdir(folder);
}

/* Copies a model through reader and writer, the data in pieces of an odd size. */
static void copy_model(const char *from, const char *to)
{
    jl_error err;
    jl_gguf *g = NULL;
    jl_gguf_writer *w = NULL;
    assert_ok(jl_gguf_open(from, &g, &err));
    assert_ok(jl_gguf_writer_create(to, jl_gguf_alignment(g), &w, &err));
    for (size_t i = 0; i < jl_gguf_n_kv(g); i++)
        assert_ok(jl_gguf_put_kv(w, jl_gguf_kv_at(g, i), &err));
    for (size_t i = 0; i < jl_gguf_n_tensors(g); i++) {
        const jl_gguf_tensor *t = jl_gguf_tensor_at(g, i);
        assert_ok(jl_gguf_put_tensor(w, t->name, t->type, t->ne, t->n_dims, &err));
    }
    for (size_t i = 0; i < jl_gguf_n_tensors(g); i++) {
        const jl_gguf_tensor *t = jl_gguf_tensor_at(g, i);
        for (uint64_t pos = 0; pos < t->n_bytes; pos += 13)
            assert_ok(jl_gguf_write_data(w, t->data + pos,
                                         t->n_bytes - pos < 13 ? t->n_bytes - pos : 13, &err));
    }
    assert_ok(jl_gguf_writer_finish(w, &err));
    jl_gguf_close(g);
}

static void assert_same_files(const char *a, const char *b)
{
    jl_error err;
    jl_file x;
    jl_file y;
    assert_ok(jl_file_map(a, &x, &err));
    assert_ok(jl_file_map(b, &y, &err));
    assert_true(x.n_bytes == y.n_bytes);
    assert_memory_equal(x.data, y.data, x.n_bytes);
    jl_file_unmap(&x);
    jl_file_unmap(&y);
}

static void save_image(const gguf_image *image, const char *path)
{
    jl_error err;
    jl_writer *w = NULL;
    assert_ok(jl_writer_create(path, &w, &err));
    assert_ok(jl_writer_write(w, image->data, image->len, &err));
    assert_ok(jl_writer_commit(w, &err));
}

/* The hand-made image, through the reader and the writer, is the hand-made image. */
static void test_round_trip(void **state)
{
    static gguf_image m;
    image_full(&m, 3);
    image_align(&m, 32); /* the writer pads the last tensor too, as other writers do */
    save_image(&m, in_folder("a.gguf"));
    copy_model(in_folder("a.gguf"), in_folder("b.gguf"));
    assert_same_files(in_folder("a.gguf"), in_folder("b.gguf"));
}

/* Every put function, another alignment, two tensors whose data comes in one call. */
static void write_sample(const char *path, uint32_t alignment)
{
    jl_error err;
    jl_gguf_writer *w = NULL;
    const uint32_t n = 42;
    const float rope = 1e6f;
    const int32_t ids[] = {5, -1, 7};
    const jl_str words[] = {{"alpha", 5}, {"", 0}};
    uint8_t data[40 + 34];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i + 1);
    assert_ok(jl_gguf_writer_create(path, alignment, &w, &err));
    assert_ok(jl_gguf_put_str(w, "general.architecture", "gemma4", 6, &err));
    assert_ok(jl_gguf_put_scalar(w, "n", JL_GGUF_U32, &n, &err));
    assert_ok(jl_gguf_put_scalar(w, "rope", JL_GGUF_F32, &rope, &err));
    assert_ok(jl_gguf_put_array(w, "ids", JL_GGUF_I32, ids, 3, &err));
    assert_ok(jl_gguf_put_str_array(w, "words", words, 2, &err));
    assert_ok(jl_gguf_put_tensor(w, "f", JL_TYPE_F32, (const uint64_t[]){5, 2}, 2, &err));
    assert_ok(jl_gguf_put_tensor(w, "q", JL_TYPE_Q8_0, (const uint64_t[]){32}, 1, &err));
    assert_ok(jl_gguf_write_data(w, data, sizeof data, &err));
    assert_ok(jl_gguf_writer_finish(w, &err));
}

static void test_write_and_read(void **state)
{
    for (uint32_t alignment = 0; alignment <= 4096; alignment = alignment ? alignment * 8 : 8) {
        jl_error err;
        jl_gguf *g = NULL;
        float f;
        int64_t id;
        write_sample(in_folder("a.gguf"), alignment);
        assert_ok(jl_gguf_open(in_folder("a.gguf"), &g, &err));
        const uint32_t a = alignment ? alignment : 32;
        assert_int_equal(jl_gguf_alignment(g), a);
        assert_true(jl_gguf_get_f32(g, "rope", 0, &f) && f == 1e6f);
        assert_true(jl_gguf_get_i64(g, "ids", 1, &id) && id == -1);
        const jl_gguf_tensor *q = jl_gguf_find_tensor(g, "q");
        assert_int_equal(q->offset % a, 0);
        assert_int_equal((uintptr_t)q->data % (a < 4096 ? a : 4096), 0);
        assert_int_equal(q->data[0], 41);
        assert_int_equal(q->data[33], 74);
        jl_gguf_close(g);
        copy_model(in_folder("a.gguf"), in_folder("b.gguf"));
        assert_same_files(in_folder("a.gguf"), in_folder("b.gguf"));
    }
}

static void test_writer_refuses(void **state)
{
    jl_error err;
    jl_gguf_writer *w = NULL;
    const uint32_t n = 64;
    const uint8_t zeros[64] = {0};
    const uint64_t ne[] = {8};
    assert_fails(jl_gguf_writer_create(in_folder("a.gguf"), 12, &w, &err), JL_INVALID,
                 "power of two");
    assert_fails(jl_gguf_writer_create("/nonexistent/a.gguf", 0, &w, &err), JL_IO, "No such file");
    assert_ok(jl_gguf_writer_create(in_folder("a.gguf"), 0, &w, &err));
    assert_ok(jl_gguf_put_scalar(w, "n", JL_GGUF_U32, &n, &err));
    assert_fails(jl_gguf_put_scalar(w, "n", JL_GGUF_U32, &n, &err), JL_INVALID,
                 "n is written twice");
    assert_fails(jl_gguf_put_scalar(w, "s", JL_GGUF_STRING, &n, &err), JL_INVALID, "not a scalar");
    assert_fails(jl_gguf_put_array(w, "s", JL_GGUF_ARRAY, &n, 1, &err), JL_INVALID, "numbers");
    assert_fails(jl_gguf_put_scalar(w, "", JL_GGUF_U32, &n, &err), JL_INVALID, "empty");
    assert_fails(jl_gguf_put_scalar(w, "general.alignment", JL_GGUF_U32, &n, &err), JL_INVALID,
                 "written with 32");
    assert_ok(jl_gguf_put_tensor(w, "x", JL_TYPE_F32, ne, 1, &err));
    assert_fails(jl_gguf_put_tensor(w, "x", JL_TYPE_F32, ne, 1, &err), JL_INVALID, "twice");
    assert_fails(jl_gguf_put_tensor(w, "y", JL_TYPE_Q8_0, ne, 1, &err), JL_INVALID, "tensor y");
    assert_fails(jl_gguf_put_tensor(w, "y", JL_TYPE_F32, ne, 0, &err), JL_INVALID, "tensor y");
    assert_fails(jl_gguf_put_tensor(w, "y", JL_TYPE_JQ4, (const uint64_t[]){64, 24}, 2, &err),
                 JL_INVALID, "multiple of 16 rows");
    assert_ok(jl_gguf_write_data(w, zeros, 31, &err));
    assert_fails(jl_gguf_put_scalar(w, "late", JL_GGUF_U32, &n, &err), JL_INVALID, "has begun");
    assert_fails(jl_gguf_put_tensor(w, "z", JL_TYPE_F32, ne, 1, &err), JL_INVALID, "has begun");
    assert_fails(jl_gguf_write_data(w, zeros, 2, &err), JL_INVALID, "1 bytes more");
    jl_gguf_writer_abort(w);
    jl_gguf_writer_abort(NULL);

    assert_ok(jl_gguf_writer_create(in_folder("a.gguf"), 0, &w, &err));
    assert_ok(jl_gguf_put_tensor(w, "x", JL_TYPE_F32, ne, 1, &err));
    assert_ok(jl_gguf_write_data(w, zeros, 31, &err));
    assert_fails(jl_gguf_writer_finish(w, &err), JL_INVALID, "missing from tensor x");
    assert_int_equal(access(in_folder("a.gguf"), F_OK), -1);
}

static void test_full_disk(void **state)
{
    jl_error err;
    jl_gguf_writer *w = NULL;
    if (access("/dev/full", W_OK) != 0)
        skip();
    assert_ok(jl_gguf_writer_create("/dev/full", 0, &w, &err));
    assert_ok(jl_gguf_put_str(w, "k", "v", 1, &err));
    assert_fails(jl_gguf_writer_finish(w, &err), JL_IO, "No space left");
    /* A model larger than the disk is refused when its header is written, before any data. */
    const uint64_t ne[] = {1ull << 30, 1ull << 28};
    const float x = 0;
    assert_ok(jl_gguf_writer_create(in_folder("a.gguf"), 0, &w, &err));
    assert_ok(jl_gguf_put_tensor(w, "x", JL_TYPE_F32, ne, 2, &err));
    assert_fails(jl_gguf_write_data(w, &x, sizeof x, &err), JL_IO, "GB free");
    jl_gguf_writer_abort(w);
}

/* One part of a split model with one tensor. */
static void write_part(const char *path, uint16_t no, uint16_t count, int32_t total,
                       const char *tensor)
{
    jl_error err;
    jl_gguf_writer *w = NULL;
    const float value = no;
    assert_ok(jl_gguf_writer_create(path, 0, &w, &err));
    assert_ok(jl_gguf_put_scalar(w, "split.no", JL_GGUF_U16, &no, &err));
    assert_ok(jl_gguf_put_scalar(w, "split.count", JL_GGUF_U16, &count, &err));
    assert_ok(jl_gguf_put_scalar(w, "split.tensors.count", JL_GGUF_I32, &total, &err));
    assert_ok(jl_gguf_put_tensor(w, tensor, JL_TYPE_F32, (const uint64_t[]){1}, 1, &err));
    assert_ok(jl_gguf_write_data(w, &value, sizeof value, &err));
    assert_ok(jl_gguf_writer_finish(w, &err));
}

static void write_parts(void)
{
    write_part(in_folder("m-00001-of-00003.gguf"), 0, 3, 3, "x0");
    write_part(in_folder("m-00002-of-00003.gguf"), 1, 3, 3, "x1");
    write_part(in_folder("m-00003-of-00003.gguf"), 2, 3, 3, "x2");
}

static void test_split(void **state)
{
    jl_error err;
    jl_gguf *g = NULL;
    write_parts();
    assert_ok(jl_gguf_open(in_folder("m-00001-of-00003.gguf"), &g, &err));
    assert_int_equal(jl_gguf_n_parts(g), 3);
    assert_int_equal(jl_gguf_n_tensors(g), 3);
    for (uint32_t i = 0; i < 3; i++) {
        const jl_gguf_tensor *t = jl_gguf_tensor_at(g, i);
        float value;
        memcpy(&value, t->data, sizeof value);
        assert_true(value == (float)i);
        assert_int_equal(t->part, i);
        assert_ptr_equal(jl_gguf_part_file(g, i)->data + t->offset, t->data);
    }
    assert_null(jl_gguf_part_file(g, 3));
    jl_gguf_close(g);
}

static void test_broken_splits(void **state)
{
    jl_error err;
    jl_gguf *g = NULL;
    char *first = strdup(in_folder("m-00001-of-00003.gguf"));
    write_parts();
    assert_fails(jl_gguf_open(in_folder("m-00002-of-00003.gguf"), &g, &err), JL_INVALID,
                 "part 2 of 3: give the first part");
    write_part(in_folder("m-00002-of-00003.gguf"), 2, 3, 3, "x1");
    assert_fails(jl_gguf_open(first, &g, &err), JL_FORMAT,
                 "says it is part 3 of 3, not part 2 of 3");
    write_part(in_folder("m-00002-of-00003.gguf"), 1, 3, 3, "x0");
    assert_fails(jl_gguf_open(first, &g, &err), JL_FORMAT, "x0 occurs twice");
    write_part(first, 0, 3, 4, "x0");
    write_part(in_folder("m-00002-of-00003.gguf"), 1, 3, 3, "x1");
    assert_fails(jl_gguf_open(first, &g, &err), JL_FORMAT,
                 "hold 3 tensors, split.tensors.count says 4");
    assert_int_equal(unlink(in_folder("m-00002-of-00003.gguf")), 0);
    assert_fails(jl_gguf_open(first, &g, &err), JL_IO, "m-00002-of-00003.gguf: No such file");
    assert_int_equal(rename(in_folder("m-00001-of-00003.gguf"), in_folder("a.gguf")), 0);
    assert_fails(jl_gguf_open(in_folder("a.gguf"), &g, &err), JL_INVALID, "original names");
    assert_null(g);
    free(first);
}

/* A vocabulary with half a million merges opens, and is walked front to back, in a moment. */
static void test_large_string_array(void **state)
{
    enum { N = 500000 };
    jl_error err;
    jl_gguf *g = NULL;
    jl_gguf_writer *w = NULL;
    static char text[N][8];
    static jl_str items[N];
    for (int i = 0; i < N; i++)
        items[i] = (jl_str){text[i], (size_t)snprintf(text[i], sizeof text[i], "%d", i)};
    assert_ok(jl_gguf_writer_create(in_folder("a.gguf"), 0, &w, &err));
    assert_ok(jl_gguf_put_str_array(w, "merges", items, N, &err));
    assert_ok(jl_gguf_writer_finish(w, &err));

    const double start = jl_time_cpu();
    assert_ok(jl_gguf_open(in_folder("a.gguf"), &g, &err));
    jl_gguf_iter it = {0, 0};
    jl_str s;
    int n = 0;
    while (jl_gguf_next_str(jl_gguf_find(g, "merges"), &it, &s)) {
        assert_true(s.len == items[n].len && memcmp(s.ptr, items[n].ptr, s.len) == 0);
        n++;
    }
    assert_int_equal(n, N);
    assert_true(jl_time_cpu() - start < 5); /* 0.02 s of work; quadratic time would take hours */
    jl_gguf_close(g);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip), TEST(test_write_and_read), TEST(test_writer_refuses),
        TEST(test_full_disk),  TEST(test_split),          TEST(test_broken_splits),
        TEST(test_large_string_array),
    };
    return cmocka_run_group_tests_name("gguf files", tests, NULL, NULL);
}
