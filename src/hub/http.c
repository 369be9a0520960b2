#include "hub/http.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "joule/version.h"

enum { MAX_HOPS = 8, MAX_URL = 8192, READ_SECONDS = 30 };

struct jl_http {
    CURL *curl;
    CURLU *home; /* of the endpoint */
    char endpoint[1000];
    char *bearer; /* "Authorization: Bearer ...", NULL without a token */
    char reason[CURL_ERROR_SIZE];
    /* of the request at hand */
    const jl_http_request *request;
    jl_http_answer *answer;
    jl_error *err;
    bool at_home;   /* the host at hand is the endpoint */
    bool cancelled; /* by go_on */
    bool refused;   /* by on_body */
};

/* ---- headers and body ----------------------------------------------------------------------- */

static bool is_header(const char *line, size_t n, const char *name, char *value, size_t cap)
{
    const size_t m = strlen(name);

    if (n <= m || strncasecmp(line, name, m) != 0 || line[m] != ':')
        return false;
    line += m + 1;
    n -= m + 1;
    while (n > 0 && isspace((unsigned char)*line)) {
        line++;
        n--;
    }
    while (n > 0 && isspace((unsigned char)line[n - 1]))
        n--;
    snprintf(value, cap, "%.*s", n < cap ? (int)n : (int)cap - 1, line);
    return true;
}

/* W/"abc" to abc. */
static void unquote(const char *value, char *out, size_t cap)
{
    if (strncmp(value, "W/", 2) == 0)
        value += 2;
    value += *value == '"';
    snprintf(out, cap, "%.*s", (int)strcspn(value, "\""), value);
}

static void read_range(jl_http_answer *a, const char *value)
{
    unsigned long long first;
    unsigned long long last;
    unsigned long long total;

    if (sscanf(value, "bytes %llu-%llu/%llu", &first, &last, &total) == 3 && first <= last &&
        last < total) {
        a->range_first = first;
        a->range_total = total;
    }
}

static size_t on_header(char *line, size_t one, size_t n, void *ctx)
{
    jl_http *h = ctx;
    jl_http_answer *a = h->answer;
    char value[200];

    (void)one;
    if (n > 5 && strncmp(line, "HTTP/", 5) == 0) { /* the next answer, after an interim one */
        a->range_first = a->range_total = a->length = UINT64_MAX;
        a->retry_after = 0;
    } else if (is_header(line, n, "content-range", value, sizeof value)) {
        read_range(a, value);
    } else if (is_header(line, n, "content-length", value, sizeof value)) {
        a->length = strtoull(value, NULL, 10);
    } else if (h->at_home && is_header(line, n, "x-linked-etag", value, sizeof value)) {
        unquote(value, a->linked_etag, sizeof a->linked_etag);
    } else if (h->at_home && is_header(line, n, "x-error-code", value, sizeof value)) {
        snprintf(a->error_code, sizeof a->error_code, "%.39s", value);
    }
    return n;
}

static size_t on_body(char *data, size_t one, size_t n, void *ctx)
{
    jl_http *h = ctx;

    (void)one;
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &h->answer->status);
    if (h->answer->status != 200 && h->answer->status != 206)
        return n; /* pages about redirects and errors */
    h->refused = !h->request->on_body(h->request->ctx, h->answer, data, n, h->err);
    return h->refused ? 0 : n;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    jl_http *h = ctx;

    (void)a;
    (void)b;
    (void)c;
    (void)d;
    h->cancelled = h->request->go_on && !h->request->go_on(h->request->ctx);
    return h->cancelled;
}

/* ---- opening -------------------------------------------------------------------------------- */

static bool part(CURLU *url, CURLUPart what, char out[256])
{
    char *text = NULL;

    if (curl_url_get(url, what, &text, CURLU_DEFAULT_PORT) != CURLUE_OK)
        return false;
    snprintf(out, 256, "%s", text);
    curl_free(text);
    return true;
}

static jl_status read_endpoint(jl_http *h, jl_error *err)
{
    const char *text = jl_env("HF_ENDPOINT");
    char scheme[256] = "";

    snprintf(h->endpoint, sizeof h->endpoint, "%s", text ? text : "https://huggingface.co");
    size_t n = strlen(h->endpoint);
    while (n > 0 && h->endpoint[n - 1] == '/')
        h->endpoint[--n] = '\0';
    h->home = curl_url();
    if (!h->home)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    if (curl_url_set(h->home, CURLUPART_URL, h->endpoint, 0) != CURLUE_OK ||
        !part(h->home, CURLUPART_SCHEME, scheme) ||
        (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0))
        return jl_fail(err, JL_INVALID, "HF_ENDPOINT '%.200s' is no address of a web server",
                       h->endpoint);
    return JL_OK;
}

static jl_status read_token(jl_http *h, jl_error *err)
{
    const char *token = jl_env("HF_TOKEN");

    if (!token)
        return JL_OK;
    for (const char *c = token; *c; c++)
        if (*c <= ' ' || *c > '~')
            return jl_fail(err, JL_INVALID,
                           "HF_TOKEN holds a space, a line end or another character no token has");
    const size_t cap = strlen(token) + 32;
    h->bearer = jl_malloc(cap);
    if (!h->bearer)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    snprintf(h->bearer, cap, "Authorization: Bearer %s", token);
    return JL_OK;
}

static void set_up(jl_http *h)
{
    const char *seconds = jl_env("HF_HUB_DOWNLOAD_TIMEOUT");
    const long n = seconds ? strtol(seconds, NULL, 10) : 0;

    curl_easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h->curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(h->curl, CURLOPT_USERAGENT, "joule/" JL_VERSION_STRING);
    curl_easy_setopt(h->curl, CURLOPT_BUFFERSIZE, 256L << 10);
    curl_easy_setopt(h->curl, CURLOPT_CONNECTTIMEOUT, 30L);
    curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_TIME, n > 0 && n < 86400 ? n : READ_SECONDS);
    curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, h->reason);
    curl_easy_setopt(h->curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h->curl, CURLOPT_HEADERDATA, h);
    curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, h);
    curl_easy_setopt(h->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(h->curl, CURLOPT_XFERINFODATA, h);
    curl_easy_setopt(h->curl, CURLOPT_NOPROGRESS, 0L);
}

jl_status jl_http_open(jl_http **out, jl_error *err)
{
    jl_http *h = jl_calloc(1, sizeof *h);
    jl_status s = JL_OK;

    if (!h)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    h->curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
    if (!h->curl)
        s = jl_fail(err, JL_IO, "libcurl does not start");
    if (s == JL_OK)
        s = read_endpoint(h, err);
    if (s == JL_OK)
        s = read_token(h, err);
    if (s != JL_OK) {
        jl_http_close(h);
        return s;
    }
    set_up(h);
    *out = h;
    return JL_OK;
}

void jl_http_close(jl_http *h)
{
    if (!h)
        return;
    curl_url_cleanup(h->home);
    curl_easy_cleanup(h->curl);
    curl_global_cleanup();
    jl_free(h->bearer);
    jl_free(h);
}

const char *jl_http_endpoint(const jl_http *h)
{
    return h->endpoint;
}

bool jl_http_has_token(const jl_http *h)
{
    return h->bearer != NULL;
}

/* ---- requests ------------------------------------------------------------------------------- */

static bool same_part(const jl_http *h, CURLU *url, CURLUPart what)
{
    char a[256];
    char b[256];

    return part(h->home, what, a) && part(url, what, b) && strcasecmp(a, b) == 0;
}

/* Notes whether the URL is the endpoint's; refuses to leave encryption. */
static jl_status look_at(jl_http *h, const char *text, jl_error *err)
{
    CURLU *url = curl_url();
    char from[256] = "";
    char to[256] = "";
    jl_status s = JL_OK;

    if (!url)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    if (curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK ||
        !part(url, CURLUPART_SCHEME, to) || !part(h->home, CURLUPART_SCHEME, from))
        s = jl_fail(err, JL_IO, "the server sent us to '%.200s', which is no address", text);
    else if (strcmp(from, "https") == 0 && strcmp(to, "https") != 0)
        s = jl_fail(err, JL_IO, "the server sent us to %.200s, which is not encrypted", text);
    h->at_home = same_part(h, url, CURLUPART_SCHEME) && same_part(h, url, CURLUPART_HOST) &&
                 same_part(h, url, CURLUPART_PORT);
    curl_url_cleanup(url);
    return s;
}

static bool may_mend(CURLcode rc)
{
    switch (rc) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP_RETURNED_ERROR:
        return true;
    default:
        return false;
    }
}

static jl_status verdict(const jl_http *h, CURLcode rc, bool *again, jl_error *err)
{
    if (h->refused)
        return err->status == JL_OK ? jl_fail(err, JL_IO, "stopped") : err->status;
    if (h->cancelled)
        return jl_fail(err, JL_CANCELLED, "stopped");
    *again = may_mend(rc);
    return jl_fail(err, JL_IO, "%s: %s", h->endpoint,
                   h->reason[0] ? h->reason : curl_easy_strerror(rc));
}

/* One request; *next is where a redirect leads, "" if it is none. */
static jl_status hop(jl_http *h, const char *url, char next[MAX_URL], bool *again, jl_error *err)
{
    struct curl_slist *headers = NULL;
    char range[40];
    char *target = NULL;
    curl_off_t wait = 0;

    JL_TRY(look_at(h, url, err));
    if (h->bearer && h->at_home) {
        headers = curl_slist_append(NULL, h->bearer);
        if (!headers)
            return jl_fail(err, JL_NO_MEMORY, "out of memory");
    }
    snprintf(range, sizeof range, "%llu-", (unsigned long long)h->request->from);
    curl_easy_setopt(h->curl, CURLOPT_URL, url);
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(h->curl, CURLOPT_RANGE, h->request->from ? range : NULL);
    h->reason[0] = '\0';
    const CURLcode rc = curl_easy_perform(h->curl);
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    if (rc != CURLE_OK)
        return verdict(h, rc, again, err);
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &h->answer->status);
    if (curl_easy_getinfo(h->curl, CURLINFO_RETRY_AFTER, &wait) == CURLE_OK && wait > 0)
        h->answer->retry_after = (uint64_t)wait;
    next[0] = '\0';
    if (curl_easy_getinfo(h->curl, CURLINFO_REDIRECT_URL, &target) == CURLE_OK && target &&
        h->answer->status >= 300 && h->answer->status < 400 &&
        snprintf(next, MAX_URL, "%s", target) >= MAX_URL)
        return jl_fail(err, JL_IO, "%s redirects to an address that is too long", h->endpoint);
    return JL_OK;
}

jl_status jl_http_get(jl_http *h, const char *url, const jl_http_request *request,
                      jl_http_answer *answer, bool *again, jl_error *err)
{
    char at[MAX_URL];
    char next[MAX_URL];

    *again = false;
    *answer = (jl_http_answer){0};
    h->request = request;
    h->answer = answer;
    h->err = err;
    h->cancelled = h->refused = false;
    if (snprintf(at, sizeof at, "%s", url) >= MAX_URL)
        return jl_fail(err, JL_TOO_LARGE, "an address of more than %d bytes", MAX_URL);
    for (int i = 0; i < MAX_HOPS; i++) {
        JL_TRY(hop(h, at, next, again, err));
        if (!next[0])
            return JL_OK;
        memcpy(at, next, sizeof at);
    }
    return jl_fail(err, JL_IO, "%s redirects more than %d times", h->endpoint, MAX_HOPS);
}

jl_status jl_http_append_path(jl_http *h, char *url, size_t cap, const char *text, jl_error *err)
{
    size_t n = strlen(url);

    while (*text) {
        const size_t len = strcspn(text, "/");
        char *escaped = curl_easy_escape(h->curl, text, (int)len);
        if (!escaped && len > 0)
            return jl_fail(err, JL_NO_MEMORY, "out of memory");
        const int put = snprintf(url + n, cap - n, "%s%s", len ? escaped : "",
                                 text[len] ? "/" : "");
        curl_free(escaped);
        if (put < 0 || (size_t)put >= cap - n)
            return jl_fail(err, JL_TOO_LARGE, "an address of more than %zu bytes", cap);
        n += (size_t)put;
        text += len + (text[len] == '/');
    }
    return JL_OK;
}
