/* The sampler chain. All memory is taken at creation; picking a token does not allocate. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "joule/joule.h"
#include "model/model.h"

typedef struct {
    float logit, p;
    int32_t id;
} candidate;

struct jl_sampler {
    jl_sampler_params p;
    jl_logit_bias *bias;
    uint32_t n_vocab;
    candidate *cand; /* [n_vocab] */
    size_t n;
    int32_t *history; /* growing ring of accepted tokens, cap is a power of two */
    size_t n_history, history_cap;
    uint32_t *counts;   /* [n_vocab] occurrences in the penalty window */
    int32_t *dry_match; /* [history_cap] */
    uint64_t rng;
};

enum { HISTORY_MAX = 1 << 17 };

/* splitmix64 (Steele, Lea, Flood 2014): one step. */
static uint64_t next_u64(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void jl_sampler_defaults(const jl_model *m, jl_sampler_params *p)
{
    jl_model_info info;

    jl_model_get_info(m, &info);
    *p = (jl_sampler_params){
        .struct_size = sizeof *p,
        .temperature = isnan(info.temperature) ? 1.0f : info.temperature,
        .top_k = info.top_k >= 0 ? info.top_k : 64,
        .top_p = isnan(info.top_p) ? 0.95f : info.top_p,
        .min_p = isnan(info.min_p) ? 0.0f : info.min_p,
        .typical_p = 1.0f,
        .repeat_penalty = 1.0f,
        .repeat_last_n = 64,
        .dry_base = 1.75f,
        .dry_allowed_length = 2,
        .dry_penalty_last_n = -1,
    };
}

static jl_status check_params(const jl_sampler_params *p, uint32_t n_vocab, jl_error *err)
{
    const struct {
        const char *name;
        float value, min, max;
    } range[] = {
        {"temperature", p->temperature, 0.0f, 100.0f},
        {"top_p", p->top_p, 0.0f, 1.0f},
        {"min_p", p->min_p, 0.0f, 1.0f},
        {"typical_p", p->typical_p, 0.0f, 1.0f},
        {"repeat_penalty", p->repeat_penalty, 0.01f, 100.0f},
        {"presence_penalty", p->presence_penalty, -100.0f, 100.0f},
        {"frequency_penalty", p->frequency_penalty, -100.0f, 100.0f},
        {"dry_multiplier", p->dry_multiplier, 0.0f, 100.0f},
        {"dry_base", p->dry_base, 1.0f, 100.0f},
    };

    for (size_t i = 0; i < sizeof range / sizeof *range; i++)
        if (!(range[i].value >= range[i].min && range[i].value <= range[i].max))
            return jl_fail(err, JL_INVALID, "sampler: %s is %g; it must be %g to %g", range[i].name,
                           (double)range[i].value, (double)range[i].min, (double)range[i].max);
    for (size_t i = 0; i < p->n_logit_bias; i++)
        if (p->logit_bias[i].token < 0 || (uint32_t)p->logit_bias[i].token >= n_vocab ||
            isnan(p->logit_bias[i].bias))
            return jl_fail(err, JL_INVALID,
                           "sampler: logit bias for token %d: no such token, or the "
                           "bias is not a number",
                           p->logit_bias[i].token);
    return JL_OK;
}

static bool needs_history(const jl_sampler_params *p)
{
    return p->repeat_penalty != 1.0f || p->presence_penalty != 0.0f ||
           p->frequency_penalty != 0.0f || p->dry_multiplier > 0.0f;
}

jl_status jl_sampler_create(const jl_model *m, const jl_sampler_params *params, jl_sampler **out,
                            jl_error *err)
{
    JL_TRY(check_params(params, m->hp.n_vocab, err));

    jl_sampler *s = jl_calloc(1, sizeof *s);
    if (!s)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    s->p = *params;
    s->n_vocab = m->hp.n_vocab;
    s->rng = params->seed;
    s->cand = jl_calloc(s->n_vocab, sizeof *s->cand);
    s->counts = jl_calloc(s->n_vocab, sizeof *s->counts);
    s->history_cap = needs_history(params) ? HISTORY_MAX : 1;
    s->history = jl_calloc(s->history_cap, sizeof *s->history);
    s->dry_match =
        jl_calloc(params->dry_multiplier > 0.0f ? s->history_cap : 1, sizeof *s->dry_match);
    s->bias = jl_calloc(params->n_logit_bias + 1, sizeof *s->bias);
    if (!s->cand || !s->counts || !s->history || !s->dry_match || !s->bias) {
        jl_sampler_destroy(s);
        return jl_fail(err, JL_NO_MEMORY, "out of memory for a vocabulary of %u", m->hp.n_vocab);
    }
    if (params->n_logit_bias)
        memcpy(s->bias, params->logit_bias, params->n_logit_bias * sizeof *s->bias);
    s->p.logit_bias = s->bias;
    *out = s;
    return JL_OK;
}

void jl_sampler_destroy(jl_sampler *s)
{
    if (!s)
        return;
    jl_free(s->cand);
    jl_free(s->counts);
    jl_free(s->history);
    jl_free(s->dry_match);
    jl_free(s->bias);
    jl_free(s);
}

void jl_sampler_reset(jl_sampler *s)
{
    s->n_history = 0;
    s->rng = s->p.seed;
}

void jl_sampler_accept(jl_sampler *s, int32_t token)
{
    if (s->history_cap > 1 && token >= 0 && (uint32_t)token < s->n_vocab)
        s->history[s->n_history++ % s->history_cap] = token;
}

/* Token i places before the newest (0: the newest). */
static int32_t recent(const jl_sampler *s, size_t i)
{
    return s->history[(s->n_history - 1 - i) % s->history_cap];
}

static size_t window(const jl_sampler *s, int32_t last_n)
{
    const size_t have = s->n_history < s->history_cap ? s->n_history : s->history_cap;

    return last_n < 0 || (size_t)last_n > have ? have : (size_t)last_n;
}

/* Repetition penalty divides positive logits and multiplies negative ones (Keskar et al. 2019);
 * presence and frequency penalties subtract (OpenAI's definition). */
static void penalise(jl_sampler *s)
{
    const jl_sampler_params *p = &s->p;
    const size_t n = window(s, p->repeat_last_n);

    if (p->repeat_penalty == 1.0f && p->presence_penalty == 0.0f && p->frequency_penalty == 0.0f)
        return;
    for (size_t i = 0; i < n; i++)
        s->counts[recent(s, i)]++;
    for (size_t i = 0; i < n; i++) {
        const int32_t id = recent(s, i);
        const float count = (float)s->counts[id];
        if (count == 0.0f)
            continue; /* done already */
        float *logit = &s->cand[id].logit;
        *logit = *logit > 0.0f ? *logit / p->repeat_penalty : *logit * p->repeat_penalty;
        *logit -= p->presence_penalty + p->frequency_penalty * count;
        s->counts[id] = 0;
    }
}

/* DRY ("don't repeat yourself"): a token that would extend a repetition of the newest `len` tokens,
 * len above the allowed length, loses multiplier * base^(len - allowed). */
static void penalise_dry(jl_sampler *s)
{
    const jl_sampler_params *p = &s->p;
    const size_t n = window(s, p->dry_penalty_last_n);
    enum { LONGEST = 64 };

    if (p->dry_multiplier <= 0.0f || n < 2)
        return;
    for (size_t i = 1; i < n; i++) {
        int32_t len = 0; /* length of the match that ends i places back */
        while (len < LONGEST && i + (size_t)len < n &&
               recent(s, (size_t)len) == recent(s, i + (size_t)len))
            len++;
        s->dry_match[i] = len;
    }
    for (size_t i = 1; i < n; i++) {
        if (s->dry_match[i] < p->dry_allowed_length)
            continue;
        /* recent(i - 1) followed the match back then: it would follow it again */
        const int32_t id = recent(s, i - 1);
        const float loss =
            p->dry_multiplier * powf(p->dry_base, (float)(s->dry_match[i] - p->dry_allowed_length));
        s->cand[id].logit -= loss;
    }
}

static void gather(jl_sampler *s, const float *logits)
{
    for (uint32_t i = 0; i < s->n_vocab; i++) {
        s->cand[i].id = (int32_t)i;
        s->cand[i].logit = isnan(logits[i]) ? -INFINITY : logits[i];
    }
    for (size_t i = 0; i < s->p.n_logit_bias; i++)
        s->cand[s->bias[i].token].logit += s->bias[i].bias;
    penalise(s);
    penalise_dry(s);
}

static void forbid(jl_sampler *s, const uint32_t *allowed)
{
    for (uint32_t i = 0; i < s->n_vocab; i++)
        if (!(allowed[i / 32] >> (i % 32) & 1))
            s->cand[i].logit = -INFINITY;
}

/* Higher logit first, lower id on a tie: one right order. */
static int by_logit(const candidate *a, const candidate *b)
{
    if (a->logit != b->logit)
        return a->logit > b->logit ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static int32_t arg_max(const jl_sampler *s)
{
    size_t best = 0;

    for (size_t i = 1; i < s->n_vocab; i++)
        if (s->cand[i].logit > s->cand[best].logit)
            best = i;
    return s->cand[best].id;
}

typedef int compare_fn(const candidate *a, const candidate *b);

/* Sifts element i of a heap down; the root is the one that sorts last. */
static void sift(candidate *heap, size_t n, size_t i, compare_fn *compare)
{
    for (;;) {
        size_t last = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++)
            if (compare(&heap[child], &heap[last]) > 0)
                last = child;
        if (last == i)
            return;
        const candidate t = heap[i];
        heap[i] = heap[last];
        heap[last] = t;
        i = last;
    }
}

/* Heap sort of a heap: no heap calls, unlike qsort of some C libraries. */
static void sort_heap(candidate *heap, size_t n, compare_fn *compare)
{
    for (size_t end = n; end-- > 1;) {
        const candidate t = heap[0];
        heap[0] = heap[end];
        heap[end] = t;
        sift(heap, end, 0, compare);
    }
}

static void make_heap(candidate *c, size_t n, compare_fn *compare)
{
    for (size_t i = n / 2; i-- > 0;)
        sift(c, n, i, compare);
}

/* Keeps the k best, sorted. */
static void keep_top_k(jl_sampler *s)
{
    size_t k =
        s->p.top_k > 0 && (uint32_t)s->p.top_k < s->n_vocab ? (size_t)s->p.top_k : s->n_vocab;

    make_heap(s->cand, k, by_logit);
    for (size_t i = k; i < s->n_vocab; i++)
        if (by_logit(&s->cand[i], &s->cand[0]) < 0) {
            s->cand[0] = s->cand[i];
            sift(s->cand, k, 0, by_logit);
        }
    sort_heap(s->cand, k, by_logit);
    while (k > 1 && s->cand[k - 1].logit == -INFINITY)
        k--;
    s->n = k;
}

static void softmax(jl_sampler *s, float temperature)
{
    const float top = s->cand[0].logit;
    double sum = 0.0;

    for (size_t i = 0; i < s->n; i++) {
        s->cand[i].p = expf((s->cand[i].logit - top) / temperature);
        sum += (double)s->cand[i].p;
    }
    for (size_t i = 0; i < s->n; i++)
        s->cand[i].p = (float)((double)s->cand[i].p / sum);
}

/* Here p holds the distance of a token's surprise from the entropy. */
static int by_typicality(const candidate *a, const candidate *b)
{
    if (a->p != b->p)
        return a->p < b->p ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* Locally typical sampling (arXiv:2202.00666): tokens whose surprise is nearest to the entropy,
 * until their probability reaches typical_p. */
static void keep_typical(jl_sampler *s)
{
    double entropy = 0.0;
    double sum = 0.0;
    size_t n = 0;

    if (s->p.typical_p >= 1.0f)
        return;
    softmax(s, 1.0f);
    const float top = s->cand[0].logit;
    const float log_z = -logf(s->cand[0].p); /* log p_i = logit_i - top - log_z */
    for (size_t i = 0; i < s->n; i++)
        if (s->cand[i].p > 0.0f)
            entropy -= (double)s->cand[i].p * (double)(s->cand[i].logit - top - log_z);
    for (size_t i = 0; i < s->n; i++)
        s->cand[i].p = fabsf(-(s->cand[i].logit - top - log_z) - (float)entropy);
    make_heap(s->cand, s->n, by_typicality);
    sort_heap(s->cand, s->n, by_typicality);
    while (n < s->n && (n == 0 || sum < (double)s->p.typical_p)) {
        sum += exp((double)(s->cand[n].logit - top - log_z));
        n++;
    }
    s->n = n;
    make_heap(s->cand, s->n, by_logit);
    sort_heap(s->cand, s->n, by_logit);
}

static void keep_top_p(jl_sampler *s)
{
    double sum = 0.0;
    size_t n = 0;

    if (s->p.top_p >= 1.0f)
        return;
    softmax(s, 1.0f);
    while (n < s->n && (n == 0 || sum < (double)s->p.top_p))
        sum += (double)s->cand[n++].p;
    s->n = n;
}

static void keep_min_p(jl_sampler *s)
{
    size_t n = 1;

    if (s->p.min_p <= 0.0f)
        return;
    softmax(s, 1.0f);
    while (n < s->n && s->cand[n].p >= s->p.min_p * s->cand[0].p)
        n++;
    s->n = n;
}

static int32_t draw(jl_sampler *s)
{
    const double u = (double)(next_u64(&s->rng) >> 11) * 0x1p-53;
    double sum = 0.0;

    softmax(s, s->p.temperature);
    for (size_t i = 0; i < s->n; i++) {
        sum += (double)s->cand[i].p;
        if (u < sum)
            return s->cand[i].id;
    }
    return s->cand[s->n - 1].id;
}

int32_t jl_sampler_pick(jl_sampler *s, const float *logits, const uint32_t *allowed)
{
    gather(s, logits);
    if (allowed)
        forbid(s, allowed);
    if (s->p.temperature == 0.0f)
        return arg_max(s);
    keep_top_k(s);
    keep_typical(s);
    keep_top_p(s);
    keep_min_p(s);
    return draw(s);
}
