/* Anthropic /v1/messages: how answers are written. */
#include <string.h>

#include "joule/sys.h"
#include "server/convert.h"

enum { BLOCK_NONE = 0, BLOCK_THINKING, BLOCK_TEXT, BLOCK_CALL };

static json_t *error_json(int http, const jl_fault *f)
{
    const char *type = http == 401   ? "authentication_error"
                       : http == 403 ? "permission_error"
                       : http == 404 ? "not_found_error"
                       : http == 413 ? "request_too_large"
                       : http == 429 ? "rate_limit_error"
                       : http == 503 ? "overloaded_error"
                       : http < 500  ? "invalid_request_error"
                                     : "api_error";

    return json_pack("{s:s, s:{s:s, s:s}}", "type", "error", "error", "type", type, "message",
                     f->err.text);
}

static void stream_error(jl_answer *a, int http, const jl_fault *f)
{
    jl_ex_stream_json(a->ex, "error", error_json(http, f));
}

static const char *stop_reason(const jl_choice *c)
{
    if (c->finish == JL_FINISH_LENGTH)
        return "max_tokens";
    if (c->finish == JL_FINISH_TOOL_CALLS)
        return "tool_use";
    return c->feed.stop_hit ? "stop_sequence" : "end_turn";
}

/* Tokens found in the cache are counted apart from input_tokens in this API. */
static json_t *usage(const jl_answer *a)
{
    const jl_usage u = jl_answer_usage(a);

    return json_pack("{s:I, s:I, s:I, s:I}", "input_tokens", (json_int_t)(u.n_prompt - u.n_cached),
                     "cache_read_input_tokens", (json_int_t)u.n_cached,
                     "cache_creation_input_tokens", (json_int_t)0, "output_tokens",
                     (json_int_t)u.n_generated);
}

static json_t *message(const jl_answer *a, json_t *content, const char *reason, const char *stop)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s?, s:s?, s:o}", "id", a->id, "type", "message",
                     "role", "assistant", "model", a->s->name, "content", content, "stop_reason",
                     reason, "stop_sequence", stop, "usage", usage(a));
}

static void begin(jl_answer *a)
{
    jl_ex_stream_json(a->ex, "message_start",
                      json_pack("{s:s, s:o}", "type", "message_start", "message",
                                message(a, json_array(), NULL, NULL)));
}

static void close_block(jl_answer *a, jl_choice *c)
{
    if (c->block_kind == BLOCK_NONE)
        return;
    jl_ex_stream_json(a->ex, "content_block_stop",
                      json_pack("{s:s, s:i}", "type", "content_block_stop", "index", c->block++));
    c->block_kind = BLOCK_NONE;
}

static void open_block(jl_answer *a, jl_choice *c, int kind, json_t *block)
{
    c->block_kind = kind;
    jl_ex_stream_json(a->ex, "content_block_start",
                      json_pack("{s:s, s:i, s:o}", "type", "content_block_start", "index", c->block,
                                "content_block", block));
}

static void delta(jl_answer *a, const jl_choice *c, const char *type, const char *key,
                  const jl_out *o)
{
    jl_ex_stream_json(a->ex, "content_block_delta",
                      json_pack("{s:s, s:i, s:{s:s, s:s%}}", "type", "content_block_delta", "index",
                                c->block, "delta", "type", type, key, o->text, o->len));
}

static void event(jl_answer *a, jl_choice *c, const jl_out *o)
{
    const int kind = o->kind == JL_OUT_CONTENT     ? BLOCK_TEXT
                     : o->kind == JL_OUT_REASONING ? BLOCK_THINKING
                                                   : BLOCK_CALL;

    if (o->kind > JL_OUT_CALL_END)
        return;
    if (o->kind == JL_OUT_CALL_BEGIN || (kind != BLOCK_CALL && kind != c->block_kind))
        close_block(a, c);
    if (o->kind == JL_OUT_CALL_BEGIN)
        open_block(a, c, kind,
                   json_pack("{s:s, s:s, s:s, s:{}}", "type", "tool_use", "id", o->id, "name",
                             o->name, "input"));
    else if (kind == BLOCK_TEXT && c->block_kind == BLOCK_NONE)
        open_block(a, c, kind, json_pack("{s:s, s:s}", "type", "text", "text", ""));
    else if (kind == BLOCK_THINKING && c->block_kind == BLOCK_NONE)
        open_block(
            a, c, kind,
            json_pack("{s:s, s:s, s:s}", "type", "thinking", "thinking", "", "signature", ""));
    if (o->kind == JL_OUT_CALL_ARGUMENTS)
        delta(a, c, "input_json_delta", "partial_json", o);
    else if (kind == BLOCK_TEXT)
        delta(a, c, "text_delta", "text", o);
    else if (kind == BLOCK_THINKING)
        delta(a, c, "thinking_delta", "thinking", o);
    else if (o->kind == JL_OUT_CALL_END)
        close_block(a, c);
}

static void end_choice(jl_answer *a, jl_choice *c)
{
    close_block(a, c);
    jl_ex_stream_json(a->ex, "message_delta",
                      json_pack("{s:s, s:{s:s, s:s?}, s:o, s:o}", "type", "message_delta",
                                "delta", "stop_reason", stop_reason(c), "stop_sequence",
                                c->feed.stop_hit, "usage", usage(a), "energy",
                                jl_answer_energy(a)));
    jl_ex_stream_json(a->ex, "message_stop", json_pack("{s:s}", "type", "message_stop"));
}

static json_t *content(const jl_choice *c)
{
    json_t *list = json_array();

    if (c->reasoning.len)
        json_array_append_new(list, json_pack("{s:s, s:s%, s:s}", "type", "thinking", "thinking",
                                              c->reasoning.ptr, c->reasoning.len, "signature", ""));
    if (c->content.len || c->n_calls == 0)
        json_array_append_new(list, json_pack("{s:s, s:s%}", "type", "text", "text",
                                              jl_str_text(&c->content), c->content.len));
    for (size_t i = 0; i < c->n_calls; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "type", "tool_use", "id",
                                              c->calls[i].id, "name", c->calls[i].name, "input",
                                              jl_call_arguments(&c->calls[i])));
    return list;
}

static void finish(jl_answer *a)
{
    const jl_choice *c = &a->choices[0];

    if (a->gen.stream) {
        jl_ex_stream_end(a->ex);
        return;
    }
    json_t *body = message(a, content(c), stop_reason(c), c->feed.stop_hit);
    json_object_set_new(body, "energy", jl_answer_energy(a));
    jl_ex_json(a->ex, 200, body);
}

const jl_wire jl_wire_messages = {.id_prefix = "msg_",
                                  .stream_type = "text/event-stream",
                                  .keep_alive = "event: ping\ndata: {\"type\":\"ping\"}\n\n",
                                  .begin = begin,
                                  .event = event,
                                  .end_choice = end_choice,
                                  .finish = finish,
                                  .error = error_json,
                                  .stream_error = stream_error};

void jl_post_messages(jl_exchange *ex)
{
    jl_fault f = {0};
    json_t *body = jl_ex_body(ex);
    json_t *chat = body ? jl_convert_messages(body, &f) : NULL;

    if (!body)
        return;
    if (chat && !json_is_integer(json_object_get(body, "max_tokens"))) {
        (void)jl_fault_set(&f, 400, "missing_field", "max_tokens", "max_tokens is required");
        json_decref(chat);
        chat = NULL;
    }
    json_decref(body);
    if (chat)
        jl_start_chat(ex, &jl_wire_messages, chat, NULL);
    else
        jl_ex_fault(ex, &f);
}

void jl_post_count_tokens(jl_exchange *ex)
{
    jl_gen g = {0};
    jl_fault f = {0};
    json_t *body = jl_ex_body(ex);
    json_t *chat = body ? jl_convert_messages(body, &f) : NULL;

    if (!body)
        return;
    json_decref(body);
    jl_status status = chat ? jl_gen_read(ex->s, chat, &g, &f) : f.err.status;
    if (status == JL_OK)
        status = jl_gen_read_chat(ex->s, chat, &g, &f);
    json_decref(chat);
    const size_t n = g.prompt.prompt.n_tokens;
    jl_gen_free(&g);
    if (status == JL_OK)
        jl_ex_json(ex, 200, json_pack("{s:I}", "input_tokens", (json_int_t)n));
    else
        jl_ex_fault(ex, &f);
}
