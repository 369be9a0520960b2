/* Requests of other APIs as OpenAI chat requests, which everything behind understands. */
#ifndef JL_SERVER_CONVERT_H
#define JL_SERVER_CONVERT_H

#include "server/internal.h"

/* New objects; NULL with the fault set. */
json_t *jl_convert_messages(const json_t *body, jl_fault *f);  /* Anthropic */
json_t *jl_convert_responses(const json_t *body, jl_fault *f); /* OpenAI Responses */
json_t *jl_convert_ollama(const json_t *body, bool generate, jl_fault *f);

/* Sets the members of out that body has under other names: pairs of (theirs, ours), ended by NULL.
 */
void jl_convert_names(const json_t *body, json_t *out, const char *const *pairs);
/* {"type": "function", "function": {name, description, parameters}} */
json_t *jl_convert_tool(const json_t *name, const json_t *description, const json_t *parameters);
/* Text of a string or of the text parts of a list, as a new string. */
json_t *jl_convert_text(const json_t *content);

/* Starts an answer to a chat request (taken) or answers what is wrong with it; extra is taken. */
void jl_start_chat(jl_exchange *ex, const jl_wire *wire, json_t *chat, json_t *extra);
json_t *jl_call_arguments(const jl_call *call); /* as a JSON object */

#endif
