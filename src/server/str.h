/* A growing text. */
#ifndef JL_SERVER_STR_H
#define JL_SERVER_STR_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    char *ptr; /* NUL-terminated; NULL while empty */
    size_t len, cap;
} jl_str;

bool jl_str_put(jl_str *s, const char *text, size_t len); /* false: no memory, unchanged */
void jl_str_cut(jl_str *s, size_t first, size_t n);       /* removes n bytes at first */
const char *jl_str_text(const jl_str *s);                 /* never NULL */
void jl_str_free(jl_str *s);

#endif
