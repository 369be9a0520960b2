/* The server over HTTP with the bundled model. What clients rely on: answers, streams, forms and
 * calls. */
#include "test.h"

#include "bundled.h"

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

static void test_logprobs_without_alternatives(void **state)
{
    size_t i;
    json_t *t;
    (void)state;

    json_t *body = chat("Hello", 3, 12);
    json_object_set_new(body, "logprobs", json_true());
    reply r = client_json(h.port, CHAT, body);
    json_t *list = json_object_get(json_object_get(choice_of(&r, 0), "logprobs"), "content");
    assert_true(json_array_size(list) > 0);
    json_array_foreach(list, i, t)
    {
        assert_true(json_number_value(json_object_get(t, "logprob")) <= 0.0);
        assert_int_equal(json_array_size(json_object_get(t, "top_logprobs")), 0);
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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_stream_equals_whole),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_many_choices),
        cmocka_unit_test(test_logprobs),
        cmocka_unit_test(test_logprobs_without_alternatives),
        cmocka_unit_test(test_logit_bias),
        cmocka_unit_test(test_second_turn),
        cmocka_unit_test(test_completions),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_forced_call),
        cmocka_unit_test(test_call_loop),
        cmocka_unit_test(test_streamed_call),
    };

    bundled_path(argc, argv);
    return cmocka_run_group_tests(tests, bundled_open, bundled_close);
}
