/* Running the chunks of a text. */
#include "eval/chunks.h"

#include <string.h>

enum { DEFAULT_CHUNK = 512, MIN_CHUNK = 4, MIN_CHUNKS = 2 };

jl_status jl_chunks_resolve(const jl_session *session, const jl_eval_text *in, jl_eval_text *out,
                            jl_error *err)
{
    *out = *in;
    if (out->n_ctx == 0)
        out->n_ctx = DEFAULT_CHUNK;
    if (out->n_ctx < MIN_CHUNK || out->n_ctx > jl_session_n_ctx(session))
        return jl_fail(err, JL_INVALID,
                       "chunks of %u tokens: use %d to %u, the context of the session", out->n_ctx,
                       MIN_CHUNK, jl_session_n_ctx(session));
    const size_t n = out->n_tokens / out->n_ctx;
    if (n < MIN_CHUNKS)
        return jl_fail(err, JL_INVALID,
                       "the text has %zu tokens; %d chunks of %u are the least: give a longer text "
                       "or smaller chunks",
                       out->n_tokens, MIN_CHUNKS, out->n_ctx);
    if (out->n_chunks == 0 || out->n_chunks > n)
        out->n_chunks = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
    return JL_OK;
}

jl_status jl_chunk_run(jl_session *session, const jl_eval_text *text, size_t i, int32_t *scratch,
                       jl_logits_fn *fn, void *ctx, jl_error *err)
{
    const uint32_t first = text->n_ctx / 2;
    jl_model_info info;

    jl_model_get_info(session->m, &info);
    memcpy(scratch, text->tokens + i * text->n_ctx, text->n_ctx * sizeof *scratch);
    if (info.bos >= 0 && text->tokens[0] == info.bos)
        scratch[0] = info.bos;
    const jl_piece head = {.tokens = scratch, .n_tokens = first, .no_logits = true};
    const jl_piece tail = {.tokens = scratch + first, .n_tokens = text->n_ctx - 1 - first};
    jl_seq_clear(session, 0);
    JL_TRY(jl_session_eval(session, &head, 1, err));
    JL_TRY(jl_session_eval_all(session, &tail, fn, ctx, err));
    jl_seq_clear(session, 0);
    return JL_OK;
}

jl_status jl_chunks_progress(const jl_eval_text *text, size_t done, double so_far, jl_error *err)
{
    if (!text->progress || text->progress(text->progress_ctx, done, text->n_chunks, so_far))
        return JL_OK;
    return jl_fail(err, JL_CANCELLED, "stopped after %zu of %u chunks", done, text->n_chunks);
}
