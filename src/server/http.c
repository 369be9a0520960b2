/* HTTP on libevent: checks that come before a request is read, replies, streams, and noticing that
 * a client has gone. */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "server/http.h"

enum { MAX_UNREAD = 1 << 20, MAX_EXCHANGES = 1024, READ_AHEAD = 64 << 10 };

static struct bufferevent *bev_of(struct evhttp_request *req)
{
    struct evhttp_connection *conn = evhttp_request_get_connection(req);
    return conn ? evhttp_connection_get_bufferevent(conn) : NULL;
}

/* ---- the client leaves ------------------------------------------------------------------ */

static void on_close(struct evhttp_connection *conn, void *ctx)
{
    jl_exchange *ex = ctx;
    (void)conn;

    ex->closed = true;
    if (ex->answer)
        jl_answer_closed(ex->answer);
}

/* The reply has been written: the connection waits for its next request, with the usual patience.
 */
static void on_complete(struct evhttp_request *req, void *ctx)
{
    const jl_server *s = ctx;
    const struct timeval patience = {.tv_sec = (time_t)s->params.timeout_s};
    struct bufferevent *bev = bev_of(req);

    if (!bev)
        return;
    bufferevent_set_timeouts(bev, &patience, &patience);
    bufferevent_setwatermark(bev, EV_READ, 0, 0);
}

/* libevent stops reading while a request is being answered, and so would not notice that the client
 * leaves. Reading goes on, into a buffer of bounded size that nobody looks at before the reply is
 * out; a client that is silent meanwhile is in order, one that does not read is not. */
static void watch(jl_exchange *ex)
{
    struct evhttp_connection *conn = evhttp_request_get_connection(ex->req);
    struct bufferevent *bev = evhttp_connection_get_bufferevent(conn);
    const struct timeval patience = {.tv_sec = (time_t)ex->s->params.timeout_s};
    bufferevent_data_cb on_read;
    bufferevent_data_cb on_write;
    bufferevent_event_cb on_event;
    void *ctx;

    evhttp_connection_set_closecb(conn, on_close, ex);
    evhttp_request_set_on_complete_cb(ex->req, on_complete, ex->s);
    bufferevent_getcb(bev, &on_read, &on_write, &on_event, &ctx);
    bufferevent_setcb(bev, NULL, on_write, on_event, ctx);
    bufferevent_set_timeouts(bev, NULL, &patience);
    bufferevent_setwatermark(bev, EV_READ, 0, READ_AHEAD);
    bufferevent_enable(bev, EV_READ);
}

/* ---- replies ---------------------------------------------------------------------------- */

static void header(jl_exchange *ex, const char *name, const char *value)
{
    evhttp_add_header(evhttp_request_get_output_headers(ex->req), name, value);
}

static void common_headers(jl_exchange *ex, const char *content_type)
{
    header(ex, "Content-Type", content_type);
    header(ex, "X-Content-Type-Options", "nosniff");
    if (ex->s->cors_origin) {
        header(ex, "Access-Control-Allow-Origin", ex->s->cors_origin);
        header(ex, "Vary", "Origin");
    }
}

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {{200, "OK"},
                   {204, "No Content"},
                   {400, "Bad Request"},
                   {401, "Unauthorized"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {413, "Content Too Large"},
                   {429, "Too Many Requests"},
                   {500, "Internal Server Error"},
                   {501, "Not Implemented"},
                   {503, "Service Unavailable"}};

    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Error";
}

/* Logs and frees the exchange; the request is libevent's again. */
static void done(jl_exchange *ex)
{
    jl_server *s = ex->s;

    s->n_exchanges--;
    s->n_errors += ex->status >= 400;
    jl_server_log(s, JL_LOG_ACCESS, "%s %s %d %.3f s%s%s%s", ex->method, ex->path, ex->status,
                  (double)(jl_time_ns() - ex->start_ns) * 1e-9,
                  ex->dropped  ? " client does not read"
                  : ex->closed ? " client left"
                               : "",
                  ex->note[0] ? " " : "", ex->note);
    jl_free(ex);
    jl_server_check_stop(s);
}

static void release(jl_exchange *ex)
{
    struct evhttp_connection *conn = evhttp_request_get_connection(ex->req);

    if (conn)
        evhttp_connection_set_closecb(conn, NULL, NULL);
}

void jl_ex_text(jl_exchange *ex, int status, const char *type, const char *text, size_t len)
{
    struct evbuffer *out = evbuffer_new();

    ex->status = status;
    common_headers(ex, type);
    if (status == 401)
        header(ex, "WWW-Authenticate", "Bearer");
    if (status == 429 || status == 503)
        header(ex, "Retry-After", "5");
    if (ex->s->n_stops > 0)
        header(ex, "Connection", "close");
    if (out)
        evbuffer_add(out, text, len);
    release(ex);
    evhttp_send_reply(ex->req, status, reason_of(status), out);
    if (out)
        evbuffer_free(out);
    done(ex);
}

static int add_text(const char *text, size_t len, void *ctx)
{
    return jl_str_put(ctx, text, len) ? 0 : -1;
}

void jl_ex_json(jl_exchange *ex, int status, json_t *body)
{
    static const char no_memory[] =
        "{\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\"}}";
    jl_str text = {0};

    if (!body ||
        json_dump_callback(body, add_text, &text, JSON_COMPACT | JSON_REAL_PRECISION(9)) != 0)
        jl_ex_text(ex, 503, "application/json", no_memory, sizeof no_memory - 1);
    else
        jl_ex_text(ex, status, "application/json", text.ptr, text.len);
    jl_str_free(&text);
    json_decref(body);
}

void jl_ex_fault(jl_exchange *ex, const jl_fault *f)
{
    const int http = jl_fault_http(f);

    snprintf(ex->note, sizeof ex->note, "%s", f->code ? f->code : jl_status_name(f->err.status));
    jl_ex_json(ex, http, ex->wire->error(http, f));
}

void jl_ex_stream_begin(jl_exchange *ex, const char *content_type)
{
    ex->status = 200;
    ex->streaming = true;
    common_headers(ex, content_type);
    header(ex, "Cache-Control", "no-cache");
    header(ex, "X-Accel-Buffering", "no");
    if (ex->s->n_stops > 0)
        header(ex, "Connection", "close");
    evhttp_send_reply_start(ex->req, 200, "OK");
}

void jl_ex_stream_write(jl_exchange *ex, const char *data, size_t len)
{
    struct bufferevent *bev = ex->closed ? NULL : bev_of(ex->req);

    if (!bev)
        return;
    if (evbuffer_get_length(bufferevent_get_output(bev)) > MAX_UNREAD) {
        /* libevent sees the end of the connection and calls on_close */
        if (!ex->dropped)
            shutdown(bufferevent_getfd(bev), SHUT_RDWR);
        ex->dropped = true;
        return;
    }
    struct evbuffer *out = evbuffer_new();
    if (!out)
        return;
    evbuffer_add(out, data, len);
    evhttp_send_reply_chunk(ex->req, out);
    evbuffer_free(out);
    if (ex->answer)
        ex->answer->last_write_ns = jl_time_ns();
}

void jl_ex_stream_json(jl_exchange *ex, const char *event, json_t *body)
{
    jl_str text = {0};
    bool ok = body && !ex->closed;

    if (ok && event)
        ok = jl_str_put(&text, "event: ", 7) && jl_str_put(&text, event, strlen(event)) &&
             jl_str_put(&text, "\n", 1);
    ok = ok && jl_str_put(&text, "data: ", 6) &&
         json_dump_callback(body, add_text, &text, JSON_COMPACT | JSON_REAL_PRECISION(9)) == 0 &&
         jl_str_put(&text, "\n\n", 2);
    if (ok)
        jl_ex_stream_write(ex, text.ptr, text.len);
    jl_str_free(&text);
    json_decref(body);
}

void jl_ex_stream_line(jl_exchange *ex, json_t *body)
{
    jl_str text = {0};

    if (body && !ex->closed &&
        json_dump_callback(body, add_text, &text, JSON_COMPACT | JSON_REAL_PRECISION(9)) == 0 &&
        jl_str_put(&text, "\n", 1))
        jl_ex_stream_write(ex, text.ptr, text.len);
    jl_str_free(&text);
    json_decref(body);
}

void jl_ex_stream_end(jl_exchange *ex)
{
    release(ex);
    evhttp_send_reply_end(ex->req);
    done(ex);
}

/* ---- requests --------------------------------------------------------------------------- */

json_t *jl_ex_body(jl_exchange *ex)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(ex->req);
    const size_t len = evbuffer_get_length(in);
    const char *text = len ? (const char *)evbuffer_pullup(in, -1) : "";
    jl_fault f = {0};
    json_error_t e;

    json_t *body = text ? json_loadb(text, len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &e) : NULL;
    if (json_is_object(body))
        return body;
    if (!text)
        (void)jl_fail(&f.err, JL_NO_MEMORY, "out of memory");
    else if (body)
        (void)jl_fault_set(&f, 400, "invalid_json", NULL, "the request body must be a JSON object");
    else
        (void)jl_fault_set(&f, 400, "invalid_json", NULL,
                           "the request body is not valid JSON: line %d, "
                           "column %d (byte %d): %s",
                           e.line, e.column, e.position, e.text);
    json_decref(body);
    jl_ex_fault(ex, &f);
    return NULL;
}

static const char *in_header(const jl_exchange *ex, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(ex->req), name);
}

/* In a time that does not depend on where the two differ. */
static bool same_secret(const char *given, const char *key)
{
    const size_t n_given = strlen(given);
    const size_t n_key = strlen(key);
    volatile unsigned diff = n_given != n_key;

    for (size_t i = 0; i < n_given; i++)
        diff |= (unsigned char)given[i] ^ (unsigned char)key[n_key ? i % n_key : 0];
    return diff == 0;
}

static bool key_ok(const jl_exchange *ex)
{
    const char *bearer = in_header(ex, "Authorization");
    const char *plain = in_header(ex, "x-api-key");

    if (!ex->s->api_key)
        return true;
    if (bearer && strncasecmp(bearer, "Bearer ", 7) == 0 && same_secret(bearer + 7, ex->s->api_key))
        return true;
    return plain && same_secret(plain, ex->s->api_key);
}

/* Names by which this machine is reached. Others are a web page that has bound its own name to this
 * address to read what is here. */
static bool host_ok(const jl_exchange *ex)
{
    static const char *const local[] = {"localhost", "127.0.0.1", "[::1]"};
    const char *host = in_header(ex, "Host");
    const jl_server *s = ex->s;

    if (!host || strcmp(s->host, "0.0.0.0") == 0 || strcmp(s->host, "::") == 0)
        return true;
    const char *colon = strrchr(host, ':');
    const size_t n = colon && !strchr(colon, ']') ? (size_t)(colon - host) : strlen(host);
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if (strlen(local[i]) == n && strncasecmp(host, local[i], n) == 0)
            return true;
    return strlen(s->host) == n && strncasecmp(host, s->host, n) == 0;
}

static bool origin_ok(const jl_exchange *ex)
{
    const char *origin = in_header(ex, "Origin");
    const char *allowed = ex->s->cors_origin;

    return !origin || (allowed && (strcmp(allowed, "*") == 0 || strcmp(allowed, origin) == 0));
}

/* 0, or the status to answer. */
static int check(jl_exchange *ex, jl_fault *f)
{
    if (!host_ok(ex))
        (void)jl_fault_set(f, 403, "forbidden_host", NULL,
                           "the Host header names another machine; use "
                           "127.0.0.1 or localhost, or start the server with --host");
    else if (!origin_ok(ex))
        (void)jl_fault_set(f, 403, "forbidden_origin", NULL,
                           "web pages may not use this server unless "
                           "it is started with --cors-origin");
    else if (strcmp(ex->path, "/health") != 0 && !key_ok(ex))
        (void)jl_fault_set(f, 401, "invalid_api_key", NULL,
                           "a valid API key is needed: Authorization: "
                           "Bearer KEY");
    else if (ex->s->n_stops > 0)
        (void)jl_fault_set(f, 503, "shutting_down", NULL, "the server is shutting down");
    else if (ex->s->n_exchanges > MAX_EXCHANGES)
        (void)jl_fault_set(f, 429, "too_many_requests", NULL, "more than %d requests are open",
                           MAX_EXCHANGES);
    return f->http;
}

static bool route_fits(const jl_route *r, const char *path)
{
    const size_t n = strlen(r->path);

    if (r->path[n - 1] == '*')
        return strncmp(r->path, path, n - 1) == 0 && path[n - 1];
    return strcmp(r->path, path) == 0;
}

static const jl_route *find_route(const char *path, unsigned method, bool *path_known)
{
    *path_known = false;
    for (const jl_route *r = jl_routes; r->path; r++) {
        if (!route_fits(r, path))
            continue;
        *path_known = true;
        if (r->methods & method)
            return r;
    }
    return NULL;
}

static const char *method_name(unsigned method)
{
    switch (method) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_HEAD:
        return "HEAD";
    case EVHTTP_REQ_OPTIONS:
        return "OPTIONS";
    default:
        return "OTHER";
    }
}

static const jl_wire *wire_of(const char *path)
{
    for (const jl_route *r = jl_routes; r->path; r++)
        if (route_fits(r, path))
            return r->wire;
    return &jl_wire_chat;
}

static void preflight(jl_exchange *ex)
{
    header(ex, "Access-Control-Allow-Methods", "GET, POST");
    header(ex, "Access-Control-Allow-Headers", "Authorization, Content-Type, X-Api-Key");
    jl_ex_text(ex, 204, "text/plain", "", 0);
}

static void route(jl_exchange *ex, unsigned method)
{
    jl_fault f = {0};
    bool path_known;
    const jl_route *r =
        find_route(ex->path, method == EVHTTP_REQ_HEAD ? EVHTTP_REQ_GET : method, &path_known);

    if (check(ex, &f)) {
        jl_ex_fault(ex, &f);
    } else if (method == EVHTTP_REQ_OPTIONS && path_known && ex->s->cors_origin) {
        preflight(ex);
    } else if (!r) {
        if (path_known)
            (void)jl_fault_set(&f, 405, "method_not_allowed", NULL, "%s does not take %s", ex->path,
                               ex->method);
        else
            (void)jl_fault_set(&f, 404, "not_found", NULL, "there is nothing at %s", ex->path);
        jl_ex_fault(ex, &f);
    } else {
        r->fn(ex);
    }
}

void jl_http_request(struct evhttp_request *req, void *ctx)
{
    jl_server *s = ctx;
    jl_exchange *ex = jl_calloc(1, sizeof *ex);
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    const unsigned method = evhttp_request_get_command(req);

    if (!ex) {
        evhttp_send_error(req, 503, NULL);
        return;
    }
    ex->s = s;
    ex->req = req;
    ex->method = method_name(method);
    ex->start_ns = jl_time_ns();
    snprintf(ex->path, sizeof ex->path, "%s", path && *path ? path : "/");
    for (char *c = ex->path; *c; c++) /* for messages and the log */
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
            *c = '?';
    for (size_t n = strlen(ex->path); n > 1 && ex->path[n - 1] == '/'; n--)
        ex->path[n - 1] = '\0';
    ex->wire = wire_of(ex->path);
    s->n_requests++;
    s->n_exchanges++;
    watch(ex);
    route(ex, method);
}
