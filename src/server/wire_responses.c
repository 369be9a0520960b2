/* OpenAI /v1/responses: an answer is a list of items: reasoning, message, calls. */
#include <stdio.h>
#include <string.h>

#include "server/convert.h"
#include "server/openai.h"

enum { ITEM_NONE = 0, ITEM_REASONING, ITEM_TEXT, ITEM_CALL };

static json_t *usage(const jl_answer *a)
{
    const jl_usage u = jl_answer_usage(a);

    return json_pack("{s:I, s:{s:I}, s:I, s:{s:I}, s:I}", "input_tokens", (json_int_t)u.n_prompt,
                     "input_tokens_details", "cached_tokens", (json_int_t)u.n_cached,
                     "output_tokens", (json_int_t)u.n_generated, "output_tokens_details",
                     "reasoning_tokens", (json_int_t)u.n_thought, "total_tokens",
                     (json_int_t)(u.n_prompt + u.n_generated));
}

static json_t *item_id(const jl_answer *a, const char *kind, int index)
{
    char id[80];

    snprintf(id, sizeof id, "%s_%s_%d", kind, a->id + strlen(a->wire->id_prefix), index);
    return json_string(id);
}

static json_t *text_part(const char *text, size_t len)
{
    return json_pack("{s:s, s:s%, s:[]}", "type", "output_text", "text", text, len, "annotations");
}

static json_t *reasoning_item(const jl_answer *a, const jl_choice *c, int index)
{
    return json_pack("{s:o, s:s, s:[], s:[{s:s, s:s%}]}", "id", item_id(a, "rs", index), "type",
                     "reasoning", "summary", "content", "type", "reasoning_text", "text",
                     jl_str_text(&c->reasoning), c->reasoning.len);
}

static json_t *text_item(const jl_answer *a, const jl_choice *c, int index, const char *status)
{
    json_t *parts = json_array();

    if (c->content.len)
        json_array_append_new(parts, text_part(c->content.ptr, c->content.len));
    return json_pack("{s:o, s:s, s:s, s:s, s:o}", "id", item_id(a, "msg", index), "type", "message",
                     "status", status, "role", "assistant", "content", parts);
}

static json_t *call_item(const jl_answer *a, const jl_call *call, int index, const char *status)
{
    return json_pack("{s:o, s:s, s:s, s:s, s:s, s:s}", "id", item_id(a, "fc", index), "type",
                     "function_call", "status", status, "call_id", call->id, "name", call->name,
                     "arguments", jl_str_text(&call->arguments));
}

static json_t *items(const jl_answer *a, const jl_choice *c)
{
    json_t *list = json_array();
    int index = 0;

    if (c->reasoning.len)
        json_array_append_new(list, reasoning_item(a, c, index++));
    if (c->content.len || c->n_calls == 0)
        json_array_append_new(list, text_item(a, c, index++, "completed"));
    for (size_t i = 0; i < c->n_calls; i++)
        json_array_append_new(list, call_item(a, &c->calls[i], index++, "completed"));
    return list;
}

static json_t *response(const jl_answer *a, const char *status, json_t *output)
{
    const bool cut = strcmp(status, "incomplete") == 0;
    json_t *r = json_pack("{s:s, s:s, s:I, s:s, s:s, s:n, s:n, s:o}", "id", a->id, "object",
                          "response", "created_at", a->created, "status", status, "model",
                          a->s->name, "error", "instructions", "output", output);

    json_object_set_new(r, "incomplete_details",
                        cut ? json_pack("{s:s}", "reason", "max_output_tokens") : json_null());
    json_object_set_new(r, "usage", a->n_ended ? usage(a) : json_null());
    if (a->n_ended)
        json_object_set_new(r, "energy", jl_answer_energy(a));
    json_object_set_new(r, "metadata", json_object());
    json_object_set_new(r, "previous_response_id", json_null());
    json_object_set_new(r, "store", json_false());
    json_object_set_new(r, "temperature", json_real((double)a->gen.sampling.temperature));
    json_object_set_new(r, "top_p", json_real((double)a->gen.sampling.top_p));
    json_object_set_new(r, "parallel_tool_calls", json_boolean(!a->gen.limits.one_call));
    json_object_update_missing(r, a->extra); /* tools and tool_choice as they were given */
    return r;
}

/* ---- stream ----------------------------------------------------------------------------- */

/* Sends an event; body is taken. */
static void send_event(jl_answer *a, const char *type, json_t *body)
{
    json_object_set_new(body, "type", json_string(type));
    json_object_set_new(body, "sequence_number", json_integer(a->sequence++));
    jl_ex_stream_json(a->ex, type, body);
}

static void begin(jl_answer *a)
{
    send_event(a, "response.created",
               json_pack("{s:o}", "response", response(a, "in_progress", json_array())));
    send_event(a, "response.in_progress",
               json_pack("{s:o}", "response", response(a, "in_progress", json_array())));
}

static json_t *place(const jl_answer *a, const jl_choice *c, const char *kind)
{
    return json_pack("{s:o, s:i, s:i}", "item_id", item_id(a, kind, c->block), "output_index",
                     c->block, "content_index", 0);
}

static void add_item(jl_answer *a, jl_choice *c, const char *event, json_t *item)
{
    send_event(a, event, json_pack("{s:i, s:o}", "output_index", c->block, "item", item));
}

static void close_text(jl_answer *a, jl_choice *c)
{
    json_t *done = place(a, c, "msg");

    json_object_set_new(done, "text", json_stringn(jl_str_text(&c->content), c->content.len));
    send_event(a, "response.output_text.done", done);
    done = place(a, c, "msg");
    json_object_set_new(done, "part", text_part(jl_str_text(&c->content), c->content.len));
    send_event(a, "response.content_part.done", done);
    add_item(a, c, "response.output_item.done", text_item(a, c, c->block, "completed"));
}

static void close_item(jl_answer *a, jl_choice *c)
{
    if (c->block_kind == ITEM_NONE)
        return;
    if (c->block_kind == ITEM_TEXT) {
        close_text(a, c);
    } else if (c->block_kind == ITEM_REASONING) {
        json_t *done = place(a, c, "rs");
        json_object_set_new(done, "text",
                            json_stringn(jl_str_text(&c->reasoning), c->reasoning.len));
        send_event(a, "response.reasoning_text.done", done);
        add_item(a, c, "response.output_item.done", reasoning_item(a, c, c->block));
    } else {
        const jl_call *call = &c->calls[c->n_calls - 1];
        json_t *done = place(a, c, "fc");
        json_object_set_new(done, "arguments", json_string(jl_str_text(&call->arguments)));
        send_event(a, "response.function_call_arguments.done", done);
        add_item(a, c, "response.output_item.done", call_item(a, call, c->block, "completed"));
    }
    c->block++;
    c->block_kind = ITEM_NONE;
}

static void open_item(jl_answer *a, jl_choice *c, int kind, const jl_out *o)
{
    c->block_kind = kind;
    if (kind == ITEM_CALL) {
        const jl_call empty = {.id = o->id, .name = o->name};
        add_item(a, c, "response.output_item.added", call_item(a, &empty, c->block, "in_progress"));
        return;
    }
    if (kind == ITEM_REASONING) {
        add_item(a, c, "response.output_item.added",
                 json_pack("{s:o, s:s, s:[], s:[]}", "id", item_id(a, "rs", c->block), "type",
                           "reasoning", "summary", "content"));
        return;
    }
    add_item(a, c, "response.output_item.added",
             json_pack("{s:o, s:s, s:s, s:s, s:[]}", "id", item_id(a, "msg", c->block), "type",
                       "message", "status", "in_progress", "role", "assistant", "content"));
    json_t *part = place(a, c, "msg");
    json_object_set_new(part, "part", text_part("", 0));
    send_event(a, "response.content_part.added", part);
}

static void send_delta(jl_answer *a, const jl_choice *c, const char *event, const char *kind,
                       const jl_out *o)
{
    json_t *body = place(a, c, kind);

    json_object_set_new(body, "delta", json_stringn(o->text, o->len));
    send_event(a, event, body);
}

static void event(jl_answer *a, jl_choice *c, const jl_out *o)
{
    const int kind = o->kind == JL_OUT_CONTENT     ? ITEM_TEXT
                     : o->kind == JL_OUT_REASONING ? ITEM_REASONING
                                                   : ITEM_CALL;

    if (o->kind > JL_OUT_CALL_END)
        return;
    if (o->kind == JL_OUT_CALL_BEGIN || (kind != ITEM_CALL && kind != c->block_kind)) {
        close_item(a, c);
        open_item(a, c, kind, o);
    }
    if (kind == ITEM_TEXT)
        send_delta(a, c, "response.output_text.delta", "msg", o);
    else if (kind == ITEM_REASONING)
        send_delta(a, c, "response.reasoning_text.delta", "rs", o);
    else if (o->kind == JL_OUT_CALL_ARGUMENTS)
        send_delta(a, c, "response.function_call_arguments.delta", "fc", o);
    else if (o->kind == JL_OUT_CALL_END)
        close_item(a, c);
}

static void end_choice(jl_answer *a, jl_choice *c)
{
    close_item(a, c);
}

static void finish(jl_answer *a)
{
    const jl_choice *c = &a->choices[0];
    const char *status = c->finish == JL_FINISH_LENGTH ? "incomplete" : "completed";

    if (!a->gen.stream) {
        jl_ex_json(a->ex, 200, response(a, status, items(a, c)));
        return;
    }
    send_event(a, c->finish == JL_FINISH_LENGTH ? "response.incomplete" : "response.completed",
               json_pack("{s:o}", "response", response(a, status, items(a, c))));
    jl_ex_stream_end(a->ex);
}

static void stream_error(jl_answer *a, int http, const jl_fault *f)
{
    (void)http;
    send_event(
        a, "error",
        json_pack("{s:s?, s:s, s:s?}", "code", f->code, "message", f->err.text, "param", f->param));
}

const jl_wire jl_wire_responses = {.id_prefix = "resp_",
                                   .stream_type = "text/event-stream",
                                   .keep_alive = ": keep-alive\n\n",
                                   .begin = begin,
                                   .event = event,
                                   .end_choice = end_choice,
                                   .finish = finish,
                                   .error = jl_openai_error,
                                   .stream_error = stream_error};

void jl_post_responses(jl_exchange *ex)
{
    jl_fault f = {0};
    json_t *body = jl_ex_body(ex);
    json_t *chat = body ? jl_convert_responses(body, &f) : NULL;

    if (!body)
        return;
    const json_t *tools = json_object_get(body, "tools");
    const json_t *choice = json_object_get(body, "tool_choice");
    json_t *extra = json_pack("{s:O*, s:O*}", "tools", tools, "tool_choice", choice);
    json_t *usual = json_pack("{s:[], s:s}", "tools", "tool_choice", "auto");
    json_object_update_missing(extra, usual);
    json_decref(usual);
    json_decref(body);
    if (chat) {
        jl_start_chat(ex, &jl_wire_responses, chat, extra);
    } else {
        json_decref(extra);
        jl_ex_fault(ex, &f);
    }
}
