/* OpenAI /v1/chat/completions. Clients call again for ever when finish_reason is missing or is not
 * a word they know, and run a call as soon as its arguments parse: so arguments start as "" and the
 * reason is always one of stop, length and tool_calls. */
#include <string.h>

#include "joule/sys.h"
#include "server/convert.h"
#include "server/openai.h"

enum { MIN_REPEATS = 3 };

/* ---- shared with the other OpenAI wires ------------------------------------------------- */

const char *jl_openai_finish(const jl_choice *c)
{
    switch (c->finish) {
    case JL_FINISH_LENGTH:
        return "length";
    case JL_FINISH_TOOL_CALLS:
        return "tool_calls";
    default:
        return "stop";
    }
}

json_t *jl_openai_usage(const jl_answer *a)
{
    const jl_usage u = jl_answer_usage(a);

    return json_pack("{s:I, s:I, s:I, s:{s:I}, s:{s:I}}", "prompt_tokens", (json_int_t)u.n_prompt,
                     "completion_tokens", (json_int_t)u.n_generated, "total_tokens",
                     (json_int_t)(u.n_prompt + u.n_generated), "prompt_tokens_details",
                     "cached_tokens", (json_int_t)u.n_cached, "completion_tokens_details",
                     "reasoning_tokens", (json_int_t)u.n_thought);
}

json_t *jl_openai_error(int http, const jl_fault *f)
{
    const char *type = http == 401   ? "authentication_error"
                       : http == 403 ? "permission_error"
                       : http == 404 ? "not_found_error"
                       : http == 429 ? "rate_limit_error"
                       : http < 500  ? "invalid_request_error"
                                     : "server_error";

    return json_pack("{s:{s:s, s:s, s:s?, s:s?}}", "error", "message", f->err.text, "type", type,
                     "param", f->param, "code", f->code);
}

json_t *jl_openai_details(const jl_choice *c)
{
    const bool again = c->call_repeats >= MIN_REPEATS;

    if (!c->feed.looped && !c->repairs && !c->feed.stop_hit && !again)
        return NULL;
    json_t *details = json_pack("{s:s*, s:s*, s:O*}", "reason",
                                c->feed.looped ? "repetition"
                                : again        ? "repeated_calls"
                                               : NULL,
                                "stop", c->feed.stop_hit, "repairs", c->repairs);
    if (again)
        json_object_set_new(details, "call_repeats", json_integer(c->call_repeats));
    return details;
}

void jl_openai_stream_error(jl_answer *a, int http, const jl_fault *f)
{
    jl_ex_stream_json(a->ex, NULL, jl_openai_error(http, f));
}

void jl_openai_done(jl_answer *a)
{
    static const char done[] = "data: [DONE]\n\n";

    jl_ex_stream_write(a->ex, done, sizeof done - 1);
    jl_ex_stream_end(a->ex);
}

/* ---- chat ------------------------------------------------------------------------------- */

static json_t *chunk(const jl_answer *a, json_t *choices)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:o}", "id", a->id, "object",
                     "chat.completion.chunk", "created", a->created, "model", a->s->name,
                     "system_fingerprint", "joule-" JL_VERSION_STRING, "choices", choices);
}

static json_t *choice_chunk(const jl_answer *a, const jl_choice *c, json_t *delta,
                            const char *finish)
{
    json_t *choice = json_pack("{s:i, s:o, s:s?}", "index", (int)c->index, "delta", delta,
                               "finish_reason", finish);

    return chunk(a, json_pack("[o]", choice));
}

static void begin(jl_answer *a)
{
    for (unsigned i = 0; i < a->gen.n; i++)
        jl_ex_stream_json(a->ex, NULL,
                          choice_chunk(a, &a->choices[i],
                                       json_pack("{s:s, s:s}", "role", "assistant", "content", ""),
                                       NULL));
}

static json_t *call_delta(const jl_out *o)
{
    if (o->kind == JL_OUT_CALL_BEGIN)
        return json_pack("{s:[{s:i, s:s, s:s, s:{s:s, s:s}}]}", "tool_calls", "index", o->call,
                         "id", o->id, "type", "function", "function", "name", o->name, "arguments",
                         "");
    return json_pack("{s:[{s:i, s:{s:s%}}]}", "tool_calls", "index", o->call, "function",
                     "arguments", o->text, o->len);
}

static void progress(jl_answer *a, const jl_choice *c, const jl_out *o)
{
    const jl_usage u = jl_answer_usage(a);
    json_t *body = chunk(a, json_array());

    if (c->index != 0) {
        json_decref(body);
        return;
    }
    json_object_set_new(body, "prompt_progress",
                        json_pack("{s:I, s:I, s:I, s:f}", "total", (json_int_t)u.n_prompt, "cache",
                                  (json_int_t)u.n_cached, "processed", (json_int_t)o->n_done,
                                  "time_ms", (double)(jl_time_ns() - a->ex->start_ns) * 1e-6));
    jl_ex_stream_json(a->ex, NULL, body);
}

static void event(jl_answer *a, jl_choice *c, const jl_out *o)
{
    json_t *delta = NULL;

    switch (o->kind) {
    case JL_OUT_CONTENT:
        delta = json_pack("{s:s%}", "content", o->text, o->len);
        break;
    case JL_OUT_REASONING:
        delta = json_pack("{s:s%}", "reasoning_content", o->text, o->len);
        break;
    case JL_OUT_CALL_BEGIN:
    case JL_OUT_CALL_ARGUMENTS:
        delta = call_delta(o);
        break;
    case JL_OUT_PROGRESS:
        progress(a, c, o);
        return;
    default:
        return;
    }
    json_t *body = choice_chunk(a, c, delta, NULL);
    if (c->logprobs && json_array_size(c->logprobs) > 0 && o->kind == JL_OUT_CONTENT) {
        json_t *copy = json_copy(c->logprobs);
        json_array_clear(c->logprobs);
        json_object_set_new(json_array_get(json_object_get(body, "choices"), 0), "logprobs",
                            json_pack("{s:o}", "content", copy));
    }
    jl_ex_stream_json(a->ex, NULL, body);
}

static void end_choice(jl_answer *a, jl_choice *c)
{
    json_t *body = choice_chunk(a, c, json_object(), jl_openai_finish(c));
    json_t *choice = json_array_get(json_object_get(body, "choices"), 0);
    json_t *details = jl_openai_details(c);

    if (details)
        json_object_set_new(choice, "finish_details", details);
    if (a->n_ended == a->gen.n) {
        json_object_set_new(body, "timings", jl_answer_timings(a));
        json_object_set_new(body, "energy", jl_answer_energy(a));
    }
    jl_ex_stream_json(a->ex, NULL, body);
}

json_t *jl_openai_calls(const jl_choice *c)
{
    json_t *calls = json_array();

    for (size_t i = 0; i < c->n_calls; i++) {
        const jl_call *call = &c->calls[i];
        json_array_append_new(calls,
                              json_pack("{s:s, s:s, s:{s:s, s:s}}", "id", call->id, "type",
                                        "function", "function", "name", call->name, "arguments",
                                        call->arguments.len ? call->arguments.ptr : "{}"));
    }
    return calls;
}

static json_t *message(const jl_choice *c)
{
    const bool no_text = c->content.len == 0 && c->n_calls > 0;
    json_t *m =
        json_pack("{s:s, s:o}", "role", "assistant", "content",
                  no_text ? json_null() : json_stringn(jl_str_text(&c->content), c->content.len));

    if (c->reasoning.len)
        json_object_set_new(m, "reasoning_content",
                            json_stringn(c->reasoning.ptr, c->reasoning.len));
    if (c->n_calls)
        json_object_set_new(m, "tool_calls", jl_openai_calls(c));
    return m;
}

static void finish(jl_answer *a)
{
    json_t *choices = json_array();

    if (a->gen.stream) {
        if (a->gen.usage_chunk) {
            json_t *body = chunk(a, choices);
            json_object_set_new(body, "usage", jl_openai_usage(a));
            json_object_set_new(body, "timings", jl_answer_timings(a));
            json_object_set_new(body, "energy", jl_answer_energy(a));
            jl_ex_stream_json(a->ex, NULL, body);
        } else {
            json_decref(choices);
        }
        jl_openai_done(a);
        return;
    }
    for (unsigned i = 0; i < a->gen.n; i++) {
        const jl_choice *c = &a->choices[i];
        json_t *choice =
            json_pack("{s:i, s:o, s:s, s:o*}", "index", (int)i, "message", message(c),
                      "finish_reason", jl_openai_finish(c), "finish_details", jl_openai_details(c));
        json_object_set_new(choice, "logprobs",
                            c->logprobs ? json_pack("{s:O}", "content", c->logprobs) : json_null());
        json_array_append_new(choices, choice);
    }
    json_t *body = chunk(a, choices);
    json_object_set_new(body, "object", json_string("chat.completion"));
    json_object_set_new(body, "usage", jl_openai_usage(a));
    json_object_set_new(body, "timings", jl_answer_timings(a));
    json_object_set_new(body, "energy", jl_answer_energy(a));
    jl_ex_json(a->ex, 200, body);
}

const jl_wire jl_wire_chat = {.id_prefix = "chatcmpl-",
                              .stream_type = "text/event-stream",
                              .keep_alive = ": keep-alive\n\n",
                              .begin = begin,
                              .event = event,
                              .end_choice = end_choice,
                              .finish = finish,
                              .error = jl_openai_error,
                              .stream_error = jl_openai_stream_error};

void jl_post_chat(jl_exchange *ex)
{
    json_t *body = jl_ex_body(ex);

    if (body)
        jl_start_chat(ex, &jl_wire_chat, body, NULL);
}
