/* The public reply parser: tokens of a model to text and marks for the reply reader. */
#include <string.h>

#include "base/mem.h"
#include "chat/chat.h"
#include "chat/conversation.h"
#include "chat/reply.h"

struct jl_chat_parser {
    const jl_chat *chat;
    jl_detok *detok;
    jl_reply reply;
};

jl_status jl_chat_parser_create(const jl_chat *chat, const jl_conversation *tools,
                                const jl_chat_parser_params *params, jl_chat_event_fn *fn,
                                void *ctx, jl_chat_parser **out, jl_error *err)
{
    jl_chat_parser *p = jl_calloc(1, sizeof *p);
    if (!p)
        return jl_fail(err, JL_NO_MEMORY, "no memory for a reply parser");
    p->chat = chat;
    const jl_status status = jl_detok_create(chat->model, false, &p->detok, err);
    if (status != JL_OK) {
        jl_free(p);
        return status;
    }
    jl_reply_init(&p->reply, tools ? tools->tools : NULL, params, fn, ctx);
    if (chat->identity.format == JL_CHAT_LLAMA3)
        jl_reply_set_style(&p->reply, JL_CALLS_LLAMA3);
    else if (chat->identity.format >= JL_CHAT_MISTRAL_V7)
        jl_reply_set_style(&p->reply, JL_CALLS_MISTRAL);
    *out = p;
    return JL_OK;
}

void jl_chat_parser_destroy(jl_chat_parser *parser)
{
    if (!parser)
        return;
    jl_reply_free(&parser->reply);
    jl_detok_destroy(parser->detok);
    jl_free(parser);
}

static int find_mark(const jl_chat *chat, int32_t token)
{
    for (int i = 0; i < JL_MARK_END; i++)
        if (chat->ids[i] == token)
            return i;
    return -1;
}

static void flush_text(jl_chat_parser *p)
{
    size_t len;
    const char *s = jl_detok_flush(p->detok, &len);
    jl_reply_text(&p->reply, s, len);
}

static jl_status result(jl_chat_parser *p, jl_error *err)
{
    if (p->reply.status == JL_OK)
        return JL_OK;
    return jl_fail(err, p->reply.status, "reading the reply: %s", p->reply.error.text);
}

jl_status jl_chat_parser_push(jl_chat_parser *parser, int32_t token, jl_error *err)
{
    const jl_model *model = parser->chat->model;
    const int mark = find_mark(parser->chat, token);
    size_t len;
    if (mark >= 0) {
        flush_text(parser);
        jl_reply_mark(&parser->reply, (jl_mark)mark);
    } else if (jl_token_is_eog(model, token)) {
        flush_text(parser);
        jl_reply_stop(&parser->reply);
    } else if (jl_token_is_special(model, token)) {
        flush_text(parser);
        const char *s = jl_token_text(model, token, &len);
        jl_reply_special(&parser->reply, s, len);
    } else {
        const char *s = jl_detok_push(parser->detok, token, &len);
        jl_reply_text(&parser->reply, s, len);
    }
    if (parser->reply.status == JL_OK)
        jl_reply_flush(&parser->reply);
    return result(parser, err);
}

jl_status jl_chat_parser_finish(jl_chat_parser *parser, jl_chat_finish finish, jl_error *err)
{
    if (finish == JL_FINISH_STOP || finish == JL_FINISH_TOOL_CALLS)
        flush_text(parser);
    jl_reply_finish(&parser->reply, finish);
    return result(parser, err);
}

const jl_chat_message *jl_chat_parser_message(jl_chat_parser *parser)
{
    return jl_reply_message(&parser->reply);
}
