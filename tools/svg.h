/* Writing SVG pictures: formatted pieces, text for XML. */
#ifndef JL_TOOLS_SVG_H
#define JL_TOOLS_SVG_H

#include <stddef.h>

#include "joule/sys.h"

/* Writes a formatted piece of at most 399 bytes. */
jl_status svg_put(jl_writer *w, jl_error *err, const char *fmt, ...) JL_PRINTF(3, 4);
/* Text for XML: what would be markup becomes '?'. */
void svg_escape(const char *in, char *out, size_t cap);
/* Commits the picture, or removes it if status is a failure. Returns the final status. */
JL_MUST_CHECK jl_status svg_end(jl_writer *w, jl_status status, jl_error *err);

#endif
