#include "chat/buf.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"

void jl_buf_init(jl_buf *b, size_t max)
{
    *b = (jl_buf){.max = max};
}

void jl_buf_free(jl_buf *b)
{
    jl_free(b->ptr);
    jl_buf_init(b, b->max);
}

void jl_buf_clear(jl_buf *b)
{
    jl_buf_cut(b, 0);
}

void jl_buf_cut(jl_buf *b, size_t len)
{
    if (len > b->len)
        return;
    b->len = len;
    if (b->ptr)
        b->ptr[len] = 0;
}

const char *jl_buf_str(const jl_buf *b)
{
    return b->ptr ? b->ptr : "";
}

static jl_status reserve(jl_buf *b, size_t more, jl_error *err)
{
    if (b->len > b->max || more > b->max - b->len)
        return jl_fail(err, JL_TOO_LARGE, "text of more than %zu bytes", b->max);
    if (b->cap - b->len > more)
        return JL_OK;

    const size_t need = b->len + more + 1;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    char *p = jl_realloc(b->ptr, cap);
    if (!p)
        return jl_fail(err, JL_NO_MEMORY, "no memory for %zu bytes of text", cap);
    b->ptr = p;
    b->cap = cap;
    return JL_OK;
}

jl_status jl_buf_put(jl_buf *b, const char *s, size_t len, jl_error *err)
{
    if (len == 0)
        return JL_OK;
    JL_TRY(reserve(b, len, err));
    memcpy(b->ptr + b->len, s, len);
    b->len += len;
    b->ptr[b->len] = 0;
    return JL_OK;
}

jl_status jl_buf_puts(jl_buf *b, const char *s, jl_error *err)
{
    return jl_buf_put(b, s, strlen(s), err);
}

jl_status jl_buf_putc(jl_buf *b, char c, jl_error *err)
{
    return jl_buf_put(b, &c, 1, err);
}

jl_status jl_grow(void *items, size_t *cap, size_t count, size_t item_bytes, jl_error *err)
{
    if (count <= *cap)
        return JL_OK;

    size_t n = *cap ? *cap : 8;
    while (n < count)
        n = n > SIZE_MAX / 2 ? count : n * 2;
    uint64_t bytes;
    void *old;
    memcpy(&old, items, sizeof old);
    void *p = jl_mul_u64(n, item_bytes, &bytes) && bytes <= SIZE_MAX
                  ? jl_realloc(old, (size_t)bytes) : NULL;
    if (!p)
        return jl_fail(err, JL_NO_MEMORY, "no memory for %zu items of %zu bytes", n, item_bytes);
    memcpy(items, &p, sizeof p);
    *cap = n;
    return JL_OK;
}
