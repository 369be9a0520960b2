/* The server object: its parts, the event loop, stopping. */
#include <event2/bufferevent.h>
#include <event2/thread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/http.h"
#include "server/size.h"

enum { MAX_HEADERS = 32 << 10, DEFAULT_BODY = 32 << 20, DEFAULT_TIMEOUT = 60, GRACE_S = 10 };
enum { TURNS_BYTES = 64 << 20 };

void jl_server_log(const jl_server *s, jl_log_level level, const char *fmt, ...)
{
    char line[512];
    va_list args;

    if (!s->params.log)
        return;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    s->params.log(s->params.log_ctx, level, line);
}

/* Ollama's clients add ":latest" to names. */
static bool same_name(const char *given, const char *name)
{
    const size_t n = strlen(name);

    return n > 0 && strncmp(given, name, n) == 0 &&
           (!given[n] || strcmp(given + n, ":latest") == 0);
}

bool jl_server_knows(const jl_server *s, const char *model)
{
    return !*model || same_name(model, s->name) || same_name(model, s->alias) ||
           same_name(model, "default");
}

/* ---- stopping --------------------------------------------------------------------------- */

void jl_server_check_stop(jl_server *s)
{
    static const struct timeval flush = {.tv_usec = 200000}; /* the last replies leave */

    if (s->n_stops > 0 && s->n_exchanges == 0)
        event_base_loopexit(s->base, &flush);
}

static void on_grace_over(evutil_socket_t fd, short what, void *ctx)
{
    jl_server *s = ctx;
    (void)fd;
    (void)what;

    jl_answers_cancel(s);
}

static void on_stop(evutil_socket_t fd, short what, void *ctx)
{
    static const struct timeval grace = {.tv_sec = GRACE_S};
    jl_server *s = ctx;
    char buf[16];
    (void)what;

    if (recv(fd, buf, sizeof buf, 0) <= 0)
        return;
    s->n_stops++;
    if (s->listener) {
        evhttp_del_accept_socket(s->http, s->listener);
        s->listener = NULL;
    }
    if (s->n_stops == 1 && s->answers) {
        jl_server_log(s, JL_LOG_INFO, "stopping: waiting up to %d s for running answers", GRACE_S);
        event_base_once(s->base, -1, EV_TIMEOUT, on_grace_over, s, &grace);
    } else {
        jl_answers_cancel(s);
    }
    jl_server_check_stop(s);
}

void jl_server_stop(jl_server *s)
{
    const ssize_t sent = send(s->stop_pipe[1], "s", 1, 0); /* async-signal-safe */
    (void)sent;
}

/* ---- creating --------------------------------------------------------------------------- */

static void on_wake(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    jl_answers_wake(ctx);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    jl_answers_tick(ctx);
}

static char *copy_text(const char *text)
{
    return text ? jl_strndup(text, strlen(text)) : NULL;
}

static jl_status set_names(jl_server *s, jl_error *err)
{
    const jl_server_params *p = &s->params;
    const char *name = p->model_name ? p->model_name : s->info.name;

    snprintf(s->name, sizeof s->name, "%s", *name ? name : "model");
    snprintf(s->alias, sizeof s->alias, "%s", p->alias ? p->alias : "");
    snprintf(s->host, sizeof s->host, "%s", p->host ? p->host : "127.0.0.1");
    s->api_key = copy_text(p->api_key);
    s->cors_origin = copy_text(p->cors_origin);
    if ((p->api_key && !s->api_key) || (p->cors_origin && !s->cors_origin))
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    if (p->api_key && !*p->api_key)
        return jl_fail(err, JL_INVALID, "the API key is empty");
    return JL_OK;
}

static void log_from_disk(void *ctx, jl_log_level level, const char *line)
{
    jl_server_log(ctx, level, "%s", line);
}

/* The disk is a convenience: without it the server works as well, and says so. */
static void start_disk(jl_server *s)
{
    const jl_store_params p = {.folder = s->params.cache_folder,
                               .max_bytes = s->params.cache_disk,
                               .max_daily = s->params.cache_disk_daily,
                               .log = log_from_disk,
                               .log_ctx = s};
    jl_disk_stats st;
    jl_error err;

    if (p.max_bytes == 0 || !p.folder)
        return;
    if (jl_disk_create(s->model, s->session, &p, &s->disk, &err) != JL_OK) {
        jl_server_log(s, JL_LOG_ERROR, "no cache on disk: %s", err.text);
        return;
    }
    jl_disk_get_stats(s->disk, &st);
    jl_server_log(s, JL_LOG_INFO,
                  "cache on disk: %s, %.2f of at most %.2f GB, conversations in "
                  "plain form",
                  p.folder, (double)st.store.n_bytes / 1e9, (double)p.max_bytes / 1e9);
}

static jl_status start_engine(jl_server *s, jl_error *err)
{
    jl_session_params sp;
    jl_scheduler_params pp = {.n_parallel = s->params.n_parallel,
                              .n_queue = s->params.n_queue,
                              .max_stall_ms = s->params.max_stall_ms,
                              .n_cache = JL_CACHE_SEQS};

    if (jl_chat_create(s->model, &s->chat, &s->chat_err) != JL_OK)
        s->chat = NULL; /* plain completions still work; chat requests are told why they do not */
    JL_TRY(jl_server_session_params(s->model, &s->params, &sp, err));
    JL_TRY(jl_session_create(s->model, &sp, &s->session, err));
    start_disk(s);
    JL_TRY(jl_turns_create(s->chat, s->model, TURNS_BYTES, s->disk, &s->turns, err));
    pp.n_ubatch = sp.n_ubatch;
    pp.disk = s->disk;
    pp.disk_bytes = s->params.cache_disk;
    if (s->params.power)
        jl_power_attach(s->params.power, s->session);
    pp.power = s->params.power;
    s->n_ctx = jl_session_n_ctx(s->session);
    return jl_scheduler_create(s->session, &pp, &s->scheduler, err);
}

static jl_status make_events(jl_server *s, jl_error *err)
{
    s->base = event_base_new();
    s->http = s->base ? evhttp_new(s->base) : NULL;
    if (!s->http || evutil_socketpair(AF_UNIX, SOCK_STREAM, 0, s->stop_pipe) != 0)
        return jl_fail(err, JL_NO_MEMORY, "the system has no room for an event loop");
    evutil_make_socket_nonblocking(s->stop_pipe[0]);
    evutil_make_socket_nonblocking(s->stop_pipe[1]);
    s->wake = event_new(s->base, -1, EV_PERSIST, on_wake, s);
    s->tick = event_new(s->base, -1, EV_PERSIST, on_tick, s);
    s->stop_event = event_new(s->base, s->stop_pipe[0], EV_READ | EV_PERSIST, on_stop, s);
    if (!s->wake || !s->tick || !s->stop_event || event_add(s->stop_event, NULL) != 0)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    return JL_OK;
}

static jl_status listen_on(jl_server *s, jl_error *err)
{
    const int wanted = s->params.port;
    const int port = wanted == 0 ? JL_SERVER_PORT : wanted;

    if (wanted < -1 || wanted > 65535)
        return jl_fail(err, JL_INVALID, "port %d is out of range; 1 to 65535", wanted);
    evhttp_set_gencb(s->http, jl_http_request, s);
    evhttp_set_max_headers_size(s->http, MAX_HEADERS);
    evhttp_set_max_body_size(s->http, (ev_ssize_t)s->params.max_body);
    evhttp_set_timeout(s->http, (int)s->params.timeout_s);
    evhttp_set_allowed_methods(s->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                                            EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
                                            EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH);
    evhttp_set_default_content_type(s->http, NULL);
    s->listener = evhttp_bind_socket_with_handle(s->http, s->host, (uint16_t)(port < 0 ? 0 : port));
    if (!s->listener)
        return jl_fail(err, JL_IO, "cannot listen on %s port %d: %s; --port takes another one",
                       s->host, port, evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()));

    struct sockaddr_storage address = {0};
    socklen_t n = sizeof address;
    if (getsockname(evhttp_bound_socket_get_fd(s->listener), (struct sockaddr *)&address, &n) == 0)
        s->port = address.ss_family == AF_INET6
                      ? ntohs(((struct sockaddr_in6 *)&address)->sin6_port)
                      : ntohs(((struct sockaddr_in *)&address)->sin_port);
    return JL_OK;
}

static jl_status create_parts(jl_server *s, jl_error *err)
{
    JL_TRY(set_names(s, err));
    JL_TRY(jl_lock_create(&s->lock, err));
    JL_TRY(make_events(s, err));
    JL_TRY(listen_on(s, err)); /* before the memory is taken: a port in use is reported at once */
    return start_engine(s, err);
}

jl_status jl_server_create(jl_model *model, const jl_server_params *params, jl_server **out,
                           jl_error *err)
{
    jl_server *s = jl_calloc(1, sizeof *s);

    if (!s)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    if (evthread_use_pthreads() != 0) {
        jl_free(s);
        return jl_fail(err, JL_UNSUPPORTED, "libevent was built without threads");
    }
    signal(SIGPIPE, SIG_IGN); /* a client that left shows up as an error of the write */
    s->params = *params;
    s->params.n_parallel = params->n_parallel ? params->n_parallel : 4;
    s->params.n_queue = params->n_queue ? params->n_queue : 64;
    s->params.max_stall_ms = params->max_stall_ms ? params->max_stall_ms : 500;
    s->params.max_body = params->max_body ? params->max_body : DEFAULT_BODY;
    s->params.timeout_s = params->timeout_s ? params->timeout_s : DEFAULT_TIMEOUT;
    s->model = model;
    s->stop_pipe[0] = s->stop_pipe[1] = -1;
    s->started_ns = jl_time_ns();
    s->started_at = (json_int_t)time(NULL);
    jl_model_get_info(model, &s->info);
    const jl_status status = create_parts(s, err);
    if (status != JL_OK) {
        jl_server_destroy(s);
        return status;
    }
    *out = s;
    return JL_OK;
}

int jl_server_port(const jl_server *s)
{
    return s->port;
}

jl_status jl_server_run(jl_server *s, jl_error *err)
{
    if (event_base_dispatch(s->base) < 0)
        return jl_fail(err, JL_IO, "the event loop of the server failed");
    return JL_OK;
}

static void event_drop(struct event *e)
{
    if (e)
        event_free(e);
}

void jl_server_destroy(jl_server *s)
{
    if (!s)
        return;
    jl_scheduler_destroy(s->scheduler); /* ends all jobs; their last events are taken next */
    if (s->base)
        jl_answers_wake(s);
    event_drop(s->wake);
    event_drop(s->tick);
    event_drop(s->stop_event);
    if (s->http)
        evhttp_free(s->http);
    if (s->base)
        event_base_free(s->base);
    for (int i = 0; i < 2; i++)
        if (s->stop_pipe[i] >= 0)
            evutil_closesocket(s->stop_pipe[i]);
    if (s->params.power && s->session)
        jl_power_detach(s->params.power, s->session);
    jl_turns_destroy(s->turns);
    jl_disk_destroy(s->disk);
    jl_session_destroy(s->session);
    jl_token_tree_destroy(s->tree);
    jl_chat_destroy(s->chat);
    jl_lock_destroy(s->lock);
    jl_free(s->api_key);
    jl_free(s->cors_origin);
    jl_free(s);
}
