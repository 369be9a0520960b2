/* UTF-8 as the tokenizer needs it: raw bytes in, sequences out, never reading past the end. */
#ifndef JL_BASE_UTF8_H
#define JL_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length of the valid UTF-8 sequence at s (1..4), or 0 if the bytes there are not valid (overlong,
 * surrogate, above U+10FFFF, cut off). */
size_t jl_utf8_len(const char *s, size_t len);
/* As jl_utf8_len, and the code point. */
size_t jl_utf8_decode(const char *s, size_t len, uint32_t *cp);
/* Writes cp and returns its length, or 0 for a surrogate or a value above U+10FFFF. */
size_t jl_utf8_encode(uint32_t cp, char out[4]);
/* Bytes at the end of s that may be the start of a longer valid sequence (0..3). */
size_t jl_utf8_incomplete(const char *s, size_t len);

#endif
