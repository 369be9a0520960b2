/* Conversations from the body of an OpenAI chat completion request. */
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "chat/conversation.h"
#include "chat/text.h"

/* What a message points to while it is copied into the conversation. */
typedef struct {
    jl_chat_part *parts;
    jl_chat_call *calls;
    jl_buf *dumps; /* [n_dumps], arguments given as objects, as text */
    size_t n_dumps;
} scratch;

static void scratch_free(scratch *s)
{
    for (size_t i = 0; i < s->n_dumps; i++)
        jl_buf_free(&s->dumps[i]);
    jl_free(s->dumps);
    jl_free(s->calls);
    jl_free(s->parts);
    *s = (scratch){0};
}

static jl_chat_text text_of(const json_t *v)
{
    if (!json_is_string(v))
        return (jl_chat_text){0};
    return (jl_chat_text){json_string_value(v), json_string_length(v)};
}

static jl_status read_role(const json_t *m, size_t i, jl_chat_role *out, jl_error *err)
{
    static const struct {
        const char *name;
        jl_chat_role role;
    } roles[] = {{"system", JL_ROLE_SYSTEM}, {"developer", JL_ROLE_DEVELOPER},
                 {"user", JL_ROLE_USER},     {"assistant", JL_ROLE_ASSISTANT},
                 {"model", JL_ROLE_ASSISTANT}, {"tool", JL_ROLE_TOOL}, {"function", JL_ROLE_TOOL}};
    const char *name = json_string_value(json_object_get(m, "role"));
    if (!name)
        return jl_fail(err, JL_INVALID, "messages[%zu].role must be a string", i);
    for (size_t r = 0; r < sizeof roles / sizeof *roles; r++)
        if (strcmp(name, roles[r].name) == 0) {
            *out = roles[r].role;
            return JL_OK;
        }
    return jl_fail(err, JL_INVALID, "messages[%zu].role \"%.40s\" is not system, developer, user, "
                   "assistant or tool", i, name);
}

static jl_status read_part(const json_t *v, size_t i, size_t k, jl_chat_part *out, jl_error *err)
{
    static const struct {
        const char *name;
        jl_chat_part_kind kind;
    } kinds[] = {{"text", JL_PART_TEXT}, {"input_text", JL_PART_TEXT},
                 {"output_text", JL_PART_TEXT},
                 {"image", JL_PART_IMAGE}, {"image_url", JL_PART_IMAGE},
                 {"input_image", JL_PART_IMAGE}, {"audio", JL_PART_AUDIO},
                 {"input_audio", JL_PART_AUDIO}, {"video", JL_PART_VIDEO},
                 {"video_url", JL_PART_VIDEO}};
    const char *type = json_string_value(json_object_get(v, "type"));
    for (size_t r = 0; type && r < sizeof kinds / sizeof *kinds; r++) {
        if (strcmp(type, kinds[r].name) != 0)
            continue;
        *out = (jl_chat_part){kinds[r].kind, text_of(json_object_get(v, "text"))};
        if (out->kind == JL_PART_TEXT && !out->text.ptr)
            return jl_fail(err, JL_INVALID, "messages[%zu].content[%zu].text must be a string",
                           i, k);
        return JL_OK;
    }
    return jl_fail(err, JL_INVALID, "messages[%zu].content[%zu].type \"%.40s\" is not known", i, k,
                   type ? type : "");
}

static jl_status read_content(const json_t *v, size_t i, jl_chat_message *out, scratch *s,
                              jl_error *err)
{
    if (!v || json_is_null(v) || json_is_string(v)) {
        out->content = text_of(v);
        return JL_OK;
    }
    if (!json_is_array(v))
        return jl_fail(err, JL_INVALID, "messages[%zu].content must be a string, an array of parts "
                       "or null", i);
    const size_t n = json_array_size(v);
    if (n == 0) {
        out->content = jl_chat_str("");
        return JL_OK;
    }
    s->parts = jl_calloc(n, sizeof *s->parts);
    if (!s->parts)
        return jl_fail(err, JL_NO_MEMORY, "no memory for %zu content parts", n);
    for (size_t k = 0; k < n; k++)
        JL_TRY(read_part(json_array_get(v, k), i, k, &s->parts[k], err));
    out->parts = s->parts;
    out->n_parts = n;
    return JL_OK;
}

static int append(const char *s, size_t len, void *buf)
{
    return jl_buf_put(buf, s, len, NULL) == JL_OK ? 0 : -1;
}

static jl_status read_call(const json_t *v, size_t i, size_t k, scratch *s, jl_error *err)
{
    const json_t *fn = json_object_get(v, "function");
    const json_t *arguments = json_object_get(fn, "arguments");
    jl_chat_call *call = &s->calls[k];
    call->id = json_string_value(json_object_get(v, "id"));
    call->name = json_string_value(json_object_get(fn, "name"));
    call->arguments = text_of(arguments);
    if (json_is_object(arguments)) {
        jl_buf_init(&s->dumps[k], SIZE_MAX / 4);
        if (json_dump_callback(arguments, append, &s->dumps[k], JSON_COMPACT) != 0)
            return jl_fail(err, JL_NO_MEMORY, "no memory for the arguments of a call");
        call->arguments = (jl_chat_text){jl_buf_str(&s->dumps[k]), s->dumps[k].len};
    } else if (arguments && !json_is_string(arguments) && !json_is_null(arguments)) {
        return jl_fail(err, JL_INVALID, "messages[%zu].tool_calls[%zu].function.arguments must "
                       "be a string or an object", i, k);
    }
    return JL_OK;
}

static jl_status read_calls(const json_t *v, size_t i, jl_chat_message *out, scratch *s,
                            jl_error *err)
{
    if (v && !json_is_null(v) && !json_is_array(v))
        return jl_fail(err, JL_INVALID, "messages[%zu].tool_calls must be an array", i);
    const size_t n = json_array_size(v);
    if (n == 0)
        return JL_OK;
    s->calls = jl_calloc(n, sizeof *s->calls);
    s->dumps = jl_calloc(n, sizeof *s->dumps);
    if (!s->calls || !s->dumps)
        return jl_fail(err, JL_NO_MEMORY, "no memory for %zu tool calls", n);
    s->n_dumps = n;
    for (size_t k = 0; k < n; k++)
        JL_TRY(read_call(json_array_get(v, k), i, k, s, err));
    out->calls = s->calls;
    out->n_calls = n;
    return JL_OK;
}

static jl_status read_message(const json_t *m, size_t i, jl_chat_message *out, scratch *s,
                              jl_error *err)
{
    *out = (jl_chat_message){0};
    if (!json_is_object(m))
        return jl_fail(err, JL_INVALID, "messages[%zu] must be an object", i);
    JL_TRY(read_role(m, i, &out->role, err));
    JL_TRY(read_content(json_object_get(m, "content"), i, out, s, err));
    if (out->role == JL_ROLE_ASSISTANT) {
        out->reasoning = text_of(json_object_get(m, "reasoning"));
        if (out->reasoning.len == 0)
            out->reasoning = text_of(json_object_get(m, "reasoning_content"));
        JL_TRY(read_calls(json_object_get(m, "tool_calls"), i, out, s, err));
    }
    if (out->role == JL_ROLE_TOOL) {
        out->call_id = json_string_value(json_object_get(m, "tool_call_id"));
        out->name = json_string_value(json_object_get(m, "name"));
    }
    return JL_OK;
}

static jl_status load_messages(jl_conversation *conv, const json_t *messages, jl_error *err)
{
    if (messages && !json_is_array(messages))
        return jl_fail(err, JL_INVALID, "messages must be an array");
    for (size_t i = 0; i < json_array_size(messages); i++) {
        jl_chat_message m;
        scratch s = {0};
        jl_status status = read_message(json_array_get(messages, i), i, &m, &s, err);
        if (status == JL_OK)
            status = jl_conversation_add(conv, &m, err);
        scratch_free(&s);
        JL_TRY(status);
    }
    return JL_OK;
}

jl_status jl_conversation_load(jl_conversation *conv, const char *json, size_t len, jl_error *err)
{
    json_t *body = NULL;
    JL_TRY(jl_text_parse_json(json, len, "the request", &body, err));
    const size_t n_before = conv->n_messages;
    jl_status status = JL_OK;
    if (!json_is_object(body))
        status = jl_fail(err, JL_INVALID, "the request must be a JSON object");
    if (status == JL_OK)
        status = load_messages(conv, json_object_get(body, "messages"), err);
    if (status == JL_OK && json_object_get(body, "tools"))
        status = jl_conversation_replace_tools(conv, json_object_get(body, "tools"), len, err);
    if (status != JL_OK)
        jl_conversation_truncate(conv, n_before);
    json_decref(body);
    return status;
}
