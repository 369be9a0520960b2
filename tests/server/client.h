/* A small HTTP client over plain sockets, and a server to talk to. */
#ifndef JL_TESTS_SERVER_CLIENT_H
#define JL_TESTS_SERVER_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "joule/server.h"

typedef struct {
    jl_server *server;
    struct jl_thread *thread;
    int port;
} host;

/* Starts a server with these parameters on a free port. Ends the test on failure. */
host host_start(jl_model *model, jl_server_params params);
void host_stop(host h);

typedef struct {
    int status; /* 0: the connection ended without an answer */
    char *head; /* status line and headers; free */
    char *body; /* chunks joined, NUL-terminated; free */
    size_t body_len;
    json_t *json; /* the body parsed; NULL if it is not JSON */
} reply;

/* Longest silence of a server that is only slow, on a busy machine. */
enum { CLIENT_SILENCE_MS = 280000 };

/* Connects; -1 on failure. */
int client_connect(int port);
bool client_send(int fd, const char *data, size_t len);
/* Reads until the server closes (max_ms of silence at most), closes fd. */
reply client_read(int fd, int max_ms);
/* One request on its own connection. headers: extra lines, each with CRLF, or NULL. body NULL: GET.
 */
reply client_request(int port, const char *path, const char *headers, const char *body);
/* The same with a JSON body, which is taken. */
reply client_json(int port, const char *path, json_t *body);
void reply_free(reply *r);

/* Events of a stream: the data of each, parsed; "[DONE]" as a JSON string. Ends the test if an
 * event is not JSON. */
json_t *reply_events(const reply *r);
/* Value of a metric of /metrics, without "joule_". */
double client_metric(int port, const char *name);

#endif
