/* Messages in the format of Llama 3.1 to 3.3, step by step as the published template writes them.
 * The date in the system turn is the template's own fixed one, so that a prompt does not change
 * from day to day; put the date you need into the system message. Several calls of one message,
 * which the template refuses, are written as one message each. */
#include "chat/families.h"

static jl_status begin_turn(jl_marked *out, const char *role, jl_error *err)
{
    JL_TRY(jl_marked_mark(out, JL_MARK_L3_HEADER_OPEN, err));
    JL_TRY(jl_marked_puts(out, role, err));
    JL_TRY(jl_marked_mark(out, JL_MARK_L3_HEADER_CLOSE, err));
    return jl_marked_puts(out, "\n\n", err);
}

static jl_status end_turn(jl_marked *out, jl_error *err)
{
    return jl_marked_mark(out, JL_MARK_L3_EOT, err);
}

static jl_status put_system(const jl_conversation *conv, bool has_system, jl_marked *out,
                            jl_error *err)
{
    JL_TRY(begin_turn(out, "system", err));
    if (conv->tools)
        JL_TRY(jl_marked_puts(out, "Environment: ipython\n", err));
    JL_TRY(jl_marked_puts(out, "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n",
                          err));
    if (has_system)
        JL_TRY(jl_chat_put_stripped(conv, 0, &out->text, err));
    return end_turn(out, err);
}

static jl_status put_tools_and_first(const jl_conversation *conv, size_t first, jl_marked *out,
                                     jl_error *err)
{
    if (first >= conv->n_messages)
        return jl_fail(err, JL_INVALID,
                       "tools need a user message: Llama 3 puts them into the first one");
    JL_TRY(begin_turn(out, "user", err));
    JL_TRY(jl_marked_puts(
        out,
        "Given the following functions, please respond with a JSON for a function call with its "
        "proper arguments that best answers the given prompt.\n\nRespond in the format {\"name\": "
        "function name, \"parameters\": dictionary of argument name and its value}.Do not use "
        "variables.\n\n",
        err));
    for (size_t i = 0; i < json_array_size(conv->tools); i++) {
        JL_TRY(jl_text_put_json(&out->text, json_array_get(conv->tools, i), 4, err));
        JL_TRY(jl_marked_puts(out, "\n\n", err));
    }
    JL_TRY(jl_chat_put_stripped(conv, first, &out->text, err));
    return end_turn(out, err);
}

static jl_status put_call(const jl_stored_message *m, size_t k, jl_marked *out, jl_error *err)
{
    JL_TRY(begin_turn(out, "assistant", err));
    JL_TRY(jl_marked_puts(out, "{\"name\": \"", err));
    JL_TRY(jl_marked_puts(out, m->pub.calls[k].name, err));
    JL_TRY(jl_marked_puts(out, "\", \"parameters\": ", err));
    if (m->arguments[k])
        JL_TRY(jl_text_put_json(&out->text, m->arguments[k], -1, err));
    else
        JL_TRY(jl_marked_puts(out, "{}", err));
    JL_TRY(jl_marked_puts(out, "}", err));
    return end_turn(out, err);
}

/* A result is a JSON string. */
static jl_status put_result(const jl_conversation *conv, size_t i, jl_marked *out, jl_error *err)
{
    const jl_chat_message *m = &conv->messages[i]->pub;
    jl_buf text;

    JL_TRY(begin_turn(out, "ipython", err));
    if (!m->parts && !m->content.ptr) {
        JL_TRY(jl_marked_puts(out, "None", err));
        return end_turn(out, err);
    }
    jl_buf_init(&text, out->text.max);
    jl_status status = jl_chat_put_content(conv, i, &text, err);
    if (status == JL_OK)
        status =
            jl_text_put_json_string(&out->text, (jl_chat_text){jl_buf_str(&text), text.len}, err);
    jl_buf_free(&text);
    JL_TRY(status);
    return end_turn(out, err);
}

static jl_status put_message(const jl_conversation *conv, size_t i, jl_marked *out, jl_error *err)
{
    const jl_stored_message *m = conv->messages[i];
    static const char *const roles[] = {"system", "system", "user", "assistant", "ipython"};

    if (m->pub.role == JL_ROLE_TOOL)
        return put_result(conv, i, out, err);
    for (size_t k = 0; k < m->pub.n_calls; k++)
        JL_TRY(put_call(m, k, out, err));
    if (m->pub.n_calls)
        return JL_OK;
    JL_TRY(begin_turn(out, roles[m->pub.role], err));
    JL_TRY(jl_chat_put_stripped(conv, i, &out->text, err));
    return end_turn(out, err);
}

jl_status jl_llama3_render(const jl_conversation *conv, const jl_chat_options *options,
                           jl_marked *out, jl_error *err)
{
    const bool has_system = jl_chat_is_system(jl_conversation_at(conv, 0));
    size_t i = has_system ? 1 : 0;

    JL_TRY(jl_marked_mark(out, JL_MARK_L3_BOS, err));
    JL_TRY(put_system(conv, has_system, out, err));
    if (conv->tools)
        JL_TRY(put_tools_and_first(conv, i++, out, err));
    for (; i < conv->n_messages; i++)
        JL_TRY(put_message(conv, i, out, err));
    return options->no_generation_prompt ? JL_OK : begin_turn(out, "assistant", err);
}
