/* GBNF grammars from JSON schemas: documents in JSON, tool calls in the call syntax of Gemma 4. */
#ifndef JL_GRAMMAR_SCHEMA_GBNF_H
#define JL_GRAMMAR_SCHEMA_GBNF_H

#include <jansson.h>
#include <stdbool.h>

#include "chat/buf.h"

/* The grammar of the JSON documents that satisfy the schema, members in its order. Keywords that
 * cannot be enforced are refused with JL_UNSUPPORTED and their name. */
JL_MUST_CHECK jl_status jl_schema_to_gbnf(const json_t *schema, jl_buf *out, jl_error *err);

/* The grammar of one call or, if many, of any number of calls of the tools (an array of
 * {"function": {"name", "parameters"}}), from the open mark (or, if after_mark, from behind the
 * first one) to the last end mark. Members stand in the template's order, by lower-cased key.
 * Keywords that cannot be enforced are left to the tool. */
JL_MUST_CHECK jl_status jl_tools_to_gbnf(const json_t *tools, bool many, bool after_mark,
                                         jl_buf *out, jl_error *err);

#endif
