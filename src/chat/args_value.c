/* Writing values: JSON escapes, and literals in the type the schema asks for. */
#include "chat/args_value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void jl_args_fail(jl_args *a, jl_status status)
{
    if (a->status == JL_OK)
        a->status = status;
}

void jl_args_put(jl_args *a, jl_buf *b, const char *s, size_t len)
{
    if (a->status == JL_OK)
        a->status = jl_buf_put(b, s, len, &a->error);
}

void jl_args_puts(jl_args *a, jl_buf *b, const char *s)
{
    jl_args_put(a, b, s, strlen(s));
}

void jl_args_escape(jl_args *a, const char *s, size_t len)
{
    size_t done = 0;
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)s[i];
        char text[8];
        if (c >= 32 && c != '"' && c != '\\')
            continue;
        static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
        const char *at = c ? strchr(from, c) : NULL;
        if (at)
            snprintf(text, sizeof text, "\\%c", to[at - from]);
        else
            snprintf(text, sizeof text, "\\u%04x", c);
        jl_args_put(a, &a->json, s + done, i - done);
        jl_args_puts(a, &a->json, text);
        done = i + 1;
    }
    jl_args_put(a, &a->json, s + done, len - done);
}

static void put_string(jl_args *a, jl_chat_text t)
{
    jl_args_puts(a, &a->json, "\"");
    jl_args_escape(a, t.ptr, t.len);
    jl_args_puts(a, &a->json, "\"");
}

/* ---- literals --------------------------------------------------------------------------- */

static size_t digits(const char *s, size_t len)
{
    size_t n = 0;
    while (n < len && s[n] >= '0' && s[n] <= '9')
        n++;
    return n;
}

/* Whether a JSON number is in the range of a double, as readers of JSON expect. */
static bool in_range(const char *s, size_t len)
{
    char text[336];
    if (len >= sizeof text)
        return false;
    memcpy(text, s, len);
    text[len] = 0;
    return isfinite(strtod(text, NULL));
}

static bool is_number(const char *s, size_t len)
{
    size_t i = len && s[0] == '-';
    size_t n = digits(s + i, len - i);
    if (n == 0 || (n > 1 && s[i] == '0'))
        return false;
    i += n;
    if (i < len && s[i] == '.') {
        n = digits(s + i + 1, len - i - 1);
        if (n == 0)
            return false;
        i += n + 1;
    }
    if (i < len && (s[i] == 'e' || s[i] == 'E')) {
        i++;
        i += i < len && (s[i] == '+' || s[i] == '-');
        n = digits(s + i, len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return i == len && in_range(s, len);
}

static bool equals(jl_chat_text t, const char *word)
{
    if (t.len != strlen(word))
        return false;
    for (size_t i = 0; i < t.len; i++)
        if (t.ptr[i] != word[i] && t.ptr[i] != word[i] - 'a' + 'A')
            return false;
    return true;
}

unsigned jl_args_literal(const char *s, size_t len)
{
    if (is_number(s, len))
        return JL_SCHEMA_NUMBER;
    if ((len == 4 && memcmp(s, "true", 4) == 0) || (len == 5 && memcmp(s, "false", 5) == 0))
        return JL_SCHEMA_BOOLEAN;
    return len == 4 && memcmp(s, "null", 4) == 0 ? JL_SCHEMA_NULL : 0;
}

/* Numbers spelled as no JSON number is: +5, .5, 5., 007. Writes them as JSON. */
static bool respell_number(jl_chat_text t, char out[40])
{
    char text[40];
    if (t.len == 0 || t.len >= sizeof text)
        return false;
    memcpy(text, t.ptr, t.len);
    text[t.len] = 0;
    if (strspn(text, "0123456789+-.eE") != t.len)
        return false;
    char *end;
    const double x = strtod(text, &end);
    if (*end || !isfinite(x))
        return false;
    if (x == floor(x) && fabs(x) < 1e15)
        snprintf(out, 40, "%.0f", x == 0 ? 0.0 : x);
    else
        snprintf(out, 40, "%.17g", x);
    return true;
}

/* Writes the text as a literal of an allowed type (0: any) if it spells one in its own way. */
static bool put_respelled(jl_args *a, jl_chat_text t, unsigned allowed)
{
    const unsigned mask = allowed ? allowed : ~0u;
    char number[40];
    const char *word = NULL;
    if (equals(t, "true") && (mask & JL_SCHEMA_BOOLEAN))
        word = "true";
    else if (equals(t, "false") && (mask & JL_SCHEMA_BOOLEAN))
        word = "false";
    else if ((equals(t, "none") || equals(t, "null") || equals(t, "undefined")) &&
             (mask & JL_SCHEMA_NULL))
        word = "null";
    else if ((allowed & JL_SCHEMA_NUMBER) && respell_number(t, number))
        word = number;
    if (!word)
        return false;
    jl_args_puts(a, &a->json, word);
    return true;
}

static bool is_json_of(jl_chat_text t, unsigned allowed)
{
    if (t.len == 0 || (t.ptr[0] != '{' && t.ptr[0] != '['))
        return false;
    if (!(allowed & (t.ptr[0] == '{' ? JL_SCHEMA_OBJECT : JL_SCHEMA_ARRAY)))
        return false;
    json_t *v = json_loadb(t.ptr, t.len, 0, NULL);
    json_decref(v);
    return v != NULL;
}

void jl_args_put_collected(jl_args *a, unsigned allowed)
{
    const jl_chat_text raw = {jl_buf_str(&a->text), a->text.len};
    const jl_chat_text t = jl_text_strip(raw);
    const unsigned literal = jl_args_literal(t.ptr, t.len);
    if (literal & allowed) {
        jl_args_put(a, &a->json, t.ptr, t.len);
        a->report(a->ctx, literal == JL_SCHEMA_BOOLEAN ? JL_REPAIR_BOOLEAN_AS_STRING
                                                       : JL_REPAIR_NUMBER_AS_STRING);
    } else if (is_json_of(t, allowed)) {
        jl_args_put(a, &a->json, t.ptr, t.len);
        a->report(a->ctx, JL_REPAIR_JSON_AS_STRING);
    } else if (put_respelled(a, t, allowed)) {
        a->report(a->ctx, allowed & JL_SCHEMA_BOOLEAN ? JL_REPAIR_BOOLEAN_AS_STRING
                                                      : JL_REPAIR_NUMBER_AS_STRING);
    } else {
        put_string(a, raw);
    }
    jl_buf_clear(&a->text);
}

void jl_args_put_bare(jl_args *a, unsigned allowed)
{
    const jl_chat_text t = jl_text_strip((jl_chat_text){jl_buf_str(&a->text), a->text.len});
    const unsigned literal = jl_args_literal(t.ptr, t.len);
    const bool as_string = literal && literal != JL_SCHEMA_NULL && allowed &&
                           !(allowed & literal) && (allowed & JL_SCHEMA_STRING);
    if (literal && !as_string) {
        jl_args_put(a, &a->json, t.ptr, t.len);
    } else if (as_string) {
        put_string(a, t);
        a->report(a->ctx, JL_REPAIR_STRING_AS_LITERAL);
    } else if (allowed != JL_SCHEMA_STRING && put_respelled(a, t, allowed)) {
        a->report(a->ctx, JL_REPAIR_LITERAL_SPELLING);
    } else {
        put_string(a, t);
        a->report(a->ctx, JL_REPAIR_UNQUOTED_STRING);
    }
    jl_buf_clear(&a->text);
}
