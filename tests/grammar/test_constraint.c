/* Constraints over a real vocabulary: random allowed tokens give what was asked for. */
#include <jansson.h>
#include <string.h>

#include "joule/chat.h"
#include "joule/grammar.h"
#include "test.h"

static jl_model *model;
static jl_chat *chat;
static jl_token_tree *tree;
static jl_model_info info;

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static bool in(const uint32_t *mask, int32_t t)
{
    return t >= 0 && mask[t / 32] >> (t % 32) & 1;
}

/* One of the tokens allowed; the end, quotes and brackets first when it is time to stop. */
static int32_t choose(const uint32_t *mask, uint64_t *seed, bool hurry)
{
    static const char *const order[] = {"<turn|>", "<tool_call|>", "<|\"|>", "\"", "}", "]", ":",
        "0"};
    for (size_t i = 0; hurry && i < sizeof order / sizeof *order; i++)
        if (in(mask, jl_token_find(model, order[i])))
            return jl_token_find(model, order[i]);
    const int32_t from = (int32_t)(next_random(seed) % info.n_vocab);
    for (uint32_t i = 0; i < info.n_vocab; i++) {
        const int32_t t = (int32_t)((uint32_t)from + i) % (int32_t)info.n_vocab;
        if (in(mask, t))
            return t;
    }
    return -1;
}

/* Generates; returns the number of tokens. */
static size_t generate(jl_constraint *c, uint64_t *seed, int32_t *tokens, size_t cap)
{
    jl_error err = {0};
    size_t n = 0;
    while (n < cap) {
        const uint32_t *mask;
        assert_ok(jl_constraint_mask(c, &mask, &err));
        const int32_t t = choose(mask, seed, n > 30 || next_random(seed) % 4 == 0);
        assert_true(t >= 0);
        assert_ok(jl_constraint_accept(c, t, &err));
        if (jl_token_is_eog(model, t)) {
            assert_true(jl_constraint_can_end(c));
            return n;
        }
        tokens[n++] = t;
    }
    fail_msg("no end after %zu tokens", n);
    return n;
}

static void test_json(void **state)
{
    (void)state;
    static const char schema[] =
        "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":20},"
        "\"n\":{\"type\":"
        "\"integer\"},\"kind\":{\"enum\":[\"a b\",\"c\"]},\"list\":{\"type\":\"array\","
        "\"items\":{\"type\":"
        "\"boolean\"},\"maxItems\":3}},\"required\":[\"name\",\"kind\"],"
        "\"additionalProperties\":false}";
    jl_constraint *c;
    jl_error err = {0};
    uint64_t seed = 1;
    assert_ok(jl_constraint_from_schema(tree, schema, strlen(schema), &c, &err));
    for (int run = 0; run < 50; run++) {
        int32_t tokens[2000];
        char text[8000];
        size_t at = 0, len;
        jl_detok *detok;
        jl_constraint_reset(c);
        const size_t n = generate(c, &seed, tokens, 2000);
        assert_ok(jl_detok_create(model, false, &detok, &err));
        for (size_t i = 0; i < n; i++) {
            const char *s = jl_detok_push(detok, tokens[i], &len);
            memcpy(text + at, s, len);
            at += len;
        }
        jl_detok_destroy(detok);
        json_t *v = json_loadb(text, at, JSON_REJECT_DUPLICATES, NULL);
        if (!v || !json_is_string(json_object_get(v, "name")) || !json_object_get(v, "kind"))
            fail_msg("%.*s", (int)at, text);
        json_decref(v);
    }
    jl_constraint_destroy(c);
}

static void count_repairs(void *ctx, const jl_chat_event *e)
{
    *(int *)ctx += e->kind == JL_EVENT_REPAIR;
}

static void test_calls(void **state)
{
    (void)state;
    static const char tools[] =
        "[{\"function\":{\"name\":\"bash\",\"parameters\":{\"type\":\"object\","
        "\"properties\":{\"command\":{"
        "\"type\":\"string\"},\"timeout\":{\"type\":\"integer\"}},\"required\":[\"command\"]}}}]";
    jl_constraint *c;
    jl_error err = {0};
    uint64_t seed = 2;
    assert_ok(jl_constraint_from_tools(tree, tools, strlen(tools), JL_CALLS_MANY, &c, &err));
    for (int run = 0; run < 50; run++) {
        int32_t tokens[2000];
        int n_repairs = 0;
        jl_chat_parser *parser;
        jl_constraint_reset(c);
        const size_t n = generate(c, &seed, tokens, 2000);
        assert_ok(jl_chat_parser_create(chat, NULL, NULL, count_repairs, &n_repairs, &parser,
                                        &err));
        for (size_t i = 0; i < n; i++)
            assert_ok(jl_chat_parser_push(parser, tokens[i], &err));
        assert_ok(jl_chat_parser_finish(parser, JL_FINISH_STOP, &err));
        const jl_chat_message *m = jl_chat_parser_message(parser);
        assert_int_equal(n_repairs, 0);
        assert_true(m->n_calls >= 1);
        assert_int_equal(m->content.len, 0);
        json_t *v = json_loads(m->calls[0].arguments.ptr, JSON_ALLOW_NUL, NULL);
        assert_true(json_is_string(json_object_get(v, "command")));
        json_decref(v);
        jl_chat_parser_destroy(parser);
    }
    jl_constraint_destroy(c);
}

static void test_errors(void **state)
{
    (void)state;
    jl_constraint *c;
    jl_error err = {0};
    assert_fails(jl_constraint_from_gbnf(tree, "root ::= x", 10, &c, &err), JL_INVALID, "x is not");
    assert_fails(jl_constraint_from_schema(tree, "{", 1, &c, &err), JL_INVALID, "not JSON");
    assert_fails(jl_constraint_from_tools(tree, "[]", 2, 0, &c, &err), JL_INVALID, "none to call");
    assert_fails(jl_constraint_from_gbnf(tree, "root ::= %\"<no>\"", 16, &c, &err), JL_INVALID,
                 "<no>");
    assert_ok(jl_constraint_from_gbnf(tree, "root ::= \"{\"", 12, &c, &err));
    assert_false(jl_constraint_can_end(c));
    assert_fails(jl_constraint_accept(c, jl_token_find(model, "}"), &err), JL_INVALID, "not "
                 "allowed");
    assert_fails(jl_constraint_accept(c, -5, &err), JL_INVALID, "not allowed");
    assert_ok(jl_constraint_accept(c, jl_token_find(model, "{"), &err));
    assert_true(jl_constraint_can_end(c));
    jl_constraint_destroy(c);
}

static int setup(void **state)
{
    (void)state;
    const jl_model_params params = {.struct_size = sizeof params, .vocab_only = true};
    jl_error err = {0};
    if (jl_model_open(JL_TEST_DATA "/tok/gemma4-small.gguf", &params, &model, &err) != JL_OK ||
        jl_chat_create_as(model, JL_CHAT_GEMMA4_SMALL, &chat, &err) != JL_OK ||
        jl_token_tree_create(model, &tree, &err) != JL_OK) {
        print_error("%s\n", err.text);
        return -1;
    }
    jl_model_get_info(model, &info);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    jl_token_tree_destroy(tree);
    jl_chat_destroy(chat);
    jl_model_close(model);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json), cmocka_unit_test(test_calls), cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
