/* joule quantize: a plan of types, by name or by measurement, and the file. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "figures.h"
#include "joule/quantize.h"
#include "joule/sys.h"

enum { DEFAULT_CHUNKS = 4, CHUNK_TOKENS = 256 };

/* "13.4GB", "900 MB", "12GiB", "5e6"; false if it is no size. */
static bool read_size(const char *text, double *out)
{
    static const struct {
        const char *name;
        double bytes;
    } units[] = {{"", 1},          {"B", 1},
                 {"kB", 1e3},      {"MB", 1e6},
                 {"GB", 1e9},      {"KiB", 1024},
                 {"MiB", 1048576}, {"GiB", 1073741824}};
    char *end;

    *out = strtod(text, &end);
    if (end == text || !(*out > 0) || isinf(*out))
        return false;
    end += strspn(end, " ");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcasecmp(end, units[i].name) == 0) {
            *out *= units[i].bytes;
            return true;
        }
    return false;
}

/* ---- the plan ------------------------------------------------------------------------------ */

static jl_status budget_of(const opts *o, const jl_quant_plan *plan, jl_quant_budget *b,
                           jl_error *err)
{
    const char *decode = opt_text(o, OPT_BUDGET_DECODE);
    const char *size = decode ? decode : opt_text(o, OPT_BUDGET);
    jl_quant_size now;
    double bytes;

    if (opt_is_set(o, OPT_BPW)) {
        jl_quant_plan_measure(plan, &now);
        b->bytes = (double)now.n_params * o->v[OPT_BPW].num / 8.0;
        return JL_OK;
    }
    if (!read_size(size, &bytes))
        return tool_error(err, JL_INVALID, "'%.60s' is no size: write 13.4GB, 900MB or 12GiB",
                          size);
    if (decode)
        b->bytes_per_token = bytes;
    else
        b->bytes = bytes;
    return JL_OK;
}

static jl_status calibration(const opts *o, const jl_model *model, token_list *out, jl_error *err)
{
    const int n_chunks = opt_int(o, OPT_CHUNKS) ? opt_int(o, OPT_CHUNKS) : DEFAULT_CHUNKS;

    const jl_status s = load_text_tokens(o, model, JL_TOKENIZE_BOS, out, err);
    if (s == JL_OK && out->n > (size_t)n_chunks * CHUNK_TOKENS)
        out->n = (size_t)n_chunks * CHUNK_TOKENS;
    return s;
}

static jl_status run_budget(const opts *o, jl_quant_plan *plan, jl_quant_budget *b, jl_error *err)
{
    eval_run run = {.o = o, .unit = "matrices"};
    token_list tokens = {0};

    b->n_threads = (uint32_t)opt_int(o, OPT_THREADS);
    b->progress = eval_progress;
    b->ctx = &run;
    jl_status s = JL_OK;
    if (opt_text(o, OPT_FILE) && !jl_quant_plan_is_measured(plan)) {
        s = load_model(o, o->args[0], LOAD_WEIGHTS, &run.model, err);
        if (s == JL_OK)
            s = calibration(o, run.model, &tokens, err);
        if (s == JL_OK)
            s = eval_open_session(&run, CHUNK_TOKENS, 1, err);
        b->tokens = tokens.ids;
        b->n_tokens = tokens.n;
        b->n_ctx = CHUNK_TOKENS;
    } else {
        ui_catch_interrupt(NULL, NULL);
    }
    if (s == JL_OK) {
        ui_progress_start(&run.progress, o, "measuring");
        s = jl_quant_plan_budget(plan, run.model, run.session, b, err);
        ui_progress_end(&run.progress);
    }
    jl_free(tokens.ids);
    eval_close(&run);
    return s;
}

static bool has_budget(const opts *o)
{
    return opt_text(o, OPT_BUDGET) || opt_text(o, OPT_BUDGET_DECODE) || opt_is_set(o, OPT_BPW);
}

static jl_drop_by drop_by(const opts *o)
{
    const char *word = opt_text(o, OPT_DROP_BY);

    return strcmp(word, "use") == 0    ? JL_DROP_BY_USE
           : strcmp(word, "mean") == 0 ? JL_DROP_BY_MEAN
                                       : JL_DROP_BY_TOTAL;
}

static jl_status make_plan(const opts *o, jl_quant_plan *plan, jl_error *err)
{
    const uint32_t n_drop = (uint32_t)opt_int(o, OPT_DROP_EXPERTS);
    jl_status s = n_drop ? jl_quant_plan_drop_experts(plan, n_drop, drop_by(o), err) : JL_OK;

    if (s == JL_OK && has_budget(o)) {
        jl_quant_budget b = {.struct_size = sizeof b};
        if (opt_text(o, OPT_PLAN)) /* for what it has measured; the budget chooses the types */
            s = jl_quant_plan_load(plan, opt_text(o, OPT_PLAN), err);
        if (s == JL_OK)
            s = budget_of(o, plan, &b, err);
        if (s == JL_OK)
            s = run_budget(o, plan, &b, err);
    } else if (s == JL_OK && o->n_args > 2) {
        s = jl_quant_plan_set_mix(plan, o->args[2], opt_on(o, OPT_PURE), err);
    }
    if (s == JL_OK && opt_text(o, OPT_PLAN) && !has_budget(o))
        s = jl_quant_plan_load(plan, opt_text(o, OPT_PLAN), err);
    for (int i = 0; s == JL_OK && i < o->n_rules; i++)
        s = jl_quant_plan_set_rule(plan, o->rules[i], err);
    if (s == JL_OK)
        s = jl_quant_plan_settle(plan, err);
    return s;
}

/* ---- printing ------------------------------------------------------------------------------ */

typedef struct {
    const char *kind, *to;
    uint32_t n;
    uint64_t n_params, bytes;
    double damage;
} plan_row;

static int by_kind(const void *a, const void *b)
{
    const plan_row *x = a;
    const plan_row *y = b;
    const int order = strcmp(x->kind, y->kind);

    return order ? order : strcmp(x->to, y->to);
}

static void add_row(plan_row *rows, size_t *n, const jl_quant_entry *e)
{
    size_t i = 0;

    while (i < *n && (strcmp(rows[i].kind, e->kind) != 0 || strcmp(rows[i].to, e->to) != 0))
        i++;
    if (i == *n)
        rows[(*n)++] = (plan_row){.kind = e->kind, .to = e->to};
    rows[i].n++;
    rows[i].n_params += e->n_params;
    rows[i].bytes += e->to_bytes;
    rows[i].damage += e->damage;
}

static void print_row(const char *kind, const plan_row *r)
{
    char bytes[24];
    char damage[24] = "";

    if (!isnan(r->damage))
        snprintf(damage, sizeof damage, "%.2e", r->damage);
    fprintf(stderr, "%-24s %-8s %6u %14llu %10s %6.3f  %s\n", kind, r->to, r->n,
            (unsigned long long)r->n_params, ui_bytes(r->bytes, bytes),
            8.0 * (double)r->bytes / (double)r->n_params, damage);
}

static void print_kinds(const jl_quant_plan *plan)
{
    const size_t n = jl_quant_plan_length(plan);
    plan_row *rows = jl_malloc((n + 1) * sizeof *rows);
    plan_row others = {.to = "as is", .damage = NAN};
    size_t n_rows = 0;

    for (size_t i = 0; rows && i < n; i++) {
        jl_quant_entry e;
        jl_quant_plan_entry(plan, i, &e);
        if (e.matrix) {
            add_row(rows, &n_rows, &e);
            continue;
        }
        others.n++;
        others.n_params += e.n_params;
        others.bytes += e.to_bytes;
    }
    if (rows)
        qsort(rows, n_rows, sizeof *rows, by_kind);
    fprintf(stderr, "%-24s %-8s %6s %14s %10s %6s  %s\n", "matrices", "type", "number",
            "parameters", "size", "bits", "KL");
    for (size_t i = 0; i < n_rows; i++)
        print_row(rows[i].kind, &rows[i]);
    if (others.n)
        print_row("other tensors", &others);
    jl_free(rows);
}

static void print_each(const jl_quant_plan *plan)
{
    for (size_t i = 0; i < jl_quant_plan_length(plan); i++) {
        jl_quant_entry e;
        char bytes[24];
        jl_quant_plan_entry(plan, i, &e);
        if (e.matrix)
            fprintf(stderr, "%-36s %-5s -> %-8s %10s  %s\n", e.name, e.from, e.to,
                    ui_bytes(e.to_bytes, bytes), e.note);
    }
}

static void print_drops(const jl_quant_plan *plan)
{
    for (size_t i = 0; i < jl_quant_plan_drops(plan); i++) {
        jl_quant_dropped d;
        jl_quant_plan_drop_at(plan, i, &d);
        if (i == 0)
            fprintf(stderr, "%u of %u experts are dropped in each layer\n", d.n, d.n_expert);
        fprintf(stderr, "layer %-3u", d.layer);
        for (uint32_t k = 0; k < d.n; k++)
            fprintf(stderr, " %u", d.experts[k]);
        if (!isnan(d.share))
            fprintf(stderr, "  (%.3g %% of the whole)", 100.0 * d.share);
        fprintf(stderr, "\n");
    }
}

static void print_plan(const opts *o, const jl_quant_plan *plan)
{
    jl_quant_size size;
    char text[2][24];

    jl_quant_plan_measure(plan, &size);
    if (opt_on(o, OPT_VERBOSE))
        print_each(plan);
    print_kinds(plan);
    print_drops(plan);
    fprintf(stderr, "%s of tensors, %.3f bits per parameter, %s read per token\n",
            ui_bytes(size.bytes, text[0]), 8.0 * (double)size.bytes / (double)size.n_params,
            ui_bytes((uint64_t)size.bytes_per_token, text[1]));
    if (size.n_without_importance)
        fprintf(stderr,
                "joule quantize: %u matrices go below 5 bits without importance; --imatrix makes "
                "them better\n",
                size.n_without_importance);
}

/* ---- the file ------------------------------------------------------------------------------ */

static bool on_progress(void *ctx, uint64_t done, uint64_t total, const char *tensor)
{
    ui_progress_show(ctx, total ? (double)done / (double)total : 1.0, tensor);
    return !ui_interrupted;
}

static jl_status write_file(const opts *o, const jl_quant_plan *plan, jl_error *err)
{
    ui_progress progress;
    const jl_quant_write_params params = {.struct_size = sizeof params,
                                          .n_threads = (uint32_t)opt_int(o, OPT_THREADS),
                                          .fresh = opt_on(o, OPT_RESTART),
                                          .progress = on_progress,
                                          .progress_ctx = &progress};
    const uint64_t start = jl_time_ns();
    uint64_t resumed = 0;
    char bytes[24];

    ui_catch_interrupt(NULL, NULL);
    ui_progress_start(&progress, o, "quantising");
    const jl_status s = jl_quantize_write(plan, o->args[1], &params, &resumed, err);
    ui_progress_end(&progress);
    if (s != JL_OK || opt_on(o, OPT_QUIET))
        return s;
    if (resumed)
        fprintf(stderr, "%s were there from an earlier run\n", ui_bytes(resumed, bytes));
    fprintf(stderr, "written in %.1f s\n", (double)(jl_time_ns() - start) * 1e-9);
    return s;
}

static jl_status save_plan(const opts *o, const jl_quant_plan *plan, jl_error *err)
{
    char comment[400];

    snprintf(comment, sizeof comment, "plan for joule quantize --plan, made from %.300s",
             o->args[0]);
    return jl_quant_plan_save(plan, opt_text(o, OPT_SAVE_PLAN), comment, err);
}

static int check_usage(const opts *o)
{
    const int n_budgets = (opt_text(o, OPT_BUDGET) != NULL) +
                          (opt_text(o, OPT_BUDGET_DECODE) != NULL) + opt_is_set(o, OPT_BPW);

    if (o->n_args < 1 || (o->n_args < 2 && !opt_on(o, OPT_DRY_RUN)))
        return usage_error(o, "say which file to read and which to write");
    if (n_budgets > 1 || (n_budgets && o->n_args > 2))
        return usage_error(o, "give one of TYPE, --budget, --bpw and --budget-decode");
    if (!n_budgets && o->n_args < 3 && !opt_text(o, OPT_PLAN) && o->n_rules == 0 &&
        opt_int(o, OPT_DROP_EXPERTS) == 0)
        return usage_error(o, "say which type: Q4_K_M, Q8_0, ..., or --budget SIZE");
    return 0;
}

int cmd_quantize(const opts *o)
{
    jl_quant_plan *plan = NULL;
    jl_error err = {0};
    const int usage = check_usage(o);

    if (usage)
        return usage;
    jl_status s = jl_quant_plan_open(o->args[0], opt_text(o, OPT_IMATRIX), &plan, &err);
    if (s == JL_OK)
        s = make_plan(o, plan, &err);
    if (s == JL_OK && !opt_on(o, OPT_QUIET))
        print_plan(o, plan);
    if (s == JL_OK && opt_text(o, OPT_SAVE_PLAN))
        s = save_plan(o, plan, &err);
    if (s == JL_OK && !opt_on(o, OPT_DRY_RUN))
        s = write_file(o, plan, &err);
    jl_quant_plan_close(plan);
    return s == JL_OK ? EXIT_OK : ui_fail(o, &err);
}
