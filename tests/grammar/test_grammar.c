/* Grammars, their automaton and its masks. */
#include <string.h>

#include "grammar/walk.h"
#include "test.h"

static jl_trie *trie;

static jl_automaton *compile(const char *text, jl_grammar **g)
{
    jl_error err = {0};
    jl_automaton *a;
    if (jl_grammar_parse(text, strlen(text), g, &err) != JL_OK)
        fail_msg("%s: %s", text, err.text);
    assert_ok(jl_automaton_create(*g, trie, walk_specials, 4, &a, &err));
    return a;
}

/* Whether the grammar takes the text, byte by byte. */
static bool takes(const char *grammar, const char *text)
{
    jl_grammar *g;
    jl_automaton *a = compile(grammar, &g);
    jl_error err = {0};
    uint32_t state = jl_automaton_start(a);
    for (size_t i = 0; text[i]; i++)
        assert_ok(jl_automaton_step(a, state, (unsigned char)text[i], text + i, 1, &state, &err));
    const bool yes = jl_automaton_accepts(a, state);
    jl_automaton_free(a);
    jl_grammar_free(g);
    return yes;
}

static void test_language(void **state)
{
    (void)state;
    static const struct {
        const char *grammar, *yes[6], *no[6];
    } cases[] = {
        {"root ::= \"ab\"", {"ab"}, {"", "a", "abc", "b"}},
        {"root ::= \"a\" | \"bc\" |", {"a", "bc", ""}, {"b", "ab"}},
        {"root ::= [a-c]+ [^0-9]?", {"a", "abc", "cé", "b\n"}, {"", "1", "a1", "ax1"}},
        {"root ::= \"x\"{2} \"y\"{1,3} \"z\"{2,}", {"xxyzz", "xxyyyzzz"},
         {"xyzz", "xxzz", "xxyyyyzz", "xxyz"}},
        {"root ::= (\"a\" | b)* # comment\n\nb ::= \"(\" root \")\"\n", {"", "a(a)", "((a)aa)"},
         {"(", "a)", "(a"}},
        {"root ::= a\n  | \"c\"\na ::= ( \"a\"\n  \"b\" )", {"ab", "c"}, {"a", "abc"}},
        {"root ::= .{2}", {"ab", "é😊", "\n\n"}, {"a", "abc", "\xff\xfe", "\xed\xa0\x80x"}},
        {"root ::= [\\u00e9-\\U0001f60a\\x41\\]\\-]", {"é", "😊", "A", "]", "-", "東"}, {"B", "è"}},
        {"root ::= \"\\\"\\\\\\n\"", {"\"\\\n"}, {"\"\\n"}},
        {"root ::= [^\\x00-\\x7f]", {"é", "😊"}, {"a", "\x80"}},
        {"root ::= e \"=\" e\ne ::= t (\"+\" t)*\nt ::= [0-9]+ | \"(\" e \")\"", {"1=1",
         "1+(2+3)=(4)"},
         {"1=", "=1", "1+=1", "(1=1)"}},
        {"root ::= \"a\"* \"a\"* \"a\"*", {"", "aaaaaaaa"}, {"b"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < 6; k++) {
            if (cases[i].yes[k] && !takes(cases[i].grammar, cases[i].yes[k]))
                fail_msg("%s should take \"%s\"", cases[i].grammar, cases[i].yes[k]);
            if (cases[i].no[k] && takes(cases[i].grammar, cases[i].no[k]))
                fail_msg("%s should not take \"%s\"", cases[i].grammar, cases[i].no[k]);
        }
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *grammar, *part;
    } cases[] = {
        {"", "root is not defined"},
        {"root ::= x", "x is not defined"},
        {"root ::= \"a", "line 1: the text ends too early"},
        {"root ::= [a-", "ends too early"},
        {"root ::= [b-a]", "wrong way round"},
        {"root ::= []", "holds no character"},
        {"root ::= \"a\"\nroot ::= \"b\"", "line 2: the rule is defined twice"},
        {"root = \"a\"", "::= was expected"},
        {"root ::= (\"a\"", "a ) was expected"},
        {"root ::= \"a\")", "should end here"},
        {"root ::= \"a\"{2,1}", "{m,n}"},
        {"root ::= \"a\"{99999}", "10000"},
        {"root ::= \"\\q\"", "escape"},
        {"root ::= \"\\u12\"", "hexadecimal"},
        {"root ::= \"\xff\"", "UTF-8"},
        {"root ::= root \"a\"", "begins with itself"},
        {"root ::= a* root \"x\"\na ::= \"a\"", "begins with itself"},
        {"root ::= (\"a\"?)*", "may be empty"},
        {"root ::= %x", "special token"},
        {"root ::= $", "name was expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        jl_grammar *g;
        jl_error err = {0};
        const char *text = cases[i].grammar;
        assert_fails(jl_grammar_parse(text, strlen(text), &g, &err), JL_INVALID, cases[i].part);
    }
}

static void test_too_large(void **state)
{
    (void)state;
    static const char text[] = "root ::= (((\"a\"{1000}){1000}){1000}){9}";
    static const char deep[] = "root ::= \"(\" root \")\" | \"x\"";
    jl_grammar *g;
    jl_error err = {0};
    /* Copies are shared as rules: large counts cost little, and reading stays possible. */
    assert_ok(jl_grammar_parse(text, strlen(text), &g, &err));
    assert_true(g->n_els < 10000);
    jl_grammar_free(g);
    static const char wide[] = "root ::= ( \"a\"{10000} \"b\"{10000} \"c\"{10000} ){0,10000}";
    assert_ok(jl_grammar_parse(wide, strlen(wide), &g, &err));
    jl_grammar_free(g);

    jl_automaton *a = compile(deep, &g);
    uint32_t s = jl_automaton_start(a);
    jl_status status = JL_OK;
    for (int i = 0; i < (1 << 18) && status == JL_OK; i++)
        status = jl_automaton_step(a, s, '(', "(", 1, &s, &err);
    assert_int_equal(status, JL_TOO_LARGE);
    jl_automaton_free(a);
    jl_grammar_free(g);
}

static void test_marks(void **state)
{
    (void)state;
    jl_grammar *g;
    jl_automaton *a = compile("root ::= %\"<|\\\"|>\" [^\\x00]* %\"<|\\\"|>\"", &g);
    jl_error err = {0};
    uint32_t s = jl_automaton_start(a), t;
    const uint32_t *mask;
    assert_ok(jl_automaton_step(a, s, '<', "<", 1, &t, &err));
    assert_int_equal(t, JL_STATE_DEAD);
    assert_ok(jl_automaton_mask(a, s, &mask, &err));
    for (int32_t i = 0; i < WALK_N_TOKENS; i++)
        assert_int_equal(mask[i / 32] >> (i % 32) & 1, i == WALK_QUOTE);
    assert_ok(jl_automaton_step(a, s, WALK_QUOTE, "", 0, &s, &err));
    assert_ok(jl_automaton_step(a, s, 256, "\":", 2, &t, &err));
    assert_int_equal(t, s); /* inside the string nothing changes */
    assert_false(jl_automaton_accepts(a, s));
    assert_ok(jl_automaton_step(a, s, WALK_CALL_OPEN, "", 0, &t, &err));
    assert_int_equal(t, JL_STATE_DEAD);
    assert_ok(jl_automaton_step(a, s, WALK_QUOTE, "", 0, &s, &err));
    assert_true(jl_automaton_accepts(a, s));
    assert_ok(jl_automaton_step(a, s, WALK_END, "", 0, &t, &err));
    assert_int_equal(t, s);
    jl_automaton_free(a);
    jl_grammar_free(g);

    static const char unknown[] = "root ::= %\"<nope>\"";
    assert_ok(jl_grammar_parse(unknown, strlen(unknown), &g, &err));
    assert_fails(jl_automaton_create(g, trie, walk_specials, 4, &a, &err), JL_INVALID, "<nope>");
    jl_grammar_free(g);
}

/* The walk over the tree gives the same mask as trying every token. */
static void test_masks(void **state)
{
    (void)state;
    jl_grammar *g;
    jl_automaton *a = compile(
        "root ::= v\nv ::= \"{\" (k (\",\" \" \"? k)*)? \"}\" | \"[\" (v (\",\" v)*)? \"]\" | s "
        "| [0-9]+ | "
        "\"true\" | \"null\"\nk ::= s \":\" \" \"? v\ns ::= \"\\\"\" ([^\"\\\\\\x00-\\x1f] | "
        "\"\\\\\" [\"n])* \"\\\"\"", &g);
    jl_error err = {0};
    uint64_t seed = 1;
    size_t n_checked = 0;
    for (int run = 0; run < 200; run++) {
        uint32_t s = jl_automaton_start(a);
        for (int i = 0; i < 40; i++) {
            const uint32_t *mask;
            int32_t list[WALK_N_TOKENS];
            size_t n = 0, len;
            assert_ok(jl_automaton_mask(a, s, &mask, &err));
            for (int32_t t = 0; t < WALK_N_TOKENS; t++) {
                uint32_t next;
                const char *piece = walk_piece(t, &len);
                assert_ok(jl_automaton_step(a, s, t, piece, len, &next, &err));
                assert_int_equal(next != JL_STATE_DEAD, mask[t / 32] >> (t % 32) & 1);
                n_checked++;
                if (next != JL_STATE_DEAD && t != WALK_END)
                    list[n++] = t;
            }
            if (n == 0)
                break;
            const int32_t t = list[walk_random(&seed) % n];
            const char *piece = walk_piece(t, &len);
            assert_ok(jl_automaton_step(a, s, t, piece, len, &s, &err));
        }
    }
    assert_true(n_checked > 100000);
    assert_true(jl_automaton_n_masks(a) <= jl_automaton_n_states(a));
    jl_automaton_free(a);
    jl_grammar_free(g);
}

static int setup(void **state)
{
    (void)state;
    trie = walk_trie();
    return trie ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    jl_trie_free(trie);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_language), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_too_large), cmocka_unit_test(test_marks),
        cmocka_unit_test(test_masks),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
