/* One answer as it is written, on the engine thread: tokens become events, stop strings are found,
 * thoughts are counted and limited. Events go to a sink. */
#ifndef JL_SERVER_FEED_H
#define JL_SERVER_FEED_H

#include <jansson.h>

#include "joule/chat.h"
#include "server/limits.h"
#include "server/scheduler.h"
#include "server/str.h"

typedef enum {
    JL_OUT_CONTENT,
    JL_OUT_REASONING,
    JL_OUT_CALL_BEGIN,
    JL_OUT_CALL_ARGUMENTS,
    JL_OUT_CALL_END,
    JL_OUT_REPAIR,
    JL_OUT_LOGPROB,
    JL_OUT_PROGRESS,
    JL_OUT_END
} jl_out_kind;

/* An event on its way to the client. */
typedef struct jl_out {
    struct jl_out *next;
    jl_out_kind kind;
    int call;
    bool complete; /* CALL_END */
    char *text;    /* owned; NULL: none */
    size_t len;
    char *id, *name; /* CALL_BEGIN, owned */
    json_t *logprob; /* LOGPROB, owned */
    jl_chat_repair repair;
    size_t n_done;         /* PROGRESS: prompt tokens read or found */
    size_t n_cached;       /* PROGRESS: of these, found in the cache */
    jl_chat_finish finish; /* END */
    jl_job_end end;
    jl_error err; /* END of a failed job */
} jl_out;

void jl_out_free(jl_out *out);

typedef struct jl_feed {
    /* Set by the owner. */
    const jl_model *model;
    jl_job *job;
    uint32_t n_vocab;
    jl_chat_parser *parser; /* NULL: plain text */
    jl_detok *detok;        /* of plain text */
    jl_detok *names;        /* texts of tokens for log probabilities; NULL: not wanted */
    int n_top;              /* alternatives per token */
    const json_t *stops;    /* array of strings; NULL: none */
    bool one_call;          /* end after one tool call */
    bool ignore_eos;
    jl_limits limits; /* what may come next; the engine thread's after the start */
    jl_out *last;     /* the event that ends the answer, allocated beforehand; taken */
    void (*sink)(void *ctx, jl_out *out); /* takes out */
    void *ctx;

    /* The engine thread's until END; then readable. */
    jl_str held;          /* content that may be the start of a stop string */
    const char *stop_hit; /* the stop string met, in stops; NULL: none */
    jl_loop_guard guard;
    bool looped; /* ended because it repeated itself */
    bool call_done;
    jl_status failed;
    jl_error err;
} jl_feed;

extern const jl_job_events jl_feed_events; /* with a jl_feed as ctx */
void jl_feed_event(void *ctx,
                   const jl_chat_event *event); /* the parser's callback, ctx a jl_feed */
void jl_feed_free(jl_feed *r);                  /* what the owner set and the engine made */

/* {"token", "logprob", "bytes", "top_logprobs"} of a chosen token. */
json_t *jl_logprob_json(const jl_feed *r, int32_t token, const float *logits);

#endif
