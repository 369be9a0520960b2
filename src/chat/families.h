/* The chat formats of Llama 3 and Mistral: how conversations are written. Their replies hold calls
 * as JSON (reply_json.c). */
#ifndef JL_CHAT_FAMILIES_H
#define JL_CHAT_FAMILIES_H

#include "chat/conversation.h"
#include "chat/marked.h"

/* As the templates of Llama 3.1 and 3.3 do it: tools stand in the first user message. */
JL_MUST_CHECK jl_status jl_llama3_render(const jl_conversation *conv,
                                         const jl_chat_options *options, jl_marked *out,
                                         jl_error *err);
/* As the templates of Mistral for Tekken vocabularies do it; the model's turn has no opening. */
JL_MUST_CHECK jl_status jl_mistral_render(const jl_conversation *conv, jl_chat_format format,
                                          jl_marked *out, jl_error *err);

/* The text of a message without and with parts; JL_UNSUPPORTED for images and the like. */
JL_MUST_CHECK jl_status jl_chat_put_content(const jl_conversation *conv, size_t i, jl_buf *out,
                                            jl_error *err);
/* The same without outer blanks. */
JL_MUST_CHECK jl_status jl_chat_put_stripped(const jl_conversation *conv, size_t i, jl_buf *out,
                                             jl_error *err);
static inline bool jl_chat_is_system(const jl_chat_message *m)
{
    return m && (m->role == JL_ROLE_SYSTEM || m->role == JL_ROLE_DEVELOPER);
}

#endif
