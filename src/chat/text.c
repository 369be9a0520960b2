#include "chat/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

/* Characters for which Python's str.isspace() holds. */
static bool is_blank(uint32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

/* Start of the UTF-8 sequence that ends at len, at least 1 byte before it. */
static size_t last_start(const char *s, size_t len)
{
    size_t i = len - 1;
    while (i > 0 && len - i < 4 && ((unsigned char)s[i] & 0xc0) == 0x80)
        i--;
    return i;
}

jl_chat_text jl_text_strip(jl_chat_text t)
{
    uint32_t c;
    while (t.len > 0) {
        const size_t n = jl_utf8_decode(t.ptr, t.len, &c);
        if (n == 0 || !is_blank(c))
            break;
        t.ptr += n;
        t.len -= n;
    }
    while (t.len > 0) {
        const size_t i = last_start(t.ptr, t.len);
        if (jl_utf8_decode(t.ptr + i, t.len - i, &c) != t.len - i || !is_blank(c))
            break;
        t.len = i;
    }
    return t;
}

jl_status jl_text_put_valid(jl_buf *out, const char *s, size_t len, jl_error *err)
{
    size_t done = 0;
    for (size_t i = 0; i < len;) {
        const size_t n = jl_utf8_len(s + i, len - i);
        if (n == 0) {
            JL_TRY(jl_buf_put(out, s + done, i - done, err));
            JL_TRY(jl_buf_puts(out, "\xef\xbf\xbd", err));
            done = i + 1;
        }
        i += n ? n : 1;
    }
    return jl_buf_put(out, s + done, len - done, err);
}

/* repr(float): the fewest digits that read back as the same number; plain notation for exponents
 * -4 .. 15. */
static jl_status put_real(jl_buf *out, double x, jl_error *err)
{
    char text[64];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, x);
        if (strtod(text, NULL) == x)
            break;
    }
    const char *p = text;
    char digits[20];
    int n = 0;
    if (*p == '-')
        JL_TRY(jl_buf_putc(out, *p++, err));
    for (; *p && *p != 'e'; p++)
        if (*p >= '0' && *p <= '9')
            digits[n++] = *p;
    const int exponent = (int)strtol(p + 1, NULL, 10);

    char number[64];
    if (exponent < -4 || exponent >= 16)
        snprintf(number, sizeof number, "%c%s%.*se%c%02d", digits[0], n > 1 ? "." : "", n - 1,
                 digits + 1, exponent < 0 ? '-' : '+', abs(exponent));
    else if (exponent < 0)
        snprintf(number, sizeof number, "0.%.*s%.*s", -exponent - 1, "000", n, digits);
    else if (n <= exponent + 1)
        snprintf(number, sizeof number, "%.*s%.*s.0", n, digits, exponent + 1 - n,
                 "0000000000000000");
    else
        snprintf(number, sizeof number, "%.*s.%.*s", exponent + 1, digits, n - exponent - 1,
                 digits + exponent + 1);
    return jl_buf_puts(out, number, err);
}

/* repr(str) of printable text; what Python would escape beyond the ASCII controls is left alone. */
static jl_status put_repr(jl_buf *out, const char *s, size_t len, jl_error *err)
{
    const char quote = memchr(s, '\'', len) && !memchr(s, '"', len) ? '"' : '\'';
    JL_TRY(jl_buf_putc(out, quote, err));
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)s[i];
        char text[8] = {(char)c, 0};
        if (c == '\\' || s[i] == quote)
            snprintf(text, sizeof text, "\\%c", c);
        else if (c == '\n' || c == '\r' || c == '\t')
            snprintf(text, sizeof text, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (c < 32 || c == 127)
            snprintf(text, sizeof text, "\\x%02x", c);
        JL_TRY(jl_buf_puts(out, text, err));
    }
    return jl_buf_putc(out, quote, err);
}

static jl_status put_value(jl_buf *out, const json_t *v, bool nested, int depth, jl_error *err);

static jl_status put_list(jl_buf *out, const json_t *v, int depth, jl_error *err)
{
    JL_TRY(jl_buf_putc(out, '[', err));
    for (size_t i = 0; i < json_array_size(v); i++) {
        if (i)
            JL_TRY(jl_buf_puts(out, ", ", err));
        JL_TRY(put_value(out, json_array_get(v, i), true, depth + 1, err));
    }
    return jl_buf_putc(out, ']', err);
}

static jl_status put_dict(jl_buf *out, const json_t *v, int depth, jl_error *err)
{
    const char *key;
    json_t *item;
    bool first = true;
    JL_TRY(jl_buf_putc(out, '{', err));
    json_object_foreach((json_t *)(uintptr_t)v, key, item) {
        if (!first)
            JL_TRY(jl_buf_puts(out, ", ", err));
        first = false;
        JL_TRY(put_repr(out, key, strlen(key), err));
        JL_TRY(jl_buf_puts(out, ": ", err));
        JL_TRY(put_value(out, item, true, depth + 1, err));
    }
    return jl_buf_putc(out, '}', err);
}

static jl_status put_value(jl_buf *out, const json_t *v, bool nested, int depth, jl_error *err)
{
    char number[32];
    if (depth > JL_CHAT_MAX_DEPTH)
        return jl_fail(err, JL_INVALID, "JSON nested deeper than %d levels", JL_CHAT_MAX_DEPTH);
    switch (json_typeof(v)) {
    case JSON_STRING:
        if (nested)
            return put_repr(out, json_string_value(v), json_string_length(v), err);
        return jl_buf_put(out, json_string_value(v), json_string_length(v), err);
    case JSON_INTEGER:
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        return jl_buf_puts(out, number, err);
    case JSON_REAL: return put_real(out, json_real_value(v), err);
    case JSON_TRUE: return jl_buf_puts(out, "True", err);
    case JSON_FALSE: return jl_buf_puts(out, "False", err);
    case JSON_NULL: return jl_buf_puts(out, "None", err);
    case JSON_ARRAY: return put_list(out, v, depth, err);
    case JSON_OBJECT: return put_dict(out, v, depth, err);
    }
    return JL_OK;
}

jl_status jl_text_put_str(jl_buf *out, const json_t *v, jl_error *err)
{
    return v ? put_value(out, v, false, 0, err) : JL_OK;
}

void jl_text_upper(jl_buf *b)
{
    for (size_t i = 0; i < b->len; i++)
        if (b->ptr[i] >= 'a' && b->ptr[i] <= 'z')
            b->ptr[i] = (char)(b->ptr[i] - 'a' + 'A');
}

bool jl_text_truthy(const json_t *v)
{
    if (!v)
        return false;
    switch (json_typeof(v)) {
    case JSON_STRING: return json_string_length(v) > 0;
    case JSON_INTEGER: return json_integer_value(v) != 0;
    case JSON_REAL: return json_real_value(v) != 0.0;
    case JSON_TRUE: return true;
    case JSON_ARRAY: return json_array_size(v) > 0;
    case JSON_OBJECT: return json_object_size(v) > 0;
    default: return false;
    }
}

static uint32_t lower(uint32_t c)
{
    if ((c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7) ||
        (c >= 0x391 && c <= 0x3a9) || (c >= 0x410 && c <= 0x42f))
        return c + 32;
    return c >= 0x400 && c <= 0x40f ? c + 80 : c;
}

static int compare_items(const void *pa, const void *pb)
{
    const jl_text_item *a = pa, *b = pb;
    const char *s = a->key, *t = b->key;
    while (*s && *t) {
        uint32_t c = (unsigned char)*s, d = (unsigned char)*t;
        const size_t n = jl_utf8_decode(s, strlen(s), &c);
        const size_t m = jl_utf8_decode(t, strlen(t), &d);
        if (lower(c) != lower(d))
            return lower(c) < lower(d) ? -1 : 1;
        s += n ? n : 1;
        t += m ? m : 1;
    }
    if (*s || *t)
        return *s ? 1 : -1;
    return a->index < b->index ? -1 : a->index > b->index;
}

jl_status jl_text_dictsort(const json_t *object, jl_text_item **items, size_t *n, jl_error *err)
{
    const size_t count = json_object_size(object);
    *items = NULL;
    *n = 0;
    if (count == 0)
        return JL_OK;
    jl_text_item *list = jl_calloc(count, sizeof *list);
    if (!list)
        return jl_fail(err, JL_NO_MEMORY, "no memory to sort %zu keys", count);

    const char *key;
    json_t *value;
    size_t i = 0;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        list[i] = (jl_text_item){key, value, i};
        i++;
    }
    qsort(list, i, sizeof *list, compare_items);
    *items = list;
    *n = i;
    return JL_OK;
}

/* Copies JSON text with ".0" behind integers of 19 digits and more, which jansson cannot hold. */
static jl_status widen_integers(const char *s, size_t len, jl_buf *out, jl_error *err)
{
    bool in_string = false;
    for (size_t i = 0; i < len;) {
        size_t n = 1;
        const bool digit = !in_string && s[i] >= '0' && s[i] <= '9';
        bool integer = digit;
        if (in_string && s[i] == '\\' && i + 1 < len)
            n = 2;
        else if (s[i] == '"')
            in_string = !in_string;
        else if (digit)
            for (; i + n < len && s[i + n] && strchr("0123456789.eE+-", s[i + n]); n++)
                integer = integer && s[i + n] >= '0' && s[i + n] <= '9';
        JL_TRY(jl_buf_put(out, s + i, n, err));
        if (integer && n >= 19)
            JL_TRY(jl_buf_puts(out, ".0", err));
        i += n;
    }
    return JL_OK;
}

jl_status jl_text_parse_json(const char *s, size_t len, const char *what, json_t **out,
                             jl_error *err)
{
    json_error_t e;
    const size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
    json_t *v = json_loadb(s ? s : "", len, flags, &e);
    if (!v && json_error_code(&e) == json_error_numeric_overflow) {
        jl_buf wide;
        jl_buf_init(&wide, SIZE_MAX / 4);
        const jl_status status = widen_integers(s, len, &wide, err);
        if (status == JL_OK)
            v = json_loadb(jl_buf_str(&wide), wide.len, flags, &e);
        jl_buf_free(&wide);
        JL_TRY(status);
    }
    if (!v && json_error_code(&e) == json_error_out_of_memory)
        return jl_fail(err, JL_NO_MEMORY, "no memory to read %s", what);
    if (!v)
        return jl_fail_at(err, JL_INVALID, e.position < 0 ? 0 : (uint64_t)e.position,
                          "%s is not JSON: %s at line %d, column %d", what, e.text, e.line,
                          e.column);
    *out = v;
    return JL_OK;
}
