/* The stored form of a conversation. */
#ifndef JL_CHAT_CONVERSATION_H
#define JL_CHAT_CONVERSATION_H

#include <jansson.h>

#include "base/status.h"
#include "joule/chat.h"

typedef struct { /* one block with everything it points to, but the JSON values */
    jl_chat_message pub;
    json_t **arguments; /* [pub.n_calls], an object or NULL */
    size_t bytes;
} jl_stored_message;

struct jl_conversation {
    jl_stored_message **messages;
    size_t n_messages;
    size_t cap;
    size_t max_bytes;
    size_t used_bytes;
    json_t *tools; /* an array, NULL: none */
};

/* Sets the tools from a parsed array (takes a reference), NULL or JSON null for none; n_bytes is
 * the length of the text it came from. */
JL_MUST_CHECK jl_status jl_conversation_replace_tools(jl_conversation *conv, json_t *tools,
                                                      size_t n_bytes, jl_error *err);

#endif
