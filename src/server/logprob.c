/* Log probabilities of a token and its best alternatives. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "server/feed.h"

enum { MAX_TOP = 20 };

typedef struct {
    int32_t token;
    float logit;
} candidate;

static double log_sum_exp(const float *logits, uint32_t n)
{
    float max = -INFINITY;
    double sum = 0.0;

    for (uint32_t i = 0; i < n; i++)
        max = logits[i] > max ? logits[i] : max;
    for (uint32_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - max);
    return max + log(sum);
}

/* The n best tokens in order, n may be 0; returns how many there are. */
static int best_tokens(const float *logits, uint32_t n_vocab, int n, candidate *best)
{
    int have = 0;

    for (uint32_t i = 0; i < n_vocab && n > 0; i++) {
        if (have == n && !(logits[i] > best[n - 1].logit))
            continue;
        int k = have < n ? have++ : n - 1;
        for (; k > 0 && logits[i] > best[k - 1].logit; k--)
            best[k] = best[k - 1];
        best[k] = (candidate){(int32_t)i, logits[i]};
    }
    return have;
}

/* A byte token's text is "<0xE2>": its byte, else -1. */
static int byte_of(const jl_model *model, int32_t token)
{
    size_t len;
    unsigned value;
    char copy[8] = {0};
    const char *text = jl_token_text(model, token, &len);

    if (len != 6)
        return -1;
    memcpy(copy, text, len);
    return sscanf(copy, "<0x%2X>", &value) == 1 && copy[5] == '>' ? (int)value : -1;
}

static json_t *token_json(const jl_feed *r, int32_t token, double logprob)
{
    size_t n_first;
    size_t n_rest;
    jl_str text = {0};
    json_t *bytes = json_array();

    const char *first = jl_detok_push(r->names, token, &n_first);
    (void)jl_str_put(&text, first, n_first);
    const char *rest = jl_detok_flush(r->names, &n_rest);
    (void)jl_str_put(&text, rest, n_rest);

    const int byte = byte_of(r->model, token);
    if (byte >= 0)
        json_array_append_new(bytes, json_integer(byte));
    for (size_t i = 0; byte < 0 && i < text.len; i++)
        json_array_append_new(bytes, json_integer((unsigned char)text.ptr[i]));
    if (!(logprob > -9999.0)) /* JSON has no infinity */
        logprob = -9999.0;
    json_t *out = json_pack("{s:s%, s:f, s:o}", "token", jl_str_text(&text), text.len, "logprob",
                            logprob, "bytes", bytes);
    jl_str_free(&text);
    return out;
}

json_t *jl_logprob_json(const jl_feed *r, int32_t token, const float *logits)
{
    const double total = log_sum_exp(logits, r->n_vocab);
    json_t *out = token_json(r, token, (double)logits[token] - total);
    json_t *top = json_array();
    candidate best[MAX_TOP];
    const int n = best_tokens(logits, r->n_vocab, r->n_top < MAX_TOP ? r->n_top : MAX_TOP, best);

    for (int i = 0; i < n; i++)
        json_array_append_new(top, token_json(r, best[i].token, (double)best[i].logit - total));
    json_object_set_new(out, "top_logprobs", top);
    return out;
}
