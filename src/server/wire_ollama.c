/* Ollama's /api/chat and /api/generate: one JSON object per line. Whole calls, never pieces. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "joule/sys.h"
#include "server/convert.h"

static json_t *now(void)
{
    char text[40] = "";
    const time_t t = time(NULL);
    struct tm tm;

    if (gmtime_r(&t, &tm))
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

static bool is_generate(const jl_answer *a)
{
    return a->wire == &jl_wire_ollama_generate;
}

static json_t *call_json(const jl_call *call)
{
    return json_pack("{s:s, s:{s:s, s:o}}", "id", call->id, "function", "name", call->name,
                     "arguments", jl_call_arguments(call));
}

/* A line with this text, thought and calls (taken; NULL: none). */
static json_t *line(const jl_answer *a, const char *text, size_t len, const char *thought,
                    size_t thought_len, json_t *calls)
{
    json_t *out = json_pack("{s:s, s:o, s:b}", "model", a->s->name, "created_at", now(), "done", 0);
    json_t *m = json_pack("{s:s, s:s%}", "role", "assistant", "content", text, len);
    json_t *thinking = thought_len ? json_stringn(thought, thought_len) : NULL;

    if (is_generate(a)) {
        json_object_set_new(out, "response", json_stringn(text, len));
        if (thinking)
            json_object_set_new(out, "thinking", thinking);
        json_decref(m);
        json_decref(calls);
        return out;
    }
    if (thinking)
        json_object_set_new(m, "thinking", thinking);
    if (calls)
        json_object_set_new(m, "tool_calls", calls);
    json_object_set_new(out, "message", m);
    return out;
}

static void event(jl_answer *a, jl_choice *c, const jl_out *o)
{
    if (o->kind == JL_OUT_CONTENT)
        jl_ex_stream_line(a->ex, line(a, o->text, o->len, NULL, 0, NULL));
    else if (o->kind == JL_OUT_REASONING)
        jl_ex_stream_line(a->ex, line(a, "", 0, o->text, o->len, NULL));
    else if (o->kind == JL_OUT_CALL_END && o->complete)
        jl_ex_stream_line(a->ex,
                          line(a, "", 0, NULL, 0, json_pack("[o]", call_json(&c->calls[o->call]))));
}

static json_t *whole(const jl_answer *a, const jl_choice *c)
{
    json_t *calls = c->n_calls ? json_array() : NULL;

    for (size_t i = 0; i < c->n_calls; i++)
        json_array_append_new(calls, call_json(&c->calls[i]));
    return line(a, jl_str_text(&c->content), c->content.len, jl_str_text(&c->reasoning),
                c->reasoning.len, calls);
}

static void finish(jl_answer *a)
{
    const jl_choice *c = &a->choices[0];
    const jl_usage u = jl_answer_usage(a);
    json_t *last = a->gen.stream ? line(a, "", 0, NULL, 0, NULL) : whole(a, c);
    json_t *figures = json_pack(
        "{s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "done", 1, "done_reason",
        c->finish == JL_FINISH_LENGTH ? "length" : "stop", "total_duration",
        (json_int_t)(jl_time_ns() - a->ex->start_ns), "load_duration", (json_int_t)0,
        "prompt_eval_count", (json_int_t)u.n_prompt, "prompt_eval_duration",
        (json_int_t)(u.prompt_ms * 1e6), "eval_count", (json_int_t)u.n_generated, "eval_duration",
        (json_int_t)(u.decode_ms * 1e6), "prompt_cached_count", (json_int_t)u.n_cached);

    json_object_update(last, figures);
    json_decref(figures);
    json_object_set_new(last, "energy", jl_answer_energy(a));
    if (!a->gen.stream) {
        jl_ex_json(a->ex, 200, last);
        return;
    }
    jl_ex_stream_line(a->ex, last);
    jl_ex_stream_end(a->ex);
}

static json_t *error_json(int http, const jl_fault *f)
{
    (void)http;
    return json_pack("{s:s}", "error", f->err.text);
}

static void stream_error(jl_answer *a, int http, const jl_fault *f)
{
    jl_ex_stream_line(a->ex, error_json(http, f));
}

/* No prefix of ids: these clients do not send the ids of calls back. */
const jl_wire jl_wire_ollama_chat = {.id_prefix = "",
                                     .stream_type = "application/x-ndjson",
                                     .event = event,
                                     .finish = finish,
                                     .error = error_json,
                                     .stream_error = stream_error};
const jl_wire jl_wire_ollama_generate = {.id_prefix = "",
                                         .stream_type = "application/x-ndjson",
                                         .event = event,
                                         .finish = finish,
                                         .error = error_json,
                                         .stream_error = stream_error};

static void start(jl_exchange *ex, const jl_wire *wire, bool generate)
{
    jl_fault f = {0};
    json_t *body = jl_ex_body(ex);
    json_t *chat = body ? jl_convert_ollama(body, generate, &f) : NULL;

    if (!body)
        return;
    json_decref(body);
    if (chat)
        jl_start_chat(ex, wire, chat, NULL);
    else
        jl_ex_fault(ex, &f);
}

void jl_post_ollama_chat(jl_exchange *ex)
{
    start(ex, &jl_wire_ollama_chat, false);
}

void jl_post_ollama_generate(jl_exchange *ex)
{
    start(ex, &jl_wire_ollama_generate, true);
}

static json_t *details(const jl_server *s)
{
    char size[24];

    snprintf(size, sizeof size, "%.1fB", (double)s->info.n_params * 1e-9);
    return json_pack("{s:s, s:s, s:[s], s:s, s:s}", "format", "gguf", "family",
                     s->info.architecture, "families", s->info.architecture, "parameter_size", size,
                     "quantization_level", "unknown");
}

void jl_get_ollama_tags(jl_exchange *ex)
{
    const jl_server *s = ex->s;

    jl_ex_json(ex, 200,
               json_pack("{s:[{s:s, s:s, s:o, s:I, s:s, s:o}]}", "models", "name", s->name, "model",
                         s->name, "modified_at", now(), "size", (json_int_t)s->info.file_bytes,
                         "digest", "", "details", details(s)));
}

void jl_post_ollama_show(jl_exchange *ex)
{
    const jl_server *s = ex->s;
    jl_fault f = {0};
    const char *name = NULL;
    char key[80];
    json_t *body = jl_ex_body(ex);

    if (!body)
        return;
    jl_status status = jl_field_string(body, "name", &name, &f);
    if (status == JL_OK)
        status = jl_field_string(body, "model", &name, &f);
    if (status == JL_OK && name && !jl_server_knows(s, name))
        status =
            jl_fault_set(&f, 404, "model_not_found", "model", "model '%.100s' not found", name);
    json_decref(body);
    if (status != JL_OK) {
        jl_ex_fault(ex, &f);
        return;
    }
    snprintf(key, sizeof key, "%.40s.context_length", s->info.architecture);
    json_t *facts = json_pack("{s:s, s:I, s:I}", "general.architecture", s->info.architecture,
                              "general.parameter_count", (json_int_t)s->info.n_params, key,
                              (json_int_t)s->n_ctx);
    jl_ex_json(ex, 200,
               json_pack("{s:s, s:s, s:s?, s:o, s:o, s:[s, s, s]}", "modelfile", "", "parameters",
                         "", "template", s->info.chat_template, "details", details(s), "model_info",
                         facts, "capabilities", "completion", "tools", "thinking"));
}

void jl_get_ollama_version(jl_exchange *ex)
{
    jl_ex_json(ex, 200, json_pack("{s:s}", "version", "0.12.0-joule-" JL_VERSION_STRING));
}
