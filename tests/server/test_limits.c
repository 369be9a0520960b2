/* The server over HTTP with the bundled model. What goes wrong: bad requests, too much, too many,
 * too slow, not allowed. */
#include "test.h"

#include <unistd.h>

#include "bundled.h"
#include "joule/sys.h"

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
                                "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"
                                "Connection: close\r\n\r\n";
    const char *body = "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_tokens\":5}";
    char request[1024];
    (void)state;

    int fd = client_connect(h.port);
    assert_true(client_send(fd, twice, sizeof twice - 1));
    reply r = client_read(fd, CLIENT_SILENCE_MS);
    assert_non_null(strstr(r.body, "\"data\""));
    reply_free(&r);

    const int n =
        snprintf(request, sizeof request,
                 "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s"
                 "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                 strlen(body), body);
    fd = client_connect(h.port);
    assert_true(client_send(fd, request, (size_t)n));
    r = client_read(fd, CLIENT_SILENCE_MS);
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
    reply r = client_read(fd, CLIENT_SILENCE_MS);
    assert_int_equal(r.status, 403);
    reply_free(&r);
    host_stop(locked);
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
        json_t *body = endless_chat(i, 3000);
        send_request(fds[i], body);
        if (i == 0)
            wait_metric("jobs_running", 1);
    }
    for (int i = N - 1; i >= 0; i--) {
        if (i < 3) {
            close(fds[i]);
            continue;
        }
        reply r = client_read(fds[i], CLIENT_SILENCE_MS);
        n_refused += r.status == 429 && strstr(r.head, "Retry-After: ") != NULL;
        reply_free(&r);
    }
    assert_int_equal(n_refused, 3);
    host_stop(tight);
    h = saved;
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
    reply r = client_read(fd, CLIENT_SILENCE_MS);
    assert_true(jl_time_ns() - start < CLIENT_SILENCE_MS * 1000000ull); /* the server closed it */
    assert_true(r.status == 0 || r.status >= 400);
    reply_free(&r);
    host_stop(hasty);
}

static void test_port_taken(void **state)
{
    jl_server *server;
    jl_error err;
    const jl_server_params p = {.struct_size = sizeof p, .port = h.port, .session = {.n_ctx = 512}};
    (void)state;

    assert_fails(jl_server_create(model, &p, &server, &err), JL_IO, "--port");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),      cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_not_http),    cmocka_unit_test(test_pipelined),
        cmocka_unit_test(test_who_may),     cmocka_unit_test(test_queue_full),
        cmocka_unit_test(test_slow_client), cmocka_unit_test(test_port_taken),
    };

    bundled_path(argc, argv);
    return cmocka_run_group_tests(tests, bundled_open, bundled_close);
}
