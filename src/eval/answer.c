/* Given answers and greedy ones: log likelihood of continuations, and what the model would say. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "engine/session.h"
#include "eval/stats.h"

enum { SEQ_CONTEXT = 0, SEQ_CONTINUATION = 1 };

typedef struct {
    const int32_t *targets; /* the token that each row predicts */
    uint32_t n_vocab;
    jl_continuation *out;
} scoring;

static void score_row(void *ctx, size_t row, const float *logits)
{
    scoring *s = ctx;
    float max;
    const double norm = jl_log_sum_exp(logits, s->n_vocab, &max);
    const float own = logits[s->targets[row]];

    s->out->logprob += (double)own - norm;
    s->out->greedy = s->out->greedy && own >= max;
    s->out->n_tokens++;
}

/* Runs the context and returns the logits behind it. */
static jl_status run_context(jl_session *session, jl_token_span context, const float **logits,
                             jl_error *err)
{
    const jl_piece piece = {
        .seq = SEQ_CONTEXT, .tokens = context.tokens, .n_tokens = context.n_tokens};

    if (context.n_tokens == 0)
        return jl_fail(err, JL_INVALID, "the context is empty");
    jl_seq_clear(session, SEQ_CONTEXT);
    JL_TRY(jl_session_eval(session, &piece, 1, err));
    *logits = jl_session_logits(session, 0);
    return JL_OK;
}

static jl_status score_all(jl_session *session, jl_token_span context, const float *first,
                           const jl_token_span *list, size_t n, jl_continuation *out, jl_error *err)
{
    scoring s = {.n_vocab = session->m->hp.n_vocab};

    for (size_t i = 0; i < n; i++) {
        const jl_piece piece = {.seq = SEQ_CONTINUATION,
                                .tokens = list[i].tokens,
                                .n_tokens = list[i].n_tokens - 1};
        if (list[i].n_tokens == 0)
            return jl_fail(err, JL_INVALID, "continuation %zu is empty", i + 1);
        out[i] = (jl_continuation){.greedy = true};
        s.out = &out[i];
        s.targets = list[i].tokens;
        score_row(&s, 0, first);
        if (piece.n_tokens == 0)
            continue;
        s.targets = list[i].tokens + 1;
        jl_seq_clear(session, SEQ_CONTINUATION);
        JL_TRY(jl_seq_fork(session, SEQ_CONTEXT, SEQ_CONTINUATION, context.n_tokens, err));
        JL_TRY(jl_session_eval_all(session, &piece, score_row, &s, err));
    }
    return JL_OK;
}

jl_status jl_score_continuations(jl_session *session, jl_token_span context,
                                 const jl_token_span *continuations, size_t n, jl_continuation *out,
                                 jl_error *err)
{
    const size_t row_bytes = session->m->hp.n_vocab * sizeof(float);
    const float *logits = NULL;

    JL_TRY(run_context(session, context, &logits, err));
    float *first = jl_malloc(row_bytes);
    if (!first)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    memcpy(first, logits, row_bytes); /* the next eval overwrites the session's */
    const jl_status s = score_all(session, context, first, continuations, n, out, err);
    jl_free(first);
    jl_seq_clear(session, SEQ_CONTINUATION);
    jl_seq_clear(session, SEQ_CONTEXT);
    return s;
}

static int32_t most_probable(const float *logits, uint32_t n)
{
    uint32_t best = 0;

    for (uint32_t i = 1; i < n; i++)
        best = logits[i] > logits[best] ? i : best;
    return (int32_t)best;
}

jl_status jl_generate_greedy(jl_session *session, jl_token_span context,
                             bool (*on_token)(void *ctx, int32_t token), void *ctx, int32_t *tokens,
                             size_t cap, size_t *n, jl_error *err)
{
    const jl_model *m = session->m;
    const float *logits = NULL;
    size_t len = 0;

    JL_TRY(run_context(session, context, &logits, err));
    while (len < cap) {
        const int32_t token = most_probable(logits, m->hp.n_vocab);
        if (jl_token_is_eog(m, token))
            break;
        tokens[len++] = token;
        if ((on_token && !on_token(ctx, token)) || len == cap)
            break;
        const jl_piece piece = {.seq = SEQ_CONTEXT, .tokens = &token, .n_tokens = 1};
        JL_TRY(jl_session_eval(session, &piece, 1, err));
        logits = jl_session_logits(session, 0);
    }
    jl_seq_clear(session, SEQ_CONTEXT);
    *n = len;
    return JL_OK;
}
