/* JSON as Python's json.dumps(value, ensure_ascii=False, indent=...) writes it, which is what the
 * filter tojson of chat templates does. */
#include <stdio.h>
#include <string.h>

#include "chat/text.h"

static jl_status put_string(jl_buf *out, const char *s, size_t len, jl_error *err)
{
    JL_TRY(jl_buf_putc(out, '"', err));
    size_t done = 0;
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)s[i];
        static const char plain[] = "\"\\\n\r\t\b\f";
        static const char letters[] = "\"\\nrtbf";
        const char *known = c ? strchr(plain, c) : NULL;
        char text[8];
        if (c >= 0x20 && !known)
            continue;
        if (known)
            snprintf(text, sizeof text, "\\%c", letters[known - plain]);
        else
            snprintf(text, sizeof text, "\\u%04x", c);
        JL_TRY(jl_buf_put(out, s + done, i - done, err));
        JL_TRY(jl_buf_puts(out, text, err));
        done = i + 1;
    }
    JL_TRY(jl_buf_put(out, s + done, len - done, err));
    return jl_buf_putc(out, '"', err);
}

/* The break before an item or a closing bracket; nothing without indentation. */
static jl_status put_break(jl_buf *out, int indent, int depth, jl_error *err)
{
    if (indent < 0)
        return JL_OK;
    JL_TRY(jl_buf_putc(out, '\n', err));
    for (int i = 0; i < indent * depth; i++)
        JL_TRY(jl_buf_putc(out, ' ', err));
    return JL_OK;
}

static jl_status put_value(jl_buf *out, const json_t *v, int indent, int depth, jl_error *err);

static jl_status put_next(jl_buf *out, size_t i, int indent, int depth, jl_error *err)
{
    if (i)
        JL_TRY(jl_buf_puts(out, indent < 0 ? ", " : ",", err));
    return put_break(out, indent, depth, err);
}

static jl_status put_object(jl_buf *out, const json_t *v, int indent, int depth, jl_error *err)
{
    const char *key;
    size_t key_len;
    json_t *item;
    size_t i = 0;

    JL_TRY(jl_buf_putc(out, '{', err));
    json_object_keylen_foreach((json_t *)(uintptr_t)v, key, key_len, item)
    {
        JL_TRY(put_next(out, i++, indent, depth + 1, err));
        JL_TRY(put_string(out, key, key_len, err));
        JL_TRY(jl_buf_puts(out, ": ", err));
        JL_TRY(put_value(out, item, indent, depth + 1, err));
    }
    if (i)
        JL_TRY(put_break(out, indent, depth, err));
    return jl_buf_putc(out, '}', err);
}

static jl_status put_array(jl_buf *out, const json_t *v, int indent, int depth, jl_error *err)
{
    const size_t n = json_array_size(v);

    JL_TRY(jl_buf_putc(out, '[', err));
    for (size_t i = 0; i < n; i++) {
        JL_TRY(put_next(out, i, indent, depth + 1, err));
        JL_TRY(put_value(out, json_array_get(v, i), indent, depth + 1, err));
    }
    if (n)
        JL_TRY(put_break(out, indent, depth, err));
    return jl_buf_putc(out, ']', err);
}

static jl_status put_value(jl_buf *out, const json_t *v, int indent, int depth, jl_error *err)
{
    if (depth > JL_CHAT_MAX_DEPTH)
        return jl_fail(err, JL_INVALID, "JSON nested deeper than %d levels", JL_CHAT_MAX_DEPTH);
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return put_object(out, v, indent, depth, err);
    case JSON_ARRAY:
        return put_array(out, v, indent, depth, err);
    case JSON_STRING:
        return put_string(out, json_string_value(v), json_string_length(v), err);
    case JSON_TRUE:
        return jl_buf_puts(out, "true", err);
    case JSON_FALSE:
        return jl_buf_puts(out, "false", err);
    case JSON_NULL:
        return jl_buf_puts(out, "null", err);
    default:
        return jl_text_put_str(out, v, err);
    }
}

jl_status jl_text_put_json(jl_buf *out, const json_t *v, int indent, jl_error *err)
{
    return v ? put_value(out, v, indent, 0, err) : jl_buf_puts(out, "null", err);
}

jl_status jl_text_put_json_string(jl_buf *out, jl_chat_text t, jl_error *err)
{
    return put_string(out, t.ptr ? t.ptr : "", t.len, err);
}
