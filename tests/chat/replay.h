/* Feeds a reply written as text with marks (`<|tool_call>`, `<|"|>`, ...) to the reply reader, in
 * any pieces, and writes down what comes out. */
#ifndef JL_TESTS_CHAT_REPLAY_H
#define JL_TESTS_CHAT_REPLAY_H

#include "chat/reply.h"

typedef struct {
    char *log;     /* every event in order, adjacent deltas of a kind joined */
    size_t len, cap;
    int last_kind; /* of the last delta, -1: none */
    int last_call;
    int n_finish;
    bool broken;   /* an event broke the protocol */
} replay_log;

typedef struct {
    const json_t *tools;
    bool in_thought;
    jl_chat_finish finish;
    jl_call_style style;
} replay_params;

/* The pieces are the text cut before every byte i with cut(ctx, i). A mark is never cut: it is one
 * token. */
typedef bool replay_cut(void *ctx, size_t i);
void replay(const char *text, size_t len, const replay_params *params, replay_cut *cut, void *ctx,
            replay_log *log);
void replay_log_free(replay_log *log);

/* Feeds the reply to a reader whose events go nowhere; free it with jl_reply_free. */
void replay_quietly(const char *text, const replay_params *params, jl_reply *r);
void replay_ignore(void *ctx, const jl_chat_event *e);

#endif
