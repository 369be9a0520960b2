/* OpenAI Responses requests as chat requests. */
#include <string.h>

#include "server/convert.h"

static bool is_type(const json_t *item, const char *type)
{
    const char *t = json_string_value(json_object_get(item, "type"));

    return t && strcmp(t, type) == 0;
}

/* Text, reasoning and calls of one turn come as items; here they are one message again. */
static json_t *open_turn(json_t *messages)
{
    json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    const char *role = json_string_value(json_object_get(last, "role"));

    if (role && strcmp(role, "assistant") == 0)
        return last;
    json_t *turn = json_pack("{s:s, s:s}", "role", "assistant", "content", "");
    json_array_append_new(messages, turn);
    return turn;
}

static void add_call(json_t *messages, const json_t *item)
{
    json_t *turn = open_turn(messages);

    if (!json_object_get(turn, "tool_calls"))
        json_object_set_new(turn, "tool_calls", json_array());
    json_array_append_new(json_object_get(turn, "tool_calls"),
                          json_pack("{s:O*, s:s, s:{s:O*, s:O*}}", "id",
                                    json_object_get(item, "call_id"), "type", "function",
                                    "function", "name", json_object_get(item, "name"), "arguments",
                                    json_object_get(item, "arguments")));
}

static jl_status add_item(json_t *messages, const json_t *item, size_t i, jl_fault *f)
{
    const char *role = json_string_value(json_object_get(item, "role"));

    if (is_type(item, "function_call")) {
        add_call(messages, item);
    } else if (is_type(item, "function_call_output")) {
        json_array_append_new(messages,
                              json_pack("{s:s, s:O*, s:o}", "role", "tool", "tool_call_id",
                                        json_object_get(item, "call_id"), "content",
                                        jl_convert_text(json_object_get(item, "output"))));
    } else if (is_type(item, "reasoning")) {
        json_t *text = jl_convert_text(json_object_get(item, "content"));
        json_object_set_new(open_turn(messages), "reasoning_content", text);
    } else if (role && strcmp(role, "assistant") == 0) {
        json_object_set_new(open_turn(messages), "content",
                            jl_convert_text(json_object_get(item, "content")));
    } else if (role) {
        json_array_append_new(messages, json_pack("{s:s, s:O*}", "role", role, "content",
                                                  json_object_get(item, "content")));
    } else {
        return jl_fault_set(f, 400, "invalid_value", "input",
                            "input[%zu] is of a type that this server "
                            "does not know",
                            i);
    }
    return JL_OK;
}

static json_t *messages_of(const json_t *body, jl_fault *f)
{
    const json_t *input = json_object_get(body, "input");
    const json_t *instructions = json_object_get(body, "instructions");
    json_t *messages = json_array();
    size_t i;
    json_t *item;
    jl_status status = JL_OK;

    if (json_is_string(instructions))
        json_array_append_new(messages,
                              json_pack("{s:s, s:O}", "role", "system", "content", instructions));
    if (json_is_string(input))
        json_array_append_new(messages, json_pack("{s:s, s:O}", "role", "user", "content", input));
    else if (!json_is_array(input))
        status =
            jl_fault_set(f, 400, "missing_field", "input", "input must be a string or an array");
    json_array_foreach(input, i, item) if (status == JL_OK) status = add_item(messages, item, i, f);
    if (status == JL_OK)
        return messages;
    json_decref(messages);
    return NULL;
}

static jl_status add_tools(const json_t *body, json_t *out, jl_fault *f)
{
    const json_t *tools = json_object_get(body, "tools");
    const json_t *choice = json_object_get(body, "tool_choice");
    size_t i;
    json_t *t;

    if (json_array_size(tools) > 0)
        json_object_set_new(out, "tools", json_array());
    json_array_foreach(tools, i, t)
    {
        if (!is_type(t, "function"))
            return jl_fault_set(f, 400, "unsupported_parameter", "tools",
                                "tools[%zu] is not a function; "
                                "this server has no tools of its own",
                                i);
        json_array_append_new(json_object_get(out, "tools"),
                              jl_convert_tool(json_object_get(t, "name"),
                                              json_object_get(t, "description"),
                                              json_object_get(t, "parameters")));
    }
    if (json_is_object(choice))
        json_object_set_new(out, "tool_choice",
                            json_pack("{s:s, s:{s:O*}}", "type", "function", "function", "name",
                                      json_object_get(choice, "name")));
    else if (choice)
        json_object_set(out, "tool_choice", (json_t *)(uintptr_t)choice);
    return JL_OK;
}

static void add_format(const json_t *body, json_t *out)
{
    json_t *format = json_object_get(json_object_get(body, "text"), "format");

    if (is_type(format, "json_schema"))
        json_object_set_new(out, "response_format",
                            json_pack("{s:s, s:{s:O*}}", "type", "json_schema", "json_schema",
                                      "schema", json_object_get(format, "schema")));
    else if (format)
        json_object_set(out, "response_format", format);
}

json_t *jl_convert_responses(const json_t *body, jl_fault *f)
{
    static const char *const names[] = {"model",
                                        "model",
                                        "max_output_tokens",
                                        "max_tokens",
                                        "temperature",
                                        "temperature",
                                        "top_p",
                                        "top_p",
                                        "stream",
                                        "stream",
                                        "parallel_tool_calls",
                                        "parallel_tool_calls",
                                        "seed",
                                        "seed",
                                        "top_k",
                                        "top_k",
                                        "min_p",
                                        "min_p",
                                        "chat_template_kwargs",
                                        "chat_template_kwargs",
                                        NULL};
    static const char *const effort[] = {"effort", "reasoning_effort", NULL};
    const json_t *previous = json_object_get(body, "previous_response_id");

    if (previous && !json_is_null(previous)) {
        (void)jl_fault_set(f, 400, "unsupported_parameter", "previous_response_id",
                           "this server does "
                           "not store answers: send the whole conversation in input");
        return NULL;
    }
    json_t *messages = messages_of(body, f);
    if (!messages)
        return NULL;
    json_t *out = json_pack("{s:o}", "messages", messages);
    jl_convert_names(body, out, names);
    jl_convert_names(json_object_get(body, "reasoning"), out, effort);
    add_format(body, out);
    if (add_tools(body, out, f) == JL_OK)
        return out;
    json_decref(out);
    return NULL;
}
