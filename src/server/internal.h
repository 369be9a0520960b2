/* Inside the server: exchanges (HTTP requests being answered), answers (what the engine writes for
 * them) and wires (how an API puts an answer into JSON). Everything here runs on the thread of the
 * event loop, except where feed.h says otherwise. */
#ifndef JL_SERVER_INTERNAL_H
#define JL_SERVER_INTERNAL_H

#include <event2/event.h>
#include <event2/http.h>
#include <jansson.h>

#include "base/thread.h"
#include "joule/server.h"
#include "server/feed.h"
#include "server/limits.h"
#include "server/scheduler.h"
#include "server/turns.h"

typedef struct jl_exchange jl_exchange;
typedef struct jl_answer jl_answer;
typedef struct jl_choice jl_choice;
typedef struct jl_wire jl_wire;

/* What is wrong with a request. */
typedef struct {
    int http;          /* 0: from err.status */
    const char *code;  /* "context_length_exceeded"; NULL: none */
    const char *param; /* the field; NULL: none */
    jl_error err;
} jl_fault;

jl_status jl_fault_set(jl_fault *f, int http, const char *code, const char *param, const char *fmt,
                       ...) JL_PRINTF(5, 6);
int jl_fault_http(const jl_fault *f);

/* ---- what a client asks for ------------------------------------------------------------- */

typedef struct {
    jl_conversation *conv; /* NULL: a plain prompt */
    char *tools;           /* the tools as text, jl_free; NULL: none */
    bool thinking;
    jl_limits_params limits;
    char *form_text;    /* jl_free */
    char *forced_tools; /* jl_free */
    bool stream, usage_chunk, progress, ignore_eos;
    bool logprobs;
    int n_top;
    unsigned n;       /* answers wanted */
    size_t n_new_max; /* tokens; SIZE_MAX: what fits */
    jl_sampler_params sampling;
    jl_logit_bias *bias; /* jl_free */
    json_t *stops;       /* owned array of strings; NULL: none */
    jl_turn_prompt prompt;
    size_t marks[JL_JOB_MARKS];
    size_t n_marks;
    bool small;
    uint32_t call_repeats; /* 0, or why tools were withheld */
} jl_gen;

void jl_gen_free(jl_gen *g);
/* Fields common to the APIs, by their OpenAI and llama.cpp names. */
JL_MUST_CHECK jl_status jl_gen_read(jl_server *s, const json_t *body, jl_gen *g, jl_fault *f);
/* The conversation in "messages" and "tools", and its tokens. */
JL_MUST_CHECK jl_status jl_gen_read_chat(jl_server *s, const json_t *body, jl_gen *g, jl_fault *f);
/* A plain text, or a list of tokens. */
JL_MUST_CHECK jl_status jl_gen_read_prompt(jl_server *s, const json_t *prompt, jl_gen *g,
                                           jl_fault *f);
/* Tokens of a text, jl_free; NULL without memory. */
int32_t *jl_server_tokenize(const jl_server *s, const char *text, size_t len, unsigned flags,
                            size_t *n);

/* Fields of JSON objects with a type. Absent or null: JL_OK and *out unchanged. */
JL_MUST_CHECK jl_status jl_field_bool(const json_t *o, const char *name, bool *out, jl_fault *f);
JL_MUST_CHECK jl_status jl_field_int(const json_t *o, const char *name, json_int_t min,
                                     json_int_t max, json_int_t *out, jl_fault *f);
JL_MUST_CHECK jl_status jl_field_float(const json_t *o, const char *name, double min, double max,
                                       float *out, jl_fault *f);
JL_MUST_CHECK jl_status jl_field_string(const json_t *o, const char *name, const char **out,
                                        jl_fault *f);

/* ---- HTTP ------------------------------------------------------------------------------- */

struct jl_exchange {
    jl_server *s;
    struct evhttp_request *req; /* ours until the reply is complete */
    const jl_wire *wire;        /* how errors look */
    char path[160];
    const char *method;
    uint64_t start_ns;
    int status; /* 0: not sent yet */
    bool streaming;
    bool dropped;      /* it does not read */
    bool closed;       /* the client has gone */
    jl_answer *answer; /* NULL: none */
    char note[96];     /* for the access log */
};

/* Each of these ends the exchange. body is taken. */
void jl_ex_json(jl_exchange *ex, int status, json_t *body);
void jl_ex_text(jl_exchange *ex, int status, const char *type, const char *text, size_t len);
void jl_ex_fault(jl_exchange *ex, const jl_fault *f);
/* Streams: headers, pieces, end. A write drops the client if it does not read. */
void jl_ex_stream_begin(jl_exchange *ex, const char *content_type);
void jl_ex_stream_write(jl_exchange *ex, const char *data, size_t len);
void jl_ex_stream_json(jl_exchange *ex, const char *event,
                       json_t *body);                  /* one SSE event; body taken */
void jl_ex_stream_line(jl_exchange *ex, json_t *body); /* one JSON line; body taken */
void jl_ex_stream_end(jl_exchange *ex);
/* The body as a JSON object; NULL after an error was answered. */
json_t *jl_ex_body(jl_exchange *ex);

typedef void jl_handler(jl_exchange *ex);
typedef struct {
    const char *path;
    unsigned methods; /* EVHTTP_REQ_... */
    const jl_wire *wire;
    jl_handler *fn;
} jl_route;
extern const jl_route jl_routes[]; /* ends with a NULL path */

/* ---- answers ---------------------------------------------------------------------------- */

typedef struct {
    char *id, *name;
    jl_str arguments;
    bool complete;
} jl_call;

struct jl_choice {
    jl_answer *answer;
    unsigned index;
    jl_job job;
    jl_feed feed;
    jl_out *first, *last; /* events from the engine, under the server's lock */

    jl_str content, reasoning;
    jl_call *calls; /* [n_calls] */
    size_t n_calls, calls_cap;
    json_t *logprobs; /* of tokens not yet sent, or all; NULL: not wanted */
    json_t *repairs;  /* names of repairs; NULL: none */
    jl_chat_finish finish;
    uint32_t call_repeats; /* times these calls were made in a row, with the same results */
    jl_job_end end;
    jl_error err;
    bool finished, ended;
    size_t n_cached; /* prompt tokens found in the cache, as last heard */
    int block;       /* a wire's own counters */
    int block_kind;
};

struct jl_answer {
    jl_server *s;
    jl_exchange *ex;
    const jl_wire *wire;
    jl_gen gen;
    jl_choice *choices; /* [gen.n] */
    unsigned n_ended;
    char id[48];
    int sequence;  /* events sent, of a wire that numbers them */
    json_t *extra; /* a wire's own; NULL: none */
    uint64_t last_write_ns;
    json_int_t created;     /* Unix time */
    jl_answer *next, *prev; /* all living answers */
    jl_answer *next_ready;  /* with events, under the server's lock */
    bool ready;
};

struct jl_wire {
    const char *id_prefix;
    const char *stream_type;     /* content type of streams */
    const char *keep_alive;      /* sent while a prompt is read; NULL: nothing */
    void (*begin)(jl_answer *a); /* stream only; may be NULL */
    void (*event)(jl_answer *a, jl_choice *c, const jl_out *o);      /* stream only */
    void (*end_choice)(jl_answer *a, jl_choice *c);                  /* stream only; may be NULL */
    void (*finish)(jl_answer *a);                                    /* ends stream or sends all */
    json_t *(*error)(int http, const jl_fault *f);                   /* body of an error */
    void (*stream_error)(jl_answer *a, int http, const jl_fault *f); /* after headers were sent */
};

/* Starts an answer; gen is taken. Answers errors itself. */
void jl_answer_start(jl_exchange *ex, const jl_wire *wire, jl_gen *gen, json_t *extra);
void jl_answer_closed(jl_answer *a);  /* the client has gone */
void jl_answers_wake(jl_server *s);   /* events have arrived */
void jl_answers_tick(jl_server *s);   /* a tenth of a second has passed */
void jl_answers_cancel(jl_server *s); /* all of them */

typedef struct {
    size_t n_prompt, n_cached, n_generated, n_thought;
    double prompt_ms, decode_ms, queue_ms;
} jl_usage;
/* Whole when all choices have ended; before that the engine thread owns the rest. */
jl_usage jl_answer_usage(const jl_answer *a);
json_t *jl_answer_timings(const jl_answer *a);
json_t *jl_answer_energy(const jl_answer *a); /* energy.c */
void jl_energy_metrics(const jl_server *s, jl_str *text);

/* ---- the server ------------------------------------------------------------------------- */

struct jl_server {
    jl_server_params params;
    jl_model *model;
    jl_model_info info;
    jl_session *session;
    jl_chat *chat;     /* NULL: the model has no template that joule renders */
    jl_error chat_err; /* why */
    jl_scheduler *scheduler;
    jl_turns *turns;
    jl_disk *disk;       /* NULL: none */
    jl_token_tree *tree; /* made when first needed */
    char name[128], alias[128], host[64];
    char *api_key;
    char *cors_origin;
    int port;
    uint32_t n_ctx;
    uint64_t started_ns;
    json_int_t started_at;

    struct event_base *base;
    struct evhttp *http;
    struct evhttp_bound_socket *listener;
    struct event *wake, *tick, *stop_event;
    evutil_socket_t stop_pipe[2];
    int n_stops;
    uint64_t stop_ns;

    jl_lock *lock;
    jl_answer *ready;   /* under the lock */
    jl_answer *answers; /* all living */
    uint32_t n_exchanges;
    uint64_t n_requests, n_errors, n_ids;
};

void jl_server_log(const jl_server *s, jl_log_level level, const char *fmt, ...) JL_PRINTF(3, 4);
/* Wire names that fit this model: the id, the alias, or none given. */
bool jl_server_knows(const jl_server *s, const char *model);

extern const jl_wire jl_wire_chat, jl_wire_text, jl_wire_messages, jl_wire_responses,
    jl_wire_ollama_chat, jl_wire_ollama_generate;

/* One handler per path, in wire_*.c and info.c. */
jl_handler jl_post_chat, jl_post_text, jl_post_messages, jl_post_count_tokens, jl_post_responses,
    jl_post_ollama_chat, jl_post_ollama_generate, jl_get_ollama_tags, jl_post_ollama_show,
    jl_get_ollama_version, jl_get_models, jl_get_model, jl_get_health, jl_post_tokenize,
    jl_post_detokenize, jl_get_metrics, jl_get_props, jl_get_slots, jl_handle_power;

#endif
