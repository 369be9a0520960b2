/* Strings: between quote marks, or between JSON or single quotes as models write them at times. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "chat/args_state.h"

static const char quote_text[] = "<|\"|>";
static const char close_text[] = "<tool_call|>";
static const char open_text[] = "<|tool_call>";

/* Longest key that is recognised where a comma or the end of a string is in doubt, bytes. */
enum { MAX_DOUBTFUL_KEY = 128 };

void jl_args_begin_string(jl_args *a, char delim)
{
    const unsigned types = jl_args_value_types(a);
    a->delim = delim;
    a->n_escape = 0;
    jl_args_begin_value(a, false);
    a->streaming = !types || (types & JL_SCHEMA_STRING);
    jl_buf_clear(&a->text);
    jl_buf_clear(&a->held);
    if (a->streaming)
        jl_args_puts(a, &a->json, "\"");
    a->state = S_STRING;
}

void jl_args_put_text(jl_args *a, const char *s, size_t len)
{
    if (a->streaming)
        jl_args_escape(a, s, len);
    else
        jl_args_put(a, &a->text, s, len);
}

void jl_args_put_held(jl_args *a)
{
    jl_args_put_text(a, jl_buf_str(&a->held), a->held.len);
    jl_buf_clear(&a->held);
}

static void close_string(jl_args *a)
{
    if (a->streaming) {
        jl_args_puts(a, &a->json, "\"");
    } else {
        jl_args_put_collected(a, jl_args_value_types(a));
    }
    jl_args_end_value(a);
}

/* The call ends inside a string. The brackets at the very end of the text close what is open; what
 * stands before them belongs to the string. */
static void finish_in_string(jl_args *a, jl_symbol s)
{
    const char *held = jl_buf_str(&a->held);
    size_t keep = a->held.len, i = a->held.len;
    int closed = 0;
    while (i > 0 && closed < a->n_frames) {
        const char c = held[--i];
        if (is_space(c))
            continue;
        if (c != (a->frames[closed].is_array ? ']' : '}'))
            break;
        closed++;
        keep = i;
    }
    jl_args_put_text(a, held, keep);
    a->report(a->ctx, JL_REPAIR_QUOTE_MISSING);
    close_string(a);
    if (closed == a->n_frames)
        while (a->n_frames > 0)
            jl_args_pop(a);
    jl_args_finish(a, s);
}

/* Decodes an escape of a JSON or single-quoted string; text that is no escape is kept. */
static void put_escape(jl_args *a)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char c = a->escape[1];
    const char *at = strchr(from, c);
    char utf8[4];
    unsigned hi, lo;
    if (c == 'u' && a->n_escape == 12 && sscanf(a->escape, "\\u%4x\\u%4x", &hi, &lo) == 2) {
        const uint32_t cp = 0x10000 + ((hi - 0xd800) << 10) + (lo - 0xdc00);
        jl_args_put_text(a, utf8, jl_utf8_encode(cp, utf8));
    } else if (c == 'u' && sscanf(a->escape, "\\u%4x", &hi) == 1) {
        const bool surrogate = hi >= 0xd800 && hi < 0xe000;
        jl_args_put_text(a, utf8, jl_utf8_encode(surrogate ? 0xfffd : hi, utf8));
    } else if (at && c) {
        jl_args_put_text(a, &to[at - from], 1);
    } else if (c == '"' || c == '\'' || c == '\\' || c == '/') {
        jl_args_put_text(a, &c, 1);
    } else {
        jl_args_put_text(a, a->escape, (size_t)a->n_escape);
    }
    a->n_escape = 0;
}

/* How many bytes the escape begun has: 2, 6 for \uXXXX, 12 for a surrogate pair; 0: broken. */
static int escape_length(const jl_args *a)
{
    const char *e = a->escape;
    const int n = a->n_escape;
    if (n < 2 || e[1] != 'u')
        return 2;
    for (int i = 2; i < n; i++) {
        const bool hex = strchr("0123456789abcdefABCDEF", e[i]) && e[i];
        const bool fits = i < 6 || i >= 8 ? hex : e[i] == (i == 6 ? '\\' : 'u');
        if (!fits)
            return 0;
    }
    unsigned hi = 0, lo = 0;
    if (n >= 6)
        (void)sscanf(e, "\\u%4x", &hi);
    if (n == 12)
        (void)sscanf(e + 6, "\\u%4x", &lo);
    if (n == 12 && (lo < 0xdc00 || lo > 0xdfff))
        return 0;
    return hi >= 0xd800 && hi < 0xdc00 ? 12 : 6;
}

static bool in_escape(jl_args *a, jl_symbol s)
{
    if (s.kind == JL_ARG_BYTE && s.c) {
        a->escape[a->n_escape++] = s.c;
        a->escape[a->n_escape] = 0;
        const int need = escape_length(a);
        if (need > 0) {
            if (a->n_escape == need)
                put_escape(a);
            return false;
        }
        a->n_escape--;
        a->escape[a->n_escape] = 0;
    }
    /* Broken off: a whole \uXXXX before it counts, the rest begins anew or is text. */
    char rest[16];
    const int whole = a->n_escape >= 6 && a->escape[1] == 'u' ? 6 : 0;
    snprintf(rest, sizeof rest, "%s", a->escape + whole);
    a->n_escape = whole;
    if (!whole) {
        jl_args_put_text(a, rest, strlen(rest));
        return true;
    }
    put_escape(a);
    a->n_escape = snprintf(a->escape, sizeof a->escape, "%s", rest); /* begins with a backslash */
    return true;
}

bool jl_args_on_string(jl_args *a, jl_symbol s)
{
    if (a->n_escape)
        return in_escape(a, s);
    if (s.kind == JL_ARG_STOP) {
        finish_in_string(a, s);
        return false;
    }
    if (s.kind == JL_ARG_CLOSE) {
        a->state = S_STRING_MARK;
        a->candidate = a->held.len;
        return false;
    }
    if (s.kind == JL_ARG_OPEN) {
        jl_args_put_held(a);
        jl_args_put_text(a, open_text, strlen(open_text));
        a->report(a->ctx, JL_REPAIR_MARK_INSIDE);
        return false;
    }
    if (s.kind == JL_ARG_QUOTE || (a->delim && s.c == a->delim)) {
        jl_args_put_held(a);
        a->closer = s.kind == JL_ARG_QUOTE ? 0 : s.c;
        a->candidate = SIZE_MAX;
        a->comma = false;
        a->state = S_STRING_END;
        return false;
    }
    if (is_space(s.c) || s.c == '}' || s.c == ']') {
        jl_args_hold(a, s.c);
        return false;
    }
    jl_args_put_held(a);
    if (a->delim && s.c == '\\') {
        a->escape[0] = s.c;
        a->escape[1] = 0;
        a->n_escape = 1;
        return false;
    }
    jl_args_put_text(a, &s.c, 1);
    return false;
}

/* What looked like the end of the string was part of it. */
static void reopen_string(jl_args *a)
{
    if (a->closer)
        jl_args_put_text(a, &a->closer, 1);
    else
        jl_args_put_text(a, quote_text, strlen(quote_text));
    jl_args_put_held(a);
    a->report(a->ctx, JL_REPAIR_QUOTE_INSIDE);
    a->state = S_STRING;
}

static bool is_key_char(char c, bool first)
{
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' ||
                        (unsigned char)c >= 0x80;
    return letter || (!first && ((c >= '0' && c <= '9') || c == '-' || c == '.'));
}

/* Behind what looks like the end of a string. */
bool jl_args_on_string_end(jl_args *a, jl_symbol s)
{
    if (is_blank(s)) {
        jl_args_hold(a, s.c);
        return false;
    }
    if (is_final(s) || is_byte(s, '}') || is_byte(s, ']')) {
        close_string(a);
        return true;
    }
    if (s.kind == JL_ARG_QUOTE && !jl_args_top(a)->is_array) {
        a->report(a->ctx, JL_REPAIR_STRAY_MARK);
        return false;
    }
    if (jl_args_top(a)->is_array && (s.kind == JL_ARG_QUOTE || s.c == ',')) {
        close_string(a);
        return true;
    }
    if (s.kind == JL_ARG_BYTE && !jl_args_top(a)->is_array &&
        (s.c == ',' || is_key_char(s.c, true))) {
        a->comma = s.c == ',';
        a->candidate = SIZE_MAX;
        a->state = S_STRING_NEXT;
        if (!a->comma)
            return true;
        jl_args_hold(a, s.c);
        return false;
    }
    reopen_string(a);
    return true;
}

bool jl_args_candidate(jl_args *a, bool need_declared, jl_buf *name)
{
    jl_buf_init(name, a->text.max);
    if (a->candidate == SIZE_MAX)
        return false;
    const jl_chat_text key = jl_text_strip((jl_chat_text){jl_buf_str(&a->held) + a->candidate,
                                                          a->held.len - a->candidate});
    if (key.len == 0 || key.len > MAX_DOUBTFUL_KEY)
        return false;
    jl_args_put(a, name, key.ptr, key.len);
    const json_t *schema = jl_args_top(a)->schema;
    return !need_declared || !schema ||
           jl_schema_declares(a->schema, schema, jl_buf_str(name));
}

void jl_args_next_key(jl_args *a, jl_buf *name)
{
    jl_buf_clear(&a->key);
    jl_args_put(a, &a->key, jl_buf_str(name), name->len);
    jl_buf_clear(&a->held);
    jl_buf_free(name);
    a->state = S_VALUE;
}

bool jl_args_extend_candidate(jl_args *a, jl_symbol s)
{
    if (s.kind != JL_ARG_BYTE)
        return false;
    const char *held = jl_buf_str(&a->held);
    const bool begun = a->candidate != SIZE_MAX;
    if (is_space(s.c) && (!begun || a->held.len - a->candidate <= MAX_DOUBTFUL_KEY)) {
        jl_args_hold(a, s.c);
        return true;
    }
    if (begun && (is_space(held[a->held.len - 1]) ||
                  a->held.len - a->candidate >= MAX_DOUBTFUL_KEY))
        return false; /* a blank inside, or too long */
    if (!is_key_char(s.c, !begun))
        return false;
    if (!begun)
        a->candidate = a->held.len;
    jl_args_hold(a, s.c);
    return true;
}

bool jl_args_on_string_next(jl_args *a, jl_symbol s)
{
    if (jl_args_extend_candidate(a, s))
        return false;
    const bool begun = a->candidate != SIZE_MAX;
    jl_buf name = {0};
    if (is_byte(s, ':') && jl_args_candidate(a, !a->comma, &name)) {
        close_string(a);
        if (!a->comma)
            a->report(a->ctx, JL_REPAIR_COMMA_MISSING);
        jl_args_next_key(a, &name);
        return false;
    }
    jl_buf_free(&name);
    if (!begun && a->comma && (is_quote(s) || is_final(s) || is_byte(s, '}') || is_byte(s, ','))) {
        close_string(a);
        a->state = is_quote(s) ? S_KEY_START : S_AFTER;
        return true;
    }
    reopen_string(a);
    return true;
}

/* Behind an end mark inside a string: it was the end of the call if nothing but another mark
 * follows, else text. */
bool jl_args_on_string_mark(jl_args *a, jl_symbol s)
{
    if (is_blank(s)) {
        jl_args_hold(a, s.c);
        return false;
    }
    if (is_final(s)) {
        jl_buf_cut(&a->held, a->candidate);
        finish_in_string(a, s.kind == JL_ARG_STOP ? (jl_symbol){JL_ARG_CLOSE, 0} : s);
        return false;
    }
    const size_t before = a->candidate;
    jl_args_put_text(a, jl_buf_str(&a->held), before);
    jl_args_put_text(a, close_text, strlen(close_text));
    jl_args_put_text(a, jl_buf_str(&a->held) + before, a->held.len - before);
    jl_buf_clear(&a->held);
    a->report(a->ctx, JL_REPAIR_MARK_INSIDE);
    a->state = S_STRING;
    return true;
}
