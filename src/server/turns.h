/* Remembered turns. The exact tokens of every answer are kept under what the client will send back
 * of it: the ids of its tool calls, or its text. When a conversation comes back, its known part is
 * taken from here instead of being rendered anew, so that thoughts, empty thoughts and the model's
 * own spelling of calls stay as they were read, and the prefix cache finds them. */
#ifndef JL_SERVER_TURNS_H
#define JL_SERVER_TURNS_H

#include "joule/chat.h"
#include "server/disk.h"

typedef struct jl_turns jl_turns;

typedef jl_hash jl_turn_key;

/* What was rendered; the key of the conversation and what is needed to remember its answer. */
typedef struct {
    jl_chat_prompt prompt;
    jl_turn_key key;
    size_t n_replayed; /* tokens at the start that come from a remembered turn */
    bool open_thought; /* a thought since the last user message is among them */
} jl_turn_prompt;

typedef struct {
    bool thinking;      /* of the request */
    bool drop_thinking; /* thoughts go when a new user message comes */
    const char *tools;  /* the declared tools as text, NULL: none */
    size_t tools_len;
} jl_turn_options;

/* Keeps at most max_bytes, the least recently used turns go first. disk: turns of earlier processes
 * are taken from it, new ones written to it; NULL: none. */
JL_MUST_CHECK jl_status jl_turns_create(const jl_chat *chat, const jl_model *model,
                                        size_t max_bytes, jl_disk *disk, jl_turns **out,
                                        jl_error *err);
void jl_turns_destroy(jl_turns *t); /* NULL is fine */

/* Tokens for a conversation: a remembered start if there is one, the rest rendered. */
JL_MUST_CHECK jl_status jl_turns_render(jl_turns *t, const jl_conversation *conv,
                                        const jl_turn_options *options, jl_turn_prompt *out,
                                        jl_error *err);
/* Remembers the answer to a rendered conversation: all tokens, prompt included. Does nothing
 * without memory. */
void jl_turns_remember(jl_turns *t, const jl_turn_prompt *prompt, const jl_chat_message *answer,
                       const int32_t *tokens, size_t n_tokens);

#endif
