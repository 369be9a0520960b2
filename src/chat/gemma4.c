/* Messages in the Gemma 4 format, step by step as the canonical template writes them: header,
 * thought, tool calls, tool results, then the content. Calls and results come before the content of
 * their message; an assistant message after another one continues the same turn. */
#include "chat/gemma4.h"

#include <string.h>

typedef enum { LAST_OTHER = 0, LAST_CALL, LAST_RESPONSE } last_written;

typedef struct {
    jl_marked *out;
    jl_stored_message *const *messages; /* without the leading system message */
    size_t n;
    size_t after_user;       /* index behind the last user message; thoughts are kept from there */
    const jl_chat_options *options;
    last_written last;
    bool after_assistant;    /* the last message that is no tool result was the assistant's */
    size_t offset;           /* of messages[0] in the conversation, for error texts */
} renderer;

static bool is_tool(const renderer *r, size_t i)
{
    return r->messages[i]->pub.role == JL_ROLE_TOOL;
}

static const char *turn_name(jl_chat_role role)
{
    static const char *const names[] = {"system", "developer", "user", "model", "tool"};
    return names[role];
}

static jl_status check_part(const jl_chat_message *m, size_t index, size_t k, jl_error *err)
{
    static const char *const kinds[] = {"text", "an image", "audio", "video"};
    if (m->parts[k].kind == JL_PART_TEXT)
        return JL_OK;
    return jl_fail(err, JL_UNSUPPORTED, "messages[%zu].content[%zu] is %s; only text can be "
                   "read, so remove it or describe it in words", index, k,
                   kinds[m->parts[k].kind & 3]);
}

/* ---- content ---------------------------------------------------------------------------- */

/* Text without <|channel>...<channel|> spans, then without outer blanks, as the template does it:
 * the text is cut at every closing mark, and each piece ends at its first opening mark. */
static jl_status put_without_thoughts(jl_buf *out, jl_chat_text t, jl_error *err)
{
    const char *open = jl_mark_text(JL_MARK_CHANNEL_OPEN);
    const char *close = jl_mark_text(JL_MARK_CHANNEL_CLOSE);
    jl_buf kept;
    jl_buf_init(&kept, out->max);
    jl_status status = JL_OK;
    const char *p = t.ptr;
    const char *const end = t.ptr ? t.ptr + t.len : NULL;
    while (p < end && status == JL_OK) {
        const char *stop = memmem(p, (size_t)(end - p), close, strlen(close));
        const char *piece_end = stop ? stop : end;
        const char *cut = memmem(p, (size_t)(piece_end - p), open, strlen(open));
        status = jl_buf_put(&kept, p, (size_t)((cut ? cut : piece_end) - p), err);
        p = stop ? stop + strlen(close) : end;
    }
    const jl_chat_text stripped = jl_text_strip((jl_chat_text){jl_buf_str(&kept), kept.len});
    if (status == JL_OK)
        status = jl_buf_put(out, stripped.ptr, stripped.len, err);
    jl_buf_free(&kept);
    return status;
}

static jl_status put_text(jl_marked *out, jl_chat_text t, bool model, jl_error *err)
{
    if (model)
        return put_without_thoughts(&out->text, t, err);
    return jl_marked_put(out, jl_text_strip(t), err);
}

static jl_status put_content(renderer *r, size_t i, bool *has_content, jl_error *err)
{
    const jl_chat_message *m = &r->messages[i]->pub;
    const bool model = m->role == JL_ROLE_ASSISTANT;
    const size_t start = r->out->text.len;
    if (!m->parts)
        JL_TRY(put_text(r->out, m->content, model, err));
    for (size_t k = 0; k < m->n_parts; k++) {
        JL_TRY(check_part(m, r->offset + i, k, err));
        JL_TRY(put_text(r->out, m->parts[k].text, model, err));
    }
    const jl_chat_text written = {jl_buf_str(&r->out->text) + start, r->out->text.len - start};
    *has_content = jl_text_strip(written).len > 0;
    return JL_OK;
}

/* ---- thoughts, calls, results ----------------------------------------------------------- */

static jl_status put_thought(renderer *r, size_t i, jl_error *err)
{
    const jl_chat_message *m = &r->messages[i]->pub;
    const bool kept = i >= r->after_user || (r->options->preserve_thinking && m->n_calls > 0);
    if (m->reasoning.len == 0 || !kept)
        return JL_OK;
    JL_TRY(jl_marked_mark(r->out, JL_MARK_CHANNEL_OPEN, err));
    JL_TRY(jl_marked_puts(r->out, "thought\n", err));
    JL_TRY(jl_marked_put(r->out, m->reasoning, err));
    JL_TRY(jl_marked_puts(r->out, "\n", err));
    return jl_marked_mark(r->out, JL_MARK_CHANNEL_CLOSE, err);
}

static jl_status put_calls(renderer *r, size_t i, jl_error *err)
{
    const jl_stored_message *m = r->messages[i];
    for (size_t k = 0; k < m->pub.n_calls; k++) {
        JL_TRY(jl_marked_mark(r->out, JL_MARK_CALL_OPEN, err));
        JL_TRY(jl_marked_puts(r->out, "call:", err));
        JL_TRY(jl_marked_puts(r->out, m->pub.calls[k].name, err));
        JL_TRY(jl_marked_puts(r->out, "{", err));
        if (m->arguments[k])
            JL_TRY(jl_gemma4_members(r->out, m->arguments[k], err));
        JL_TRY(jl_marked_puts(r->out, "}", err));
        JL_TRY(jl_marked_mark(r->out, JL_MARK_CALL_CLOSE, err));
        r->last = LAST_CALL;
    }
    return JL_OK;
}

/* The tool a result belongs to: by call id (the last match counts), else its own name. A call and a
 * result that both lack an id match as well. */
static const char *result_name(const jl_chat_message *calls, const jl_chat_message *result)
{
    const char *name = result->name && result->name[0] ? result->name : "unknown";
    for (size_t k = 0; k < calls->n_calls; k++) {
        const char *id = calls->calls[k].id;
        const bool same = id && result->call_id ? strcmp(id, result->call_id) == 0
                                                : !id && !result->call_id;
        if (same)
            name = calls->calls[k].name;
    }
    return name;
}

static jl_status put_result(renderer *r, size_t caller, size_t i, jl_error *err)
{
    const jl_chat_message *m = &r->messages[i]->pub;
    JL_TRY(jl_marked_mark(r->out, JL_MARK_RESPONSE_OPEN, err));
    JL_TRY(jl_marked_puts(r->out, "response:", err));
    JL_TRY(jl_marked_puts(r->out, result_name(&r->messages[caller]->pub, m), err));
    JL_TRY(jl_marked_puts(r->out, "{value:", err));
    if (m->parts || m->content.ptr) {
        JL_TRY(jl_marked_mark(r->out, JL_MARK_QUOTE, err));
        if (!m->parts)
            JL_TRY(jl_marked_put(r->out, m->content, err));
        for (size_t k = 0; k < m->n_parts; k++) {
            JL_TRY(check_part(m, r->offset + i, k, err));
            JL_TRY(jl_marked_put(r->out, m->parts[k].text, err));
        }
        JL_TRY(jl_marked_mark(r->out, JL_MARK_QUOTE, err));
    } else {
        JL_TRY(jl_marked_puts(r->out, "null", err));
    }
    JL_TRY(jl_marked_puts(r->out, "}", err));
    r->last = LAST_RESPONSE;
    return jl_marked_mark(r->out, JL_MARK_RESPONSE_CLOSE, err);
}

/* The tool results right behind message i. Results elsewhere belong to no call and are left out. */
static jl_status put_results(renderer *r, size_t i, jl_error *err)
{
    if (r->messages[i]->pub.n_calls == 0)
        return JL_OK;
    for (size_t k = i + 1; k < r->n && is_tool(r, k); k++)
        JL_TRY(put_result(r, i, k, err));
    return JL_OK;
}

/* ---- turns ------------------------------------------------------------------------------ */

static jl_status put_message(renderer *r, size_t i, jl_error *err)
{
    const jl_chat_message *m = &r->messages[i]->pub;
    const bool model = m->role == JL_ROLE_ASSISTANT;
    bool has_content;

    r->last = LAST_OTHER;
    if (!(model && r->after_assistant)) {
        JL_TRY(jl_marked_mark(r->out, JL_MARK_TURN_OPEN, err));
        JL_TRY(jl_marked_puts(r->out, turn_name(m->role), err));
        JL_TRY(jl_marked_puts(r->out, "\n", err));
    }
    JL_TRY(put_thought(r, i, err));
    JL_TRY(put_calls(r, i, err));
    JL_TRY(put_results(r, i, err));
    JL_TRY(put_content(r, i, &has_content, err));
    r->after_assistant = model;

    size_t next = i + 1;
    while (next < r->n && is_tool(r, next))
        next++;
    const bool is_last = next == r->n;
    const bool answered = r->last == LAST_RESPONSE;
    if (r->last == LAST_CALL)
        return jl_marked_mark(r->out, JL_MARK_RESPONSE_OPEN, err);
    if (model && !is_last && r->messages[next]->pub.role == JL_ROLE_ASSISTANT)
        return JL_OK;
    if (answered && !has_content && is_last)
        return JL_OK;
    JL_TRY(jl_marked_mark(r->out, JL_MARK_TURN_CLOSE, err));
    return jl_marked_puts(r->out, "\n", err);
}

static jl_status put_system_text(jl_marked *out, const jl_chat_message *m, jl_error *err)
{
    if (!m->parts)
        return jl_marked_put(out, jl_text_strip(m->content), err);
    for (size_t k = 0; k < m->n_parts; k++) {
        JL_TRY(check_part(m, 0, k, err));
        JL_TRY(jl_marked_put(out, jl_text_strip(m->parts[k].text), err));
        JL_TRY(jl_marked_puts(out, " ", err));
    }
    return JL_OK;
}

static jl_status put_system(jl_marked *out, const jl_conversation *conv,
                            const jl_chat_message *system, bool thinking, jl_error *err)
{
    JL_TRY(jl_marked_mark(out, JL_MARK_TURN_OPEN, err));
    JL_TRY(jl_marked_puts(out, "system\n", err));
    if (thinking) {
        JL_TRY(jl_marked_mark(out, JL_MARK_THINK, err));
        JL_TRY(jl_marked_puts(out, "\n", err));
    }
    if (system)
        JL_TRY(put_system_text(out, system, err));
    for (size_t i = 0; i < json_array_size(conv->tools); i++) {
        JL_TRY(jl_marked_mark(out, JL_MARK_TOOL_OPEN, err));
        JL_TRY(jl_gemma4_declaration(out, json_array_get(conv->tools, i), err));
        JL_TRY(jl_marked_mark(out, JL_MARK_TOOL_CLOSE, err));
    }
    JL_TRY(jl_marked_mark(out, JL_MARK_TURN_CLOSE, err));
    return jl_marked_puts(out, "\n", err);
}

static jl_status put_generation_prompt(renderer *r, bool large, bool *in_thought, jl_error *err)
{
    const bool thinking = r->options->thinking;
    const bool open_turn = r->last == LAST_OTHER;
    if (open_turn) {
        JL_TRY(jl_marked_mark(r->out, JL_MARK_TURN_OPEN, err));
        JL_TRY(jl_marked_puts(r->out, "model\n", err));
    }
    const bool empty_thought = open_turn && large && !thinking;
    *in_thought = r->last == LAST_RESPONSE && thinking;
    if (!empty_thought && !*in_thought)
        return JL_OK;
    JL_TRY(jl_marked_mark(r->out, JL_MARK_CHANNEL_OPEN, err));
    JL_TRY(jl_marked_puts(r->out, "thought\n", err));
    return empty_thought ? jl_marked_mark(r->out, JL_MARK_CHANNEL_CLOSE, err) : JL_OK;
}

jl_status jl_gemma4_render(const jl_conversation *conv, const jl_chat_options *options, bool large,
                           jl_marked *out, bool *in_thought, jl_error *err)
{
    const jl_chat_message *system = jl_conversation_at(conv, 0);
    if (system && system->role != JL_ROLE_SYSTEM && system->role != JL_ROLE_DEVELOPER)
        system = NULL;

    renderer r = {.out = out, .options = options, .offset = system ? 1 : 0};
    r.messages = conv->n_messages ? conv->messages + r.offset : NULL;
    r.n = conv->n_messages - r.offset;
    for (size_t i = 0; i < r.n; i++)
        if (r.messages[i]->pub.role == JL_ROLE_USER)
            r.after_user = i + 1;

    *in_thought = false;
    JL_TRY(jl_marked_mark(out, JL_MARK_BOS, err));
    if (options->thinking || conv->tools || system)
        JL_TRY(put_system(out, conv, system, options->thinking, err));
    for (size_t i = 0; i < r.n; i++)
        if (!is_tool(&r, i))
            JL_TRY(put_message(&r, i, err));
    return options->no_generation_prompt ? JL_OK
                                         : put_generation_prompt(&r, large, in_thought, err);
}
