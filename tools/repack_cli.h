/* Repacked weights, seen from the command line: whether, where, and what is said about them. */
#ifndef JL_TOOLS_REPACK_CLI_H
#define JL_TOOLS_REPACK_CLI_H

#include "joule/repack.h"
#include "opt.h"
#include "ui.h"

typedef struct {
    const opts *o;
    ui_progress progress;
    const char *what; /* the progress line at present; NULL: none */
    char folder[4096];
    jl_repack_params params;
} repack_run;

/* For jl_model_params.repack; NULL: this run does not repack. r lives until repack_end. */
const jl_repack_params *repack_start(repack_run *r, const opts *o);
void repack_end(repack_run *r);

#endif
