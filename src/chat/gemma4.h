/* The Gemma 4 chat format: how conversations and tools are written. */
#ifndef JL_CHAT_GEMMA4_H
#define JL_CHAT_GEMMA4_H

#include "chat/conversation.h"
#include "chat/marked.h"

/* Renders the conversation as the canonical template of 2026-07-09 does. *in_thought tells whether
 * the text ends inside a thought. */
JL_MUST_CHECK jl_status jl_gemma4_render(const jl_conversation *conv,
                                         const jl_chat_options *options, bool large,
                                         jl_marked *out, bool *in_thought, jl_error *err);

/* A JSON value in call syntax; keys of objects are quoted in schemas, bare in calls and results. */
JL_MUST_CHECK jl_status jl_gemma4_value(jl_marked *out, const json_t *v, bool quote_keys, int depth,
                                        jl_error *err);
/* The members of an object, `key:value` joined by commas, keys bare. */
JL_MUST_CHECK jl_status jl_gemma4_members(jl_marked *out, const json_t *object, jl_error *err);
/* `declaration:...` of one tool. */
JL_MUST_CHECK jl_status jl_gemma4_declaration(jl_marked *out, const json_t *tool, jl_error *err);

#endif
