/* The parts of joule run. */
#ifndef JL_TOOLS_RUN_H
#define JL_TOOLS_RUN_H

#include "gen.h"

/* Continues a text and prints what comes. */
JL_MUST_CHECK jl_status run_raw(gen *g, const char *text, size_t len, gen_end *end, jl_error *err);

#endif
