/* Replies of Llama 3 and Mistral, good and bad, under every split of the stream. */
#include <jansson.h>
#include <string.h>

#include "chat/replay.h"
#include "test.h"

static const char tools_json[] =
    "[{\"function\":{\"name\":\"f\"}},{\"function\":{\"name\":\"g\"}}]";
static json_t *tools;

#define L JL_CALLS_LLAMA3
#define M JL_CALLS_MISTRAL

static const struct {
    const char *name;
    jl_call_style style;
    jl_chat_finish finish;
    const char *reply, *log;
} cases[] = {
    {"text", L, 0, "Hi {there}\n<|eot_id|>more", "C|Hi {there}\n\nF0|stop\n"},
    {"call", L, 0, "{\"name\": \"f\", \"parameters\": {\"a\": [1, \"}\\\"\"]}}<|eot_id|>",
     "B0|f\nA0|{\"a\": [1, \"}\\\"\"]}\nE0|whole\nF0|tool_calls\n"},
    {"call behind the tag", L, 0,
     "<|python_tag|>{\"type\":\"function\",\"name\":\"x\",\"parameters\":{}}"
     "<|eom_id|>",
     "B0|x\nA0|{}\nE0|whole\nF0|tool_calls\n"},
    {"arguments instead of parameters", L, 0, " \n{\"name\":\"g\",\"arguments\":{\"k\":1.50}}",
     "B0|g\nA0|{\"k\":1.50}\nE0|whole\nF0|tool_calls\n"},
    {"two calls", L, 0,
     "{\"name\":\"f\",\"parameters\":{}}; {\"name\":\"g\",\"parameters\":{\"x\":2}}\n",
     "B0|f\nA0|{}\nE0|whole\nB1|g\nA1|{\"x\":2}\nE1|whole\nF0|tool_calls\n"},
    {"text after a call", L, 0, "{\"name\":\"f\",\"parameters\":{}}\nDone",
     "B0|f\nA0|{}\nE0|whole\nC|\nDone\nF0|tool_calls\n"},
    {"an undeclared name is an answer", L, 0, "{\"name\":\"Bob\",\"parameters\":{}}",
     "C|{\"name\":\"Bob\",\"parameters\":{}}\nF0|stop\n"},
    {"other JSON is an answer", L, 0, "{\"a\":{\"name\":\"f\"}} ok",
     "C|{\"a\":{\"name\":\"f\"}} ok\n"
     "F0|stop\n"},
    {"no JSON", L, 0, "{ x ] }", "C|{ x ] }\nF0|stop\n"},
    {"key inside a value", L, 0,
     "{\"x\":{\"parameters\":{\"no\":1}},\"name\":\"f\",\"parameters\":{\"yes\":"
     "\"\\\"parameters\\\":\"}}",
     "B0|f\nA0|{\"yes\":\"\\\"parameters\\\":\"}\nE0|whole\nF0|tool_calls\n"},
    {"newline in a string", L, 0, "{\"name\":\"f\",\"parameters\":{\"a\":\"x\ny\"}}",
     "B0|f\nA0|{\"a\":\"x\\u000ay\"}\nE0|whole\n!-1|RAW_CONTROL\nF0|tool_calls\n"},
    {"arguments as a string", L, 0, "{\"name\":\"f\",\"parameters\":\"{\\\"a\\\":1}\"}",
     "B0|f\nA0|{\"a\":1}\nE0|whole\n!-1|JSON_AS_STRING\nF0|tool_calls\n"},
    {"no arguments", L, 0, "{\"name\":\"f\"}",
     "B0|f\nA0|{}\nE0|whole\n!-1|NO_ARGUMENTS\nF0|tool_calls\n"},
    {"braces missing", L, 0, "{\"name\":\"f\",\"parameters\":{\"a\":\"xy<|eot_id|>",
     "B0|f\nA0|{\"a\":\"xy\"}\nE0|whole\n!-1|QUOTE_MISSING\n!-1|BRACE_MISSING\nF0|tool_calls\n"},
    {"cut off", L, JL_FINISH_LENGTH,
     "{\"name\":\"f\",\"parameters\":{\"a\":", "B0|f\nA0|{\"a\":null}\nE0|cut\nF0|length\n"},
    {"cut before the name", L, JL_FINISH_LENGTH, "{\"na", "C|{\"na\nF0|length\n"},
    {"é and bad bytes", L, 0, "{\"name\":\"f\",\"parameters\":{\"é\":\"\xff\"}}",
     "!-1|BAD_UTF8\nB0|f\nA0|{\"é\":\"\xef\xbf\xbd\"}\nE0|whole\nF0|tool_calls\n"},

    {"text", M, 0, "{\"name\":\"f\"} [x]</s>y", "C|{\"name\":\"f\"} [x]\nF0|stop\n"},
    {"list", M, 0,
     "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": 1}, \"id\": \"abcdef123\"}, "
     "{\"name\": \"g\", \"arguments\": {}}]</s>",
     "B0|f\nA0|{\"a\": 1}\nE0|whole\nB1|g\nA1|{}\nE1|whole\nF0|tool_calls\n"},
    {"list of v3", M, 0, "ok[TOOL_CALLS][{\"arguments\":{\"b\":[]},\"name\":\"f\"}]</s>",
     "C|ok\nB0|f\nA0|{\"b\":[]}\nE0|whole\nF0|tool_calls\n"},
    {"name and arguments", M, 0,
     "[TOOL_CALLS]f[CALL_ID]abcdef123[ARGS]{\"a\": {}}[TOOL_CALLS]g[ARGS]{}",
     "B0|f\nA0|{\"a\": {}}\nE0|whole\nB1|g\nA1|{}\nE1|whole\nF0|tool_calls\n"},
    {"name without marks", M, 0, "[TOOL_CALLS]f{\"a\":1}</s>",
     "B0|f\nA0|{\"a\":1}\nE0|whole\nF0|tool_calls\n"},
    {"no call", M, 0, "[TOOL_CALLS][{\"x\":1}]</s>",
     "!-1|CALL_WITHOUT_NAME\nC|{\"x\":1}]\nF0|stop\n"},
    {"list not closed", M, 0, "[TOOL_CALLS][{\"name\":\"f\",\"arguments\":{}}",
     "B0|f\nA0|{}\nE0|whole\n"
     "F0|tool_calls\n"},
    {"stray mark", M, 0, "a[/INST]b", "C|a\n!-1|STRAY_MARK\nC|b\nF0|stop\n"},
    {"cut name", M, JL_FINISH_LENGTH, "[TOOL_CALLS]re", "C|re\nF0|length\n"},
};

static bool cut_at(void *ctx, size_t i)
{
    return i == *(size_t *)ctx;
}

static bool cut_by_bits(void *ctx, size_t i)
{
    return *(uint64_t *)ctx >> (i % 61) & 1;
}

static void check(size_t i, replay_cut *cut, void *ctx)
{
    const replay_params params = {
        .tools = tools, .finish = cases[i].finish, .style = cases[i].style};
    replay_log log;

    replay(cases[i].reply, strlen(cases[i].reply), &params, cut, ctx, &log);
    if (log.broken || strcmp(log.log, cases[i].log) != 0)
        fail_msg("%s:\n got      %s\n expected %s", cases[i].name, log.log, cases[i].log);
    replay_log_free(&log);
}

static void test_splits(void **state)
{
    uint64_t bits = 0x123456789abcdef;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check(i, NULL, NULL);
        for (size_t at = 1; at < strlen(cases[i].reply); at++)
            check(i, cut_at, &at);
        for (int k = 0; k < 300; k++) {
            bits = bits * 6364136223846793005u + 1442695040888963407u;
            uint64_t b = bits >> 2;
            check(i, cut_by_bits, &b);
        }
    }
}

/* The model's own id comes back, so that the next prompt begins as this one went on. */
static void test_ids(void **state)
{
    static const char reply[] =
        "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": 1}, \"id\": "
        "\"abcDEF123\"}, {\"name\": \"g\", \"arguments\": {}, \"id\": \"x\"}]";
    const replay_params params = {.tools = tools, .style = JL_CALLS_MISTRAL};
    jl_conversation *conv;
    jl_error err = {0};
    jl_reply r;
    char *text;
    size_t len;

    (void)state;
    replay_quietly(reply, &params, &r);
    assert_int_equal(jl_reply_message(&r)->n_calls, 2);
    assert_string_equal(jl_reply_message(&r)->calls[0].id, "abcDEF123");
    assert_int_equal(strncmp(jl_reply_message(&r)->calls[1].id, "call_", 5), 0);
    assert_ok(jl_conversation_create(0, &conv, &err));
    assert_ok(jl_conversation_add(conv, jl_reply_message(&r), &err));
    assert_ok(jl_chat_render_text(JL_CHAT_MISTRAL_V7, conv, NULL, &text, &len, &err));
    assert_non_null(
        strstr(text, "{\"name\": \"f\", \"arguments\": {\"a\": 1}, \"id\": \"abcDEF123\"}"));
    jl_chat_text_free(text);
    jl_conversation_destroy(conv);
    jl_reply_free(&r);
}

static int setup(void **state)
{
    (void)state;
    tools = json_loads(tools_json, 0, NULL);
    return tools ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(tools);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_splits), cmocka_unit_test(test_ids)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
