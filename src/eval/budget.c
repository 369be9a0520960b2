/* Mixes by measurement: what each matrix means for the output, and the types that fit the
 * budget. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "base/topology.h"
#include "convert/choose.h"
#include "engine/session.h"
#include "eval/kl.h"
#include "quant/quant.h"

enum { DEFAULT_CHUNK = 256, MAX_CHUNKS = 64 };
#define MAX_REFERENCE_BYTES ((uint64_t)1 << 30)

typedef struct {
    jl_quant_plan *plan;
    jl_model *model;
    jl_session *session;
    const jl_quant_budget *budget;
    uint32_t n_ctx, n_chunks, n_vocab;
    float *reference; /* [n_chunks * n_ctx][n_vocab] log probabilities of the model as it is */
    jl_choice_set *sets; /* [n matrices] */
    size_t *items;       /* [n matrices] index in the plan */
    size_t n;
    bool measured; /* every matrix has its sensitivity, or gets it */
    bool decode;   /* bytes are those read per token */
    double room;   /* bytes for matrices */
    jl_meter *meter;
} search;

/* ---- running the text ----------------------------------------------------------------------- */

typedef struct {
    search *s;
    size_t first;     /* row of the chunk's first token */
    jl_series kl;
    bool record; /* the reference is being made */
} pass;

static void on_row(void *ctx, size_t row, const float *logits)
{
    pass *p = ctx;
    const uint32_t n_vocab = p->s->n_vocab;
    float *own = p->s->reference + (p->first + row) * n_vocab;
    float max;

    if (!p->record) {
        jl_series_add(&p->kl, jl_kl_row(own, logits, n_vocab));
        return;
    }
    const double norm = jl_log_sum_exp(logits, n_vocab, &max);
    for (uint32_t i = 0; i < n_vocab; i++)
        own[i] = (float)((double)logits[i] - norm);
}

static jl_status run_text(search *s, bool record, double *kl, jl_error *err)
{
    pass p = {.s = s, .record = record};

    for (uint32_t i = 0; i < s->n_chunks; i++) {
        const jl_piece piece = {.tokens = s->budget->tokens + (size_t)i * s->n_ctx,
                                .n_tokens = s->n_ctx};
        p.first = (size_t)i * s->n_ctx;
        jl_seq_clear(s->session, 0);
        JL_TRY(jl_session_eval_all(s->session, &piece, on_row, &p, err));
    }
    jl_seq_clear(s->session, 0);
    *kl = jl_series_mean(&p.kl).value;
    return JL_OK;
}

/* ---- one matrix ----------------------------------------------------------------------------- */

typedef struct {
    const jl_quant_item *item;
    const jl_quantizer *quantizer;
    uint8_t *dst;
    float *rows; /* [n_threads][group_rows][ne[0]] */
} fill_task;

static void fill_rows(void *ctx, int ith, int nth)
{
    const fill_task *f = ctx;
    const jl_gguf_tensor *t = f->item->tensor;
    const size_t n_in = (size_t)t->ne[0];
    const uint64_t to = jl_row_bytes((uint32_t)f->quantizer->type, n_in);
    const size_t group = jl_type_get((uint32_t)f->quantizer->type)->group_rows;
    const jl_range part = jl_split((size_t)(t->n_elements / n_in), group, ith, nth);
    float *x = f->rows + (size_t)ith * n_in * group;

    for (size_t r = part.begin; r < part.end; r += group) {
        const float *importance = f->item->importance;
        for (size_t i = 0; i < group; i++)
            jl_dequant_matrix_row(t->type, t->data, r + i, x + i * n_in, n_in);
        jl_quantizer_rows(f->quantizer, x, importance ? importance + r / t->ne[1] * n_in : NULL,
                          f->dst + r * to, n_in, group);
    }
}

static jl_status quantize_into(search *s, const jl_quant_item *item, jl_type type, jl_buffer *buf,
                               jl_error *err)
{
    const jl_pool_config config = {.n_threads = (int)s->session->params.n_threads};
    jl_quantizer *q = NULL;
    jl_pool *pool = NULL;

    if (!buf->host)
        return jl_fail(err, JL_UNSUPPORTED, "mixes of types are measured on the CPU");
    JL_TRY(jl_quantizer_create(type, &q, err));
    const size_t group = jl_type_get((uint32_t)type)->group_rows;
    float *rows = jl_calloc((size_t)config.n_threads * group * item->tensor->ne[0], sizeof *rows);
    jl_status status = rows ? jl_pool_create(&config, &pool, err)
                            : jl_fail(err, JL_NO_MEMORY, "out of memory");
    if (status == JL_OK) {
        fill_task f = {item, q, buf->host, rows};
        jl_pool_run(pool, fill_rows, &f);
    }
    jl_pool_destroy(pool);
    jl_free(rows);
    jl_quantizer_destroy(q);
    return status;
}

/* Divergence with the matrix alone in the given type. */
static jl_status measure(search *s, const jl_quant_item *item, jl_type type, double *kl,
                         jl_error *err)
{
    const jl_gguf_tensor *t = item->tensor;
    jl_backend *be = s->session->be;
    const jl_buffer *part = &s->model->parts[t->part];
    const jl_gguf_tensor *own = jl_gguf_find_tensor(s->model->gguf, t->name);
    const jl_tensor was = {.buf = (jl_buffer *)(uintptr_t)part,
                           .offset = (uint64_t)(own->data - part->host),
                           .type = own->type,
                           .row_bytes = jl_row_bytes((uint32_t)own->type, own->ne[0])};
    jl_buffer *buf;

    JL_TRY(be->ops->buffer_alloc(be, jl_quant_bytes(t, type) + 64, &buf, err));
    const jl_tensor now = {.buf = buf, .type = type,
                           .row_bytes = jl_row_bytes((uint32_t)type, t->ne[0])};
    jl_status status = quantize_into(s, item, type, buf, err);
    if (status == JL_OK) {
        jl_model_override(s->model, own->data, &now);
        status = run_text(s, false, kl, err);
        jl_model_override(s->model, buf->host, &was);
    }
    be->ops->buffer_free(buf);
    return status;
}

/* The choice whose error is nearest to 1 %: large enough to stand out of the rounding of
 * activations, small enough that divergence still grows in proportion. */
static const jl_choice *probe_of(const jl_choice_set *set)
{
    const jl_choice *best = &set->choices[0];

    for (size_t k = 0; k + 1 < set->n; k++) {
        const jl_choice *c = &set->choices[k];
        if (c->damage > 0.0 && fabs(log(c->damage / 0.01)) < fabs(log(best->damage / 0.01)))
            best = c;
    }
    return best;
}

static jl_status weigh(search *s, size_t i, jl_error *err)
{
    jl_quant_item *item = &s->plan->items[s->items[i]];
    jl_choice_set *set = &s->sets[i];
    double kl;

    JL_TRY(jl_meter_errors(s->meter, item, set, err));
    if (s->reference && isnan(item->sensitivity)) {
        const jl_choice probe = *probe_of(set);
        if (set->n > 1)
            JL_TRY(measure(s, item, probe.type, &kl, err));
        item->sensitivity = set->n > 1 && probe.damage > 0.0 ? fmax(kl, 0.0) / probe.damage : 0.0;
    }
    /* without a text: equal per weight */
    const double per_error =
        s->measured ? item->sensitivity : (double)item->tensor->n_elements;
    for (size_t k = 0; k < set->n; k++)
        set->choices[k].damage *= per_error;
    return JL_OK;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static jl_status make_reference(search *s, jl_error *err)
{
    const jl_quant_budget *b = s->budget;
    double unused;

    s->n_ctx = b->n_ctx ? b->n_ctx : DEFAULT_CHUNK;
    s->n_vocab = s->model->hp.n_vocab;
    if (s->n_ctx > jl_session_n_ctx(s->session) || b->n_tokens < s->n_ctx)
        return jl_fail(err, JL_INVALID,
                       "the calibration text has %zu tokens; one chunk of %u is the least",
                       b->n_tokens, s->n_ctx);
    const uint64_t chunk_bytes = (uint64_t)s->n_ctx * s->n_vocab * sizeof(float);
    uint64_t n = b->n_tokens / s->n_ctx;
    n = n > MAX_CHUNKS ? MAX_CHUNKS : n;
    n = n > MAX_REFERENCE_BYTES / chunk_bytes ? MAX_REFERENCE_BYTES / chunk_bytes : n;
    s->n_chunks = n ? (uint32_t)n : 1;
    s->reference = jl_malloc((size_t)(s->n_chunks * chunk_bytes));
    if (!s->reference)
        return jl_fail(err, JL_NO_MEMORY, "no memory for %.1f MiB of reference logits",
                       (double)s->n_chunks * (double)chunk_bytes / 1048576.0);
    return run_text(s, true, &unused, err);
}

/* Matrices and what they may become, with costs alone. */
static void list_choices(search *s)
{
    for (size_t i = 0; i < s->plan->n; i++) {
        const jl_quant_item *item = &s->plan->items[i];
        jl_choice_set *set = &s->sets[s->n];
        if (!item->matrix)
            continue;
        s->items[s->n++] = i;
        jl_choices_of(item, set);
        for (size_t k = 0; s->decode && k < set->n; k++)
            set->choices[k].cost *= jl_quant_share(s->plan, item);
    }
}

/* What the budget has for matrices. A budget below the least is refused here, before anything is
 * measured. */
static jl_status take_budget(search *s, jl_error *err)
{
    double fixed = 0.0;

    for (size_t i = 0; i < s->plan->n; i++) {
        const jl_quant_item *item = &s->plan->items[i];
        fixed += item->matrix ? 0.0
                              : (double)item->tensor->n_bytes *
                                    (s->decode ? jl_quant_share(s->plan, item) : 1.0);
        if (!s->decode && i == 0) /* metadata and padding */
            fixed += (double)(item->tensor->offset) + 32.0 * (double)s->plan->n;
    }
    const double least = jl_choose_least(s->sets, s->n);
    s->room = (s->decode ? s->budget->bytes_per_token : s->budget->bytes) - fixed;
    if (s->room < least)
        return jl_fail(err, JL_INVALID, "the budget is too small: the least is %.4g GB%s",
                       (least + fixed) / 1e9, s->decode ? " read per token" : "");
    return JL_OK;
}

static jl_status weigh_all(search *s, jl_error *err)
{
    const jl_quant_budget *b = s->budget;

    s->measured = b->tokens || jl_quant_plan_is_measured(s->plan);
    if (b->tokens && !jl_quant_plan_is_measured(s->plan))
        JL_TRY(make_reference(s, err));
    for (size_t i = 0; i < s->n; i++) {
        if (b->progress && !b->progress(b->ctx, i, s->n, NAN))
            return jl_fail(err, JL_CANCELLED, "stopped; nothing was written");
        JL_TRY(weigh(s, i, err));
    }
    return JL_OK;
}

static void choose(search *s)
{
    double least;

    if (!jl_choose(s->sets, s->n, s->room, &least))
        assert(!"the budget was found large enough");
    for (size_t i = 0; i < s->n; i++) {
        jl_quant_item *item = &s->plan->items[s->items[i]];
        const jl_choice *c = &s->sets[i].choices[s->sets[i].chosen];
        item->type = c->type;
        item->damage = s->measured ? c->damage : NAN;
    }
}

static jl_status run_search(search *s, jl_error *err)
{
    if (!s->sets || !s->items)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    list_choices(s);
    JL_TRY(take_budget(s, err));
    const uint32_t n = s->budget->n_threads;
    JL_TRY(jl_meter_create(n ? (int)n : jl_topology_threads(), &s->meter, err));
    JL_TRY(weigh_all(s, err));
    choose(s);
    return JL_OK;
}

jl_status jl_quant_plan_budget(jl_quant_plan *plan, jl_model *model, jl_session *session,
                               const jl_quant_budget *budget, jl_error *err)
{
    search s = {.plan = plan, .model = model, .session = session, .budget = budget,
                .decode = budget->bytes_per_token > 0.0};

    if (session && plan->n_drops && !jl_quant_plan_is_measured(plan))
        return jl_fail(err, JL_UNSUPPORTED,
                       "types are measured with every expert there: make a plan with the budget "
                       "and the text alone (--save-plan), then drop experts with --plan and the "
                       "budget");
    s.sets = jl_calloc(plan->n, sizeof *s.sets);
    s.items = jl_calloc(plan->n, sizeof *s.items);
    const jl_status status = run_search(&s, err);
    jl_meter_destroy(s.meter);
    jl_free(s.reference);
    jl_free(s.sets);
    jl_free(s.items);
    return status;
}
