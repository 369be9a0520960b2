/* Running the chunks of a text. */
#ifndef JL_EVAL_CHUNKS_H
#define JL_EVAL_CHUNKS_H

#include "engine/session.h"
#include "joule/eval.h"

/* Checks the text against the session and fills in the defaults of n_ctx and n_chunks. */
JL_MUST_CHECK jl_status jl_chunks_resolve(const jl_session *session, const jl_eval_text *in,
                                          jl_eval_text *out, jl_error *err);

/* Runs chunk i of a resolved text through sequence 0, which is empty before and after. fn gets the
 * logits of positions n_ctx/2 .. n_ctx-2 as index 0, 1, ...; scratch: [n_ctx]. */
JL_MUST_CHECK jl_status jl_chunk_run(jl_session *session, const jl_eval_text *text, size_t i,
                                     int32_t *scratch, jl_logits_fn *fn, void *ctx, jl_error *err);

/* The token that row `row` of chunk i predicts. */
static inline int32_t jl_chunk_target(const jl_eval_text *text, size_t i, size_t row)
{
    return text->tokens[i * text->n_ctx + text->n_ctx / 2 + row + 1];
}

/* JL_CANCELLED if the text's progress function says stop. */
JL_MUST_CHECK jl_status jl_chunks_progress(const jl_eval_text *text, size_t done, double so_far,
                                           jl_error *err);

#endif
