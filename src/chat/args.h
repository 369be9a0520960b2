/* Reads the arguments of one tool call, `key:value,...}` behind the opening brace, symbol by symbol
 * and writes them as JSON, mending what models get wrong. What comes out never depends on how the
 * input was cut, since every decision is taken on single symbols. */
#ifndef JL_CHAT_ARGS_H
#define JL_CHAT_ARGS_H

#include <jansson.h>
#include <stdbool.h>

#include "chat/buf.h"
#include "chat/text.h"
#include "joule/chat.h"

typedef enum {
    JL_ARG_BYTE,  /* of valid UTF-8 text */
    JL_ARG_QUOTE, /* <|"|> */
    JL_ARG_CLOSE, /* <tool_call|> */
    JL_ARG_OPEN,  /* <|tool_call> */
    JL_ARG_STOP,  /* the model ended its turn */
    JL_ARG_CUT    /* cut by the token limit or cancelled */
} jl_arg_kind;

typedef struct {
    bool is_array;
    const json_t *schema; /* NULL: unknown */
    size_t n_items;
} jl_arg_frame;

typedef struct {
    /* Set by the caller. */
    const json_t *schema; /* the tool's parameters, NULL: unknown */
    void (*report)(void *ctx, jl_chat_repair repair);
    void *ctx;

    jl_buf json;      /* the arguments so far */
    size_t hold_from; /* json beyond this may still change; SIZE_MAX: all is final */
    bool done;        /* the call is over */
    bool complete;    /* and json is a whole object */
    bool reopened;    /* it was ended by the open mark of the next call */
    jl_status status; /* the first failure; sticky */
    jl_error error;

    int state;
    jl_arg_frame frames[JL_CHAT_MAX_DEPTH];
    int n_frames;
    jl_buf key;        /* of the member being read */
    jl_buf seen;       /* keys of the outermost object, each NUL-terminated */
    jl_buf text;       /* value collected before it is written */
    jl_buf held;       /* symbols whose meaning is not known yet, as text */
    size_t candidate;  /* start in held of what may be the next key, SIZE_MAX: none */
    bool comma;        /* a comma stands before it */
    bool streaming;    /* the open string goes straight to json */
    char delim;        /* of the open string: 0 for the quote mark, else a quote character */
    char closer;       /* of the candidate end of the string: 0 for the quote mark */
    char escape[16];   /* pending escape sequence of a foreign string */
    int n_escape;
    int skip_depth;    /* open brackets of a value that is nested too deeply */
    bool skip_string;
    bool dropping;     /* the value of a repeated key: json is cut back to hold_from after it */
    bool trailing;     /* something stood behind the arguments */
    bool buried;       /* a container that may hold required arguments, from hold_from on */
    size_t buried_key; /* where its key begins in seen */
} jl_args;

void jl_args_init(jl_args *a, size_t max_bytes);
void jl_args_free(jl_args *a);
/* Begins the arguments of the next call; the brace has been read. */
void jl_args_begin(jl_args *a, const json_t *schema);
/* One symbol; c counts for JL_ARG_BYTE. Failures are in status. Nothing happens once done. */
void jl_args_push(jl_args *a, jl_arg_kind kind, char c);
/* Keeps the mark's text if a string is open, else reports it as stray. */
void jl_args_mark(jl_args *a, const char *text, size_t len);

#endif
