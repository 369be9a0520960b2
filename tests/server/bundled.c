#include "bundled.h"

#include <time.h>

#include "joule/sys.h"
#include "test.h"

enum { WAIT_S = 500 };

jl_model *model;
host h;
static const char *model_path = "models/joule-tiny.gguf";

void bundled_path(int argc, char **argv)
{
    if (argc > 1)
        model_path = argv[1];
}

int bundled_open(void **state)
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

int bundled_close(void **state)
{
    (void)state;
    host_stop(h);
    jl_model_close(model);
    return 0;
}

json_t *chat(const char *text, int seed, int max_tokens)
{
    return json_pack("{s:[{s:s, s:s}], s:i, s:i, s:f, s:b}", "messages", "role", "user", "content",
                     text, "seed", seed, "max_tokens", max_tokens, "temperature", 1.0, "ignore_eos",
                     0);
}

json_t *choice_of(const reply *r, size_t i)
{
    return json_array_get(json_object_get(r->json, "choices"), i);
}

const char *content_of(const reply *r, size_t i)
{
    return json_string_value(
        json_object_get(json_object_get(choice_of(r, i), "message"), "content"));
}

const char *finish_of(const reply *r)
{
    return json_string_value(json_object_get(choice_of(r, 0), "finish_reason"));
}

json_int_t usage_of(const reply *r, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(r->json, "usage"), name));
}

json_int_t cached_of(const reply *r)
{
    const json_t *d = json_object_get(json_object_get(r->json, "usage"), "prompt_tokens_details");
    return json_integer_value(json_object_get(d, "cached_tokens"));
}

void pause_ms(int ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l};
    nanosleep(&t, NULL);
}

void join_deltas(const json_t *events, char *out, size_t cap)
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

void send_request(int fd, json_t *body)
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

static void wait_for(const char *name, double value, bool above)
{
    const uint64_t start = jl_time_ns();

    for (;;) {
        const double now = client_metric(h.port, name);
        if (above ? now > value : now == value)
            return;
        if (jl_time_ns() - start > WAIT_S * 1000000000ull)
            fail_msg("%s stays at %g, waiting for %s%g", name, now, above ? "more than " : "",
                     value);
        pause_ms(2);
    }
}

void wait_metric(const char *name, double value)
{
    wait_for(name, value, false);
}

void wait_metric_above(const char *name, double value)
{
    wait_for(name, value, true);
}

json_t *endless_chat(int seed, int max_tokens)
{
    json_t *body = chat("Go on for ever.", seed, max_tokens);

    json_object_set_new(body, "ignore_eos", json_true());
    json_object_set_new(body, "frequency_penalty", json_real(1.5)); /* against the loop guard */
    return body;
}

json_t *long_chat(int n_words, int seed)
{
    char *text = malloc((size_t)n_words * 8 + 1);
    char *at = text;

    for (int i = 0; i < n_words; i++)
        at += sprintf(at, "w%d ", (i * 37 + seed) % 9973);
    json_t *body = chat(text, seed, 4);
    free(text);
    return body;
}

reply ask(const char *text, int seed, int max_tokens)
{
    reply r = client_json(h.port, CHAT, chat(text, seed, max_tokens));
    assert_int_equal(r.status, 200);
    assert_non_null(r.json);
    return r;
}
