/* Chat formats of models, and conversations as their tokens. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "chat/chat.h"
#include "chat/families.h"
#include "chat/gemma4.h"

/* Models from this size on were trained with the empty thought, whatever their template's age. */
static const uint64_t large_params = 11000000000u;

typedef struct {
    int first, end;
} mark_range;

/* The marks that a format needs. */
static mark_range range_of(jl_chat_format format)
{
    switch (format) {
    case JL_CHAT_LLAMA3: return (mark_range){JL_MARK_L3_BOS, JL_MARK_L3_PYTHON + 1};
    case JL_CHAT_MISTRAL_V7: return (mark_range){JL_MARK_M_BOS, JL_MARK_M_SYSTEM_CLOSE + 1};
    case JL_CHAT_MISTRAL_V11: return (mark_range){JL_MARK_M_BOS, JL_MARK_M_RESULT_CONTENT + 1};
    case JL_CHAT_MISTRAL_V3: return (mark_range){JL_MARK_M_BOS, JL_MARK_M_CALLS + 1};
    default: return (mark_range){0, JL_MARK_COUNT};
    }
}

static bool is_format(jl_chat_format format)
{
    return (unsigned)format > JL_CHAT_UNKNOWN && (unsigned)format <= JL_CHAT_MISTRAL_V11;
}

static jl_status bind(const jl_model *model, const jl_chat_identity *identity, jl_chat **out,
                      jl_error *err)
{
    jl_chat *chat = jl_calloc(1, sizeof *chat);
    if (!chat)
        return jl_fail(err, JL_NO_MEMORY, "no memory for a chat format");
    chat->model = model;
    chat->identity = *identity;
    for (int i = 0; i < JL_MARK_END; i++)
        chat->ids[i] = -1;
    const mark_range range = range_of(identity->format);
    for (int i = range.first; i < range.end; i++) {
        chat->ids[i] = jl_token_find(model, jl_mark_text((jl_mark)i));
        if (chat->ids[i] >= 0)
            continue;
        jl_free(chat);
        return jl_fail(err, JL_UNSUPPORTED, "the vocabulary lacks the special token %s of the "
                       "chat format %s; use --raw", jl_mark_text((jl_mark)i),
                       jl_chat_format_name(identity->format));
    }
    *out = chat;
    return JL_OK;
}

jl_status jl_chat_create(const jl_model *model, jl_chat **out, jl_error *err)
{
    jl_model_info info;
    jl_chat_identity identity;
    jl_model_get_info(model, &info);
    jl_chat_identify(info.chat_template, info.chat_template ? strlen(info.chat_template) : 0,
                     &identity);
    if (identity.format == JL_CHAT_UNKNOWN)
        return jl_fail(err, JL_UNSUPPORTED, "%s", identity.text);
    if (!identity.official && identity.format == JL_CHAT_GEMMA4_SMALL &&
        info.n_params >= large_params) {
        identity.format = JL_CHAT_GEMMA4_LARGE;
        snprintf(identity.text, sizeof identity.text, "an older Gemma 4 template, recognised by "
                 "its marks; the canonical form of 2026-07-09 for models of this size is written,"
                 " with "
                 "an empty thought when thinking is off");
    }
    return bind(model, &identity, out, err);
}

jl_status jl_chat_create_as(const jl_model *model, jl_chat_format format, jl_chat **out,
                            jl_error *err)
{
    jl_chat_identity identity = {.format = format};
    if (!is_format(format))
        return jl_fail(err, JL_INVALID, "chat format %d does not exist", (int)format);
    snprintf(identity.text, sizeof identity.text, "%s, chosen by the caller",
             jl_chat_format_name(format));
    return bind(model, &identity, out, err);
}

void jl_chat_destroy(jl_chat *chat)
{
    jl_free(chat);
}

const jl_chat_identity *jl_chat_get_identity(const jl_chat *chat)
{
    return &chat->identity;
}

/* ---- rendering -------------------------------------------------------------------------- */

static jl_status render(jl_chat_format format, const jl_conversation *conv,
                        const jl_chat_options *options, jl_marked *out, bool *in_thought,
                        jl_error *err)
{
    const jl_chat_options defaults = {0};
    if (!is_format(format))
        return jl_fail(err, JL_INVALID, "chat format %d does not exist", (int)format);
    /* Twice what a conversation may hold by default, for what the format adds. */
    jl_marked_init(out, (size_t)1 << 30);
    *in_thought = false;
    if (!options)
        options = &defaults;
    if (format == JL_CHAT_LLAMA3)
        return jl_llama3_render(conv, options, out, err);
    if (format == JL_CHAT_MISTRAL_V7 || format == JL_CHAT_MISTRAL_V3 ||
        format == JL_CHAT_MISTRAL_V11)
        return jl_mistral_render(conv, format, out, err);
    return jl_gemma4_render(conv, options, format == JL_CHAT_GEMMA4_LARGE, out, in_thought, err);
}

/* Text between two marks becomes tokens as a whole, and never special ones. */
static jl_status put_tokens(const jl_chat *chat, const char *s, size_t len, jl_chat_prompt *out,
                            size_t *cap, jl_error *err)
{
    JL_TRY(jl_grow(&out->tokens, cap, out->n_tokens + len + 1, sizeof *out->tokens, err));
    if (len == 0)
        return JL_OK;
    const size_t n = jl_tokenize(chat->model, s, len, 0, out->tokens + out->n_tokens,
                                 *cap - out->n_tokens);
    if (n == SIZE_MAX)
        return jl_fail(err, JL_NO_MEMORY, "no memory to tokenize %zu bytes", len);
    if (n > *cap - out->n_tokens)
        return jl_fail(err, JL_TOO_LARGE, "%zu bytes of text became %zu tokens", len, n);
    out->n_tokens += n;
    return JL_OK;
}

static jl_status tokenize(const jl_chat *chat, const jl_marked *m, jl_chat_prompt *out,
                          jl_error *err)
{
    const char *s = jl_buf_str(&m->text);
    size_t done = 0, cap = 0;
    for (size_t i = 0; i < m->n_marks; i++) {
        JL_TRY(put_tokens(chat, s + done, m->marks[i].offset - done, out, &cap, err));
        done = m->marks[i].offset;
        JL_TRY(jl_grow(&out->tokens, &cap, out->n_tokens + 1, sizeof *out->tokens, err));
        out->tokens[out->n_tokens++] = chat->ids[m->marks[i].mark];
    }
    return put_tokens(chat, s + done, m->text.len - done, out, &cap, err);
}

jl_status jl_chat_render(const jl_chat *chat, const jl_conversation *conv,
                         const jl_chat_options *options, jl_chat_prompt *out, jl_error *err)
{
    jl_marked m = {0};
    jl_chat_prompt prompt = {0};
    jl_status status = render(chat->identity.format, conv, options, &m, &prompt.in_thought, err);
    if (status == JL_OK)
        status = tokenize(chat, &m, &prompt, err);
    jl_marked_free(&m);
    if (status != JL_OK) {
        jl_chat_prompt_free(&prompt);
        return status;
    }
    *out = prompt;
    return JL_OK;
}

void jl_chat_prompt_free(jl_chat_prompt *prompt)
{
    if (!prompt)
        return;
    jl_free(prompt->tokens);
    *prompt = (jl_chat_prompt){0};
}

jl_status jl_chat_render_text(jl_chat_format format, const jl_conversation *conv,
                              const jl_chat_options *options, char **out, size_t *len,
                              jl_error *err)
{
    jl_marked m = {0};
    jl_buf text;
    bool in_thought;
    jl_buf_init(&text, (size_t)1 << 31);
    jl_status status = render(format, conv, options, &m, &in_thought, err);
    if (status == JL_OK)
        status = jl_marked_flatten(&m, &text, err);
    jl_marked_free(&m);
    if (status != JL_OK) {
        jl_buf_free(&text);
        return status;
    }
    *out = text.ptr; /* never NULL: it begins with <bos> */
    *len = text.len;
    return JL_OK;
}

void jl_chat_text_free(char *text)
{
    jl_free(text);
}
