/* What the OpenAI wires share. */
#ifndef JL_SERVER_OPENAI_H
#define JL_SERVER_OPENAI_H

#include "server/internal.h"

const char *jl_openai_finish(const jl_choice *c); /* "stop", "length" or "tool_calls" */
json_t *jl_openai_usage(const jl_answer *a);
json_t *jl_openai_error(int http, const jl_fault *f);
json_t *
jl_openai_details(const jl_choice *c);       /* repairs, loops, stop string; NULL: nothing to say */
json_t *jl_openai_calls(const jl_choice *c); /* the tool calls of a whole message */
void jl_openai_stream_error(jl_answer *a, int http, const jl_fault *f);
void jl_openai_done(jl_answer *a); /* [DONE] and the end of the stream */

#endif
