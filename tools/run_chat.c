/* joule run with the chat template: one conversation, one answer at a time. */
#include <stdio.h>
#include <string.h>

#include "joule/sys.h"
#include "run.h"
#include "show.h"
#include "ui.h"

enum { MAX_TOOLS_BYTES = 16 << 20 };

static jl_status add_system(chat_run *c, jl_error *err)
{
    const char *text = opt_text(c->g->o, OPT_SYSTEM);
    const jl_chat_message m = {.role = JL_ROLE_SYSTEM, .content = jl_chat_str(text)};

    return text ? jl_conversation_add(c->conv, &m, err) : JL_OK;
}

static jl_status add_tools(chat_run *c, jl_error *err)
{
    const char *path = opt_text(c->g->o, OPT_TOOLS);
    char *json = NULL;
    size_t len = 0;

    if (!path)
        return JL_OK;
    jl_status status = jl_file_read(path, MAX_TOOLS_BYTES, &json, &len, err);
    if (status == JL_OK)
        status = jl_conversation_set_tools(c->conv, json, len, err);
    jl_free(json);
    return status;
}

jl_status chat_open(gen *g, chat_run *c, jl_error *err)
{
    *c = (chat_run){.g = g, .think = strcmp(opt_text(g->o, OPT_THINK), "on") == 0};
    jl_status status = jl_chat_create(g->model, &c->chat, err);
    if (status == JL_OK)
        status = jl_conversation_create(0, &c->conv, err);
    if (status == JL_OK)
        status = add_system(c, err);
    if (status == JL_OK)
        status = add_tools(c, err);
    if (status != JL_OK)
        chat_close(c);
    return status;
}

void chat_close(chat_run *c)
{
    jl_conversation_destroy(c->conv);
    jl_chat_destroy(c->chat);
    *c = (chat_run){0};
}

jl_status chat_reset(chat_run *c, jl_error *err)
{
    jl_conversation_truncate(c->conv, 0);
    return add_system(c, err);
}

typedef struct {
    chat_run *c;
    jl_chat_parser *parser;
    jl_error *err;
    jl_status status;
} reply;

static bool on_token(void *ctx, int32_t token)
{
    reply *r = ctx;
    const gen *g = r->c->g;

    if (jl_token_is_eog(g->model, token) && opt_on(g->o, OPT_IGNORE_EOS))
        return true;
    r->status = jl_chat_parser_push(r->parser, token, r->err);
    return r->status == JL_OK && !ferror(stdout);
}

static jl_chat_finish finish_of(gen_end end)
{
    if (end == GEN_INTERRUPTED)
        return JL_FINISH_CANCELLED;
    return end == GEN_EOG ? JL_FINISH_STOP : JL_FINISH_LENGTH;
}

/* Reads the reply to a rendered prompt and appends it to the conversation. */
static jl_status read_reply(chat_run *c, const jl_chat_prompt *prompt, show *s, gen_end *end,
                            jl_error *err)
{
    const jl_chat_parser_params params = {.struct_size = sizeof params,
                                          .in_thought = prompt->in_thought};
    reply r = {.c = c, .err = err};

    jl_status status = gen_prefill(c->g, prompt->tokens, prompt->n_tokens, err);
    if (status != JL_OK)
        return status;
    status = jl_chat_parser_create(c->chat, c->conv, &params, show_event, s, &r.parser, err);
    if (status == JL_OK)
        status = gen_run(c->g, on_token, &r, end, err);
    if (status == JL_OK)
        status = r.status;
    if (status == JL_OK)
        status = jl_chat_parser_finish(r.parser, finish_of(*end), err);
    if (status == JL_OK)
        status = jl_conversation_add(c->conv, jl_chat_parser_message(r.parser), err);
    jl_chat_parser_destroy(r.parser);
    return status;
}

static jl_status answer(chat_run *c, gen_end *end, jl_error *err)
{
    const jl_chat_options options = {.struct_size = sizeof options, .thinking = c->think};
    jl_chat_prompt prompt = {0};
    show s;

    jl_status status = jl_chat_render(c->chat, c->conv, &options, &prompt, err);
    if (status != JL_OK)
        return status;
    show_start(&s, c->g->o);
    status = read_reply(c, &prompt, &s, end, err);
    show_end(&s);
    jl_chat_prompt_free(&prompt);
    return status;
}

/* Appends a message and answers; on failure the message goes again. */
static jl_status add_and_answer(chat_run *c, const jl_chat_message *m, gen_end *end, jl_error *err)
{
    const size_t before = jl_conversation_length(c->conv);

    jl_status status = jl_conversation_add(c->conv, m, err);
    if (status == JL_OK)
        status = answer(c, end, err);
    if (status != JL_OK)
        jl_conversation_truncate(c->conv, before);
    return status;
}

jl_status chat_say(chat_run *c, const char *text, size_t len, gen_end *end, jl_error *err)
{
    const jl_chat_message m = {.role = JL_ROLE_USER, .content = {text, len}};

    return add_and_answer(c, &m, end, err);
}

/* The oldest call of the last answer that has no result; *left counts those without. */
static const jl_chat_call *waiting_call(const chat_run *c, size_t *left)
{
    size_t n = jl_conversation_length(c->conv);
    size_t n_results = 0;

    *left = 0;
    while (n > 0 && jl_conversation_at(c->conv, n - 1)->role == JL_ROLE_TOOL) {
        n_results++;
        n--;
    }
    const jl_chat_message *m = n ? jl_conversation_at(c->conv, n - 1) : NULL;
    if (!m || m->role != JL_ROLE_ASSISTANT || n_results >= m->n_calls)
        return NULL;
    *left = m->n_calls - n_results;
    return &m->calls[n_results];
}

jl_status chat_result(chat_run *c, const char *text, size_t len, bool *answered, gen_end *end,
                      jl_error *err)
{
    size_t left;
    const jl_chat_call *call = waiting_call(c, &left);

    *answered = false;
    if (!call)
        return tool_error(err, JL_INVALID, "no tool call waits for a result");
    const jl_chat_message m = {
        .role = JL_ROLE_TOOL, .content = {text, len}, .call_id = call->id, .name = call->name};
    if (left > 1)
        return jl_conversation_add(c->conv, &m, err);
    *answered = true;
    return add_and_answer(c, &m, end, err);
}
