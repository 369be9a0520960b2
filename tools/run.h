/* The parts of joule run. */
#ifndef JL_TOOLS_RUN_H
#define JL_TOOLS_RUN_H

#include "gen.h"
#include "joule/chat.h"

/* Continues a text and prints what comes. */
JL_MUST_CHECK jl_status run_raw(gen *g, const char *text, size_t len, gen_end *end, jl_error *err);

typedef struct {
    gen *g;
    jl_chat *chat;
    jl_conversation *conv;
    bool think;
} chat_run;

/* Binds the model's chat format; adds --system and --tools. On failure nothing is left open. */
JL_MUST_CHECK jl_status chat_open(gen *g, chat_run *c, jl_error *err);
void chat_close(chat_run *c);
/* Forgets the conversation, keeps system text and tools. */
JL_MUST_CHECK jl_status chat_reset(chat_run *c, jl_error *err);
/* Appends a user message, prints the answer and appends it. On failure the conversation is as
 * before. */
JL_MUST_CHECK jl_status chat_say(chat_run *c, const char *text, size_t len, gen_end *end,
                                 jl_error *err);
/* Appends the result of the oldest call without one; when it was the last, prints the answer.
 * *answered tells. JL_INVALID if no call waits. */
JL_MUST_CHECK jl_status chat_result(chat_run *c, const char *text, size_t len, bool *answered,
                                    gen_end *end, jl_error *err);

/* Reads lines on the terminal and answers until Ctrl-D. */
JL_MUST_CHECK jl_status repl_run(chat_run *c, jl_error *err);

/* Ctrl-C stops the answer while on; else it ends the program. */
void run_catch(gen *g, bool on);
/* Says on stderr that the context is full, if that is why the answer ended. */
void run_note_end(const gen *g, gen_end end);

#endif
