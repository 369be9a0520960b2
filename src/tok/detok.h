/* Incremental detokeniser over a vocabulary; its other functions are in joule/joule.h. */
#ifndef JL_TOK_DETOK_H
#define JL_TOK_DETOK_H

#include "joule/joule.h"
#include "tok/vocab.h"

/* As jl_detok_create. The vocabulary must outlive it. All memory is taken here. */
JL_MUST_CHECK jl_status jl_detok_open(const jl_vocab *v, bool show_special, jl_detok **out,
                                      jl_error *err);

#endif
