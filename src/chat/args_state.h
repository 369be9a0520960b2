/* The states of the argument reader and what its parts share. */
#ifndef JL_CHAT_ARGS_STATE_H
#define JL_CHAT_ARGS_STATE_H

#include "chat/args.h"
#include "chat/args_value.h"

typedef enum {
    S_KEY_START, S_KEY, S_KEY_QUOTED, S_COLON, S_VALUE, S_STRING, S_STRING_END, S_STRING_NEXT,
    S_STRING_MARK, S_BARE, S_BARE_NEXT, S_BARE_TAIL, S_AFTER, S_TOP_DONE, S_SKIP
} jl_arg_state;

typedef struct {
    jl_arg_kind kind;
    char c; /* 0 unless kind is JL_ARG_BYTE */
} jl_symbol;

static inline bool is_byte(jl_symbol s, char c)
{
    return s.kind == JL_ARG_BYTE && s.c == c;
}

static inline bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static inline bool is_blank(jl_symbol s)
{
    return s.kind == JL_ARG_BYTE && is_space(s.c);
}

/* Ends the call, unless it comes inside a string. */
static inline bool is_final(jl_symbol s)
{
    return s.kind == JL_ARG_CLOSE || s.kind == JL_ARG_OPEN || s.kind == JL_ARG_STOP;
}

static inline bool is_quote(jl_symbol s)
{
    return s.kind == JL_ARG_QUOTE || is_byte(s, '"') || is_byte(s, '\'');
}

static inline jl_arg_frame *jl_args_top(jl_args *a)
{
    return &a->frames[a->n_frames - 1];
}

const json_t *jl_args_value_schema(const jl_args *a);
/* Types the schema allows for the value being read, 0: any. */
unsigned jl_args_value_types(const jl_args *a);
void jl_args_begin_value(jl_args *a, bool container); /* writes the comma and the key */
void jl_args_end_value(jl_args *a);
void jl_args_pop(jl_args *a);                         /* closes the innermost bracket */
void jl_args_finish(jl_args *a, jl_symbol s);         /* the call ends: closes what is open */
void jl_args_hold(jl_args *a, char c);

/* Begins a string; delim 0 for the quote mark. */
void jl_args_begin_string(jl_args *a, char delim);
void jl_args_put_text(jl_args *a, const char *s, size_t len); /* into the open string */
void jl_args_put_held(jl_args *a);
/* Whether the symbol can belong to the key that may stand in held; it is added if so. */
bool jl_args_extend_candidate(jl_args *a, jl_symbol s);
/* The key that stands in held, into name; false if it is unlikely to be one. */
bool jl_args_candidate(jl_args *a, bool need_declared, jl_buf *name);
/* Goes on with the value of that key; name is taken over. */
void jl_args_next_key(jl_args *a, jl_buf *name);

/* Handlers: true to have the same symbol handled again in the new state. */
bool jl_args_on_string(jl_args *a, jl_symbol s);
bool jl_args_on_string_end(jl_args *a, jl_symbol s);
bool jl_args_on_string_next(jl_args *a, jl_symbol s);
bool jl_args_on_string_mark(jl_args *a, jl_symbol s);
bool jl_args_on_bare(jl_args *a, jl_symbol s);
bool jl_args_on_bare_next(jl_args *a, jl_symbol s);
bool jl_args_on_bare_tail(jl_args *a, jl_symbol s);

#endif
