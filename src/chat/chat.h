/* A chat format bound to the vocabulary of a model. */
#ifndef JL_CHAT_CHAT_H
#define JL_CHAT_CHAT_H

#include "chat/marked.h"
#include "joule/chat.h"

struct jl_chat {
    const jl_model *model;
    jl_chat_identity identity;
    int32_t ids[JL_MARK_END]; /* token ids of the marks, -1: of another family */
};

#endif
