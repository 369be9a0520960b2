/* A server over the bundled model, for the tests that talk HTTP, and short ways to ask it. */
#ifndef JL_TESTS_SERVER_BUNDLED_H
#define JL_TESTS_SERVER_BUNDLED_H

#include "client.h"

#define CHAT "/v1/chat/completions"

extern jl_model *model;
extern host h;

void bundled_path(int argc, char **argv); /* of the model file, from the command line */
int bundled_open(void **state);           /* the model and a server, h */
int bundled_close(void **state);

/* ---- asking ----------------------------------------------------------------------------- */

json_t *chat(const char *text, int seed, int max_tokens);
/* A chat that goes on until it is stopped. */
json_t *endless_chat(int seed, int max_tokens);
json_t *long_chat(int n_words, int seed); /* a long prompt, a short answer */
reply ask(const char *text, int seed, int max_tokens);
/* Sends a chat and leaves the answer to be read. */
void send_request(int fd, json_t *body);

/* ---- parts of answers ------------------------------------------------------------------- */

json_t *choice_of(const reply *r, size_t i);
const char *content_of(const reply *r, size_t i);
const char *finish_of(const reply *r);
json_int_t usage_of(const reply *r, const char *name);
json_int_t cached_of(const reply *r);
/* Text of all content deltas; checks what every event must have. */
void join_deltas(const json_t *events, char *out, size_t cap);

/* ---- waiting: for a condition, as long as it takes on a busy machine --------------------- */

void pause_ms(int ms);
void wait_metric(const char *name, double value);       /* until it has this value */
void wait_metric_above(const char *name, double value); /* until it has a larger one */

#endif
