/* The incremental detokeniser. */
#include "test.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "small_vocab.h"
#include "tok/detok.h"

#define MARK "\xe2\x96\x81"
#define BAD "\xef\xbf\xbd"

static jl_error err;

typedef struct {
    jl_vocab *v;
    jl_detok *d;
} fixture;

static fixture open_detok(bool show_special)
{
    fixture f = {NULL, NULL};
    small_vocab *s = sv_begin();
    sv_piece(s, MARK "caf\xc3\xa9", 8, JL_TOKEN_NORMAL);
    sv_piece(s, "\n\n", 2, JL_TOKEN_USER_DEFINED);
    sv_piece(s, "a" MARK MARK "b", 8, JL_TOKEN_NORMAL);
    sv_piece(s, "half\xe2\x82", 6, JL_TOKEN_NORMAL);
    assert_ok(sv_open(s, &f.v, &err));
    free(s);
    assert_ok(jl_detok_open(f.v, show_special, &f.d, &err));
    return f;
}

static void close_detok(fixture *f)
{
    jl_detok_destroy(f->d);
    jl_vocab_destroy(f->v);
}

static void expect_push(jl_detok *d, int32_t token, const char *expected)
{
    size_t len;
    const char *text = jl_detok_push(d, token, &len);
    assert_string_equal(text, expected);
    assert_int_equal(len, strlen(expected));
}

static void expect_flush(jl_detok *d, const char *expected)
{
    size_t len;
    const char *text = jl_detok_flush(d, &len);
    assert_string_equal(text, expected);
    assert_int_equal(len, strlen(expected));
}

static void push_bytes(jl_detok *d, const char *bytes, const char *expected)
{
    char all[64] = "";
    for (; *bytes; bytes++) {
        size_t len;
        strcat(all, jl_detok_push(d, SV_BYTE0 + (unsigned char)*bytes, &len));
    }
    assert_string_equal(all, expected);
}

static void test_pieces(void **state)
{
    fixture f = open_detok(false);
    const int32_t first = SV_BYTE0 + 256;
    expect_push(f.d, first, " caf\xc3\xa9");
    expect_push(f.d, first + 1, "\n\n"); /* user-defined, but text */
    expect_push(f.d, first + 2, "a  b");
    expect_push(f.d, 2, "");
    expect_push(f.d, 6, "");
    expect_push(f.d, 13, "</s>");
    expect_push(f.d, -1, "");
    expect_push(f.d, 1 << 28, "");
    expect_push(f.d, first + 3, "half");
    expect_push(f.d, SV_BYTE0 + 0xac, "\xe2\x82\xac");
    expect_flush(f.d, "");
    close_detok(&f);
}

static void test_show_special(void **state)
{
    fixture f = open_detok(true);
    expect_push(f.d, 2, "<bos>");
    expect_push(f.d, 6, "<|tool_response>");
    close_detok(&f);
}

static void test_bytes(void **state)
{
    fixture f = open_detok(false);
    expect_push(f.d, SV_BYTE0 + 0xf0, "");
    expect_push(f.d, SV_BYTE0 + 0x9f, "");
    expect_push(f.d, SV_BYTE0 + 0x98, "");
    expect_push(f.d, SV_BYTE0 + 0x8a, "\xf0\x9f\x98\x8a");
    push_bytes(f.d, "\xff", BAD);
    push_bytes(f.d, "\xe2\x82" "a", BAD "a");
    push_bytes(f.d, "\xe2\xe2\x82\xac", BAD "\xe2\x82\xac");
    push_bytes(f.d, "\xc0\xaf", BAD BAD);
    push_bytes(f.d, "\xed\xa0\x80", BAD BAD BAD);
    push_bytes(f.d, "\xf0\x9f\x98", "");
    expect_flush(f.d, BAD);
    expect_flush(f.d, "");
    push_bytes(f.d, "\x8a", BAD); /* flush forgot the start */
    push_bytes(f.d, "\xe2", "");
    expect_push(f.d, 2, ""); /* a hidden token between the bytes of one character */
    push_bytes(f.d, "\x82\xac", "\xe2\x82\xac");
    close_detok(&f);
}

static void test_nul(void **state)
{
    fixture f = open_detok(false);
    size_t len;
    const char *text = jl_detok_push(f.d, SV_BYTE0, &len);
    assert_int_equal(len, 1);
    assert_int_equal(text[0], 0);
    close_detok(&f);
}

/* Whatever the tokens: whole sequences only, and no heap call. */
static void test_random(void **state)
{
    fixture f = open_detok(true);
    uint32_t x = 12345;
    const size_t calls = jl_mem_calls();
    for (int i = 0; i < 200000; i++) {
        x = x * 1664525u + 1013904223u;
        const int32_t token = (x >> 8) % 8 ? SV_BYTE0 + (int32_t)((x >> 12) % 256)
                                           : (int32_t)((x >> 12) % 300) - 5;
        size_t len;
        const char *text = jl_detok_push(f.d, token, &len);
        assert_int_equal(text[len], 0);
        for (size_t k = 0; k < len;) {
            const size_t n = jl_utf8_len(text + k, len - k);
            assert_in_range(n, 1, 4);
            k += n;
        }
    }
    assert_int_equal(jl_mem_calls(), calls);
    close_detok(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_show_special),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests_name("detok", tests, NULL, NULL);
}
