/* Writing JSON: strings. Everything else is printf. */
#ifndef JL_TOOLS_JSON_H
#define JL_TOOLS_JSON_H

#include <stddef.h>
#include <stdio.h>

/* Prints a quoted string (jansson, which the server uses, has a json_string of its own). Bytes that
 * are not UTF-8 become U+FFFD. */
void json_print_string(FILE *f, const char *s, size_t len);

#endif
