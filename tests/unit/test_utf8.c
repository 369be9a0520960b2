/* UTF-8 against a definition written the other way round: encode every code point, and see which
 * byte strings the decoder accepts. */
#include "base/utf8.h"
#include "test.h"

static void test_every_code_point(void **state)
{
    for (uint32_t cp = 0; cp < 0x110100; cp++) {
        char bytes[4];
        uint32_t back = UINT32_MAX;
        const size_t n = jl_utf8_encode(cp, bytes);
        if (cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff)) {
            assert_int_equal(n, 0);
            continue;
        }
        assert_int_equal(n, cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4);
        assert_int_equal(jl_utf8_decode(bytes, n, &back), n);
        assert_int_equal(back, cp);
        for (size_t cut = 1; cut < n; cut++) {
            assert_int_equal(jl_utf8_len(bytes, cut), 0);
            assert_int_equal(jl_utf8_incomplete(bytes, cut), cut);
        }
        assert_int_equal(jl_utf8_incomplete(bytes, n), 0);
    }
}

/* Of all strings of three bytes exactly those are valid that some code point encodes to. */
static void test_no_other_three_bytes(void **state)
{
    size_t n_valid = 0;
    for (uint32_t v = 0; v < 1u << 24; v++) {
        const char s[3] = {(char)(v >> 16), (char)(v >> 8), (char)v};
        uint32_t cp;
        char back[4];
        if (jl_utf8_len(s, 3) != 3)
            continue;
        n_valid++;
        assert_int_equal(jl_utf8_decode(s, 3, &cp), 3);
        assert_int_equal(jl_utf8_encode(cp, back), 3);
        assert_memory_equal(s, back, 3);
    }
    assert_int_equal(n_valid, 0x10000 - 0x800 - 0x800);
}

static void test_invalid(void **state)
{
    const char *const bad[] = {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80",
                               "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(jl_utf8_len(bad[i], strlen(bad[i])), 0);
        assert_int_equal(jl_utf8_incomplete(bad[i], strlen(bad[i])), 0);
    }
    assert_int_equal(jl_utf8_len("", 0), 0);
    assert_int_equal(jl_utf8_incomplete("", 0), 0);
    assert_int_equal(jl_utf8_incomplete("a\xf0\x9f\x98", 4), 3);
    assert_int_equal(jl_utf8_incomplete("\xed\xa0", 2),
                     0); /* the start of a surrogate never completes */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_point),
        cmocka_unit_test(test_no_other_three_bytes),
        cmocka_unit_test(test_invalid),
    };
    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
