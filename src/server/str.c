/* A growing text. */
#include "server/str.h"

#include <string.h>

#include "base/mem.h"

bool jl_str_put(jl_str *s, const char *text, size_t len)
{
    if (len == 0)
        return true;
    if (len >= s->cap - s->len || !s->ptr) {
        if (len > SIZE_MAX / 4 - s->len)
            return false;
        const size_t cap = 2 * (s->len + len) + 32;
        char *grown = jl_realloc(s->ptr, cap);
        if (!grown)
            return false;
        s->ptr = grown;
        s->cap = cap;
    }
    memcpy(s->ptr + s->len, text, len);
    s->len += len;
    s->ptr[s->len] = '\0';
    return true;
}

void jl_str_cut(jl_str *s, size_t first, size_t n)
{
    if (n == 0)
        return;
    memmove(s->ptr + first, s->ptr + first + n, s->len - first - n + 1);
    s->len -= n;
}

const char *jl_str_text(const jl_str *s)
{
    return s->ptr ? s->ptr : "";
}

void jl_str_free(jl_str *s)
{
    jl_free(s->ptr);
    *s = (jl_str){0};
}
