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

/* How a family writes calls. */
typedef enum { JL_CALLS_GEMMA4 = 0, JL_CALLS_LLAMA3, JL_CALLS_MISTRAL } jl_call_style;

/* The reader of calls in JSON: reply_json.c. */
typedef struct {
    jl_call_style style;
    int where;
    jl_buf held;            /* text that may turn out to be a call */
    jl_buf name, id;        /* of a call whose name and id stand before its arguments */
    char stack[64];         /* closing brackets that are due */
    size_t depth;
    bool in_string, escaped;
    bool marked;            /* begun by a mark: a call even if the tool is not declared */
    bool list;              /* inside the list of calls */
} jl_json_calls;

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
    jl_json_calls json;
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
/* Right after init: calls of another family than Gemma 4. */
void jl_reply_set_style(jl_reply *r, jl_call_style style);
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

/* Parts for reply_json.c, and what it offers. */
void jl_reply_report(jl_reply *r, jl_chat_repair repair);
/* A call as a whole; id.ptr NULL: one of our own. */
void jl_reply_add_call(jl_reply *r, jl_chat_text name, jl_chat_text id, jl_chat_text arguments,
                       bool complete);
size_t jl_reply_json_text(jl_reply *r, const char *s, size_t len); /* bytes used, at least 1 */
void jl_reply_json_mark(jl_reply *r, jl_mark mark);
void jl_reply_json_end(jl_reply *r, bool cut);
void jl_reply_json_free(jl_reply *r);

#endif
