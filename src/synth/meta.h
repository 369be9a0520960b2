/* Metadata of synthetic files. */
#ifndef JL_SYNTH_META_H
#define JL_SYNTH_META_H

#include "gguf/gguf.h"
#include "synth/vocab.h"

/* Writes every key of a plan's shape and its vocabulary. from (may be NULL) gives the chat
 * template. */
JL_MUST_CHECK jl_status jl_synth_write_meta(jl_gguf_writer *w, const jl_plan *plan,
                                            const char *type_name, const jl_synth_vocab *vocab,
                                            const jl_gguf *from, jl_error *err);

#endif
