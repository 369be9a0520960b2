/* The server over HTTP with the bundled model: what clients rely on, what goes wrong, who leaves.
 */
#include "test.h"

#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"
#include "client.h"
#include "joule/sys.h"

#define CHAT "/v1/chat/completions"

static jl_model *model;
static const char *model_path;
static host h;

static json_t *chat(const char *text, int seed, int max_tokens)
{
    return json_pack("{s:[{s:s, s:s}], s:i, s:i, s:f, s:b}", "messages", "role", "user", "content",
                     text, "seed", seed, "max_tokens", max_tokens, "temperature", 1.0, "ignore_eos",
                     0);
}

static json_t *choice_of(const reply *r, size_t i)
{
    return json_array_get(json_object_get(r->json, "choices"), i);
}

static const char *content_of(const reply *r, size_t i)
{
    return json_string_value(
        json_object_get(json_object_get(choice_of(r, i), "message"), "content"));
}

static const char *finish_of(const reply *r)
{
    return json_string_value(json_object_get(choice_of(r, 0), "finish_reason"));
}

static json_int_t usage_of(const reply *r, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(r->json, "usage"), name));
}

static json_int_t cached_of(const reply *r)
{
    const json_t *d = json_object_get(json_object_get(r->json, "usage"), "prompt_tokens_details");
    return json_integer_value(json_object_get(d, "cached_tokens"));
}

static reply ask(const char *text, int seed, int max_tokens)
{
    reply r = client_json(h.port, CHAT, chat(text, seed, max_tokens));
    assert_int_equal(r.status, 200);
    assert_non_null(r.json);
    return r;
}

static void pause_ms(int ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l};
    nanosleep(&t, NULL);
}

/* ---- answers ---------------------------------------------------------------------------- */

static void test_whole(void **state)
{
    (void)state;
    reply a = ask("Say something.", 5, 40);
    assert_string_equal(json_string_value(json_object_get(a.json, "object")), "chat.completion");
    assert_string_equal(json_string_value(json_object_get(a.json, "model")), "tiny");
    assert_non_null(content_of(&a, 0));
    assert_true(strcmp(finish_of(&a), "stop") == 0 || strcmp(finish_of(&a), "length") == 0);
    assert_int_equal(usage_of(&a, "total_tokens"),
                     usage_of(&a, "prompt_tokens") + usage_of(&a, "completion_tokens"));
    assert_in_range(usage_of(&a, "completion_tokens"), 1, 40);

    /* the same again: the same text, one prompt token read */
    reply b = ask("Say something.", 5, 40);
    assert_string_equal(content_of(&a, 0), content_of(&b, 0));
    assert_int_equal(cached_of(&b), usage_of(&b, "prompt_tokens") - 1);
    const json_t *timings = json_object_get(b.json, "timings");
    assert_int_equal(json_integer_value(json_object_get(timings, "prompt_n")), 1);
    reply_free(&a);
    reply_free(&b);
}

static void test_length(void **state)
{
    (void)state;
    json_t *body = chat("Count.", 5, 7);
    json_object_set_new(body, "ignore_eos", json_true());
    reply r = client_json(h.port, CHAT, body);
    assert_string_equal(finish_of(&r), "length");
    assert_int_equal(usage_of(&r, "completion_tokens"), 7);
    reply_free(&r);

    /* more than the context: cut to what fits */
    body = chat("Count.", 5, 1 << 30);
    json_object_set_new(body, "stop", json_string("e"));
    r = client_json(h.port, CHAT, body);
    assert_int_equal(r.status, 200);
    reply_free(&r);
}

/* Text of all content deltas; checks what every event must have. */
static void join_deltas(const json_t *events, char *out, size_t cap)
{
    size_t i;
    json_t *e;
    size_t n_finish = 0;

    *out = '\0';
    json_array_foreach(events, i, e)
    {
        if (json_is_string(e)) {
            assert_int_equal(i, json_array_size(events) - 1);
            continue;
        }
        const json_t *choices = json_object_get(e, "choices");
        assert_true(json_is_array(choices));
        const json_t *c = json_array_get(choices, 0);
        const json_t *delta = json_object_get(c, "delta");
        const char *role = json_string_value(json_object_get(delta, "role"));
        assert_true(!role || strcmp(role, "assistant") == 0);
        const char *text = json_string_value(json_object_get(delta, "content"));
        if (text)
            strncat(out, text, cap - strlen(out) - 1);
        n_finish += json_is_string(json_object_get(c, "finish_reason"));
    }
    assert_int_equal(n_finish, 1);
}

static void test_stream_equals_whole(void **state)
{
    char text[4096];
    (void)state;

    for (int seed = 0; seed < 5; seed++) {
        reply whole = ask("Tell me a story.", seed, 50);
        json_t *body = chat("Tell me a story.", seed, 50);
        json_object_set_new(body, "stream", json_true());
        json_object_set_new(body, "stream_options", json_pack("{s:b}", "include_usage", 1));
        reply r = client_json(h.port, CHAT, body);
        assert_non_null(strstr(r.head, "text/event-stream"));
        json_t *events = reply_events(&r);
        join_deltas(events, text, sizeof text);
        assert_string_equal(text, content_of(&whole, 0));
        const size_t n = json_array_size(events);
        assert_string_equal(json_string_value(json_array_get(events, n - 1)), "[DONE]");
        const json_t *usage = json_object_get(json_array_get(events, n - 2), "usage");
        assert_int_equal(json_integer_value(json_object_get(usage, "completion_tokens")),
                         usage_of(&whole, "completion_tokens"));
        json_decref(events);
        reply_free(&r);
        reply_free(&whole);
    }
}

static json_t *long_chat_of(int seed)
{
    json_t *body = chat("Tell me a long story.", seed, 60);

    json_object_set_new(body, "ignore_eos", json_true());
    json_object_set_new(body, "frequency_penalty", json_real(1.5));
    return body;
}

static void test_stop(void **state)
{
    char part[8];
    char text[4096];
    (void)state;

    reply whole = client_json(h.port, CHAT, long_chat_of(2));
    const char *all = content_of(&whole, 0);
    assert_in_range(strlen(all), 20, 4000);
    size_t at = strlen(all) / 2;
    while ((unsigned char)all[at] >= 0x80 || (unsigned char)all[at + 1] >= 0x80)
        at++; /* not within a character */
    snprintf(part, sizeof part, "%.2s", all + at);
    const size_t n_before = (size_t)(strstr(all, part) - all);
    for (int stream = 0; stream < 2; stream++) {
        json_t *body = long_chat_of(2);
        json_object_set_new(body, "stop", json_pack("[s, s]", "\x7f\x7f", part));
        json_object_set_new(body, "stream", json_boolean(stream));
        reply r = client_json(h.port, CHAT, body);
        if (stream) {
            json_t *events = reply_events(&r);
            join_deltas(events, text, sizeof text);
            json_decref(events);
        } else {
            assert_string_equal(finish_of(&r), "stop");
            snprintf(text, sizeof text, "%s", content_of(&r, 0));
        }
        assert_int_equal(strlen(text), n_before);
        assert_memory_equal(text, all, n_before);
        reply_free(&r);
    }
    reply_free(&whole);
}

static void test_many_choices(void **state)
{
    (void)state;
    json_t *body = chat("Pick a word.", 30, 20);
    json_object_set_new(body, "n", json_integer(3));
    reply r = client_json(h.port, CHAT, body);
    assert_int_equal(json_array_size(json_object_get(r.json, "choices")), 3);
    for (int i = 0; i < 3; i++) { /* choice i has the seed of a request with seed + i */
        reply one = ask("Pick a word.", 30 + i, 20);
        assert_string_equal(content_of(&r, (size_t)i), content_of(&one, 0));
        reply_free(&one);
    }
    reply_free(&r);
}

static void test_logprobs(void **state)
{
    size_t i;
    json_t *t;
    (void)state;

    json_t *body = chat("Hello", 3, 12);
    json_object_set_new(body, "logprobs", json_true());
    json_object_set_new(body, "top_logprobs", json_integer(4));
    json_object_set_new(body, "temperature", json_integer(0));
    reply r = client_json(h.port, CHAT, body);
    json_t *list = json_object_get(json_object_get(choice_of(&r, 0), "logprobs"), "content");
    assert_true(json_array_size(list) > 0);
    json_array_foreach(list, i, t)
    {
        const json_t *top = json_object_get(t, "top_logprobs");
        double last = 0.0;
        assert_int_equal(json_array_size(top), 4);
        for (size_t k = 0; k < 4; k++) {
            const double p = json_number_value(json_object_get(json_array_get(top, k), "logprob"));
            assert_true(p <= last);
            last = p;
        }
        /* greedy: the token taken is the best one */
        assert_true(json_number_value(json_object_get(t, "logprob")) ==
                    json_number_value(json_object_get(json_array_get(top, 0), "logprob")));
    }
    reply_free(&r);
}

static void test_logit_bias(void **state)
{
    (void)state;
    json_t *body = chat("Hello", 3, 5);
    json_object_set_new(body, "logit_bias", json_pack("{s:i}", "300", 100));
    json_object_set_new(body, "ignore_eos", json_true());
    reply r = client_json(h.port, CHAT, body);
    size_t len;
    const char *piece = jl_token_text(model, 300, &len);
    assert_int_equal(usage_of(&r, "completion_tokens"), 5);
    if (len > 0 && (unsigned char)piece[0] < 0x80) {
        char want[64];
        snprintf(want, sizeof want, "%.*s%.*s", (int)len, piece, (int)len, piece);
        assert_non_null(strstr(content_of(&r, 0), want));
    }
    reply_free(&r);
}

/* An answer sent back is not read again: only its end mark and what follows. */
static void test_second_turn(void **state)
{
    (void)state;
    reply first = ask("What is a joule?", 11, 40);
    const json_int_t n_known = usage_of(&first, "total_tokens") - 1;
    json_t *body = json_pack("{s:[{s:s, s:s}, {s:s, s:s}, {s:s, s:s}], s:i, s:i}", "messages",
                             "role", "user", "content", "What is a joule?", "role", "assistant",
                             "content", content_of(&first, 0), "role", "user", "content",
                             "And a watt?", "seed", 1, "max_tokens", 10);
    reply second = client_json(h.port, CHAT, body);
    assert_int_equal(second.status, 200);
    assert_int_equal(cached_of(&second), n_known);
    reply_free(&first);
    reply_free(&second);
}

static void test_completions(void **state)
{
    (void)state;
    json_t *body = json_pack("{s:s, s:i, s:i, s:i}", "prompt", "Once upon a time", "max_tokens", 10,
                             "seed", 4, "logprobs", 2);
    reply r = client_json(h.port, "/v1/completions", body);
    assert_int_equal(r.status, 200);
    assert_true(json_is_string(json_object_get(choice_of(&r, 0), "text")));
    assert_non_null(json_object_get(json_object_get(choice_of(&r, 0), "logprobs"), "tokens"));
    reply_free(&r);

    /* tokens instead of text give the same */
    r = client_json(h.port, "/tokenize",
                    json_pack("{s:s, s:b}", "content", "Once upon a time", "add_special", 1));
    json_t *tokens = json_incref(json_object_get(r.json, "tokens"));
    reply_free(&r);
    for (int i = 0; i < 2; i++) {
        body = json_pack("{s:O, s:i, s:i}", "prompt", tokens, "max_tokens", 10, "seed", 4);
        if (i == 0)
            json_object_set_new(body, "prompt", json_string("Once upon a time"));
        reply one = client_json(h.port, "/v1/completions", body);
        assert_int_equal(one.status, 200);
        if (i == 0)
            r = one;
        else {
            assert_string_equal(json_string_value(json_object_get(choice_of(&one, 0), "text")),
                                json_string_value(json_object_get(choice_of(&r, 0), "text")));
            reply_free(&one);
        }
    }
    reply_free(&r);
    r = client_json(h.port, "/detokenize", json_pack("{s:o}", "tokens", tokens));
    assert_non_null(
        strstr(json_string_value(json_object_get(r.json, "content")), "Once upon a time"));
    reply_free(&r);
}

/* ---- forms and calls -------------------------------------------------------------------- */

static json_t *weather_tool(void)
{
    return json_loads(
        "[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"description\":\"d\","
        "\"parameters\":{\"type\":\"object\",\"properties\":{\"city\":{\"type\":"
        "\"string\",\"enum\":[\"Rome\",\"Oslo\"]},\"days\":{\"type\":\"integer\","
        "\"enum\":[1,2]}},\"required\":[\"city\",\"days\"]}}}]",
        0, NULL);
}

static void test_forms(void **state)
{
    static const char *const formats[] = {
        "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\",\"schema\":{\"type\":\"object\","
        "\"properties\":{\"a\":{\"enum\":[1,2]},\"b\":{\"type\":\"boolean\"}},\"required\":[\"a\","
        "\"b\"],"
        "\"additionalProperties\":false}}}",
        "{\"type\":\"json_object\",\"schema\":{\"type\":\"object\",\"properties\":{\"a\":{"
        "\"const\":1},"
        "\"b\":{\"type\":\"boolean\"}},\"required\":[\"a\",\"b\"],\"additionalProperties\":false}}",
    };
    (void)state;

    for (int i = 0; i < 12;
         i++) { /* whatever the seed, with and without thinking, streamed or not */
        json_t *body = chat("Answer in JSON.", i, 400);
        json_object_set_new(body, "response_format", json_loads(formats[i % 2], 0, NULL));
        json_object_set_new(body, "chat_template_kwargs",
                            json_pack("{s:b}", "enable_thinking", i % 3 == 1));
        json_object_set_new(body, "reasoning_budget", json_integer(20));
        if (i % 3 == 2)
            json_object_set_new(body, "tools", weather_tool());
        reply r = client_json(h.port, CHAT, body);
        assert_int_equal(r.status, 200);
        if (strcmp(finish_of(&r), "stop") == 0) {
            json_t *v = json_loads(content_of(&r, 0), 0, NULL);
            assert_int_equal(json_object_size(v), 2);
            assert_in_range(json_integer_value(json_object_get(v, "a")), 1, 2);
            assert_true(json_is_boolean(json_object_get(v, "b")));
            json_decref(v);
        } else {
            assert_int_equal(i % 3, 2); /* a call instead */
        }
        reply_free(&r);
    }
    json_t *body = chat("Yes or no?", 1, 50);
    json_object_set_new(body, "grammar", json_string("root ::= \"yes\" | \"no\""));
    reply r = client_json(h.port, CHAT, body);
    assert_true(strcmp(content_of(&r, 0), "yes") == 0 || strcmp(content_of(&r, 0), "no") == 0);
    assert_string_equal(finish_of(&r), "stop");
    reply_free(&r);
}

static void check_call(const json_t *call)
{
    const json_t *fn = json_object_get(call, "function");
    json_t *arguments = json_loads(json_string_value(json_object_get(fn, "arguments")), 0, NULL);
    const char *city = json_string_value(json_object_get(arguments, "city"));

    assert_string_equal(json_string_value(json_object_get(fn, "name")), "weather");
    assert_true(json_is_string(json_object_get(call, "id")));
    assert_true(city && (strcmp(city, "Rome") == 0 || strcmp(city, "Oslo") == 0));
    assert_in_range(json_integer_value(json_object_get(arguments, "days")), 1, 2);
    json_decref(arguments);
}

/* A forced call, and its result sent back: nothing is read twice. */
static void test_forced_call(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        json_t *body = chat("How is the weather?", i, 300);
        json_object_set_new(body, "tools", weather_tool());
        json_object_set_new(body, "parallel_tool_calls", json_false());
        json_object_set_new(
            body, "tool_choice",
            i % 2 ? json_string("required")
                  : json_pack("{s:s, s:{s:s}}", "type", "function", "function", "name", "weather"));
        reply r = client_json(h.port, CHAT, body);
        assert_int_equal(r.status, 200);
        assert_string_equal(finish_of(&r), "tool_calls");
        json_t *m = json_object_get(choice_of(&r, 0), "message");
        assert_int_equal(json_array_size(json_object_get(m, "tool_calls")), 1);
        json_t *call = json_array_get(json_object_get(m, "tool_calls"), 0);
        check_call(call);

        body = json_pack("{s:[{s:s, s:s}, {s:s, s:s, s:[O]}, {s:s, s:O, s:s}], s:o, s:i}",
                         "messages", "role", "user", "content", "How is the weather?", "role",
                         "assistant", "content", "", "tool_calls", call, "role", "tool",
                         "tool_call_id", json_object_get(call, "id"), "content", "sunny", "tools",
                         weather_tool(), "max_tokens", 5);
        reply next = client_json(h.port, CHAT, body);
        assert_int_equal(next.status, 200);
        assert_true(cached_of(&next) >= usage_of(&r, "total_tokens") - 1);
        reply_free(&next);
        reply_free(&r);
    }
}

/* The same call with the same result, nine times: calls are withheld and the answer says so. */
static void test_call_loop(void **state)
{
    (void)state;
    for (int n = 2; n <= 10; n += 8) {
        json_t *body = chat("How is the weather?", 4, 30);
        json_t *messages = json_object_get(body, "messages");
        json_object_set_new(body, "tools", weather_tool());
        for (int i = 0; i < n; i++) {
            char id[16];
            snprintf(id, sizeof id, "call%d", i);
            json_array_append_new(messages,
                                  json_pack("{s:s, s:s, s:[{s:s, s:s, s:{s:s, s:s}}]}", "role",
                                            "assistant", "content", "", "tool_calls", "id", id,
                                            "type", "function", "function", "name", "weather",
                                            "arguments", "{\"city\":\"Rome\",\"days\":1}"));
            json_array_append_new(messages, json_pack("{s:s, s:s, s:s}", "role", "tool",
                                                      "tool_call_id", id, "content", "try again"));
        }
        reply r = client_json(h.port, CHAT, body);
        assert_int_equal(r.status, 200);
        const json_t *details = json_object_get(choice_of(&r, 0), "finish_details");
        const char *reason = json_string_value(json_object_get(details, "reason"));
        if (n == 10) {
            assert_string_equal(reason, "repeated_calls");
            assert_string_not_equal(finish_of(&r), "tool_calls");
        }
        reply_free(&r);
    }
}

/* The arguments of a streamed call begin empty and end as the whole. */
static void test_streamed_call(void **state)
{
    char text[1024] = "";
    size_t i;
    json_t *e;
    (void)state;

    json_t *body = chat("How is the weather?", 1, 300);
    json_object_set_new(body, "tools", weather_tool());
    json_object_set_new(body, "tool_choice", json_string("required"));
    json_object_set_new(body, "parallel_tool_calls", json_false());
    json_object_set_new(body, "stream", json_true());
    reply r = client_json(h.port, CHAT, body);
    json_t *events = reply_events(&r);
    json_array_foreach(events, i, e)
    {
        const json_t *c = json_array_get(json_object_get(e, "choices"), 0);
        const json_t *calls = json_object_get(json_object_get(c, "delta"), "tool_calls");
        const json_t *fn = json_object_get(json_array_get(calls, 0), "function");
        if (!fn)
            continue;
        const char *piece = json_string_value(json_object_get(fn, "arguments"));
        assert_non_null(piece);
        if (!*text)
            assert_true(json_object_get(fn, "name") ? !*piece : true);
        strncat(text, piece, sizeof text - strlen(text) - 1);
    }
    json_t *arguments = json_loads(text, 0, NULL);
    assert_int_equal(json_object_size(arguments), 2);
    json_decref(arguments);
    json_decref(events);
    reply_free(&r);
}

/* ---- errors ----------------------------------------------------------------------------- */

static const struct {
    const char *path, *body;
    int status;
    const char *code, *param;
} bad[] = {
    {CHAT, "", 400, "invalid_json", NULL},
    {CHAT, "{\"messages\":[}", 400, "invalid_json", NULL},
    {CHAT, "[1]", 400, "invalid_json", NULL},
    {CHAT, "{\"a\":1,\"a\":2}", 400, "invalid_json", NULL},
    {CHAT, "{\"messages\":\"\xff\xfe\"}", 400, "invalid_json", NULL},
    {CHAT, "{}", 400, "missing_field", "messages"},
    {CHAT, "{\"messages\":7}", 400, "invalid_type", "messages"},
    {CHAT, "{\"messages\":[]}", 400, "invalid_value", "messages"},
    {CHAT, "{\"messages\":[{\"role\":\"king\",\"content\":\"x\"}]}", 400, NULL, "messages"},
    {CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":7}]}", 400, NULL, "messages"},
    {CHAT,
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{"
     "\"url\":"
     "\"data:\"}}]}]}",
     400, NULL, "messages"},
    {CHAT, "{\"model\":\"gpt-9\",\"messages\":[]}", 404, "model_not_found", "model"},
    {CHAT, "{\"messages\":[],\"temperature\":\"hot\"}", 400, "invalid_type", "temperature"},
    {CHAT, "{\"messages\":[],\"temperature\":-1}", 400, "out_of_range", "temperature"},
    {CHAT, "{\"messages\":[],\"max_tokens\":0}", 400, "out_of_range", "max_tokens"},
    {CHAT, "{\"messages\":[],\"max_tokens\":1.5}", 400, "invalid_type", "max_tokens"},
    {CHAT, "{\"messages\":[],\"n\":17}", 400, "out_of_range", "n"},
    {CHAT, "{\"messages\":[],\"stop\":[\"\"]}", 400, "invalid_type", "stop"},
    {CHAT, "{\"messages\":[],\"stop\":7}", 400, "invalid_type", "stop"},
    {CHAT, "{\"messages\":[],\"logit_bias\":{\"x\":1}}", 400, "invalid_type", "logit_bias"},
    {CHAT, "{\"messages\":[],\"logit_bias\":{\"99999999\":1}}", 400, "out_of_range", "logit_bias"},
    {CHAT, "{\"messages\":[],\"stream\":\"yes\"}", 400, "invalid_type", "stream"},
    {CHAT, "{\"messages\":[],\"stream_options\":[]}", 400, "invalid_type", "stream_options"},
    {CHAT, "{\"messages\":[],\"top_logprobs\":99}", 400, "out_of_range", "top_logprobs"},
    {CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"grammar\":\"root ::= (\"}", 400,
     NULL, "response_format"},
    {CHAT,
     "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"response_format\":{\"type\":"
     "\"json_schema\",\"json_schema\":{\"schema\":{\"type\":\"string\",\"pattern\":\"a\"}}}}",
     400, "unsupported_parameter", "response_format"},
    {CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tool_choice\":\"required\"}",
     400, "invalid_value", "tool_choice"},
    {CHAT, "{\"messages\":[],\"functions\":[{}]}", 400, "unsupported_parameter", "functions"},
    {CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tools\":7}", 400, NULL,
     "messages"},
    {"/v1/completions", "{}", 400, "invalid_type", "prompt"},
    {"/v1/completions", "{\"prompt\":[1,\"x\"]}", 400, "out_of_range", "prompt"},
    {"/v1/completions", "{\"prompt\":\"x\",\"echo\":true}", 400, "unsupported_parameter", "echo"},
    {"/tokenize", "{}", 400, "invalid_type", "content"},
    {"/detokenize", "{\"tokens\":[-1]}", 400, "out_of_range", "tokens"},
    {"/v1/nothing", "{}", 404, "not_found", NULL},
    {"/v1/models", "{}", 405, "method_not_allowed", NULL},
};

static void test_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        reply r = client_request(h.port, bad[i].path, NULL, bad[i].body);
        const json_t *e = json_object_get(r.json, "error");
        const char *code = json_string_value(json_object_get(e, "code"));
        const char *param = json_string_value(json_object_get(e, "param"));
        const char *message = json_string_value(json_object_get(e, "message"));
        if (r.status != bad[i].status || !message || !*message ||
            (bad[i].code && (!code || strcmp(code, bad[i].code) != 0)) ||
            (bad[i].param && (!param || strcmp(param, bad[i].param) != 0)))
            fail_msg("%s %s: %d %s", bad[i].path, bad[i].body, r.status, r.body);
        reply_free(&r);
    }
}

static void test_overflow(void **state)
{
    enum { N = 200000 };
    char *text = malloc(N + 1);
    (void)state;

    for (size_t i = 0; i < N; i++)
        text[i] = i % 4 ? (char)('a' + i * i % 23) : ' ';
    text[N] = '\0';
    for (int stream = 0; stream < 2; stream++) {
        json_t *body = chat(text, 1, 10);
        json_object_set_new(body, "stream", json_boolean(stream));
        reply r = client_json(h.port, CHAT, body);
        assert_int_equal(r.status, 400); /* before the stream */
        const json_t *e = json_object_get(r.json, "error");
        assert_string_equal(json_string_value(json_object_get(e, "code")),
                            "context_length_exceeded");
        assert_non_null(strstr(r.body, "maximum context length is"));
        reply_free(&r);
    }
    free(text);
}

/* Bytes that are no request, or half of one: the connection ends, the server lives. */
static void test_not_http(void **state)
{
    static const char *const raw[] = {
        "\r\n\r\n",
        "hello\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "POST " CHAT " HTTP/1.1\r\n",
        "POST " CHAT " HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        "POST " CHAT " HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        "POST " CHAT " HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "GET http://[::1 HTTP/1.1\r\n\r\n",
        "GET /%zz%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "BREW /pot HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    };
    (void)state;

    for (size_t i = 0; i < sizeof raw / sizeof *raw; i++) {
        const int fd = client_connect(h.port);
        assert_true(client_send(fd, raw[i], strlen(raw[i])));
        reply r = client_read(fd, 200);
        assert_true(r.status == 0 || r.status >= 400);
        reply_free(&r);
    }
    reply r = client_request(h.port, "/health", NULL, NULL);
    assert_int_equal(r.status, 200);
    reply_free(&r);
}

/* A second request on the same connection, sent before the first is answered. */
static void test_pipelined(void **state)
{
    static const char twice[] = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
                                "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const char *body = "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_tokens\":5}";
    char request[1024];
    (void)state;

    int fd = client_connect(h.port);
    assert_true(client_send(fd, twice, sizeof twice - 1));
    reply r = client_read(fd, 300);
    assert_non_null(strstr(r.body, "\"data\""));
    reply_free(&r);

    const int n =
        snprintf(request, sizeof request,
                 "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s"
                 "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                 strlen(body), body);
    fd = client_connect(h.port);
    assert_true(client_send(fd, request, (size_t)n));
    r = client_read(fd, 5000);
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(r.body, "\"status\":\"ok\""));
    reply_free(&r);
}

static void test_who_may(void **state)
{
    const host locked =
        host_start(model, (jl_server_params){.api_key = "secret-7", .session = {.n_ctx = 512}});
    const struct {
        const char *headers, *path;
        int status;
    } cases[] = {
        {NULL, "/v1/models", 401},
        {NULL, "/health", 200},
        {"Authorization: Bearer secret-7\r\n", "/v1/models", 200},
        {"Authorization: Bearer secret-\r\n", "/v1/models", 401},
        {"Authorization: Bearer secret-77\r\n", "/v1/models", 401},
        {"Authorization: Basic secret-7\r\n", "/v1/models", 401},
        {"x-api-key: secret-7\r\n", "/v1/models", 200},
        {"x-api-key: secret-7\r\nOrigin: http://evil.example\r\n", "/v1/models", 403},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        reply r = client_request(locked.port, cases[i].path, cases[i].headers, NULL);
        assert_int_equal(r.status, cases[i].status);
        reply_free(&r);
    }
    static const char foreign[] =
        "GET /health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    const int fd = client_connect(locked.port);
    assert_true(client_send(fd, foreign, sizeof foreign - 1));
    reply r = client_read(fd, 2000);
    assert_int_equal(r.status, 403);
    reply_free(&r);
    host_stop(locked);
}

/* ---- clients that leave ----------------------------------------------------------------- */

static void send_request(int fd, json_t *body)
{
    char head[512];
    char *text = json_dumps(body, JSON_COMPACT);
    const int n = snprintf(head, sizeof head,
                           "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\n"
                           "Content-Length: %zu\r\n\r\n",
                           strlen(text));

    assert_true(client_send(fd, head, (size_t)n));
    assert_true(client_send(fd, text, strlen(text)));
    free(text);
    json_decref(body);
}

/* Milliseconds until a metric reaches a value; fails after 60 s. */
static double wait_metric(const char *name, double value)
{
    const uint64_t start = jl_time_ns();

    while (client_metric(h.port, name) != value) {
        assert_true(jl_time_ns() - start < 60000000000u);
        pause_ms(2);
    }
    return (double)(jl_time_ns() - start) * 1e-6;
}

static void test_leave_while_writing(void **state)
{
    char buf[512];
    const double before = client_metric(h.port, "jobs_cancelled_total");
    (void)state;

    for (int stream = 0; stream < 2; stream++) {
        json_t *body = chat("Go on for ever.", 1, 100000);
        json_object_set_new(body, "ignore_eos", json_true());
        json_object_set_new(body, "frequency_penalty", json_real(1.5)); /* against the loop guard */
        json_object_set_new(body, "stream", json_boolean(stream));
        const int fd = client_connect(h.port);
        send_request(fd, body);
        if (stream)
            assert_true(read(fd, buf, sizeof buf) > 0);
        wait_metric("jobs_running", 1);
        close(fd);
        assert_true(wait_metric("jobs_cancelled_total", before + 1 + stream) < 1000);
    }
    assert_true(wait_metric("jobs_running", 0) < 1000);
}

static json_t *long_chat(int n_words, int seed)
{
    char *text = malloc((size_t)n_words * 8 + 1);
    char *at = text;

    for (int i = 0; i < n_words; i++)
        at += sprintf(at, "w%d ", (i * 37 + seed) % 9973);
    json_t *body = chat(text, seed, 4);
    free(text);
    return body;
}

static void test_leave_while_reading(void **state)
{
    const double before = client_metric(h.port, "jobs_cancelled_total");
    (void)state;

    const int fd = client_connect(h.port);
    send_request(fd, long_chat(2500, 1));
    wait_metric("jobs_reading", 1);
    close(fd);
    assert_true(wait_metric("jobs_cancelled_total", before + 1) < 1000);

    /* what was read stays: the retry starts there */
    reply r = client_json(h.port, CHAT, long_chat(2500, 1));
    assert_int_equal(r.status, 200);
    assert_true(cached_of(&r) > 0);
    reply_free(&r);
}

/* While a long prompt is read, a running answer goes on: with a pause of at most 20 ms allowed the
 * prompt is read in many small slices, not in the two or three micro-batches it would fill. */
static void test_stall(void **state)
{
    const host own = host_start(
        model, (jl_server_params){.max_stall_ms = 20, .session = {.n_ctx = 8192, .n_ubatch = 512}});
    const host saved = h;
    (void)state;

    h = own;
    const int fd = client_connect(own.port);
    json_t *body = chat("Go on for ever.", 1, 100000);
    json_object_set_new(body, "ignore_eos", json_true());
    json_object_set_new(body, "frequency_penalty", json_real(1.5));
    json_object_set_new(body, "stream", json_true());
    send_request(fd, body);
    wait_metric("jobs_running", 1);
    const double before = client_metric(own.port, "tokens_generated_total");
    reply r = client_json(own.port, CHAT, long_chat(250, 77));
    assert_int_equal(r.status, 200);
    assert_true(usage_of(&r, "prompt_tokens") > 500);
    assert_true(client_metric(own.port, "tokens_generated_total") - before > 8);
    reply_free(&r);
    close(fd);
    wait_metric("jobs_running", 0);
    host_stop(own);
    h = saved;
}

/* ---- many at once ----------------------------------------------------------------------- */

typedef struct {
    int seed;
    bool stream;
    char text[4096];
} asker;

static void ask_in_thread(void *ctx)
{
    asker *a = ctx;
    char prompt[64];

    snprintf(prompt, sizeof prompt, "Question number %d", a->seed / 2);
    json_t *body = chat(prompt, a->seed, 30);
    json_object_set_new(body, "stream", json_boolean(a->stream));
    reply r = client_json(h.port, CHAT, body);
    assert_int_equal(r.status, 200);
    if (a->stream) {
        json_t *events = reply_events(&r);
        join_deltas(events, a->text, sizeof a->text);
        json_decref(events);
    } else {
        snprintf(a->text, sizeof a->text, "%s", content_of(&r, 0));
    }
    reply_free(&r);
}

static void test_parallel_equals_solo(void **state)
{
    enum { N = 24 };
    static asker askers[N];
    jl_thread *threads[N];
    jl_error err;
    (void)state;

    for (int i = 0; i < N; i++) {
        askers[i] = (asker){.seed = i, .stream = i % 3 == 0};
        assert_ok(jl_thread_start(ask_in_thread, &askers[i], &threads[i], &err));
    }
    for (int i = 0; i < N; i++)
        jl_thread_join(threads[i]);
    for (int i = 0; i < N; i++) {
        asker solo = {.seed = i};
        ask_in_thread(&solo);
        assert_string_equal(solo.text, askers[i].text);
    }
}

static void test_queue_full(void **state)
{
    enum { N = 6 };
    const host tight = host_start(
        model, (jl_server_params){.n_parallel = 1, .n_queue = 2, .session = {.n_ctx = 4096}});
    const host saved = h;
    int fds[N];
    int n_refused = 0;
    (void)state;

    h = tight;
    for (int i = 0; i < N; i++) {
        fds[i] = client_connect(tight.port);
        json_t *body = chat("Go on for ever.", i, 3000);
        json_object_set_new(body, "ignore_eos", json_true());
        json_object_set_new(body, "frequency_penalty", json_real(1.5));
        send_request(fds[i], body);
        if (i == 0)
            wait_metric("jobs_running", 1);
    }
    for (int i = N - 1; i >= 0; i--) {
        if (i < 3) {
            close(fds[i]);
            continue;
        }
        reply r = client_read(fds[i], 2000);
        n_refused += r.status == 429 && strstr(r.head, "Retry-After: ") != NULL;
        reply_free(&r);
    }
    assert_int_equal(n_refused, 3);
    host_stop(tight);
    h = saved;
}

/* Takes nothing of a stream that is many megabytes long: dropped, not stored. */
static void test_slow_reader(void **state)
{
    const int small = 4096;
    const double before = client_metric(h.port, "jobs_cancelled_total");
    const int fd = client_connect(h.port);
    json_t *body = chat("Go on for ever.", 1, 100000);
    (void)state;

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    json_object_set_new(body, "ignore_eos", json_true());
    json_object_set_new(body, "frequency_penalty", json_real(1.5));
    json_object_set_new(body, "stream", json_true());
    json_object_set_new(body, "n", json_integer(4));
    json_object_set_new(body, "logprobs", json_true());
    json_object_set_new(body, "top_logprobs", json_integer(20));
    send_request(fd, body);
    for (int i = 0; i < 6000 && client_metric(h.port, "jobs_cancelled_total") == before; i++)
        pause_ms(20);
    assert_true(client_metric(h.port, "jobs_cancelled_total") > before);
    wait_metric("jobs_running", 0);
    close(fd);
}

/* Sends half a request and waits: dropped after the time-out, others are served meanwhile. */
static void test_slow_client(void **state)
{
    static const char half[] =
        "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{";
    const host hasty =
        host_start(model, (jl_server_params){.timeout_s = 1, .session = {.n_ctx = 512}});
    (void)state;

    const int fd = client_connect(hasty.port);
    assert_true(client_send(fd, half, sizeof half - 1));
    reply ok = client_request(hasty.port, "/health", NULL, NULL);
    assert_int_equal(ok.status, 200);
    reply_free(&ok);
    const uint64_t start = jl_time_ns();
    reply r = client_read(fd, 5000);
    assert_true(jl_time_ns() - start < 4000000000u);
    assert_true(r.status == 0 || r.status >= 400);
    reply_free(&r);
    host_stop(hasty);
}

/* Running answers end, then the server does. */
static void test_graceful(void **state)
{
    const host own = host_start(model, (jl_server_params){.session = {.n_ctx = 2048}});
    json_t *body = chat("Tell me a story.", 3, 150);
    (void)state;

    json_object_set_new(body, "ignore_eos", json_true());
    json_object_set_new(body, "frequency_penalty", json_real(1.5));
    const int fd = client_connect(own.port);
    send_request(fd, body);
    const host saved = h;
    h = own;
    wait_metric("jobs_running", 1);
    h = saved;
    jl_server_stop(own.server);
    bool listens = true;
    for (int i = 0; i < 250 && listens; i++) {
        pause_ms(20);
        const int probe = client_connect(own.port);
        listens = probe >= 0;
        if (listens)
            close(probe);
    }
    assert_false(listens);
    reply r = client_read(fd, 20000);
    assert_int_equal(r.status, 200);
    assert_int_equal(usage_of(&r, "completion_tokens"), 150);
    reply_free(&r);
    host_stop(own);
}

static void test_port_taken(void **state)
{
    jl_server *server;
    jl_error err;
    const jl_server_params p = {.struct_size = sizeof p, .port = h.port, .session = {.n_ctx = 512}};
    (void)state;

    assert_fails(jl_server_create(model, &p, &server, &err), JL_IO, "--port");
}

static void test_idle(void **state)
{
    (void)state;
    pause_ms(300);
    const double before = jl_time_cpu();
    pause_ms(500);
    assert_true(jl_time_cpu() - before < 0.005); /* 1 % */
}

static int open_all(void **state)
{
    jl_error err;
    (void)state;

    if (jl_model_open(model_path, NULL, &model, &err) != JL_OK)
        return -1;
    h = host_start(model, (jl_server_params){.model_name = "tiny",
                                             .cache_ram = 64u << 20,
                                             .session = {.n_ctx = 16384}});
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
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_stream_equals_whole),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_many_choices),
        cmocka_unit_test(test_logprobs),
        cmocka_unit_test(test_logit_bias),
        cmocka_unit_test(test_second_turn),
        cmocka_unit_test(test_completions),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_forced_call),
        cmocka_unit_test(test_call_loop),
        cmocka_unit_test(test_streamed_call),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_not_http),
        cmocka_unit_test(test_pipelined),
        cmocka_unit_test(test_who_may),
        cmocka_unit_test(test_leave_while_writing),
        cmocka_unit_test(test_leave_while_reading),
        cmocka_unit_test(test_stall),
        cmocka_unit_test(test_parallel_equals_solo),
        cmocka_unit_test(test_queue_full),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_slow_client),
        cmocka_unit_test(test_graceful),
        cmocka_unit_test(test_port_taken),
        cmocka_unit_test(test_idle),
    };

    model_path = argc > 1 ? argv[1] : "models/joule-tiny.gguf";
    return cmocka_run_group_tests(tests, open_all, close_all);
}
