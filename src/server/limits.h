/* What the next token of an answer may be: thoughts of bounded length, text of a given form, tool
 * calls that keep to their declarations. */
#ifndef JL_SERVER_LIMITS_H
#define JL_SERVER_LIMITS_H

#include "joule/grammar.h"

typedef enum { JL_FORM_NONE = 0, JL_FORM_GBNF, JL_FORM_SCHEMA } jl_form;

/* What a request asks for. The texts are the caller's. */
typedef struct {
    jl_form form;
    const char *form_text; /* grammar or schema */
    const char *tools;     /* tools that may be called, as JSON; NULL: none */
    bool forced;           /* the answer is a call */
    bool one_call;
    bool thinking;      /* the answer may begin with a thought */
    bool in_thought;    /* it begins inside one */
    size_t thought_max; /* tokens; SIZE_MAX: no limit */
} jl_limits_params;

typedef struct {
    jl_limits_params p;
    jl_constraint *content, *calls;
    int phase;
    int32_t open, close, call; /* marks; -1: none */
    bool in_thought, thought_seen;
    size_t n_thought;
    uint32_t *mask; /* [n_words] of the moment, when it is made of several */
    size_t n_words;
    jl_status failed; /* JL_OK, or why a mask could not be made */
    jl_error err;
} jl_limits;

/* tree is needed for forms and tools only. JL_INVALID and JL_UNSUPPORTED tell what is wrong with
 * the grammar, schema or tools; tools that are not forced and cannot be enforced are left to the
 * model. */
JL_MUST_CHECK jl_status jl_limits_init(jl_limits *l, const jl_model *model,
                                       const jl_token_tree *tree, const jl_limits_params *params,
                                       jl_error *err);
void jl_limits_free(jl_limits *l);
/* The tokens that may come next; NULL: all. */
const uint32_t *jl_limits_mask(jl_limits *l);
void jl_limits_accept(jl_limits *l, int32_t token);

#endif
