/* Error details: formatted once, safe to print on a terminal whatever the input held. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static const struct {
    const char *name;
    int http;
} status_table[] = {
#define STATUS_ROW(id, text, code) [JL_##id] = {text, code},
    JL_STATUS_LIST(STATUS_ROW)
#undef STATUS_ROW
};

enum { N_STATUS = sizeof status_table / sizeof status_table[0] };

const char *jl_status_name(jl_status status)
{
    return (unsigned)status < N_STATUS ? status_table[status].name : "unknown status";
}

int jl_status_http(jl_status status)
{
    return (unsigned)status < N_STATUS ? status_table[status].http : 500;
}

/* Names and paths from outside may hold terminal escapes or broken UTF-8, and the cut at the end of
 * the buffer may split a character: every such byte becomes '?', a cut character disappears. */
static void make_printable(char *text)
{
    size_t len = strlen(text);
    len -= jl_utf8_incomplete(text, len);
    text[len] = '\0';
    for (size_t i = 0; i < len;) {
        const size_t n = jl_utf8_len(text + i, len - i);
        const unsigned char c = (unsigned char)text[i];
        if (n == 0 || (c < 0x20 && c != '\n') || c == 0x7f)
            text[i] = '?';
        i += n ? n : 1;
    }
}

static void fill(jl_error *err, jl_status status, uint64_t offset, const char *fmt, va_list args)
{
    /* Through a local buffer: an argument may point into *err, when a caller adds to a message. */
    char text[sizeof err->text];
    vsnprintf(text, sizeof text, fmt, args);
    make_printable(text);
    err->status = status;
    err->offset = offset;
    memcpy(err->text, text, sizeof text);
}

jl_status jl_fail(jl_error *err, jl_status status, const char *fmt, ...)
{
    if (err) {
        va_list args;
        va_start(args, fmt);
        fill(err, status, UINT64_MAX, fmt, args);
        va_end(args);
    }
    return status;
}

jl_status jl_fail_at(jl_error *err, jl_status status, uint64_t offset, const char *fmt, ...)
{
    if (err) {
        va_list args;
        va_start(args, fmt);
        fill(err, status, offset, fmt, args);
        va_end(args);
    }
    return status;
}
