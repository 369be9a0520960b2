#include "chat/conversation.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "chat/buf.h"
#include "chat/families.h"
#include "chat/text.h"

static const char *const role_names[] = {"system", "developer", "user", "assistant", "tool"};

jl_status jl_conversation_create(size_t max_bytes, jl_conversation **out, jl_error *err)
{
    jl_conversation *conv = jl_calloc(1, sizeof *conv);
    if (!conv)
        return jl_fail(err, JL_NO_MEMORY, "no memory for a conversation");
    conv->max_bytes = max_bytes ? max_bytes : (size_t)256 << 20;
    *out = conv;
    return JL_OK;
}

static void message_free(jl_stored_message *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->pub.n_calls; i++)
        json_decref(m->arguments[i]);
    jl_free(m);
}

void jl_conversation_truncate(jl_conversation *conv, size_t n_messages)
{
    while (conv->n_messages > n_messages) {
        jl_stored_message *m = conv->messages[--conv->n_messages];
        conv->used_bytes -= m->bytes;
        message_free(m);
    }
}

void jl_conversation_destroy(jl_conversation *conv)
{
    if (!conv)
        return;
    jl_conversation_truncate(conv, 0);
    jl_free(conv->messages);
    json_decref(conv->tools);
    jl_free(conv);
}

size_t jl_conversation_length(const jl_conversation *conv)
{
    return conv->n_messages;
}

const jl_chat_message *jl_conversation_at(const jl_conversation *conv, size_t i)
{
    return i < conv->n_messages ? &conv->messages[i]->pub : NULL;
}

/* ---- text of messages ------------------------------------------------------------------- */

jl_status jl_chat_put_content(const jl_conversation *conv, size_t i, jl_buf *out, jl_error *err)
{
    static const char *const kinds[] = {"text", "an image", "audio", "video"};
    const jl_chat_message *m = &conv->messages[i]->pub;

    if (!m->parts)
        return jl_buf_put(out, m->content.ptr ? m->content.ptr : "", m->content.len, err);
    for (size_t k = 0; k < m->n_parts; k++) {
        if (m->parts[k].kind != JL_PART_TEXT)
            return jl_fail(err, JL_UNSUPPORTED,
                           "messages[%zu].content[%zu] is %s; only text can be read, so remove it "
                           "or describe it in words", i, k, kinds[m->parts[k].kind & 3]);
        JL_TRY(jl_buf_put(out, m->parts[k].text.ptr ? m->parts[k].text.ptr : "",
                          m->parts[k].text.len, err));
    }
    return JL_OK;
}

jl_status jl_chat_put_stripped(const jl_conversation *conv, size_t i, jl_buf *out, jl_error *err)
{
    jl_buf text;

    jl_buf_init(&text, out->max);
    jl_status status = jl_chat_put_content(conv, i, &text, err);
    if (status == JL_OK) {
        const jl_chat_text t = jl_text_strip((jl_chat_text){jl_buf_str(&text), text.len});
        status = jl_buf_put(out, t.ptr, t.len, err);
    }
    jl_buf_free(&text);
    return status;
}

/* ---- copying ---------------------------------------------------------------------------- */

/* Hands out pieces of one block; with base NULL it only adds up the need. */
typedef struct {
    char *base;
    size_t used;
} packer;

static void *pack(packer *p, size_t n_bytes)
{
    void *at = p->base ? p->base + p->used : NULL;
    p->used += (n_bytes + 15) & ~(size_t)15;
    return at;
}

/* A NUL-terminated copy, invalid UTF-8 replaced. */
static jl_chat_text pack_text(packer *p, jl_chat_text t)
{
    if (!t.ptr)
        return (jl_chat_text){0};
    size_t len = 0;
    for (size_t i = 0; i < t.len;) {
        const size_t n = jl_utf8_len(t.ptr + i, t.len - i);
        len += n ? n : 3;
        i += n ? n : 1;
    }
    char *s = pack(p, len + 1);
    if (s) {
        size_t at = 0;
        for (size_t i = 0; i < t.len;) {
            const size_t n = jl_utf8_len(t.ptr + i, t.len - i);
            memcpy(s + at, n ? t.ptr + i : "\xef\xbf\xbd", n ? n : 3);
            at += n ? n : 3;
            i += n ? n : 1;
        }
        s[len] = 0;
    }
    return (jl_chat_text){s, len};
}

static const char *pack_str(packer *p, const char *s)
{
    return pack_text(p, jl_chat_str(s)).ptr;
}

static jl_stored_message *pack_message(packer *p, const jl_chat_message *m)
{
    jl_stored_message *out = pack(p, sizeof *out);
    jl_chat_part *parts = pack(p, m->n_parts * sizeof *parts);
    jl_chat_call *calls = pack(p, m->n_calls * sizeof *calls);
    json_t **arguments = pack(p, m->n_calls * sizeof *arguments);
    jl_chat_message pub = *m;

    pub.content = pack_text(p, m->content);
    pub.reasoning = pack_text(p, m->reasoning);
    pub.call_id = pack_str(p, m->call_id);
    pub.name = pack_str(p, m->name);
    for (size_t i = 0; i < m->n_parts; i++) {
        const jl_chat_part part = {m->parts[i].kind, pack_text(p, m->parts[i].text)};
        if (parts)
            parts[i] = part;
    }
    for (size_t i = 0; i < m->n_calls; i++) {
        const jl_chat_call *c = &m->calls[i];
        const jl_chat_call call = {pack_str(p, c->id), pack_str(p, c->name),
                                   pack_text(p, c->arguments)};
        if (calls)
            calls[i] = call;
    }
    if (!out)
        return NULL;
    pub.parts = m->n_parts ? parts : NULL;
    pub.calls = m->n_calls ? calls : NULL;
    memset(arguments, 0, m->n_calls * sizeof *arguments);
    *out = (jl_stored_message){.pub = pub, .arguments = arguments};
    return out;
}

/* ---- adding ----------------------------------------------------------------------------- */

static jl_status check_message(const jl_chat_message *m, size_t index, jl_error *err)
{
    if ((unsigned)m->role > JL_ROLE_TOOL)
        return jl_fail(err, JL_INVALID, "messages[%zu]: role %d does not exist", index,
                       (int)m->role);
    if (m->role != JL_ROLE_ASSISTANT && m->n_calls)
        return jl_fail(err, JL_INVALID, "messages[%zu]: tool calls on a %s message; only assistant "
                       "messages have them", index, role_names[m->role]);
    if (m->role != JL_ROLE_ASSISTANT && m->reasoning.len)
        return jl_fail(err, JL_INVALID, "messages[%zu]: reasoning on a %s message; only assistant "
                       "messages have it", index, role_names[m->role]);
    for (size_t i = 0; i < m->n_calls; i++)
        if (!m->calls[i].name || !m->calls[i].name[0])
            return jl_fail(err, JL_INVALID, "messages[%zu].tool_calls[%zu]: the function has no "
                           "name",
                           index, i);
    return JL_OK;
}

static jl_status parse_arguments(jl_stored_message *m, size_t index, jl_error *err)
{
    for (size_t i = 0; i < m->pub.n_calls; i++) {
        const jl_chat_text text = jl_text_strip(m->pub.calls[i].arguments);
        char what[80];
        json_t *v = NULL;
        if (text.len == 0)
            continue;
        snprintf(what, sizeof what, "messages[%zu].tool_calls[%zu].function.arguments", index, i);
        JL_TRY(jl_text_parse_json(text.ptr, text.len, what, &v, err));
        if (json_is_object(v)) {
            m->arguments[i] = v;
            continue;
        }
        const bool is_null = json_is_null(v);
        json_decref(v);
        if (!is_null)
            return jl_fail(err, JL_INVALID, "%s must be a JSON object", what);
    }
    return JL_OK;
}

jl_status jl_conversation_add(jl_conversation *conv, const jl_chat_message *message, jl_error *err)
{
    JL_TRY(check_message(message, conv->n_messages, err));
    packer p = {0};
    (void)pack_message(&p, message);
    if (p.used > conv->max_bytes - conv->used_bytes)
        return jl_fail(err, JL_TOO_LARGE, "messages[%zu]: the conversation would exceed %zu bytes",
                       conv->n_messages, conv->max_bytes);
    JL_TRY(jl_grow(&conv->messages, &conv->cap, conv->n_messages + 1, sizeof *conv->messages, err));

    packer q = {.base = jl_malloc(p.used)};
    if (!q.base)
        return jl_fail(err, JL_NO_MEMORY, "no memory for a message of %zu bytes", p.used);
    jl_stored_message *m = pack_message(&q, message);
    m->bytes = p.used;
    const jl_status status = parse_arguments(m, conv->n_messages, err);
    if (status != JL_OK) {
        message_free(m);
        return status;
    }
    conv->used_bytes += m->bytes;
    conv->messages[conv->n_messages++] = m;
    return JL_OK;
}

/* ---- tools ------------------------------------------------------------------------------ */

static jl_status check_tool(const json_t *tool, size_t i, jl_error *err)
{
    const json_t *fn = json_object_get(tool, "function");
    const json_t *type = json_object_get(tool, "type");
    const json_t *name = json_object_get(fn, "name");
    const json_t *params = json_object_get(fn, "parameters");
    const json_t *response = json_object_get(fn, "response");
    if (type && !(json_is_string(type) && strcmp(json_string_value(type), "function") == 0))
        return jl_fail(err, JL_UNSUPPORTED, "tools[%zu].type must be \"function\"", i);
    if (!json_is_object(fn))
        return jl_fail(err, JL_INVALID, "tools[%zu].function must be an object", i);
    if (!json_is_string(name) || json_string_length(name) == 0)
        return jl_fail(err, JL_INVALID, "tools[%zu].function.name must be a non-empty string", i);
    if (params && !json_is_object(params) && !json_is_null(params))
        return jl_fail(err, JL_INVALID, "tools[%zu].function.parameters must be a JSON schema "
                       "object", i);
    if (response && !json_is_object(response))
        return jl_fail(err, JL_INVALID, "tools[%zu].function.response must be an object", i);
    return JL_OK;
}

jl_status jl_conversation_replace_tools(jl_conversation *conv, json_t *tools, size_t n_bytes,
                                        jl_error *err)
{
    if (tools && !json_is_array(tools) && !json_is_null(tools))
        return jl_fail(err, JL_INVALID, "tools must be an array");
    if (n_bytes > conv->max_bytes)
        return jl_fail(err, JL_TOO_LARGE, "tools of more than %zu bytes", conv->max_bytes);
    for (size_t i = 0; i < json_array_size(tools); i++)
        JL_TRY(check_tool(json_array_get(tools, i), i, err));
    json_decref(conv->tools);
    conv->tools = json_array_size(tools) ? json_incref(tools) : NULL;
    return JL_OK;
}

jl_status jl_conversation_set_tools(jl_conversation *conv, const char *json, size_t len,
                                    jl_error *err)
{
    json_t *v = NULL;
    if (json)
        JL_TRY(jl_text_parse_json(json, len, "tools", &v, err));
    const jl_status status = jl_conversation_replace_tools(conv, v, len, err);
    json_decref(v);
    return status;
}
