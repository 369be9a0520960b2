/* Perplexity of a text, and saving the logits on the way. */
#include <math.h>

#include "base/mem.h"
#include "eval/chunks.h"
#include "eval/logits_file.h"
#include "eval/stats.h"

typedef struct {
    const jl_eval_text *text;
    size_t chunk;
    uint32_t n_vocab;
    jl_series nll;
    jl_writer *writer; /* NULL: nothing is saved */
    uint16_t *codes;
    int32_t *tokens;
    jl_status status; /* of the writer */
    jl_error *err;
} scoring;

static void on_row(void *ctx, size_t row, const float *logits)
{
    scoring *s = ctx;
    float max;

    const double norm = jl_log_sum_exp(logits, s->n_vocab, &max);
    const int32_t target = jl_chunk_target(s->text, s->chunk, row);
    jl_series_add(&s->nll, norm - (double)logits[target]);
    if (s->writer && s->status == JL_OK)
        s->status = jl_logits_put_row(s->writer, logits, s->n_vocab, norm, s->codes, s->err);
}

static jl_status score(jl_session *session, scoring *s, jl_error *err)
{
    const jl_eval_text *text = s->text;

    s->err = err;
    JL_TRY(jl_chunks_progress(text, 0, NAN, err));
    for (s->chunk = 0; s->chunk < text->n_chunks; s->chunk++) {
        JL_TRY(jl_chunk_run(session, text, s->chunk, s->tokens, on_row, s, err));
        JL_TRY(s->status);
        JL_TRY(jl_chunks_progress(text, s->chunk + 1, exp(jl_series_mean(&s->nll).value), err));
    }
    return JL_OK;
}

static jl_status open_writer(scoring *s, const char *path, jl_error *err)
{
    s->codes = jl_calloc((size_t)s->n_vocab + 8, sizeof *s->codes);
    if (!s->codes)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    JL_TRY(jl_writer_create(path, &s->writer, err));
    return jl_logits_put_header(s->writer, s->text, s->n_vocab, s->text->n_chunks, err);
}

jl_status jl_perplexity(jl_session *session, const jl_eval_text *given, const char *save_path,
                        jl_perplexity_result *out, jl_error *err)
{
    jl_eval_text text;

    JL_TRY(jl_chunks_resolve(session, given, &text, err));
    scoring s = {.text = &text, .n_vocab = session->m->hp.n_vocab};
    s.tokens = jl_calloc(text.n_ctx, sizeof *s.tokens);
    jl_status status =
        s.tokens ? JL_OK : jl_fail(err, JL_NO_MEMORY, "out of memory for a chunk of tokens");
    if (status == JL_OK && save_path)
        status = open_writer(&s, save_path, err);
    if (status == JL_OK)
        status = score(session, &s, err);
    if (status == JL_OK && s.writer) {
        status = jl_writer_commit(s.writer, err);
        s.writer = NULL;
    }
    jl_writer_abort(s.writer);
    jl_free(s.codes);
    jl_free(s.tokens);
    if (status != JL_OK)
        return status;

    const jl_estimate nll = jl_series_mean(&s.nll);
    *out = (jl_perplexity_result){.n_chunks = text.n_chunks,
                                  .n_tokens = s.nll.n,
                                  .nll = nll,
                                  .ppl = {exp(nll.value), exp(nll.value) * nll.error}};
    return JL_OK;
}
