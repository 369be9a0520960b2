/* Parts of the argument reader that write JSON. */
#ifndef JL_CHAT_ARGS_VALUE_H
#define JL_CHAT_ARGS_VALUE_H

#include "chat/args.h"
#include "chat/schema.h"

void jl_args_fail(jl_args *a, jl_status status);
void jl_args_put(jl_args *a, jl_buf *b, const char *s, size_t len);
void jl_args_puts(jl_args *a, jl_buf *b, const char *s);
/* Writes the inside of a JSON string. */
void jl_args_escape(jl_args *a, const char *s, size_t len);
/* The schema type a JSON literal has, 0 if the text is none. */
unsigned jl_args_literal(const char *s, size_t len);
/* Writes the collected text, which stood between quotes, in the type the schema allows. */
void jl_args_put_collected(jl_args *a, unsigned allowed);
/* Writes the collected text, which stood without quotes. */
void jl_args_put_bare(jl_args *a, unsigned allowed);

#endif
