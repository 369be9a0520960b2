/* Opening and writing GGUF files with the n-th heap call failing, for every n: a message, no leak,
 * no crash, no file. The linker puts the functions below in front of the library's (--wrap). */
#include <unistd.h>

#include "base/mem.h"
#include "gguf/gguf.h"
#include "gguf_image.h"
#include "test.h"

void *__real_jl_malloc(size_t n_bytes);
void *__real_jl_calloc(size_t count, size_t n_bytes);
void *__real_jl_realloc(void *p, size_t n_bytes);
void *__wrap_jl_malloc(size_t n_bytes);
void *__wrap_jl_calloc(size_t count, size_t n_bytes);
void *__wrap_jl_realloc(void *p, size_t n_bytes);

static int calls_left;

static bool fails(void)
{
    return calls_left-- == 0;
}

void *__wrap_jl_malloc(size_t n_bytes)
{
    return fails() ? NULL : __real_jl_malloc(n_bytes);
}

void *__wrap_jl_calloc(size_t count, size_t n_bytes)
{
    return fails() ? NULL : __real_jl_calloc(count, n_bytes);
}

void *__wrap_jl_realloc(void *p, size_t n_bytes)
{
    return fails() ? NULL : __real_jl_realloc(p, n_bytes);
}

static void test_open(void **state)
{
    static gguf_image m;
    jl_status status = JL_NO_MEMORY;
    int n = 0;
    image_full(&m, 3);
    for (; status != JL_OK; n++) {
        jl_error err = {JL_OK, 0, ""};
        jl_gguf *g = NULL;
        calls_left = n;
        status = jl_gguf_open_memory(m.data, m.len, &g, &err);
        if (status != JL_OK) {
            assert_int_equal(status, JL_NO_MEMORY);
            assert_non_null(strstr(err.text, "out of memory"));
            assert_null(g);
        }
        jl_gguf_close(g);
    }
    assert_true(n > 5); /* the wrapping works */
}

static jl_status write_model(const char *path, jl_error *err)
{
    jl_gguf_writer *w = NULL;
    const uint32_t value = 1;
    JL_TRY(jl_gguf_writer_create(path, 64, &w, err));
    jl_status status = jl_gguf_put_scalar(w, "n", JL_GGUF_U32, &value, err);
    if (status == JL_OK)
        status = jl_gguf_put_tensor(w, "x", JL_TYPE_F32, (const uint64_t[]){1}, 1, err);
    if (status == JL_OK)
        status = jl_gguf_write_data(w, &value, 4, err);
    if (status == JL_OK)
        return jl_gguf_writer_finish(w, err);
    jl_gguf_writer_abort(w);
    return status;
}

static void test_write(void **state)
{
    char path[64];
    jl_status status = JL_NO_MEMORY;
    int n = 0;
    snprintf(path, sizeof path, "/tmp/joule-oom-%ld.gguf", (long)getpid());
    for (; status != JL_OK; n++) {
        jl_error err = {JL_OK, 0, ""};
        calls_left = n;
        status = write_model(path, &err);
        if (status != JL_OK) {
            /* The unnamed temporary file is optional: without memory for it a named one is used. */
            assert_int_equal(status, JL_NO_MEMORY);
            assert_int_equal(access(path, F_OK), -1);
        }
    }
    assert_true(n > 8);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_write),
    };
    return cmocka_run_group_tests_name("gguf without memory", tests, NULL, NULL);
}
