/* The other wire APIs over HTTP: the same answer in other shapes, results of tools on the way back.
 */
#include <unistd.h>

#include "test.h"

#include "client.h"

static jl_model *model;
static const char *model_path;
static host h;

static json_t *parse(const char *text)
{
    json_error_t e;
    json_t *v = json_loads(text, 0, &e);

    if (!v)
        fail_msg("test data: %s in %s", e.text, text);
    return v;
}

static json_t *get(const json_t *o, const char *key)
{
    return json_object_get(o, key);
}

static const char *str(const json_t *o, const char *key)
{
    const char *s = json_string_value(get(o, key));
    return s ? s : "(none)";
}

static reply post(const char *path, json_t *body)
{
    reply r = client_json(h.port, path, body);
    if (r.status != 200)
        fail_msg("%s: %d %s", path, r.status, r.body);
    return r;
}

/* What /v1/chat/completions says to this question with this seed. */
static reply reference(int seed)
{
    json_t *body =
        parse("{\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\","
              "\"content\":\"Tell me a long story.\"}],\"max_tokens\":40}");
    json_object_set_new(body, "seed", json_integer(seed));
    return post("/v1/chat/completions", body);
}

static const char *reference_text(const reply *r)
{
    return str(get(json_array_get(get(r->json, "choices"), 0), "message"), "content");
}

#define TOOL_PARAMETERS                                                                            \
    "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"enum\":[\"Rome\","       \
    "\"Oslo\"]}},"                                                                                 \
    "\"required\":[\"city\"]}"

static void assert_city(const json_t *arguments)
{
    const char *city = str(arguments, "city");
    assert_true(strcmp(city, "Rome") == 0 || strcmp(city, "Oslo") == 0);
}

/* ---- Anthropic -------------------------------------------------------------------------- */

static json_t *anthropic(int seed, bool stream)
{
    json_t *body =
        parse("{\"system\":[{\"type\":\"text\",\"text\":\"Be brief.\"}],\"messages\":[{\"role\":"
              "\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Tell me a long story.\"}]}],"
              "\"max_tokens\":40}");
    json_object_set_new(body, "seed", json_integer(seed));
    json_object_set_new(body, "stream", json_boolean(stream));
    return body;
}

static void test_messages(void **state)
{
    (void)state;
    for (int seed = 0; seed < 3; seed++) {
        reply want = reference(seed);
        reply r = post("/v1/messages", anthropic(seed, false));
        const json_t *block = json_array_get(get(r.json, "content"), 0);
        assert_string_equal(str(r.json, "type"), "message");
        assert_string_equal(str(block, "type"), "text");
        assert_string_equal(str(block, "text"), reference_text(&want));
        const json_t *usage = get(r.json, "usage");
        assert_int_equal(json_integer_value(get(usage, "input_tokens")) +
                             json_integer_value(get(usage, "cache_read_input_tokens")),
                         json_integer_value(get(get(want.json, "usage"), "prompt_tokens")));
        reply_free(&r);
        reply_free(&want);
    }
}

static void test_messages_stream(void **state)
{
    char text[4096] = "";
    char order[512] = "";
    size_t i;
    json_t *e;
    (void)state;

    reply want = reference(1);
    reply r = post("/v1/messages", anthropic(1, true));
    json_t *events = reply_events(&r);
    json_array_foreach(events, i, e)
    {
        const char *type = str(e, "type");
        if (strcmp(type, "content_block_delta") == 0) {
            strcat(text, str(get(e, "delta"), "text"));
            continue;
        }
        assert_true(strlen(order) < sizeof order - 40);
        strcat(strcat(order, type), " ");
        if (strcmp(type, "message_delta") == 0)
            assert_true(json_is_string(get(get(e, "delta"), "stop_reason")));
    }
    assert_string_equal(text, reference_text(&want));
    assert_string_equal(order, "message_start content_block_start content_block_stop message_delta "
                               "message_stop ");
    json_decref(events);
    reply_free(&r);
    reply_free(&want);
}

static void test_messages_tools(void **state)
{
    (void)state;
    json_t *tools = parse(
        "[{\"name\":\"weather\",\"description\":\"d\",\"input_schema\":" TOOL_PARAMETERS "}]");
    json_t *body =
        parse("{\"max_tokens\":200,\"messages\":[{\"role\":\"user\",\"content\":\"Weather?\"}],"
              "\"tool_choice\":{\"type\":\"any\",\"disable_parallel_tool_use\":true}}");
    json_object_set(body, "tools", tools);
    reply r = post("/v1/messages", body);
    assert_string_equal(str(r.json, "stop_reason"), "tool_use");
    json_t *content = get(r.json, "content");
    json_t *call = json_array_get(content, json_array_size(content) - 1);
    assert_string_equal(str(call, "type"), "tool_use");
    assert_city(get(call, "input"));

    body = json_pack(
        "{s:i, s:O, s:[{s:s, s:s}, {s:s, s:O}, {s:s, s:[{s:s, s:s, s:s}, {s:s, s:s}]}]}",
        "max_tokens", 5, "tools", tools, "messages", "role", "user", "content", "Weather?", "role",
        "assistant", "content", content, "role", "user", "content", "type", "tool_result",
        "tool_use_id", str(call, "id"), "content", "sunny", "type", "text", "text", "Thanks");
    reply next = post("/v1/messages", body);
    const json_int_t before =
        json_integer_value(get(get(r.json, "usage"), "input_tokens")) +
        json_integer_value(get(get(r.json, "usage"), "cache_read_input_tokens")) +
        json_integer_value(get(get(r.json, "usage"), "output_tokens"));
    assert_true(json_integer_value(get(get(next.json, "usage"), "cache_read_input_tokens")) >=
                before - 1);
    reply_free(&next);
    reply_free(&r);
    json_decref(tools);
}

static void test_count_tokens(void **state)
{
    (void)state;
    reply want = reference(0);
    reply r = post("/v1/messages/count_tokens", anthropic(0, false));
    assert_int_equal(json_integer_value(get(r.json, "input_tokens")),
                     json_integer_value(get(get(want.json, "usage"), "prompt_tokens")));
    reply_free(&r);
    reply_free(&want);
}

/* Structured output, by its name of today and that of the beta. */
static void test_messages_format(void **state)
{
    static const char *const formats[] = {
        "{\"output_config\":{\"format\":{\"type\":\"json_schema\","
        "\"schema\":" TOOL_PARAMETERS "}}}",
        "{\"output_format\":{\"type\":\"json_schema\",\"schema\":" TOOL_PARAMETERS "}}",
    };
    (void)state;

    for (size_t i = 0; i < 2; i++) {
        json_t *body = anthropic(1, false);
        json_t *format = parse(formats[i]);
        json_object_update(body, format);
        json_object_set_new(body, "max_tokens", json_integer(100));
        json_decref(format);
        reply r = post("/v1/messages", body);
        json_t *v = parse(str(json_array_get(get(r.json, "content"), 0), "text"));
        assert_city(v);
        json_decref(v);
        reply_free(&r);
    }
}

/* ---- Responses -------------------------------------------------------------------------- */

static json_t *responses(int seed, bool stream)
{
    json_t *body = parse(
        "{\"instructions\":\"Be brief.\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":"
        "\"input_text\",\"text\":\"Tell me a long story.\"}]}],\"max_output_tokens\":40}");
    json_object_set_new(body, "seed", json_integer(seed));
    json_object_set_new(body, "stream", json_boolean(stream));
    return body;
}

static const char *output_text(const json_t *response)
{
    const json_t *item = json_array_get(get(response, "output"), 0);
    return str(json_array_get(get(item, "content"), 0), "text");
}

static void test_responses(void **state)
{
    char text[4096] = "";
    size_t i;
    json_t *e;
    json_t *last = NULL;
    (void)state;

    reply want = reference(1);
    reply r = post("/v1/responses", responses(1, false));
    assert_string_equal(output_text(r.json), reference_text(&want));
    reply_free(&r);

    r = post("/v1/responses", responses(1, true));
    json_t *events = reply_events(&r);
    json_array_foreach(events, i, e)
    {
        assert_int_equal(json_integer_value(get(e, "sequence_number")), i);
        if (strcmp(str(e, "type"), "response.output_text.delta") == 0)
            strcat(text, str(e, "delta"));
        last = e;
    }
    assert_string_equal(text, reference_text(&want));
    assert_string_equal(str(json_array_get(events, 0), "type"), "response.created");
    assert_true(strcmp(str(last, "type"), "response.completed") == 0 ||
                strcmp(str(last, "type"), "response.incomplete") == 0);
    assert_string_equal(output_text(get(last, "response")), text);
    json_decref(events);
    reply_free(&r);
    reply_free(&want);
}

static void test_responses_tools(void **state)
{
    (void)state;
    json_t *tools =
        parse("[{\"type\":\"function\",\"name\":\"weather\",\"parameters\":" TOOL_PARAMETERS "}]");
    json_t *body = parse(
        "{\"input\":\"Weather?\",\"tool_choice\":\"required\",\"parallel_tool_calls\":false}");
    json_object_set(body, "tools", tools);
    reply r = post("/v1/responses", body);
    json_t *output = get(r.json, "output");
    json_t *call = json_array_get(output, json_array_size(output) - 1);
    assert_string_equal(str(call, "type"), "function_call");
    json_t *arguments = parse(str(call, "arguments"));
    assert_city(arguments);
    json_decref(arguments);

    body = json_pack("{s:O, s:[{s:s, s:s}], s:i}", "tools", tools, "input", "role", "user",
                     "content", "Weather?", "max_output_tokens", 5);
    json_array_extend(get(body, "input"), output);
    json_array_append_new(get(body, "input"),
                          json_pack("{s:s, s:s, s:s}", "type", "function_call_output", "call_id",
                                    str(call, "call_id"), "output", "sunny"));
    reply next = post("/v1/responses", body);
    const json_int_t cached = json_integer_value(
        get(get(get(next.json, "usage"), "input_tokens_details"), "cached_tokens"));
    assert_true(cached >= json_integer_value(get(get(r.json, "usage"), "total_tokens")) - 1);
    reply_free(&next);
    reply_free(&r);
    json_decref(tools);
}

/* ---- Ollama ----------------------------------------------------------------------------- */

static void test_ollama_chat(void **state)
{
    char text[4096] = "";
    (void)state;

    reply want = reference(1);
    for (int stream = 0; stream < 2; stream++) {
        json_t *body = parse(
            "{\"model\":\"tiny:latest\",\"messages\":[{\"role\":\"system\",\"content\":\"Be "
            "brief.\"},"
            "{\"role\":\"user\",\"content\":\"Tell me a long story.\"}],\"options\":{\"seed\":1,"
            "\"num_predict\":40}}");
        if (!stream)
            json_object_set_new(body, "stream", json_false());
        reply r = post("/api/chat", body);
        if (!stream) {
            assert_string_equal(str(get(r.json, "message"), "content"), reference_text(&want));
            assert_true(json_is_true(get(r.json, "done")));
        }
        for (char *s = r.body; stream && *s;) {
            char *end = strchr(s, '\n');
            assert_non_null(end);
            *end = '\0';
            json_t *one = parse(s);
            strcat(text, str(get(one, "message"), "content"));
            assert_int_equal(json_is_true(get(one, "done")), end[1] == '\0');
            json_decref(one);
            s = end + 1;
        }
        if (stream)
            assert_string_equal(text, reference_text(&want));
        reply_free(&r);
    }
    reply_free(&want);
}

static void test_ollama_others(void **state)
{
    (void)state;
    reply want = reference(1);
    reply r = post("/api/generate",
                   parse("{\"system\":\"Be brief.\",\"prompt\":\"Tell me a long story.\","
                         "\"stream\":false,\"options\":{\"seed\":1,\"num_predict\":40}}"));
    assert_string_equal(str(r.json, "response"), reference_text(&want));
    reply_free(&r);
    reply_free(&want);

    r = post("/api/chat",
             parse("{\"stream\":false,\"messages\":[{\"role\":\"user\",\"content\":\"Yes?\"}],"
                   "\"format\":{\"type\":\"object\",\"properties\":{\"a\":{\"enum\":[1,2]}},"
                   "\"required\":[\"a\"],\"additionalProperties\":false}}"));
    json_t *v = parse(str(get(r.json, "message"), "content"));
    assert_in_range(json_integer_value(get(v, "a")), 1, 2);
    json_decref(v);
    reply_free(&r);

    r = client_request(h.port, "/v1/models/tiny", NULL, NULL);
    assert_string_equal(str(r.json, "id"), "tiny");
    reply_free(&r);
    r = client_request(h.port, "/v1/models/other", NULL, NULL);
    assert_int_equal(r.status, 404);
    reply_free(&r);
    r = client_request(h.port, "/api/tags", NULL, NULL);
    assert_string_equal(str(json_array_get(get(r.json, "models"), 0), "name"), "tiny");
    reply_free(&r);
    r = post("/api/show", parse("{\"model\":\"tiny\"}"));
    assert_true(json_array_size(get(r.json, "capabilities")) == 3);
    reply_free(&r);
}

/* ---- errors in the shape of each -------------------------------------------------------- */

static void test_errors(void **state)
{
    static const struct {
        const char *path, *body;
        int status;
    } bad[] = {
        {"/v1/messages", "{", 400},
        {"/v1/messages", "{\"max_tokens\":5}", 400},
        {"/v1/messages", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", 400},
        {"/v1/messages",
         "{\"model\":\"other\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}"
         "]}",
         404},
        {"/v1/messages",
         "{\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\","
         "\"source\":{}}]}]}",
         400},
        {"/v1/messages",
         "{\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
         "\"output_format\":{\"type\":\"xml\"}}",
         400},
        {"/v1/messages/count_tokens", "{}", 400},
        {"/v1/responses", "{}", 400},
        {"/v1/responses", "{\"input\":\"x\",\"previous_response_id\":\"r\"}", 400},
        {"/v1/responses", "{\"input\":\"x\",\"tools\":[{\"type\":\"web_search\"}]}", 400},
        {"/v1/responses", "{\"input\":[{\"type\":\"strange\"}]}", 400},
        {"/api/chat", "{}", 400},
        {"/api/chat", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"images\":[\"aa\"]}]}",
         400},
        {"/api/chat", "{\"model\":\"other\",\"messages\":[]}", 404},
        {"/api/generate", "{\"prompt\":7}", 400},
        {"/api/show", "{\"model\":\"other\"}", 404},
    };
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        reply r = client_request(h.port, bad[i].path, NULL, bad[i].body);
        const json_t *e = get(r.json, "error");
        const bool ollama = bad[i].path[1] == 'a';
        if (r.status != bad[i].status ||
            (ollama ? !json_is_string(e) : !json_is_string(get(e, "message"))))
            fail_msg("%s %s: %d %s", bad[i].path, bad[i].body, r.status, r.body);
        if (strncmp(bad[i].path, "/v1/messages", 12) == 0)
            assert_string_equal(str(r.json, "type"), "error");
        reply_free(&r);
    }
}

/* ---- a template that is none of ours ---------------------------------------------------- */

/* A copy of the bundled model whose chat template is something else, of the same length. */
static jl_model *open_foreign(void)
{
    static const char key[] = "tokenizer.chat_template";
    char path[64];
    uint64_t len;
    jl_model *foreign = NULL;
    jl_error err;
    FILE *f = fopen(model_path, "rb");
    char *bytes = malloc(64u << 20);
    assert_true(f && bytes);
    const size_t n = fread(bytes, 1, 64u << 20, f);
    fclose(f);
    char *text = memmem(bytes, n, key, sizeof key - 1);
    assert_non_null(text);
    text += sizeof key - 1 + 4; /* the type of the value */
    memcpy(&len, text, sizeof len);
    memset(text + sizeof len, 'x', len);
    snprintf(path, sizeof path, "/tmp/joule-foreign-%ld.gguf", (long)getpid());
    f = fopen(path, "wb");
    assert_true(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
    free(bytes);
    assert_ok(jl_model_open(path, NULL, &foreign, &err));
    remove(path);
    return foreign;
}

static void test_unknown_template(void **state)
{
    static const char *const bodies[][2] = {
        {"/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"},
        {"/v1/messages",
         "{\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"},
        {"/v1/responses", "{\"input\":\"x\"}"},
        {"/api/chat", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"}};
    jl_model *foreign = open_foreign();
    host other = host_start(foreign, (jl_server_params){.model_name = "foreign",
                                                        .session = {.n_ctx = 256}});
    (void)state;

    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        reply r = client_request(other.port, bodies[i][0], NULL, bodies[i][1]);
        assert_int_equal(r.status, 501);
        assert_non_null(strstr(r.body, "template"));
        reply_free(&r);
    }
    reply r = client_request(other.port, "/v1/completions", NULL,
                             "{\"prompt\":\"The sea\",\"max_tokens\":3}");
    assert_int_equal(r.status, 200);
    reply_free(&r);
    host_stop(other);
    jl_model_close(foreign);
}

static int open_all(void **state)
{
    jl_error err;
    (void)state;

    if (jl_model_open(model_path, NULL, &model, &err) != JL_OK)
        return -1;
    h = host_start(model, (jl_server_params){.model_name = "tiny",
                                             .cache_ram = 64u << 20,
                                             .session = {.n_ctx = 4096}});
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    host_stop(h);
    jl_model_close(model);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),       cmocka_unit_test(test_messages_stream),
        cmocka_unit_test(test_messages_tools), cmocka_unit_test(test_messages_format),
        cmocka_unit_test(test_count_tokens),
        cmocka_unit_test(test_responses),      cmocka_unit_test(test_responses_tools),
        cmocka_unit_test(test_ollama_chat),    cmocka_unit_test(test_ollama_others),
        cmocka_unit_test(test_errors),         cmocka_unit_test(test_unknown_template),
    };

    model_path = argc > 1 ? argv[1] : "models/joule-tiny.gguf";
    return cmocka_run_group_tests(tests, open_all, close_all);
}
