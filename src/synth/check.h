/* The parts of the file check. */
#ifndef JL_SYNTH_CHECK_H
#define JL_SYNTH_CHECK_H

#include "gguf/gguf.h"
#include "joule/check.h"

typedef struct {
    const jl_check_params *params;
    const jl_gguf *g;
} jl_check;

/* Reports one finding. */
void jl_check_report(const jl_check *c, jl_check_result result, const char *what, const char *fmt,
                     ...) JL_PRINTF(4, 5);

JL_MUST_CHECK jl_status jl_check_tensors(const jl_check *c, jl_error *err);
void jl_check_tokens(const jl_check *c);
void jl_check_template(const jl_check *c);
/* Looks at every weight. */
JL_MUST_CHECK jl_status jl_check_scan(const jl_check *c, jl_error *err);

#endif
