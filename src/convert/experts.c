/* Dropping experts: which ones a plan leaves out, and tensors without them. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "convert/plan.h"

void jl_experts_least(const double *score, uint32_t n_expert, uint32_t n, uint32_t *out)
{
    for (uint32_t k = 0; k < n; k++) {
        uint32_t best = n_expert;
        for (uint32_t e = 0; e < n_expert; e++) {
            bool taken = false;
            for (uint32_t i = 0; i < k; i++)
                taken = taken || out[i] == e;
            if (!taken && (best == n_expert || score[e] <= score[best]))
                best = e;
        }
        out[k] = best;
    }
    for (uint32_t i = 1; i < n; i++) /* ascending */
        for (uint32_t k = i; k > 0 && out[k - 1] > out[k]; k--) {
            const uint32_t t = out[k];
            out[k] = out[k - 1];
            out[k - 1] = t;
        }
}

void jl_quant_free_drops(jl_quant_plan *plan)
{
    for (size_t i = 0; i < plan->n_drops; i++) {
        jl_free(plan->drops[i].dropped);
        jl_free(plan->drops[i].kept);
    }
    jl_free(plan->drops);
    plan->drops = NULL;
    plan->n_drops = 0;
}

/* ---- checks --------------------------------------------------------------------------------- */

static jl_status check_number(const jl_quant_plan *plan, uint32_t n, jl_error *err)
{
    if (plan->n_expert == 0)
        return jl_fail(err, JL_INVALID,
                       "the model has no experts to drop: it is dense, every token uses all of it");
    if (n >= plan->n_expert || plan->n_expert - n < plan->n_expert_used)
        return jl_fail(err, JL_INVALID,
                       "dropping %u of %u experts leaves fewer than the %u that every token uses; "
                       "drop at most %u",
                       n, plan->n_expert, plan->n_expert_used,
                       plan->n_expert - plan->n_expert_used);
    return JL_OK;
}

/* The down projection of a layer's experts; NULL: the layer has none. */
static const jl_quant_item *down_of(const jl_quant_plan *plan, int32_t layer)
{
    for (size_t i = 0; i < plan->n; i++)
        if (plan->items[i].layer == layer && strcmp(plan->items[i].kind, "ffn_down_exps") == 0)
            return &plan->items[i];
    return NULL;
}

static uint32_t n_moe_layers(const jl_quant_plan *plan)
{
    uint32_t n = 0;

    for (uint32_t l = 0; l < plan->n_layer; l++)
        n += down_of(plan, (int32_t)l) != NULL;
    return n;
}

static int by_layer(const void *a, const void *b)
{
    return ((const jl_quant_drop *)a)->layer - ((const jl_quant_drop *)b)->layer;
}

/* ---- tensors -------------------------------------------------------------------------------- */

/* Tensors whose last dimension counts the experts. */
static bool is_per_expert(const jl_quant_item *item)
{
    return strcmp(item->kind, "ffn_gate_inp") == 0 ||
           strcmp(item->kind, "ffn_gate_inp.bias") == 0 ||
           strcmp(item->kind, "exp_probs_b.bias") == 0 || strstr(item->kind, "_exps") != NULL;
}

/* Small tensors get data of their own; rows of matrices are looked up when they are read. */
static jl_status gather(jl_quant_item *item, uint32_t n_all, const jl_quant_drop *d, uint32_t n,
                        jl_error *err)
{
    const size_t each = (size_t)(item->tensor->n_bytes / n_all);

    item->gathered = jl_malloc(each * n);
    if (!item->gathered)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    for (uint32_t k = 0; k < n; k++)
        memcpy(item->gathered + k * each, item->tensor->data + d->kept[k] * each, each);
    item->own.data = item->gathered;
    return JL_OK;
}

static jl_status slice(jl_quant_item *item, uint32_t n_all, const jl_quant_drop *d, jl_error *err)
{
    const jl_gguf_tensor *t = item->tensor;
    const uint32_t last = t->n_dims - 1;
    const uint32_t n = n_all - d->n;

    if (t->ne[last] != n_all)
        return jl_fail(err, JL_UNSUPPORTED,
                       "tensor %s: its last dimension is %llu, not the %u experts; joule does not "
                       "know how to drop experts of it",
                       t->name, (unsigned long long)t->ne[last], n_all);
    item->own = *t;
    item->own.ne[last] = n;
    item->own.n_elements = t->n_elements / n_all * n;
    item->own.n_bytes = t->n_bytes / n_all * n;
    if (t->n_dims == 3 && jl_type_get((uint32_t)t->type)->is_weight)
        item->kept = d->kept;
    else
        JL_TRY(gather(item, n_all, d, n, err));
    item->tensor = &item->own;
    return JL_OK;
}

static jl_status fill_kept(jl_quant_drop *d, uint32_t n_expert, jl_error *err)
{
    uint32_t n = 0;
    uint32_t gone = 0;

    d->kept = jl_calloc(n_expert - d->n, sizeof *d->kept);
    if (!d->kept)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    for (uint32_t e = 0; e < n_expert; e++) {
        if (gone < d->n && d->dropped[gone] == e)
            gone++;
        else
            d->kept[n++] = e;
    }
    return JL_OK;
}

jl_status jl_quant_apply_drops(jl_quant_plan *plan, jl_error *err)
{
    const uint32_t n_all = plan->n_expert;
    const uint32_t n_layers = n_moe_layers(plan);
    const uint32_t each = plan->drops[0].n;

    if (plan->n_drops != n_layers)
        return jl_fail(err, JL_INVALID,
                       "the plan drops experts in %zu of %u layers: every layer with experts has "
                       "to lose as many, for a file has one number of experts",
                       plan->n_drops, n_layers);
    for (size_t i = 0; i < plan->n_drops; i++)
        if (plan->drops[i].n != each)
            return jl_fail(err, JL_INVALID,
                           "the plan drops %u experts in layer %d and %u in layer %d: every layer "
                           "has to lose as many, for a file has one number of experts",
                           each, plan->drops[0].layer, plan->drops[i].n, plan->drops[i].layer);
    JL_TRY(check_number(plan, each, err));
    qsort(plan->drops, plan->n_drops, sizeof *plan->drops, by_layer);
    for (size_t i = 0; i < plan->n_drops; i++) {
        jl_quant_drop *d = &plan->drops[i];
        JL_TRY(fill_kept(d, n_all, err));
        for (size_t k = 0; k < plan->n; k++)
            if (plan->items[k].layer == d->layer && is_per_expert(&plan->items[k]))
                JL_TRY(slice(&plan->items[k], n_all, d, err));
    }
    plan->n_expert = n_all - each;
    plan->dropped = true;
    return JL_OK;
}

/* ---- by score ------------------------------------------------------------------------------- */

static jl_status new_drop(jl_quant_plan *plan, int32_t layer, uint32_t n, jl_quant_drop **out,
                          jl_error *err)
{
    if (!plan->drops)
        plan->drops = jl_calloc(plan->n_layer ? plan->n_layer : 1, sizeof *plan->drops);
    if (!plan->drops)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    jl_quant_drop *d = &plan->drops[plan->n_drops];
    *d = (jl_quant_drop){.layer = layer, .n = n, .share = NAN};
    d->dropped = jl_calloc(n, sizeof *d->dropped);
    if (!d->dropped)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    plan->n_drops++;
    *out = d;
    return JL_OK;
}

static jl_status drop_in_layer(jl_quant_plan *plan, const jl_quant_item *down, uint32_t n,
                               jl_drop_by by, double *score, jl_error *err)
{
    jl_quant_drop *d;
    double all = 0.0;
    double gone = 0.0;

    if (down->tensor->ne[2] != plan->n_expert)
        return jl_fail(err, JL_FORMAT, "tensor %s has %llu experts, the model %u",
                       down->tensor->name, (unsigned long long)down->tensor->ne[2],
                       plan->n_expert);
    JL_TRY(jl_imatrix_experts(plan->imatrix, down->tensor, by, score, err));
    JL_TRY(new_drop(plan, down->layer, n, &d, err));
    jl_experts_least(score, plan->n_expert, n, d->dropped);
    for (uint32_t e = 0; e < plan->n_expert; e++)
        all += score[e];
    for (uint32_t k = 0; k < n; k++)
        gone += score[d->dropped[k]];
    d->share = all > 0.0 ? gone / all : NAN;
    return JL_OK;
}

jl_status jl_quant_plan_drop_experts(jl_quant_plan *plan, uint32_t n, jl_drop_by by, jl_error *err)
{
    if (plan->n_drops)
        return jl_fail(err, JL_INVALID,
                       "the plan names the experts to drop already; leave its drop lines out, or "
                       "the number");
    JL_TRY(check_number(plan, n, err));
    if (!plan->imatrix)
        return jl_fail(err, JL_INVALID,
                       "which experts matter is not known: give --imatrix FILE of joule imatrix");
    double *score = jl_calloc(plan->n_expert, sizeof *score);
    jl_status s = score ? JL_OK : jl_fail(err, JL_NO_MEMORY, "out of memory");
    for (uint32_t l = 0; s == JL_OK && n && l < plan->n_layer; l++) {
        const jl_quant_item *down = down_of(plan, (int32_t)l);
        if (down)
            s = drop_in_layer(plan, down, n, by, score, err);
    }
    jl_free(score);
    return s == JL_OK && plan->n_drops ? jl_quant_apply_drops(plan, err) : s;
}

size_t jl_quant_plan_drops(const jl_quant_plan *plan)
{
    return plan->n_drops;
}

void jl_quant_plan_drop_at(const jl_quant_plan *plan, size_t i, jl_quant_dropped *out)
{
    const jl_quant_drop *d = &plan->drops[i];

    *out = (jl_quant_dropped){.layer = (uint32_t)d->layer,
                              .n = d->n,
                              .n_expert = plan->n_expert + d->n,
                              .experts = d->dropped,
                              .share = d->share};
}

/* ---- lines of plan files -------------------------------------------------------------------- */

bool jl_quant_is_drop(const char *line)
{
    line += strspn(line, " \t");
    return strncmp(line, "drop", 4) == 0 && isspace((unsigned char)line[4]);
}

static int ascending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a;
    const uint32_t y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* Numbers up to the end of the line, with commas or spaces between; 0: none, or not only such. */
static uint32_t read_ids(const char *text, uint32_t n_expert, uint32_t *out)
{
    uint32_t n = 0;

    for (;;) {
        text += strspn(text, " \t\r,");
        if (*text == 0)
            break;
        char *end;
        const unsigned long id = isdigit((unsigned char)*text) ? strtoul(text, &end, 10) : n_expert;
        if (id >= n_expert || n == n_expert)
            return 0;
        out[n++] = (uint32_t)id;
        text = end;
    }
    qsort(out, n, sizeof *out, ascending);
    for (uint32_t i = 1; i < n; i++)
        if (out[i] == out[i - 1])
            return 0;
    return n;
}

static jl_status add_line(jl_quant_plan *plan, int layer, const char *ids, size_t number,
                          uint32_t *scratch, jl_error *err)
{
    jl_quant_drop *d;

    const uint32_t n = read_ids(ids, plan->n_expert, scratch);
    if (n == 0)
        return jl_fail(err, JL_FORMAT,
                       "plan, line %zu: after the layer, write different numbers from 0 to %u",
                       number, plan->n_expert - 1);
    JL_TRY(new_drop(plan, layer, n, &d, err));
    memcpy(d->dropped, scratch, n * sizeof *scratch);
    return JL_OK;
}

jl_status jl_quant_read_drop(jl_quant_plan *plan, const char *line, size_t number, jl_error *err)
{
    int layer = -1;
    int at = 0;

    if (plan->dropped)
        return jl_fail(err, JL_INVALID,
                       "plan, line %zu drops experts, and --drop-experts does, too: leave one of "
                       "them out",
                       number);
    if (sscanf(line, " drop blk.%d%n", &layer, &at) != 1 || at == 0 ||
        !isspace((unsigned char)line[at]))
        return jl_fail(err, JL_FORMAT, "plan, line %zu: write drop blk.LAYER EXPERT,EXPERT,...",
                       number);
    if (plan->n_expert == 0 || layer < 0 || (uint32_t)layer >= plan->n_layer ||
        !down_of(plan, layer))
        return jl_fail(err, JL_FORMAT, "plan, line %zu: the model has no experts in layer %d",
                       number, layer);
    for (size_t i = 0; i < plan->n_drops; i++)
        if (plan->drops[i].layer == layer)
            return jl_fail(err, JL_FORMAT, "plan, line %zu: layer %d was named before", number,
                           layer);
    uint32_t *ids = jl_calloc(plan->n_expert, sizeof *ids);
    const jl_status s = ids ? add_line(plan, layer, line + at, number, ids, err)
                            : jl_fail(err, JL_NO_MEMORY, "out of memory");
    jl_free(ids);
    return s;
}

void jl_quant_drop_line(const jl_quant_drop *d, char out[JL_QUANT_DROP_LINE])
{
    int n = snprintf(out, JL_QUANT_DROP_LINE, "drop     blk.%d ", d->layer);

    for (uint32_t i = 0; i < d->n && n > 0 && n < JL_QUANT_DROP_LINE - 64; i++)
        n += snprintf(out + n, JL_QUANT_DROP_LINE - (size_t)n, "%s%u", i ? "," : "",
                      d->dropped[i]);
    if (!isnan(d->share) && n > 0)
        snprintf(out + n, JL_QUANT_DROP_LINE - (size_t)n, "  # %.3g %%", 100.0 * d->share);
}
