#include "client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread.h"
#include "test.h"

static void run_server(void *ctx)
{
    jl_error err;
    assert_ok(jl_server_run(ctx, &err));
}

host host_start(jl_model *model, jl_server_params params)
{
    host h = {0};
    jl_error err;

    params.struct_size = sizeof params;
    params.port = -1;
    params.session.n_threads = params.session.n_threads ? params.session.n_threads : 1;
    assert_ok(jl_server_create(model, &params, &h.server, &err));
    h.port = jl_server_port(h.server);
    assert_ok(jl_thread_start(run_server, h.server, &h.thread, &err));
    return h;
}

void host_stop(host h)
{
    jl_server_stop(h.server);
    jl_thread_join(h.thread);
    jl_server_destroy(h.server);
}

int client_connect(int port)
{
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

bool client_send(int fd, const char *data, size_t len)
{
    while (len > 0) {
        const ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static void join_chunks(reply *r)
{
    char *in = r->body;
    char *out = r->body;

    for (;;) {
        char *end;
        const size_t n = strtoul(in, &end, 16);
        if (end == in || n == 0 || end + 2 + n > r->body + r->body_len)
            break;
        memmove(out, end + 2, n);
        out += n;
        in = end + 2 + n + 2;
    }
    *out = '\0';
    r->body_len = (size_t)(out - r->body);
}

reply client_read(int fd, int max_ms)
{
    reply r = {0};
    size_t len = 0;
    size_t cap = 1 << 16;
    char *text = malloc(cap);
    struct pollfd p = {.fd = fd, .events = POLLIN};

    while (poll(&p, 1, max_ms) > 0) {
        if (cap - len < 4096)
            text = realloc(text, cap *= 2);
        const ssize_t n = recv(fd, text + len, cap - len - 1, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    close(fd);
    text[len] = '\0';
    char *split = strstr(text, "\r\n\r\n");
    r.head = text;
    if (!split) {
        r.body = strdup("");
        return r;
    }
    r.body_len = len - (size_t)(split + 4 - text);
    r.body = malloc(r.body_len + 1);
    memcpy(r.body, split + 4, r.body_len + 1);
    split[2] = '\0';
    sscanf(text, "HTTP/1.1 %d", &r.status);
    if (strstr(text, "Transfer-Encoding: chunked"))
        join_chunks(&r);
    r.json = json_loadb(r.body, r.body_len, JSON_DECODE_ANY, NULL);
    return r;
}

reply client_request(int port, const char *path, const char *headers, const char *body)
{
    char head[2048];
    const int fd = client_connect(port);
    const int n = snprintf(head, sizeof head,
                           "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n"
                           "Content-Length: %zu\r\n%s\r\n",
                           body ? "POST" : "GET", path, port, body ? strlen(body) : 0,
                           headers ? headers : "");

    assert_true(fd >= 0);
    assert_true(client_send(fd, head, (size_t)n));
    if (body)
        assert_true(client_send(fd, body, strlen(body)));
    return client_read(fd, CLIENT_SILENCE_MS);
}

reply client_json(int port, const char *path, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);

    assert_non_null(text);
    reply r = client_request(port, path, "Content-Type: application/json\r\n", text);
    free(text);
    json_decref(body);
    return r;
}

void reply_free(reply *r)
{
    free(r->head);
    free(r->body);
    json_decref(r->json);
    *r = (reply){0};
}

json_t *reply_events(const reply *r)
{
    json_t *events = json_array();

    for (const char *s = r->body; (s = strstr(s, "data: ")) != NULL;) {
        s += 6;
        const char *end = strstr(s, "\n\n");
        assert_non_null(end);
        json_t *e = strncmp(s, "[DONE]", 6) == 0 ? json_string("[DONE]")
                                                 : json_loadb(s, (size_t)(end - s), 0, NULL);
        if (!e)
            fail_msg("event is not JSON: %.200s", s);
        json_array_append_new(events, e);
        s = end;
    }
    return events;
}

double client_metric(int port, const char *name)
{
    char line[80];
    double value = -1;

    reply r = client_request(port, "/metrics", NULL, NULL);
    snprintf(line, sizeof line, "\njoule_%s ", name);
    const char *at = strstr(r.body, line);
    if (at)
        value = strtod(at + strlen(line), NULL);
    reply_free(&r);
    return value;
}
