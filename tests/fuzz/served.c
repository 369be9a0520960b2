#include "served.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread.h"
#include "joule/server.h"
#include "joule/synth.h"

enum { QUIET_MS = 4, PATIENCE_MS = 600000 /* a hang is a finding, a busy machine is not */ };

static struct {
    jl_model *model;
    jl_server *server;
    jl_thread *thread;
} it;

static void run_server(void *ctx)
{
    jl_error err;
    fuzz_require(jl_server_run(ctx, &err) == JL_OK);
}

static void stop(void)
{
    jl_server_stop(it.server);
    jl_server_stop(it.server);
    jl_thread_join(it.thread);
    jl_server_destroy(it.server);
    jl_model_close(it.model);
}

static void open_model(void)
{
    char path[64];
    const jl_synth_params what = {.struct_size = sizeof what, .shape = "tiny", .type = "Q8_0",
                                  .n_layer = 1, .n_threads = 1, .seed = 1,
                                  .vocab_path = JL_FUZZ_VOCAB};
    jl_error err = {0};
    snprintf(path, sizeof path, "/tmp/joule-fuzz-%ld.gguf", (long)getpid());
    const jl_status status = jl_synth_write(&what, path, &err);
    if (status != JL_OK || jl_model_open(path, NULL, &it.model, &err) != JL_OK) {
        fprintf(stderr, "no model: %s\n", err.text);
        abort();
    }
    unlink(path);
}

int served_port(void)
{
    const jl_server_params params = {
        .struct_size = sizeof params, .port = -1, .model_name = "tiny", .n_parallel = 2,
        .cache_ram = 8u << 20, .max_body = 1u << 20, .timeout_s = 600,
        .session = {.struct_size = sizeof(jl_session_params), .n_ctx = SERVED_CTX, .n_threads = 1}};
    jl_error err = {0};
    if (it.server)
        return jl_server_port(it.server);
    open_model();
    if (jl_server_create(it.model, &params, &it.server, &err) != JL_OK ||
        jl_thread_start(run_server, it.server, &it.thread, &err) != JL_OK) {
        fprintf(stderr, "no server: %s\n", err.text);
        abort();
    }
    atexit(stop);
    return jl_server_port(it.server);
}

/* A connect that the timer of libFuzzer interrupts goes on by itself. 0, or why it failed. */
static int connect_to(int fd, const struct sockaddr_in *to)
{
    int reason = 0;
    socklen_t n = sizeof reason;

    if (connect(fd, (const struct sockaddr *)to, sizeof *to) == 0)
        return 0;
    if (errno != EINTR)
        return errno;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    while (poll(&p, 1, PATIENCE_MS) < 0 && errno == EINTR)
        continue;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &reason, &n) == 0 ? reason : errno;
}

static int dial(void)
{
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)served_port()),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    /* thousands of connections per second would use up the ports: none of them lingers */
    const struct linger gone = {.l_onoff = 1};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    fuzz_require(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &gone, sizeof gone);
    const int reason = connect_to(fd, &to);
    if (reason) {
        fprintf(stderr, "cannot reach the server: %s\n", strerror(reason));
        abort();
    }
    return fd;
}

/* libFuzzer's timer interrupts waits. */
static int wait_for(int fd, int max_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;
    do
        n = poll(&p, 1, max_ms);
    while (n < 0 && errno == EINTR);
    return n;
}

/* False when the server has closed or says nothing for so long. */
static bool read_some(int fd, served_reply *r, int max_ms)
{
    if (wait_for(fd, max_ms) <= 0) {
        fuzz_require(max_ms != PATIENCE_MS);
        return false;
    }
    r->text = realloc(r->text, r->len + 65536 + 1);
    fuzz_require(r->text);
    const ssize_t n = recv(fd, r->text + r->len, 65536, 0);
    if (n <= 0)
        return n < 0 && errno == EINTR;
    r->len += (size_t)n;
    return true;
}

served_reply served_exchange(const char *data, size_t len, bool patient)
{
    served_reply r = {calloc(1, 1), 0};
    const int fd = dial();
    while (len > 0) { /* the server may have closed already: what it said is read all the same */
        const ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        data += n;
        len -= (size_t)n;
    }
    while (read_some(fd, &r, patient ? PATIENCE_MS : QUIET_MS))
        ;
    if (!patient) {
        shutdown(fd, SHUT_WR); /* the server takes that for leaving and closes */
        while (read_some(fd, &r, PATIENCE_MS))
            ;
    }
    close(fd);
    r.text[r.len] = '\0';
    return r;
}

/* ---- what a reply must be --------------------------------------------------------------- */

static char *join_chunks(const char *in, const char *end, size_t *len)
{
    char *out = calloc(1, (size_t)(end - in) + 1);
    fuzz_require(out);
    *len = 0;
    for (;;) {
        char *text;
        const size_t n = strtoul(in, &text, 16);
        fuzz_require(text > in && text + 2 <= end); /* a stream ends with an empty chunk */
        if (n == 0)
            return out;
        fuzz_require((size_t)(end - text) >= n + 4);
        memcpy(out + *len, text + 2, n);
        *len += n;
        in = text + 2 + n + 2;
    }
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

/* Whether this event ends an answer, in the words of its API. */
static bool is_last(const json_t *e)
{
    const json_t *choice = json_array_get(json_object_get(e, "choices"), 0);
    const char *finish = text_of(choice, "finish_reason");
    const char *type = text_of(e, "type");
    fuzz_require(!*finish || strcmp(finish, "stop") == 0 || strcmp(finish, "length") == 0 ||
                 strcmp(finish, "tool_calls") == 0);
    return *finish || json_object_get(e, "error") || json_is_true(json_object_get(e, "done")) ||
           strcmp(type, "message_stop") == 0 || strcmp(type, "response.completed") == 0 ||
           strcmp(type, "response.incomplete") == 0 || strcmp(type, "error") == 0;
}

static void check_stream(char *body, bool lines)
{
    const char *mark = lines ? "" : "data: ";
    bool last = false;
    for (char *line = strtok(body, "\n"); line; line = strtok(NULL, "\n")) {
        if (strncmp(line, mark, strlen(mark)) != 0) {
            fuzz_require(line[0] == ':' || strncmp(line, "event: ", 7) == 0);
            continue;
        }
        if (strcmp(line + strlen(mark), "[DONE]") == 0)
            continue;
        json_error_t err;
        json_t *e = json_loads(line + strlen(mark), JSON_ALLOW_NUL, &err);
        if (!json_is_object(e)) {
            fprintf(stderr, "not an object: %s\n", line);
            abort();
        }
        last = last || is_last(e);
        json_decref(e);
    }
    fuzz_require(last);
}

static void check_body(const char *head, const char *body, size_t len)
{
    if (!strstr(head, "Content-Type: application/json"))
        return;
    json_t *v = json_loadb(body, len, JSON_ALLOW_NUL, NULL);
    fuzz_require(v);
    if (strncmp(head, "HTTP/1.1 200", 12) != 0)
        fuzz_require(json_object_get(v, "error"));
    json_decref(v);
}

void served_check(const served_reply *r)
{
    static const char statuses[] = " 200 204 400 401 403 404 405 413 417 429 500 501 503 ";
    char word[8] = "";
    const char *end = r->text + r->len;
    const char *body = strstr(r->text, "\r\n\r\n");
    fuzz_require(body && sscanf(r->text, "HTTP/1.1 %3s", word) == 1);
    memmove(word + 1, word, 4);
    word[0] = ' ';
    strcat(word, " ");
    fuzz_require(strstr(statuses, word));
    char *head = strndup(r->text, (size_t)(body - r->text));
    fuzz_require(head);
    body += 4;
    if (strstr(head, "Transfer-Encoding: chunked")) {
        size_t len;
        char *joined = join_chunks(body, end, &len);
        check_stream(joined, strstr(head, "x-ndjson") != NULL);
        free(joined);
    } else {
        check_body(head, body, (size_t)(end - body));
    }
    free(head);
}
