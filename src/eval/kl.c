/* Divergence from a reference model's saved logits. */
#include "eval/kl.h"

#include <math.h>

#include "base/mem.h"
#include "eval/chunks.h"
#include "eval/logits_file.h"

jl_status jl_kl_rows_create(size_t cap, jl_kl_rows *out, jl_error *err)
{
    *out = (jl_kl_rows){.cap = cap};
    out->kl = jl_calloc(cap, sizeof *out->kl);
    out->delta_p = jl_calloc(cap, sizeof *out->delta_p);
    if (out->kl && out->delta_p)
        return JL_OK;
    jl_kl_rows_destroy(out);
    return jl_fail(err, JL_NO_MEMORY, "out of memory for the figures of %zu tokens", cap);
}

void jl_kl_rows_destroy(jl_kl_rows *rows)
{
    jl_free(rows->kl);
    jl_free(rows->delta_p);
    *rows = (jl_kl_rows){0};
}

/* Log probabilities below this are those of the 16-bit range's end: nothing is known of them. */
#define FLOOR_NATS (-16.0f)

/* Both distributions are normalised over the tokens that are summed: equal models then differ by 0
 * although the stored values are rounded. With P = p / zp and Q = q / zq,
 * sum P ln(P / Q) = (sum p ln(p / q)) / zp - ln zp + ln zq. */
static double divergence(const float *reference, const float *logits, uint32_t n_vocab, double norm)
{
    double zp = 0.0;
    double zq = 0.0;
    double sum = 0.0;

    for (uint32_t i = 0; i < n_vocab; i++) {
        if (reference[i] <= FLOOR_NATS || logits[i] == -INFINITY)
            continue;
        const float log_q = (float)((double)logits[i] - norm);
        const double p = (double)expf(reference[i]);
        zp += p;
        zq += (double)expf(log_q);
        sum += p * ((double)reference[i] - (double)log_q);
    }
    return zp > 0.0 && zq > 0.0 ? sum / zp - log(zp) + log(zq) : 0.0;
}

double jl_kl_row(const float *reference, const float *logits, uint32_t n_vocab)
{
    float max;

    return divergence(reference, logits, n_vocab, jl_log_sum_exp(logits, n_vocab, &max));
}

static uint32_t best(const float *x, uint32_t n)
{
    uint32_t at = 0;

    for (uint32_t i = 1; i < n; i++)
        at = x[i] > x[at] ? i : at;
    return at;
}

void jl_kl_rows_add(jl_kl_rows *rows, const float *reference, const float *logits, uint32_t n_vocab,
                    int32_t target)
{
    float max;
    const double norm = jl_log_sum_exp(logits, n_vocab, &max);
    const double logp = (double)logits[target] - norm;
    const double logp_reference = (double)reference[target];
    const double kl = divergence(reference, logits, n_vocab, norm);
    const double delta = exp(logp) - exp(logp_reference);

    jl_series_add(&rows->nll, -logp);
    jl_series_add(&rows->nll_reference, -logp_reference);
    jl_series_add(&rows->log_ratio, logp_reference - logp);
    jl_series_add(&rows->kl_sum, kl);
    jl_series_add(&rows->top1, logits[best(reference, n_vocab)] >= max ? 1.0 : 0.0);
    jl_series_add(&rows->delta, delta);
    jl_series_add(&rows->delta_squares, delta * delta);
    if (rows->n < rows->cap) {
        rows->kl[rows->n] = (float)kl;
        rows->delta_p[rows->n++] = (float)delta;
    }
}

static jl_estimate exponential(jl_estimate e)
{
    return (jl_estimate){exp(e.value), exp(e.value) * e.error};
}

void jl_kl_rows_result(jl_kl_rows *rows, jl_kl_result *out)
{
    const jl_estimate squares = jl_series_mean(&rows->delta_squares);
    const double rms = sqrt(squares.value);

    jl_sort_f32(rows->kl, rows->n);
    out->n_tokens = rows->n;
    out->ppl = exponential(jl_series_mean(&rows->nll));
    out->ppl_reference = exponential(jl_series_mean(&rows->nll_reference));
    out->log_ratio = jl_series_mean(&rows->log_ratio);
    out->kl = jl_series_mean(&rows->kl_sum);
    out->kl_median = jl_quantile(rows->kl, rows->n, 0.5);
    out->kl_p90 = jl_quantile(rows->kl, rows->n, 0.9);
    out->kl_p99 = jl_quantile(rows->kl, rows->n, 0.99);
    out->kl_p999 = jl_quantile(rows->kl, rows->n, 0.999);
    out->kl_max = (double)rows->kl[rows->n - 1];
    out->top1 = jl_series_mean(&rows->top1);
    out->delta_p = jl_series_mean(&rows->delta);
    out->rms_delta_p = (jl_estimate){rms, rms > 0.0 ? squares.error / (2.0 * rms) : 0.0};
}

typedef struct {
    const jl_logits_file *reference;
    const jl_eval_text *text;
    uint32_t chunk;
    float *logprobs; /* [n_vocab] */
    int32_t *tokens; /* [n_ctx] */
    jl_kl_rows rows;
} comparison;

static void on_row(void *ctx, size_t row, const float *logits)
{
    comparison *c = ctx;

    jl_logits_file_row(c->reference, c->chunk, (uint32_t)row, c->logprobs);
    jl_kl_rows_add(&c->rows, c->logprobs, logits, c->reference->n_vocab,
                   jl_chunk_target(c->text, c->chunk, row));
}

static jl_status compare(jl_session *session, comparison *c, jl_error *err)
{
    JL_TRY(jl_chunks_progress(c->text, 0, NAN, err));
    for (c->chunk = 0; c->chunk < c->text->n_chunks; c->chunk++) {
        JL_TRY(jl_chunk_run(session, c->text, c->chunk, c->tokens, on_row, c, err));
        JL_TRY(jl_chunks_progress(c->text, c->chunk + 1, jl_series_mean(&c->rows.kl_sum).value,
                                  err));
    }
    return JL_OK;
}

static jl_status resolve(const jl_session *session, const jl_logits_file *reference,
                         const jl_eval_text *given, jl_eval_text *text, jl_error *err)
{
    const uint32_t n_vocab = session->m->hp.n_vocab;
    jl_eval_text t = given ? *given : (jl_eval_text){0};

    if (n_vocab != reference->n_vocab)
        return jl_fail(err, JL_INVALID,
                       "the saved logits are of a vocabulary of %u tokens, the model has %u",
                       reference->n_vocab, n_vocab);
    t.tokens = jl_logits_file_tokens(reference);
    t.n_tokens = (size_t)reference->n_chunks * reference->n_ctx;
    t.n_ctx = reference->n_ctx;
    return jl_chunks_resolve(session, &t, text, err);
}

jl_status jl_kl(jl_session *session, jl_logits_file *reference, const jl_eval_text *given,
                jl_kl_result *out, jl_error *err)
{
    jl_eval_text text;

    JL_TRY(resolve(session, reference, given, &text, err));
    comparison c = {.reference = reference, .text = &text};
    const size_t n_rows = (size_t)text.n_chunks * jl_scored_rows(text.n_ctx);
    c.logprobs = jl_calloc(reference->n_vocab, sizeof *c.logprobs);
    c.tokens = jl_calloc(text.n_ctx, sizeof *c.tokens);
    jl_status status = c.logprobs && c.tokens ? jl_kl_rows_create(n_rows, &c.rows, err)
                                              : jl_fail(err, JL_NO_MEMORY, "out of memory");
    if (status == JL_OK)
        status = compare(session, &c, err);
    if (status == JL_OK) {
        *out = (jl_kl_result){.n_chunks = text.n_chunks};
        jl_kl_rows_result(&c.rows, out);
    }
    jl_kl_rows_destroy(&c.rows);
    jl_free(c.logprobs);
    jl_free(c.tokens);
    return status;
}
