/* Vocabularies of every kind with the n-th heap call failing, for every n: test_tok_oom FILE...
 * The linker puts the functions below in front of the library's (--wrap). */
#include "test.h"

#include "base/mem.h"
#include "tok/detok.h"

void *__real_jl_malloc(size_t n_bytes);
void *__real_jl_calloc(size_t count, size_t n_bytes);
void *__wrap_jl_malloc(size_t n_bytes);
void *__wrap_jl_calloc(size_t count, size_t n_bytes);

static long calls_left;
static char **paths;
static int n_paths;
static jl_error err;

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

static jl_gguf *open_file(const char *path)
{
    jl_gguf *g = NULL;
    calls_left = -1;
    assert_ok(jl_gguf_open(path, &g, &err));
    return g;
}

/* Also the vocabulary that lacked nothing it must have works like any other. */
static void test_create(void **state)
{
    for (int i = 0; i < n_paths; i++) {
        jl_gguf *g = open_file(paths[i]);
        jl_status status = JL_NO_MEMORY;
        int n = 0;
        for (; status != JL_OK; n++) {
            jl_vocab *v = NULL;
            err.text[0] = '\0';
            calls_left = n;
            status = jl_vocab_create(g, &v, &err);
            if (status != JL_OK) {
                assert_int_equal(status, JL_NO_MEMORY);
                assert_non_null(strstr(err.text, "memory"));
                assert_null(v);
            }
            jl_vocab_destroy(v);
        }
        assert_true(n > 8); /* the wrapping works */
        jl_gguf_close(g);
    }
}

static void test_encode(void **state)
{
    static char text[20000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "ab \n<|turn>"[i / 9 % 11];
    for (int i = 0; i < n_paths; i++) {
        jl_gguf *g = open_file(paths[i]);
        jl_vocab *v = NULL;
        assert_ok(jl_vocab_create(g, &v, &err));
        const size_t expected = jl_vocab_encode(v, text, sizeof text, 0, NULL, 0);
        size_t got = SIZE_MAX;
        int n = 0;
        for (; got == SIZE_MAX; n++) {
            calls_left = n;
            got = jl_vocab_encode(v, text, sizeof text, 0, NULL, 0);
        }
        assert_true(n > 1);
        assert_int_equal(got, expected);
        jl_vocab_destroy(v);
        jl_gguf_close(g);
    }
}

static void test_detok(void **state)
{
    jl_gguf *g = open_file(paths[0]);
    jl_vocab *v = NULL;
    jl_detok *d = NULL;
    assert_ok(jl_vocab_create(g, &v, &err));
    calls_left = 0;
    assert_fails(jl_detok_open(v, false, &d, &err), JL_NO_MEMORY, "memory");
    assert_null(d);
    jl_vocab_destroy(v);
    jl_gguf_close(g);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s FILE.gguf...\n", argv[0]);
        return 2;
    }
    paths = argv + 1;
    n_paths = argc - 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_detok),
    };
    return cmocka_run_group_tests_name("tok_oom", tests, NULL, NULL);
}
