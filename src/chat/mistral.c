/* Messages in the formats of Mistral for Tekken vocabularies, step by step as the published
 * templates write them. The default system text of Mistral Small names the day; here it has the
 * date of the release, so that a prompt does not change from day to day. Orders of roles that the
 * template refuses are written as they come. */
#include <string.h>

#include "chat/families.h"

static const char default_system[] =
    "You are Mistral Small 3, a Large Language Model (LLM) created by Mistral AI, a French startup "
    "headquartered in Paris.\nYour knowledge base was last updated on 2023-10-01. The current date "
    "is 2025-03-17.\n\nWhen you're not sure about some information, you say that you don't have "
    "the "
    "information and don't make up anything.\nIf the user's question is not clear, ambiguous, or "
    "does not provide enough context for you to accurately answer the question, you do not try to "
    "answer it right away and you rather ask the user to clarify their request (e.g. \"What are "
    "some good restaurants around me?\" => \"Where are you?\" or \"When is the next flight to "
    "Tokyo\" => \"Where do you travel from?\")";
/* Of Mistral Small 3.2. */
static const char default_system_3_2[] =
    "You are Mistral Small 3, a Large Language Model (LLM) created by Mistral AI, a French "
    "startup headquartered in Paris.\n"
    "Your knowledge base was last updated on 2023-10-01. The current date is 2025-06-20.\n"
    "\n"
    "When you're not sure about some information or when the user's request requires up-to-date "
    "or specific data, you must use the available tools to fetch the information. Do not "
    "hesitate to use tools whenever they can provide a more accurate or complete response. If no "
    "relevant tools are available, then clearly state that you don't have the information and "
    "avoid making up anything.\n"
    "\n"
    "If the user's question is not clear, ambiguous, or does not provide enough context for you "
    "to accurately answer the question, you do not try to answer it right away and you rather "
    "ask the user to clarify their request (e.g. \"What are some good restaurants around me?\" "
    "=> \"Where are you?\" or \"When is the next flight to Tokyo\" => \"Where do you travel "
    "from?\").\n"
    "You are always very attentive to dates, and when asked about information at specific dates, "
    "you discard information that is at another date.\n"
    "You follow these instructions in all languages, and always respond to the user in the "
    "language they use or request.\n"
    "Next sections describe the capabilities that you have.\n"
    "\n"
    "# WEB BROWSING INSTRUCTIONS\n"
    "\n"
    "You cannot perform any web search or access internet to open URLs, links etc. If it seems "
    "like the user is expecting you to do so, you clarify the situation and ask the user to copy "
    "paste the text directly in the chat.\n"
    "\n"
    "# MULTI-MODAL INSTRUCTIONS\n"
    "\n"
    "You have the ability to read images, but you cannot generate images. You also cannot "
    "transcribe audio files or videos.\n"
    "You cannot read nor transcribe audio files or videos.\n"
    "\n"
    "# TOOL CALLING INSTRUCTIONS\n"
    "\n"
    "You may have access to tools that you can use to fetch information or perform actions. You "
    "must use these tools in the following situations:\n"
    "\n"
    "1. When the request requires up-to-date information.\n"
    "2. When the request requires specific data that you do not have in your knowledge base.\n"
    "3. When the request involves actions that you cannot perform without tools.\n"
    "\n"
    "Always prioritize using tools to provide the most accurate and helpful response. If tools "
    "are not available, inform the user that you cannot perform the requested action at the "
    "moment.";
static const char tool_system[] =
    "You are a helpful assistant that can call tools. If you call one or more tools, format them "
    "in "
    "a single JSON array or objects, where each object is a tool call, not as separate objects "
    "outside of an array or multiple arrays. Use the format [{\"name\": tool call name, "
    "\"arguments\": tool call arguments}, additional tool calls] if you call more than one tool. "
    "If "
    "you call tools, do not attempt to interpret them or otherwise provide a response until you "
    "receive a tool call result that you can interpret for the user.\n\n";

/* Call ids have at least 9 letters and digits; the last 9 are written. */
enum { ID_CHARS = 9 };

typedef struct {
    const jl_conversation *conv;
    jl_marked *out;
    jl_chat_format format;
    const char *gap; /* between a mark and its JSON */
    size_t first;    /* message behind the leading system message */
    size_t last_user;
} renderer;

static jl_status put_system(renderer *r, jl_error *err)
{
    JL_TRY(jl_marked_mark(r->out, JL_MARK_M_SYSTEM_OPEN, err));
    if (r->conv->tools && r->format == JL_CHAT_MISTRAL_V7)
        JL_TRY(jl_marked_puts(r->out, tool_system, err));
    if (r->first)
        JL_TRY(jl_chat_put_content(r->conv, 0, &r->out->text, err));
    else if (r->format == JL_CHAT_MISTRAL_V11)
        JL_TRY(jl_marked_puts(r->out, default_system_3_2, err));
    else
        JL_TRY(jl_marked_puts(r->out, default_system, err));
    return jl_marked_mark(r->out, JL_MARK_M_SYSTEM_CLOSE, err);
}

/* The members of a function one by one: the template quotes texts without escapes. */
static jl_status put_function(renderer *r, const json_t *fn, jl_error *err)
{
    const char *key;
    json_t *v;
    bool more = false;

    JL_TRY(jl_marked_puts(r->out, "{\"type\": \"function\", \"function\": {", err));
    json_object_foreach((json_t *)(uintptr_t)fn, key, v)
    {
        if (strcmp(key, "return") == 0)
            continue;
        JL_TRY(jl_marked_puts(r->out, more ? ", \"" : "\"", err));
        more = true;
        JL_TRY(jl_marked_puts(r->out, key, err));
        JL_TRY(jl_marked_puts(r->out, json_is_string(v) ? "\": \"" : "\": ", err));
        if (json_is_string(v)) {
            JL_TRY(jl_buf_put(&r->out->text, json_string_value(v), json_string_length(v), err));
            JL_TRY(jl_marked_puts(r->out, "\"", err));
        } else {
            JL_TRY(jl_text_put_json(&r->out->text, v, -1, err));
        }
    }
    return jl_marked_puts(r->out, "}}", err);
}

static jl_status put_tools(renderer *r, jl_error *err)
{
    const size_t n = json_array_size(r->conv->tools);

    JL_TRY(jl_marked_mark(r->out, JL_MARK_M_TOOLS_OPEN, err));
    if (r->format == JL_CHAT_MISTRAL_V11) {
        JL_TRY(jl_text_put_json(&r->out->text, r->conv->tools, -1, err));
        return jl_marked_mark(r->out, JL_MARK_M_TOOLS_CLOSE, err);
    }
    JL_TRY(jl_marked_puts(r->out, r->gap, err));
    for (size_t i = 0; i < n; i++) {
        const json_t *tool = json_array_get(r->conv->tools, i);
        JL_TRY(jl_marked_puts(r->out, i ? ", " : "[", err));
        JL_TRY(put_function(r, json_object_get(tool, "function"), err));
    }
    JL_TRY(jl_marked_puts(r->out, "]", err));
    return jl_marked_mark(r->out, JL_MARK_M_TOOLS_CLOSE, err);
}

static jl_status put_user(renderer *r, size_t i, jl_error *err)
{
    const bool is_last = i + 1 == r->conv->n_messages;

    if (r->conv->tools && i == r->last_user)
        JL_TRY(put_tools(r, err));
    JL_TRY(jl_marked_mark(r->out, JL_MARK_M_INST_OPEN, err));
    if (r->format == JL_CHAT_MISTRAL_V3 && r->first && is_last) {
        JL_TRY(jl_chat_put_content(r->conv, 0, &r->out->text, err));
        JL_TRY(jl_marked_puts(r->out, "\n\n", err));
    }
    JL_TRY(jl_chat_put_content(r->conv, i, &r->out->text, err));
    return jl_marked_mark(r->out, JL_MARK_M_INST_CLOSE, err);
}

static jl_status put_id(renderer *r, const char *key, const char *id, size_t i, jl_error *err)
{
    const size_t len = id ? strlen(id) : 0;

    if (len < ID_CHARS)
        return jl_fail(err, JL_INVALID,
                       "messages[%zu]: the id of a tool call must have at least %d characters for "
                       "Mistral, it has %zu",
                       i, ID_CHARS, len);
    JL_TRY(jl_marked_puts(r->out, key, err));
    JL_TRY(jl_marked_puts(r->out, id + len - ID_CHARS, err));
    return key[0] ? jl_marked_puts(r->out, "\"}", err) : JL_OK;
}

/* [TOOL_CALLS]NAME[CALL_ID]ID[ARGS]ARGUMENTS, one after the other. */
static jl_status put_calls_3_2(renderer *r, size_t i, jl_error *err)
{
    const jl_stored_message *m = r->conv->messages[i];

    for (size_t k = 0; k < m->pub.n_calls; k++) {
        JL_TRY(jl_marked_mark(r->out, JL_MARK_M_CALLS, err));
        JL_TRY(jl_marked_puts(r->out, m->pub.calls[k].name, err));
        JL_TRY(jl_marked_mark(r->out, JL_MARK_M_CALL_ID, err));
        JL_TRY(put_id(r, "", m->pub.calls[k].id, i, err));
        JL_TRY(jl_marked_mark(r->out, JL_MARK_M_ARGS, err));
        if (m->arguments[k])
            JL_TRY(jl_text_put_json(&r->out->text, m->arguments[k], -1, err));
        else
            JL_TRY(jl_marked_puts(r->out, "{}", err));
    }
    return jl_marked_mark(r->out, JL_MARK_M_EOS, err);
}

static jl_status put_calls(renderer *r, size_t i, jl_error *err)
{
    const jl_stored_message *m = r->conv->messages[i];

    if (r->format == JL_CHAT_MISTRAL_V11)
        return put_calls_3_2(r, i, err);
    JL_TRY(jl_marked_mark(r->out, JL_MARK_M_CALLS, err));
    JL_TRY(jl_marked_puts(r->out, r->gap, err));
    for (size_t k = 0; k < m->pub.n_calls; k++) {
        JL_TRY(jl_marked_puts(r->out, k ? ", {\"name\": " : "[{\"name\": ", err));
        JL_TRY(jl_text_put_json_string(&r->out->text, jl_chat_str(m->pub.calls[k].name), err));
        JL_TRY(jl_marked_puts(r->out, ", \"arguments\": ", err));
        if (m->arguments[k])
            JL_TRY(jl_text_put_json(&r->out->text, m->arguments[k], -1, err));
        else
            JL_TRY(jl_marked_puts(r->out, "{}", err));
        JL_TRY(put_id(r, ", \"id\": \"", m->pub.calls[k].id, i, err));
    }
    JL_TRY(jl_marked_puts(r->out, "]", err));
    return jl_marked_mark(r->out, JL_MARK_M_EOS, err);
}

static jl_status put_result(renderer *r, size_t i, jl_error *err)
{
    JL_TRY(jl_marked_mark(r->out, JL_MARK_M_RESULTS_OPEN, err));
    if (r->format == JL_CHAT_MISTRAL_V11) {
        JL_TRY(put_id(r, "", r->conv->messages[i]->pub.call_id, i, err));
        JL_TRY(jl_marked_mark(r->out, JL_MARK_M_RESULT_CONTENT, err));
        JL_TRY(jl_chat_put_content(r->conv, i, &r->out->text, err));
        return jl_marked_mark(r->out, JL_MARK_M_RESULTS_CLOSE, err);
    }
    JL_TRY(jl_marked_puts(r->out, r->gap, err));
    JL_TRY(jl_marked_puts(r->out, "{\"content\": ", err));
    JL_TRY(jl_chat_put_content(r->conv, i, &r->out->text, err));
    JL_TRY(put_id(r, ", \"call_id\": \"", r->conv->messages[i]->pub.call_id, i, err));
    return jl_marked_mark(r->out, JL_MARK_M_RESULTS_CLOSE, err);
}

static jl_status put_message(renderer *r, size_t i, jl_error *err)
{
    const jl_chat_message *m = &r->conv->messages[i]->pub;

    switch (m->role) {
    case JL_ROLE_USER:
        return put_user(r, i, err);
    case JL_ROLE_TOOL:
        return put_result(r, i, err);
    case JL_ROLE_ASSISTANT:
        if (m->n_calls)
            return put_calls(r, i, err);
        JL_TRY(jl_chat_put_content(r->conv, i, &r->out->text, err));
        return jl_marked_mark(r->out, JL_MARK_M_EOS, err);
    default:
        break;
    }
    if (r->format == JL_CHAT_MISTRAL_V3)
        return jl_fail(err, JL_INVALID,
                       "messages[%zu]: this Mistral format has one system message, at the start",
                       i);
    JL_TRY(jl_marked_mark(r->out, JL_MARK_M_SYSTEM_OPEN, err));
    JL_TRY(jl_chat_put_content(r->conv, i, &r->out->text, err));
    return jl_marked_mark(r->out, JL_MARK_M_SYSTEM_CLOSE, err);
}

jl_status jl_mistral_render(const jl_conversation *conv, jl_chat_format format, jl_marked *out,
                            jl_error *err)
{
    renderer r = {
        .conv = conv, .out = out, .format = format, .gap = format == JL_CHAT_MISTRAL_V7 ? " " : ""};

    r.first = jl_chat_is_system(jl_conversation_at(conv, 0)) ? 1 : 0;
    r.last_user = SIZE_MAX;
    for (size_t i = r.first; i < conv->n_messages; i++)
        if (conv->messages[i]->pub.role == JL_ROLE_USER)
            r.last_user = i;
    JL_TRY(jl_marked_mark(out, JL_MARK_M_BOS, err));
    if (format != JL_CHAT_MISTRAL_V3)
        JL_TRY(put_system(&r, err));
    for (size_t i = r.first; i < conv->n_messages; i++)
        JL_TRY(put_message(&r, i, err));
    return JL_OK;
}
