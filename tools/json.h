/* Writing JSON: strings. Everything else is printf. */
#ifndef JL_TOOLS_JSON_H
#define JL_TOOLS_JSON_H

#include <stddef.h>
#include <stdio.h>

/* Prints a quoted string. Bytes that are not UTF-8 become U+FFFD. */
void json_string(FILE *f, const char *s, size_t len);

#endif
