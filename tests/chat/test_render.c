/* Conversations against the official templates' output, and what is refused. */
#include <jansson.h>
#include <string.h>

#include "base/file.h"
#include "joule/chat.h"
#include "test.h"

static const char golden[] = JL_TEST_DATA "/chat/gemma4.jsonl";
static const char families[] = JL_TEST_DATA "/chat/families.jsonl";

static jl_chat_format format_of(const char *name)
{
    if (strcmp(name, "large") == 0)
        return JL_CHAT_GEMMA4_LARGE;
    if (strcmp(name, "small") == 0)
        return JL_CHAT_GEMMA4_SMALL;
    for (int f = JL_CHAT_LLAMA3; f <= JL_CHAT_MISTRAL_V11; f++)
        if (strcmp(name, jl_chat_format_name((jl_chat_format)f)) == 0)
            return (jl_chat_format)f;
    fail_msg("unknown format %s", name);
    return JL_CHAT_UNKNOWN;
}

static jl_chat_options read_options(const json_t *v)
{
    jl_chat_options o = {.struct_size = sizeof o};
    o.thinking = json_is_true(json_object_get(v, "thinking"));
    o.no_generation_prompt = json_is_true(json_object_get(v, "no_generation_prompt"));
    o.preserve_thinking = json_is_true(json_object_get(v, "preserve_thinking"));
    return o;
}

static jl_conversation *load(const char *json, size_t len)
{
    jl_conversation *conv;
    jl_error err = {0};
    assert_int_equal(jl_conversation_create(0, &conv, &err), JL_OK);
    if (jl_conversation_load(conv, json, len, &err) != JL_OK)
        fail_msg("%s", err.text);
    return conv;
}

/* Renders one golden case; returns whether the text is the expected one. */
static bool check_case(const char *line, size_t len, size_t number)
{
    json_t *v = json_loadb(line, len, JSON_ALLOW_NUL, NULL);
    assert_non_null(v);
    const char *format = json_string_value(json_object_get(v, "format"));
    const json_t *expected = json_object_get(v, "text");
    const jl_chat_options options = read_options(json_object_get(v, "options"));
    char *request = json_dumps(json_object_get(v, "request"), JSON_COMPACT);
    jl_conversation *conv = load(request, strlen(request));

    char *text = NULL;
    size_t text_len = 0;
    jl_error err = {0};
    const jl_status status =
        jl_chat_render_text(format_of(format), conv, &options, &text, &text_len, &err);
    const bool same = status == JL_OK && text_len == json_string_length(expected) &&
                      memcmp(text, json_string_value(expected), text_len) == 0;
    if (!same)
        print_error("line %zu (%s):\n  got      %s\n  expected %s\n", number, format,
                    status == JL_OK ? text : err.text, json_string_value(expected));
    jl_chat_text_free(text);
    jl_conversation_destroy(conv);
    free(request);
    json_decref(v);
    return same;
}

static void check_file(const char *path, size_t n_min)
{
    jl_file file;
    jl_error err;
    size_t n = 0, n_bad = 0;
    assert_int_equal(jl_file_map(path, &file, &err), JL_OK);
    const char *p = (const char *)file.data, *end = p + file.n_bytes;
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        assert_non_null(stop);
        n++;
        n_bad += !check_case(p, (size_t)(stop - p), n);
        p = stop + 1;
    }
    jl_file_unmap(&file);
    assert_true(n >= n_min);
    assert_int_equal(n_bad, 0);
}

static void test_goldens(void **state)
{
    (void)state;
    check_file(golden, 400);
}

static void test_families(void **state)
{
    (void)state;
    check_file(families, 240);
}

static char *render(const char *json, const jl_chat_options *options)
{
    jl_conversation *conv = load(json, strlen(json));
    char *text;
    size_t len;
    jl_error err = {0};
    if (jl_chat_render_text(JL_CHAT_GEMMA4_LARGE, conv, options, &text, &len, &err) != JL_OK)
        fail_msg("%s", err.text);
    jl_conversation_destroy(conv);
    return text;
}

/* The worked example of the format's reference tests. */
static void test_example(void **state)
{
    (void)state;
    const jl_chat_options thinking = {.thinking = true};
    char *text = render(
        "{\"messages\":[{\"role\":\"system\",\"content\":\"You are helpful.\"},"
        "{\"role\":\"user\",\"content\":\"List files\"},"
        "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"c\","
        "\"type\":\"function\","
        "\"function\":{\"name\":\"bash\",\"arguments\":\"{\\\"command\\\": \\\"ls\\\"}\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"file1.txt\"}],"
        "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"bash\","
        "\"description\":\"Run a command\",\"parameters\":{\"type\":\"object\",\"properties\":{"
        "\"command\":{\"type\":\"string\",\"description\":\"The command\"}},"
        "\"required\":[\"command\"]}}}]}", &thinking);
    assert_string_equal(text,
        "<bos><|turn>system\n<|think|>\nYou are "
        "helpful.<|tool>declaration:bash{description:<|\"|>Run a "
        "command<|\"|>,parameters:{properties:{command:{description:<|\"|>The command<|\"|>,"
        "type:<|\"|>"
        "STRING<|\"|>}},required:[<|\"|>command<|\"|>],type:<|\"|>OBJECT<|\"|>}}<tool|><turn|>\n"
        "<|turn>"
        "user\nList files<turn|>\n<|turn>model\n<|tool_call>call:bash{command:<|\"|>ls<|\"|>}"
        "<tool_call|><|tool_response>response:bash{value:<|\"|>file1.txt<|\"|>}<tool_response|>"
        "<|channel>thought\n");
    jl_chat_text_free(text);
}

/* Arguments may come as an object instead of text; empty and null arguments are no arguments. */
static void test_arguments(void **state)
{
    (void)state;
    static const struct {
        const char *arguments, *expected;
    } cases[] = {{"{\"b\":1,\"A\":\"x\"}", "call:f{A:<|\"|>x<|\"|>,b:1}"},
                 {"\"\"", "call:f{}"}, {"\"null\"", "call:f{}"}, {"null", "call:f{}"},
                 {"\" {} \"", "call:f{}"},
                 {"\"{\\\"n\\\":18446744073709551615}\"", "call:f{n:1.8446744073709552e+19}"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char json[300];
        snprintf(json, sizeof json, "{\"messages\":[{\"role\":\"assistant\","
                 "\"tool_calls\":[{\"function\""
                 ":{\"name\":\"f\",\"arguments\":%s}}]}]}", cases[i].arguments);
        char *text = render(json, NULL);
        if (!strstr(text, cases[i].expected))
            fail_msg("%s: %s", cases[i].arguments, text);
        jl_chat_text_free(text);
    }
}

static void test_invalid_utf8(void **state)
{
    (void)state;
    jl_conversation *conv;
    jl_error err;
    char *text;
    size_t len;
    assert_int_equal(jl_conversation_create(0, &conv, &err), JL_OK);
    const jl_chat_message m = {.role = JL_ROLE_USER, .content = {"a\xff\xc3(\0b", 6}};
    assert_int_equal(jl_conversation_add(conv, &m, &err), JL_OK);
    assert_int_equal(jl_chat_render_text(JL_CHAT_GEMMA4_SMALL, conv, NULL, &text, &len, &err),
                     JL_OK);
    static const char expected[] = "<bos><|turn>user\na\xef\xbf\xbd\xef\xbf\xbd(\0b<turn|>\n"
                                   "<|turn>model\n";
    assert_int_equal(len, sizeof expected - 1);
    assert_memory_equal(text, expected, len);
    jl_chat_text_free(text);
    jl_conversation_destroy(conv);
}

/* Every refusal names the place; the conversation stays as it was. */
static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        jl_status status;
        const char *part;
    } cases[] = {
        {"{\"messages\":[", JL_INVALID, "line 1"},
        {"[]", JL_INVALID, "must be a JSON object"},
        {"{\"messages\":{}}", JL_INVALID, "messages must be an array"},
        {"{\"messages\":[5]}", JL_INVALID, "messages[0] must be an object"},
        {"{\"messages\":[{\"role\":\"wizard\"}]}", JL_INVALID, "wizard"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":5}]}", JL_INVALID, "messages[0].content"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"blob\"}]}]}", JL_INVALID,
         "blob"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}", JL_INVALID,
         "messages[0].content[0].text"},
        {"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
         "\"arguments\":\"{\\\"a\\\":\"}}]}]}", JL_INVALID, "messages[1].tool_calls[0]"},
        {"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
         "\"arguments\":\"[1]\"}}]}]}", JL_INVALID, "must be a JSON object"},
        {"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{}}]}]}", JL_INVALID,
         "no name"},
        {"{\"tools\":{}}", JL_INVALID, "tools must be an array"},
        {"{\"tools\":[{\"type\":\"function\"}]}", JL_INVALID, "tools[0].function"},
        {"{\"tools\":[{\"type\":\"web_search\"}]}", JL_UNSUPPORTED, "tools[0].type"},
        {"{\"tools\":[{\"function\":{\"name\":\"\"}}]}", JL_INVALID, "tools[0].function.name"},
        {"{\"tools\":[{\"function\":{\"name\":\"f\",\"parameters\":[]}}]}", JL_INVALID,
         "parameters"},
    };
    jl_conversation *conv = load("{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}", 45);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        jl_error err = {0};
        const jl_status status = jl_conversation_load(conv, cases[i].json, strlen(cases[i].json),
                                                      &err);
        if (status != cases[i].status || !strstr(err.text, cases[i].part))
            fail_msg("%s: %d %s", cases[i].json, (int)status, err.text);
        assert_int_equal(jl_conversation_length(conv), 1);
    }
    jl_conversation_destroy(conv);
}

/* What can only be said when the prompt is written. */
static void test_render_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        jl_status status;
        const char *part;
    } cases[] = {
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\","
         "\"content\":[{\"type\":"
         "\"text\",\"text\":\"b\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:\"}}]}]}",
         JL_UNSUPPORTED, "messages[1].content[1] is an image"},
        {"{\"messages\":[{\"role\":\"system\",\"content\":[{\"type\":\"input_audio\"}]}]}",
         JL_UNSUPPORTED, "messages[0].content[0] is audio"},
        {"{\"tools\":[{\"function\":{\"name\":\"f\",\"parameters\":{\"properties\":[1]}}}]}",
         JL_INVALID,
         "properties"},
        {"{\"tools\":[{\"function\":{\"name\":\"f\",\"parameters\":{\"required\":\"a\"}}}]}",
         JL_INVALID,
         "required"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        jl_conversation *conv = load(cases[i].json, strlen(cases[i].json));
        char *text = NULL;
        size_t len;
        jl_error err = {0};
        const jl_status status = jl_chat_render_text(JL_CHAT_GEMMA4_LARGE, conv, NULL, &text, &len,
                                                     &err);
        if (status != cases[i].status || !strstr(err.text, cases[i].part))
            fail_msg("%s: %d %s", cases[i].json, (int)status, err.text);
        assert_null(text);
        jl_conversation_destroy(conv);
    }
}

/* JSON nested to any depth is refused, not followed. */
static void test_depth(void **state)
{
    (void)state;
    static char json[4000];
    size_t n = (size_t)sprintf(json, "{\"messages\":[{\"role\":\"assistant\","
                               "\"tool_calls\":[{\"function\":"
                               "{\"name\":\"f\",\"arguments\":{\"a\":");
    for (int i = 0; i < 1000; i++)
        json[n++] = '[';
    for (int i = 0; i < 1000; i++)
        json[n++] = ']';
    strcpy(json + n, "}}}]}]}");
    jl_conversation *conv = load(json, strlen(json));
    char *text = NULL;
    size_t len;
    jl_error err = {0};
    assert_int_equal(jl_chat_render_text(JL_CHAT_GEMMA4_LARGE, conv, NULL, &text, &len, &err),
                     JL_INVALID);
    assert_non_null(strstr(err.text, "nested deeper"));
    jl_conversation_destroy(conv);
}

static void test_limit_and_truncate(void **state)
{
    (void)state;
    jl_conversation *conv;
    jl_error err = {0};
    const jl_chat_message m = {.role = JL_ROLE_USER, .content = jl_chat_str("0123456789")};
    size_t n = 0;
    assert_int_equal(jl_conversation_create(4096, &conv, &err), JL_OK);
    while (n < 100 && jl_conversation_add(conv, &m, &err) == JL_OK)
        n++;
    assert_true(n > 3 && n < 100);
    assert_int_equal(err.status, JL_TOO_LARGE);
    assert_int_equal(jl_conversation_length(conv), n);
    jl_conversation_truncate(conv, 1);
    assert_int_equal(jl_conversation_length(conv), 1);
    assert_string_equal(jl_conversation_at(conv, 0)->content.ptr, "0123456789");
    assert_null(jl_conversation_at(conv, 1));
    assert_int_equal(jl_conversation_add(conv, &m, &err), JL_OK);
    jl_conversation_destroy(conv);
}

static void test_identify(void **state)
{
    (void)state;
#define MARKS "<|turn> <turn|> <|channel> <channel|> <|tool_call> <|tool_response> <|\"|>"
    static const struct {
        const char *text;
        jl_chat_format format;
        const char *part;
    } cases[] = {
        {MARKS " {{- '<|channel>thought\\n<channel|>' -}}", JL_CHAT_GEMMA4_LARGE, "with an empty"},
        {MARKS " {{- '<|channel>thought\n<channel|>' -}}", JL_CHAT_GEMMA4_LARGE, "with an empty"},
        {MARKS, JL_CHAT_GEMMA4_SMALL, "without an empty"},
        {MARKS "<|im_start|>", JL_CHAT_UNKNOWN, "ChatML"},
        {"<|start_header_id|>", JL_CHAT_UNKNOWN, "Llama 3.0"},
        {"<|start_header_id|> Cutting Knowledge Date", JL_CHAT_LLAMA3, "Llama 3"},
        {"[SYSTEM_PROMPT][INST]", JL_CHAT_MISTRAL_V7, "system turns"},
        {"[AVAILABLE_TOOLS][{ [INST]", JL_CHAT_MISTRAL_V3, "Tekken"},
        {"[SYSTEM_PROMPT][INST][CALL_ID][ARGS]", JL_CHAT_MISTRAL_V11, "3.2"},
        {"[SYSTEM_PROMPT][INST][ARGS]", JL_CHAT_UNKNOWN, "newer"},
        {"[INST] ", JL_CHAT_UNKNOWN, "older"},
        {"[INST] {{ x }}", JL_CHAT_UNKNOWN, "Mistral"},
        {"<start_of_turn>", JL_CHAT_UNKNOWN, "Gemma 2 or 3"},
        {"<|turn> <turn|>", JL_CHAT_UNKNOWN, "does not write <|channel>"},
        {"{{ messages }}", JL_CHAT_UNKNOWN, "--raw"},
        {" \n", JL_CHAT_UNKNOWN, "no chat template"},
        {NULL, JL_CHAT_UNKNOWN, "no chat template"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        jl_chat_identity id;
        jl_chat_identify(cases[i].text, cases[i].text ? strlen(cases[i].text) : 0, &id);
        assert_int_equal(id.format, cases[i].format);
        assert_false(id.official);
        if (!strstr(id.text, cases[i].part))
            fail_msg("%s: %s", cases[i].text, id.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens), cmocka_unit_test(test_families),
        cmocka_unit_test(test_example),
        cmocka_unit_test(test_arguments),      cmocka_unit_test(test_invalid_utf8),
        cmocka_unit_test(test_refusals),       cmocka_unit_test(test_render_refusals),
        cmocka_unit_test(test_depth),          cmocka_unit_test(test_limit_and_truncate),
        cmocka_unit_test(test_identify),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
