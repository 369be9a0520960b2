/* Mapping and atomic writing. */
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "test.h"

static char folder[64];

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state)
{
    strcpy(folder, "/tmp/joule-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int n_entries(void)
{
    int n = 0;
    DIR *d = opendir(folder);
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* Also the check that no test left a temporary file: the folder must be empty but for what is
 * named. */
static int remove_folder(void **state)
{
    (void)unlink(path_of("a"));
    (void)unlink(path_of("link"));
    return rmdir(folder);
}

static void write_file(const char *path, const void *data, size_t n_bytes)
{
    jl_error err;
    jl_writer *w = NULL;
    assert_ok(jl_writer_create(path, &w, &err));
    assert_ok(jl_writer_reserve(w, n_bytes, &err));
    assert_ok(jl_writer_write(w, data, n_bytes, &err));
    assert_true(jl_writer_tell(w) == n_bytes);
    assert_ok(jl_writer_commit(w, &err));
}

static void assert_content(const char *path, const void *data, size_t n_bytes)
{
    jl_error err;
    jl_file file;
    assert_ok(jl_file_map(path, &file, &err));
    assert_true(file.n_bytes == n_bytes);
    if (n_bytes)
        assert_memory_equal(file.data, data, n_bytes);
    assert_ok(jl_file_prefault(&file, NULL, NULL, &err));
    jl_file_unmap(&file);
    assert_null(file.data);

    char *text = NULL;
    size_t len;
    assert_ok(jl_file_read(path, n_bytes, &text, &len, &err));
    assert_int_equal(len, n_bytes);
    assert_memory_equal(text, data, n_bytes);
    assert_int_equal(text[len], 0);
    jl_free(text);
}

static void test_write_and_map(void **state)
{
    const size_t n = 3 << 20;
    uint8_t *big = malloc(n);
    for (size_t i = 0; i < n; i++)
        big[i] = (uint8_t)(i * 2654435761u >> 13);
    write_file(path_of("a"), "", 0);
    assert_content(path_of("a"), "", 0);
    write_file(path_of("a"), "joule", 5);
    assert_content(path_of("a"), "joule", 5);
    write_file(path_of("a"), big, n);
    assert_content(path_of("a"), big, n);

    jl_error err;
    jl_writer *w = NULL;
    assert_ok(jl_writer_create(path_of("a"), &w, &err));
    for (size_t pos = 0, piece = 1; pos < n; pos += piece, piece = piece * 3 % 700001 + 1) {
        if (piece > n - pos)
            piece = n - pos;
        assert_ok(jl_writer_write(w, big + pos, piece, &err));
    }
    assert_ok(jl_writer_commit(w, &err));
    assert_content(path_of("a"), big, n);
    assert_int_equal(n_entries(), 1);
    free(big);
}

static void test_abort_leaves_the_old_file(void **state)
{
    jl_error err;
    jl_writer *w = NULL;
    write_file(path_of("a"), "old", 3);
    assert_ok(jl_writer_create(path_of("a"), &w, &err));
    assert_ok(jl_writer_write(w, "new", 3, &err));
    jl_writer_abort(w);
    jl_writer_abort(NULL);
    assert_content(path_of("a"), "old", 3);
    assert_int_equal(n_entries(), 1);
}

static void test_keeps_link_and_mode(void **state)
{
    struct stat st;
    write_file(path_of("a"), "old", 3);
    assert_int_equal(chmod(path_of("a"), 0640), 0);
    assert_int_equal(symlink("a", path_of("link")), 0);
    write_file(path_of("link"), "newer", 5);
    assert_content(path_of("a"), "newer", 5);
    assert_int_equal(lstat(path_of("link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(path_of("a"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
}

static void test_unwritable(void **state)
{
    jl_error err;
    jl_writer *w = NULL;
    assert_fails(jl_writer_create("/nonexistent/a", &w, &err), JL_IO, "No such file");
    assert_fails(jl_writer_create(folder, &w, &err), JL_IO, "directory");
    assert_null(w);
    if (access("/dev/full", W_OK) != 0)
        skip();
    assert_ok(jl_writer_create("/dev/full", &w, &err));
    assert_ok(jl_writer_write(w, "x", 1, &err));
    assert_fails(jl_writer_commit(w, &err), JL_IO, "No space left");
    struct stat st;
    assert_int_equal(stat("/dev/full", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
}

static void test_too_large_to_reserve(void **state)
{
    jl_error err;
    jl_writer *w = NULL;
    assert_ok(jl_writer_create(path_of("a"), &w, &err));
    assert_fails(jl_writer_reserve(w, (uint64_t)1 << 62, &err), JL_IO, "GB free");
    jl_writer_abort(w);
}

static void test_unreadable(void **state)
{
    jl_error err;
    jl_file file;
    char *text;
    size_t len;
    assert_fails(jl_file_map("/nonexistent", &file, &err), JL_IO, "No such file");
    assert_fails(jl_file_map("/tmp", &file, &err), JL_IO, "directory");
    assert_fails(jl_file_map("/dev/null", &file, &err), JL_IO, "not a regular file");
    assert_fails(jl_file_read("/dev/zero", 100000, &text, &len, &err), JL_TOO_LARGE, "100000");
    assert_fails(jl_file_read("/tmp", 10, &text, &len, &err), JL_IO, "directory");
}

static bool stop_at_half(void *ctx, float done)
{
    *(float *)ctx = done;
    return done < 0.4f;
}

static void test_prefault_progress(void **state)
{
    jl_error err;
    const size_t n = 200u << 20;
    float done = 0;
    uint8_t *p = jl_map_anon(n);
    const jl_file file = {p, n, false};
    assert_fails(jl_file_prefault(&file, stop_at_half, &done, &err), JL_CANCELLED, "cancelled");
    assert_true(done >= 0.4f && done < 1);
    jl_unmap_anon(p, n);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(test_write_and_map), TEST(test_abort_leaves_the_old_file),
        TEST(test_keeps_link_and_mode), TEST(test_unwritable), TEST(test_too_large_to_reserve),
        cmocka_unit_test(test_unreadable), cmocka_unit_test(test_prefault_progress),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
