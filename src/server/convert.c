/* Requests of other APIs as OpenAI chat requests. */
#include "server/convert.h"

#include <string.h>

void jl_start_chat(jl_exchange *ex, const jl_wire *wire, json_t *chat, json_t *extra)
{
    jl_gen g = {0};
    jl_fault f = {0};

    jl_status status = jl_gen_read(ex->s, chat, &g, &f);
    if (status == JL_OK)
        status = jl_gen_read_chat(ex->s, chat, &g, &f);
    if (status == JL_OK) {
        jl_answer_start(ex, wire, &g, extra);
    } else {
        jl_gen_free(&g);
        json_decref(extra);
        jl_ex_fault(ex, &f);
    }
    json_decref(chat);
}

json_t *jl_call_arguments(const jl_call *call)
{
    json_t *v =
        json_loadb(jl_str_text(&call->arguments), call->arguments.len, JSON_ALLOW_NUL, NULL);

    if (json_is_object(v))
        return v;
    json_decref(v);
    return json_object();
}

void jl_convert_names(const json_t *body, json_t *out, const char *const *pairs)
{
    for (; *pairs; pairs += 2)
        if (json_object_get(body, pairs[0]))
            json_object_set(out, pairs[1], json_object_get(body, pairs[0]));
}

json_t *jl_convert_tool(const json_t *name, const json_t *description, const json_t *parameters)
{
    return json_pack("{s:s, s:{s:O*, s:O*, s:O*}}", "type", "function", "function", "name", name,
                     "description", description, "parameters", parameters);
}

json_t *jl_convert_text(const json_t *content)
{
    jl_str text = {0};
    size_t i;
    json_t *part;

    if (json_is_string(content))
        return json_stringn(json_string_value(content), json_string_length(content));
    json_array_foreach(content, i, part)
    {
        const json_t *t = json_object_get(part, "text");
        if (json_is_string(t))
            (void)jl_str_put(&text, json_string_value(t), json_string_length(t));
    }
    json_t *out = json_stringn(jl_str_text(&text), text.len);
    jl_str_free(&text);
    return out;
}

/* ---- Anthropic -------------------------------------------------------------------------- */

static json_t *assistant_message(const json_t *blocks)
{
    json_t *m = json_pack("{s:s, s:o}", "role", "assistant", "content", jl_convert_text(blocks));
    json_t *calls = json_array();
    size_t i;
    json_t *b;

    json_array_foreach(blocks, i, b)
    {
        const char *type = json_string_value(json_object_get(b, "type"));
        if (type && strcmp(type, "tool_use") == 0)
            json_array_append_new(calls, json_pack("{s:O*, s:s, s:{s:O*, s:O*}}", "id",
                                                   json_object_get(b, "id"), "type", "function",
                                                   "function", "name", json_object_get(b, "name"),
                                                   "arguments", json_object_get(b, "input")));
        else if (type && strcmp(type, "thinking") == 0)
            json_object_set(m, "reasoning_content", json_object_get(b, "thinking"));
    }
    if (json_array_size(calls) > 0)
        json_object_set(m, "tool_calls", calls);
    json_decref(calls);
    return m;
}

/* Results of tools first, each a message of its own, then what the user says. */
static void add_user_blocks(json_t *messages, const json_t *blocks)
{
    json_t *parts = json_array();
    size_t i;
    json_t *b;

    json_array_foreach(blocks, i, b)
    {
        const char *type = json_string_value(json_object_get(b, "type"));
        if (type && strcmp(type, "tool_result") == 0)
            json_array_append_new(messages,
                                  json_pack("{s:s, s:O*, s:o}", "role", "tool", "tool_call_id",
                                            json_object_get(b, "tool_use_id"), "content",
                                            jl_convert_text(json_object_get(b, "content"))));
        else
            json_array_append(parts, b);
    }
    if (json_array_size(parts) > 0)
        json_array_append_new(messages, json_pack("{s:s, s:O}", "role", "user", "content", parts));
    json_decref(parts);
}

static json_t *anthropic_messages(const json_t *body, jl_fault *f)
{
    const json_t *system = json_object_get(body, "system");
    const json_t *given = json_object_get(body, "messages");
    json_t *messages = json_array();
    size_t i;
    json_t *m;

    if (!json_is_array(given)) {
        (void)jl_fault_set(f, 400, "missing_field", "messages", "messages must be an array");
        json_decref(messages);
        return NULL;
    }
    if (system && !json_is_null(system))
        json_array_append_new(messages, json_pack("{s:s, s:o}", "role", "system", "content",
                                                  jl_convert_text(system)));
    json_array_foreach(given, i, m)
    {
        const char *role = json_string_value(json_object_get(m, "role"));
        const json_t *content = json_object_get(m, "content");
        if (!json_is_array(content) || !role)
            json_array_append(messages, m);
        else if (strcmp(role, "assistant") == 0)
            json_array_append_new(messages, assistant_message(content));
        else
            add_user_blocks(messages, content);
    }
    return messages;
}

static json_t *anthropic_tools(const json_t *tools)
{
    json_t *list = json_array();
    size_t i;
    json_t *t;

    json_array_foreach(tools, i, t) json_array_append_new(
        list, jl_convert_tool(json_object_get(t, "name"), json_object_get(t, "description"),
                              json_object_get(t, "input_schema")));
    return list;
}

static void anthropic_choice(const json_t *choice, json_t *out)
{
    const char *type = json_string_value(json_object_get(choice, "type"));
    const json_t *single = json_object_get(choice, "disable_parallel_tool_use");

    if (!type)
        return;
    if (json_is_true(single))
        json_object_set_new(out, "parallel_tool_calls", json_false());
    if (strcmp(type, "any") == 0)
        json_object_set_new(out, "tool_choice", json_string("required"));
    else if (strcmp(type, "tool") == 0)
        json_object_set_new(out, "tool_choice",
                            json_pack("{s:s, s:{s:O*}}", "type", "function", "function", "name",
                                      json_object_get(choice, "name")));
    else
        json_object_set_new(out, "tool_choice", json_string(type));
}

static void anthropic_thinking(const json_t *thinking, json_t *out)
{
    const char *type = json_string_value(json_object_get(thinking, "type"));

    if (!type)
        return;
    const bool on = strcmp(type, "disabled") != 0;
    json_object_set_new(out, "chat_template_kwargs", json_pack("{s:b}", "enable_thinking", on));
    if (on && json_object_get(thinking, "budget_tokens"))
        json_object_set(out, "reasoning_budget", json_object_get(thinking, "budget_tokens"));
}

/* "output_config": {"format"}, or "output_format" as it was called in the beta. */
static void anthropic_format(const json_t *body, json_t *out)
{
    const json_t *config = json_object_get(body, "output_config");
    const json_t *format =
        config ? json_object_get(config, "format") : json_object_get(body, "output_format");
    const char *type = json_string_value(json_object_get(format, "type"));

    if (type && strcmp(type, "json_schema") == 0)
        json_object_set_new(out, "response_format",
                            json_pack("{s:s, s:{s:O*}}", "type", "json_schema", "json_schema",
                                      "schema", json_object_get(format, "schema")));
    else if (format) /* goes on as it is, and is refused further on */
        json_object_set(out, "response_format", (json_t *)(uintptr_t)format);
}

json_t *jl_convert_messages(const json_t *body, jl_fault *f)
{
    static const char *const names[] = {
        "model",          "model", "max_tokens", "max_tokens", "temperature", "temperature",
        "top_p",          "top_p", "top_k",      "top_k",      "stream",      "stream",
        "stop_sequences", "stop",  "seed",       "seed",       NULL};
    json_t *messages = anthropic_messages(body, f);

    if (!messages)
        return NULL;
    json_t *out = json_pack("{s:o}", "messages", messages);
    jl_convert_names(body, out, names);
    if (json_array_size(json_object_get(body, "tools")) > 0)
        json_object_set_new(out, "tools", anthropic_tools(json_object_get(body, "tools")));
    anthropic_choice(json_object_get(body, "tool_choice"), out);
    anthropic_thinking(json_object_get(body, "thinking"), out);
    anthropic_format(body, out);
    return out;
}

/* ---- Ollama ----------------------------------------------------------------------------- */

static json_t *ollama_message(const json_t *m)
{
    static const char *const names[] = {
        "role",       "role",       "content",   "content", "thinking",     "reasoning_content",
        "tool_calls", "tool_calls", "tool_name", "name",    "tool_call_id", "tool_call_id",
        NULL};
    json_t *out = json_object();

    jl_convert_names(m, out, names);
    if (json_array_size(json_object_get(m, "images")) > 0) /* refused further on, by its type */
        json_object_set_new(out, "content", json_pack("[{s:s}]", "type", "image"));
    return out;
}

static json_t *ollama_messages(const json_t *body, bool generate)
{
    const json_t *system = json_object_get(body, "system");
    const json_t *prompt = json_object_get(body, "prompt");
    json_t *list = json_array();
    size_t i;
    json_t *m;

    if (generate && json_is_string(system) && json_string_length(system) > 0)
        json_array_append_new(list, json_pack("{s:s, s:O}", "role", "system", "content", system));
    if (generate)
        json_array_append_new(list, json_pack("{s:s, s:O*}", "role", "user", "content", prompt));
    json_array_foreach(json_object_get(body, "messages"), i, m)
        json_array_append_new(list, ollama_message(m));
    return list;
}

static void ollama_think(const json_t *think, json_t *out)
{
    if (json_is_boolean(think))
        json_object_set_new(out, "chat_template_kwargs",
                            json_pack("{s:b}", "enable_thinking", json_is_true(think)));
    else if (json_is_string(think))
        json_object_set(out, "reasoning_effort", (json_t *)(uintptr_t)think);
}

static void ollama_format(const json_t *format, json_t *out)
{
    if (json_is_string(format) && strcmp(json_string_value(format), "json") == 0)
        json_object_set_new(out, "response_format", json_pack("{s:s}", "type", "json_object"));
    else if (json_is_object(format))
        json_object_set_new(
            out, "response_format",
            json_pack("{s:s, s:{s:O}}", "type", "json_schema", "json_schema", "schema", format));
}

json_t *jl_convert_ollama(const json_t *body, bool generate, jl_fault *f)
{
    static const char *const names[] = {
        "model",        "model",        "tools",  "tools",  "logprobs", "logprobs",
        "top_logprobs", "top_logprobs", "stream", "stream", NULL};
    static const char *const options[] = {"num_predict",
                                          "max_tokens",
                                          "stop",
                                          "stop",
                                          "seed",
                                          "seed",
                                          "temperature",
                                          "temperature",
                                          "top_k",
                                          "top_k",
                                          "top_p",
                                          "top_p",
                                          "min_p",
                                          "min_p",
                                          "typical_p",
                                          "typical_p",
                                          "repeat_penalty",
                                          "repeat_penalty",
                                          "repeat_last_n",
                                          "repeat_last_n",
                                          "presence_penalty",
                                          "presence_penalty",
                                          "frequency_penalty",
                                          "frequency_penalty",
                                          NULL};
    const json_t *given = json_object_get(body, "options");
    const json_t *messages = json_object_get(body, "messages");

    if (given && !json_is_null(given) && !json_is_object(given)) {
        (void)jl_fault_set(f, 400, "invalid_type", "options", "options must be an object");
        return NULL;
    }
    if (generate ? !json_is_string(json_object_get(body, "prompt")) : !json_is_array(messages)) {
        (void)jl_fault_set(f, 400, "missing_field", generate ? "prompt" : "messages",
                           generate ? "prompt must be a string" : "messages must be an array");
        return NULL;
    }
    json_t *out = json_pack("{s:o, s:b}", "messages", ollama_messages(body, generate), "stream", 1);
    jl_convert_names(body, out, names);
    jl_convert_names(given, out, options);
    ollama_think(json_object_get(body, "think"), out);
    ollama_format(json_object_get(body, "format"), out);
    if (json_integer_value(json_object_get(out, "max_tokens")) < 0) /* "until it ends" */
        json_object_del(out, "max_tokens");
    return out;
}
