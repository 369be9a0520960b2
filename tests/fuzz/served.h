/* A whole server inside a fuzz target: HTTP, conversion, chat, grammars, scheduler and an engine
 * with a model of random weights, small enough that an answer takes milliseconds. */
#ifndef JL_TESTS_FUZZ_SERVED_H
#define JL_TESTS_FUZZ_SERVED_H

#include <jansson.h>
#include <stdbool.h>

#include "fuzz.h"

enum { SERVED_CTX = 128 /* tokens: the longest prompt and answer */ };

/* Port of the server, started by the first call and stopped when the program ends. */
int served_port(void);

typedef struct {
    char *text; /* all that came, NUL-terminated; free */
    size_t len;
} served_reply;

/* Sends these bytes. patient: reads until the server closes; otherwise until nothing comes for some
 * milliseconds, then says goodbye and reads the rest. */
served_reply served_exchange(const char *data, size_t len, bool patient);

/* Aborts unless this is what docs/server.md promises of a reply: a known status; a body of whole
 * JSON values or, in a stream, events of them, the last of which tells why the answer ended. */
void served_check(const served_reply *r);

#endif
