/* Cutting text into words by a pattern, before merging. */
#ifndef JL_TOK_PRETOK_H
#define JL_TOK_PRETOK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct jl_pretok jl_pretok;

/* Pattern in the syntax of PCRE2 over UTF-8; \p{..} follow the Unicode tables of that library. */
JL_MUST_CHECK jl_status jl_pretok_create(const char *pattern, jl_pretok **out, jl_error *err);
void jl_pretok_destroy(jl_pretok *p);

/* Scratch of one thread's matches, NULL: out of memory. */
typedef struct jl_pretok_match jl_pretok_match;
jl_pretok_match *jl_pretok_match_create(const jl_pretok *p);
void jl_pretok_match_destroy(jl_pretok_match *m);

/* Bytes of the word that starts at pos in text, which is valid UTF-8 of len > pos bytes; at least
 * one character. */
size_t jl_pretok_word(const jl_pretok *p, jl_pretok_match *m, const char *text, size_t len,
                      size_t pos);

#endif
