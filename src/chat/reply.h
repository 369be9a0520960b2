/* The reply reader without a model: text and markers in, events out. */
#ifndef JL_CHAT_REPLY_H
#define JL_CHAT_REPLY_H

#include <jansson.h>

#include "chat/args.h"
#include "chat/marked.h"
#include "joule/chat.h"

typedef struct {
    char id[32];
    jl_buf name;
    jl_buf arguments;
    bool complete;
} jl_reply_call;

typedef struct {
    jl_chat_event_fn *fn;
    void *ctx;
    const json_t *tools;
    uint64_t id_seed;

    int state;
    bool done;            /* the model ended its turn */
    bool finished;
    jl_status status;     /* the first failure; sticky */
    jl_error error;

    jl_buf content;
    jl_buf reasoning;
    size_t content_sent;  /* bytes handed to fn */
    size_t reasoning_sent;
    size_t arguments_sent;
    jl_buf head;          /* channel name, call header, or blanks behind a call */
    bool thought_begun;   /* the open thought has text */
    bool newline_held;    /* its last newline may be the one before the end mark */
    jl_args args;
    jl_reply_call *calls;
    size_t n_calls;
    size_t cap_calls;
    char partial[4];      /* an incomplete UTF-8 sequence */
    size_t n_partial;
    bool bad_utf8;        /* reported */

    jl_chat_message message;
    jl_chat_call *message_calls;
    size_t cap_message_calls;
} jl_reply;

void jl_reply_init(jl_reply *r, const json_t *tools, const jl_chat_parser_params *params,
                   jl_chat_event_fn *fn, void *ctx);
void jl_reply_free(jl_reply *r);
/* Text in pieces of any size, also within a UTF-8 sequence. Failures are in status. */
void jl_reply_text(jl_reply *r, const char *s, size_t len);
void jl_reply_mark(jl_reply *r, jl_mark mark);
/* A special token that is no marker of the format. */
void jl_reply_special(jl_reply *r, const char *text, size_t len);
/* A token that ends the generation. */
void jl_reply_stop(jl_reply *r);
void jl_reply_flush(jl_reply *r); /* hands over what is final; at the end of each push */
void jl_reply_finish(jl_reply *r, jl_chat_finish why);
const jl_chat_message *jl_reply_message(jl_reply *r);

#endif
