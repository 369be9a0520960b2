/* Constrained decoding: which tokens may come next so that the text keeps to a grammar, a JSON
 * schema or the call syntax of declared tools. The masks go to jl_sampler_pick.
 *
 * A jl_token_tree is immutable and thread-safe; a jl_constraint is used by one thread at a time. */
#ifndef JL_JOULE_GRAMMAR_H
#define JL_JOULE_GRAMMAR_H

#include "joule/joule.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct jl_token_tree jl_token_tree; /* a vocabulary, prepared once for all constraints */
typedef struct jl_constraint jl_constraint; /* a grammar and how far the text has come in it */

/* Takes tens of megabytes for a vocabulary of 262,144. The model must outlive it. */
JL_API JL_MUST_CHECK jl_status jl_token_tree_create(const jl_model *model, jl_token_tree **out,
                                                    jl_error *err);
JL_API void jl_token_tree_destroy(jl_token_tree *tree); /* NULL is fine */

/* A GBNF grammar (docs/grammar.md). JL_INVALID names the line. The tree must outlive the
 * constraint. */
JL_API JL_MUST_CHECK jl_status jl_constraint_from_gbnf(const jl_token_tree *tree, const char *text,
                                                       size_t len, jl_constraint **out,
                                                       jl_error *err);
/* JSON that satisfies a JSON schema. JL_UNSUPPORTED names a keyword that cannot be enforced. */
JL_API JL_MUST_CHECK jl_status jl_constraint_from_schema(const jl_token_tree *tree,
                                                         const char *json, size_t len,
                                                         jl_constraint **out, jl_error *err);

enum {
    JL_CALLS_MANY = 1,      /* any number of calls, else exactly one */
    JL_CALLS_AFTER_MARK = 2 /* the mark that opens the first call has been generated already */
};

/* Calls of the tools (as in jl_conversation_set_tools) in the call syntax of Gemma 4. To force one
 * tool, give that one alone. */
JL_API JL_MUST_CHECK jl_status jl_constraint_from_tools(const jl_token_tree *tree, const char *json,
                                                        size_t len, unsigned flags,
                                                        jl_constraint **out, jl_error *err);
JL_API void jl_constraint_destroy(jl_constraint *constraint); /* NULL is fine */
JL_API void jl_constraint_reset(jl_constraint *constraint);   /* back to the start */

/* Tokens that may come next: a bitmap of n_vocab bits, the constraint's, valid until the next
 * call on it. End-of-generation tokens are in it where the text may end. It is computed when a
 * state is reached for the first time and kept. */
JL_API JL_MUST_CHECK jl_status jl_constraint_mask(jl_constraint *constraint, const uint32_t **mask,
                                                  jl_error *err);
/* Takes the token that was chosen. JL_INVALID, and nothing changes, if it is not allowed. */
JL_API JL_MUST_CHECK jl_status jl_constraint_accept(jl_constraint *constraint, int32_t token,
                                                    jl_error *err);
JL_API bool jl_constraint_can_end(const jl_constraint *constraint);

#ifdef __cplusplus
}
#endif
#endif
