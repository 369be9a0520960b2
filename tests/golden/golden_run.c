/* Runs sequences through a model and compares their logits. */
#include <math.h>

#include "golden.h"
#include "test.h"

typedef struct {
    float *logits; /* [n_tokens][n_vocab] */
    size_t n_vocab;
    size_t first; /* token the running call begins with */
    size_t n_seen;
} collector;

static void collect(void *ctx, size_t index, const float *logits)
{
    collector *k = ctx;
    memcpy(k->logits + (k->first + index) * k->n_vocab, logits, k->n_vocab * sizeof *logits);
    k->n_seen++;
}

float *golden_run(jl_model *model, const int32_t *tokens, size_t n_tokens, const golden_plan *plan)
{
    jl_session_params params = {
        .struct_size = sizeof params,
        .n_ctx = (uint32_t)n_tokens,
        .n_threads = plan->n_threads,
        .n_ubatch = plan->n_ubatch,
        .type_k = plan->kv,
        .type_v = plan->kv,
        .cpu_mask = plan->cpu_mask ? plan->cpu_mask : getenv("JOULE_CPU_MASK"),
        .device = plan->device,
    };
    jl_model_info info;
    jl_session *session;
    jl_error err;
    jl_model_get_info(model, &info);
    assert_ok(jl_session_create(model, &params, &session, &err));
    if (plan->observe)
        jl_session_observe(session, plan->observe, plan->observe_ctx);

    collector k = {.n_vocab = info.n_vocab};
    k.logits = malloc(n_tokens * info.n_vocab * sizeof *k.logits);
    assert_non_null(k.logits);
    const size_t step = plan->piece ? plan->piece : n_tokens;
    for (k.first = 0; k.first < n_tokens; k.first += step) {
        const size_t left = n_tokens - k.first;
        const jl_piece piece = {.tokens = tokens + k.first, .n_tokens = left < step ? left : step};
        assert_ok(jl_session_eval_all(session, &piece, collect, &k, &err));
    }
    assert_int_equal(k.n_seen, n_tokens);
    assert_int_equal(jl_seq_length(session, 0), n_tokens);
    jl_session_destroy(session);
    return k.logits;
}

size_t golden_argmax(const float *row, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        if (row[i] > row[best])
            best = i;
    }
    return best;
}

/* log of the sum of exp of a row, in double. */
static double log_sum_exp(const float *row, size_t n)
{
    const double max = row[golden_argmax(row, n)];
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += exp(row[i] - max);
    return max + log(sum);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

golden_kl golden_divergence(const float *p, const float *q, size_t n_rows, size_t n_vocab)
{
    golden_kl result = {0};
    double *all = malloc(n_rows * sizeof *all);
    assert_non_null(all);
    for (size_t r = 0; r < n_rows; r++, p += n_vocab, q += n_vocab) {
        const double zp = log_sum_exp(p, n_vocab);
        const double zq = log_sum_exp(q, n_vocab);
        double kl = 0;
        for (size_t i = 0; i < n_vocab; i++) {
            const double lp = p[i] - zp;
            if (isfinite(lp)) /* a masked token has no share in either */
                kl += exp(lp) * (lp - (q[i] - zq));
        }
        result.mean += kl / (double)n_rows;
        all[r] = kl;
        result.n_other_top += golden_argmax(p, n_vocab) != golden_argmax(q, n_vocab);
    }
    qsort(all, n_rows, sizeof *all, by_value);
    result.median = all[n_rows / 2];
    result.max = all[n_rows - 1];
    free(all);
    return result;
}

void golden_assert_same(const float *a, const float *b, size_t n_rows, size_t n_vocab,
                        const char *what)
{
    if (memcmp(a, b, n_rows * n_vocab * sizeof *a) == 0)
        return;
    for (size_t r = 0; r < n_rows; r++) {
        for (size_t i = 0; i < n_vocab; i++) {
            const size_t at = r * n_vocab + i;
            if (memcmp(a + at, b + at, sizeof *a) != 0)
                fail_msg("%s: logits differ, first at token %zu, entry %zu: %.9g and %.9g", what, r,
                         i, (double)a[at], (double)b[at]);
        }
    }
}
