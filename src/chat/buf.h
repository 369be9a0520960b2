/* Growable byte buffer with a maximum set when it is made; always NUL-terminated once written. */
#ifndef JL_CHAT_BUF_H
#define JL_CHAT_BUF_H

#include <stddef.h>

#include "base/status.h"

typedef struct {
    char *ptr;     /* NULL until the first write */
    size_t len;    /* bytes, without the NUL */
    size_t cap;    /* bytes allocated */
    size_t max;    /* bytes; writing beyond fails with JL_TOO_LARGE */
} jl_buf;

void jl_buf_init(jl_buf *b, size_t max);
void jl_buf_free(jl_buf *b);  /* back to the state after init */
void jl_buf_clear(jl_buf *b); /* length 0, memory kept */
void jl_buf_cut(jl_buf *b, size_t len);
const char *jl_buf_str(const jl_buf *b); /* "" when nothing was written */
JL_MUST_CHECK jl_status jl_buf_put(jl_buf *b, const char *s, size_t len, jl_error *err);
JL_MUST_CHECK jl_status jl_buf_puts(jl_buf *b, const char *s, jl_error *err);
JL_MUST_CHECK jl_status jl_buf_putc(jl_buf *b, char c, jl_error *err);

/* Grows *items, an array of item_bytes each, to hold at least count; *cap is its capacity. */
JL_MUST_CHECK jl_status jl_grow(void *items, size_t *cap, size_t count, size_t item_bytes,
                                jl_error *err);

#endif
