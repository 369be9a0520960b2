#include "svg.h"

#include <stdarg.h>
#include <stdio.h>

jl_status svg_put(jl_writer *w, jl_error *err, const char *fmt, ...)
{
    char line[400];
    va_list args;

    va_start(args, fmt);
    const int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    const size_t len = n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    return jl_writer_write(w, line, len, err);
}

void svg_escape(const char *in, char *out, size_t cap)
{
    size_t n = 0;

    for (; *in && n + 2 < cap; in++)
        out[n++] = *in == '<' || *in == '>' || *in == '&' || *in == '"' ? '?' : *in;
    out[n] = '\0';
}

jl_status svg_end(jl_writer *w, jl_status status, jl_error *err)
{
    if (status == JL_OK)
        return jl_writer_commit(w, err);
    jl_writer_abort(w);
    return status;
}
