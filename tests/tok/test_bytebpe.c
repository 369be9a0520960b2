/* Byte-level kinds beyond what the goldens show: test_bytebpe LLAMA3.gguf TEKKEN.gguf. */
#include "test.h"

#include "small_vocab.h"
#include "tok/detok.h"

static jl_error err;
static char **paths;

static jl_vocab *open_file(const char *path)
{
    jl_gguf *g = NULL;
    jl_vocab *v = NULL;
    assert_ok(jl_gguf_open(path, &g, &err));
    assert_ok(jl_vocab_create(g, &v, &err));
    jl_gguf_close(g);
    return v;
}

static void expect_eog(const jl_vocab *v, const char *text, bool expected)
{
    const int32_t id = jl_vocab_find(v, text, strlen(text));
    assert_true(id >= 0);
    assert_true(jl_vocab_is_special(v, id));
    assert_int_equal(jl_vocab_is_eog(v, id), expected);
}

static void test_ends(void **state)
{
    jl_vocab *v = open_file(paths[1]);
    expect_eog(v, "<|eot_id|>", true);
    expect_eog(v, "<|end_of_text|>", true);
    expect_eog(v, "<|eom_id|>", true);
    expect_eog(v, "<|begin_of_text|>", false);
    assert_string_equal(jl_vocab_piece(v, jl_vocab_bos(v)).ptr, "<|begin_of_text|>");
    jl_vocab_destroy(v);
    v = open_file(paths[2]);
    expect_eog(v, "</s>", true);
    expect_eog(v, "[INST]", false);
    assert_string_equal(jl_vocab_piece(v, jl_vocab_bos(v)).ptr, "<s>");
    jl_vocab_destroy(v);
}

/* Any bytes come back exactly, valid or not. */
static void test_round_trip(void **state)
{
    uint32_t x = 99;
    for (int file = 1; file <= 2; file++) {
        jl_vocab *v = open_file(paths[file]);
        for (int round = 0; round < 2000; round++) {
            char text[100], back[400];
            int32_t ids[100];
            size_t n_back = 0;
            const size_t len = (size_t)round % sizeof text;
            for (size_t i = 0; i < len; i++) {
                x = x * 1664525u + 1013904223u;
                text[i] = x >> 30 ? "the 1 \n\xc3\xa9's"[(x >> 16) % 11] : (char)(x >> 16);
            }
            const size_t n = jl_vocab_encode(v, text, len, 0, ids, 100);
            assert_in_range(n, 0, len);
            for (size_t i = 0; i < n; i++)
                n_back += jl_vocab_decode(v, ids[i], true, back + n_back, sizeof back - n_back);
            assert_int_equal(n_back, len);
            assert_memory_equal(back, text, len);
        }
        jl_vocab_destroy(v);
    }
}

/* Tokens that hold parts of a character are joined before they are shown. */
static void test_detok(void **state)
{
    jl_vocab *v = open_file(paths[1]);
    jl_detok *d = NULL;
    int32_t ids[32];
    char all[64] = "";
    const char text[] = "\xe5\x9b\xae \xf0\x9f\x98\x8a";
    assert_ok(jl_detok_open(v, false, &d, &err));
    const size_t n = jl_vocab_encode(v, text, strlen(text), JL_TOKENIZE_BOS, ids, 32);
    for (size_t i = 0; i < n; i++) {
        size_t len;
        strcat(all, jl_detok_push(d, ids[i], &len));
    }
    assert_string_equal(all, text);
    jl_detok_destroy(d);
    jl_vocab_destroy(v);
}

static void test_refused(void **state)
{
    jl_vocab *v = NULL;
    small_vocab *s = sv_begin();
    s->model = "gpt2";
    s->pre = "llama-bpe";
    assert_fails(sv_open(s, &v, &err), JL_FORMAT, "byte 0x00");
    s->pre = "qwen2";
    assert_fails(sv_open(s, &v, &err), JL_UNSUPPORTED, "qwen2");
    s->pre = NULL;
    assert_fails(sv_open(s, &v, &err), JL_UNSUPPORTED, "gpt2");
    free(s);
}

/* One word of more bytes than the backtracking steps a matcher has by default. */
static void test_long_word(void **state)
{
    const size_t len = 10160000;
    char *text = malloc(len);
    memset(text, ' ', len);
    jl_vocab *v = open_file(paths[1]);
    assert_int_equal(jl_vocab_encode(v, text, len, 0, NULL, 0),
                     1000 * jl_vocab_encode(v, text, len / 1000, 0, NULL, 0));
    jl_vocab_destroy(v);
    free(text);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s LLAMA3.gguf TEKKEN.gguf\n", argv[0]);
        return 2;
    }
    paths = argv;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_detok),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_long_word),
    };
    return cmocka_run_group_tests_name("bytebpe", tests, NULL, NULL);
}
