/* GET requests over libcurl. Redirects are followed by hand: the token reaches one host only. */
#ifndef JL_HUB_HTTP_H
#define JL_HUB_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct jl_http jl_http;

/* Headers of the answer. */
typedef struct {
    long status;
    uint64_t range_first, range_total; /* Content-Range; UINT64_MAX: not given */
    uint64_t length;                   /* Content-Length; UINT64_MAX: not given */
    char linked_etag[80];              /* hash the endpoint has of the file, "" if not given */
    char error_code[40];               /* X-Error-Code of the endpoint */
    uint64_t retry_after;              /* seconds; 0: not given */
} jl_http_answer;

typedef struct {
    uint64_t from; /* first byte wanted; 0: all */
    /* Body of an answer 200 or 206, in pieces; false stops, and *err says why. */
    bool (*on_body)(void *ctx, const jl_http_answer *a, const void *data, size_t n, jl_error *err);
    bool (*go_on)(void *ctx); /* asked several times a second; false: JL_CANCELLED */
    void *ctx;
} jl_http_request;

/* HF_ENDPOINT, HF_TOKEN, HF_HUB_DOWNLOAD_TIMEOUT come from the environment. */
JL_MUST_CHECK jl_status jl_http_open(jl_http **out, jl_error *err);
void jl_http_close(jl_http *h);            /* NULL is fine */
const char *jl_http_endpoint(const jl_http *h); /* without the last slash */
bool jl_http_has_token(const jl_http *h);

/* JL_OK: there is an answer, of whatever status. JL_IO with *again: the connection failed in a way
 * that another try may mend. Other failures are final. */
JL_MUST_CHECK jl_status jl_http_get(jl_http *h, const char *url, const jl_http_request *request,
                                    jl_http_answer *answer, bool *again, jl_error *err);
/* Appends text with everything but letters, digits and - . _ ~ / percent-encoded. */
JL_MUST_CHECK jl_status jl_http_append_path(jl_http *h, char *url, size_t cap, const char *text,
                                            jl_error *err);

#endif
