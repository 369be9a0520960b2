/* Bodies of well-framed requests through the whole server: conversion between APIs, chat
 * rendering, schemas and grammars, the engine, the reply. The first byte chooses the path and
 * whether the client waits for the answer, the rest is the body. Whatever comes, the reply keeps
 * to docs/server.md. */
#include <stdbool.h>
#include <string.h>

#include "served.h"

static const char *const paths[] = {
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/api/chat",
    "/api/generate",
    "/api/show",
    "/tokenize",
    "/detokenize",
};
enum { N_PATHS = sizeof paths / sizeof *paths, MAX_BODY = 16384 };

/* Whether the reply came whole although the client left at once: errors do, answers do not. */
static bool is_whole(const served_reply *r)
{
    return strstr(r->text, "\r\nContent-Length: ") && strstr(r->text, "\r\n\r\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static char request[MAX_BODY + 256];
    if (n < 1 || n > MAX_BODY)
        return 0;
    const bool patient = data[0] >= 128;
    const int head = snprintf(request, sizeof request,
                              "POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                              "Content-Length: %zu\r\n\r\n",
                              paths[data[0] % 128 % N_PATHS], n - 1);
    memcpy(request + head, data + 1, n - 1);
    served_reply r = served_exchange(request, (size_t)head + n - 1, patient);
    if (patient || is_whole(&r))
        served_check(&r);
    free(r.text);
    return 0;
}
