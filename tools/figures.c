/* What the evaluating commands share. */
#include "figures.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "json.h"

enum { LOGITS_ROWS = 64 }; /* rows of logits computed together */

static void stop(void *session)
{
    jl_session_cancel(session);
}

jl_status eval_open_session(eval_run *run, uint32_t n_ctx, uint32_t n_seq, jl_error *err)
{
    jl_session_params params;

    load_session_params(run->o, &params);
    params.n_ctx = n_ctx;
    params.n_seq_max = n_seq;
    params.n_logits_max = n_ctx < LOGITS_ROWS ? n_ctx : LOGITS_ROWS;
    jl_status s = load_check_memory(run->o, run->model, &params, err);
    if (s == JL_OK)
        s = jl_session_create(run->model, &params, &run->session, err);
    if (s == JL_OK)
        ui_catch_interrupt(stop, run->session);
    return s;
}

jl_status eval_open(const opts *o, eval_run *run, uint32_t n_ctx, uint32_t n_seq, jl_error *err)
{
    *run = (eval_run){.o = o, .unit = "chunks"};
    jl_status s = load_model(o, NULL, LOAD_WEIGHTS, &run->model, err);
    if (s == JL_OK)
        s = eval_open_session(run, n_ctx, n_seq, err);
    if (s != JL_OK)
        eval_close(run);
    return s;
}

void eval_close(eval_run *run)
{
    if (run->session)
        ui_release_interrupt();
    jl_session_destroy(run->session);
    jl_model_close(run->model);
    run->session = NULL;
    run->model = NULL;
}

bool eval_progress(void *ctx, size_t done, size_t total, double so_far)
{
    eval_run *run = ctx;
    char detail[96];

    int n = snprintf(detail, sizeof detail, "%zu of %zu %s", done, total, run->unit);
    if (run->label && !isnan(so_far) && n > 0)
        snprintf(detail + n, sizeof detail - (size_t)n, ", %s %.5g", run->label, so_far);
    ui_progress_show(&run->progress, total ? (double)done / (double)total : 1.0, detail);
    return !ui_interrupted;
}

/* JSON has no NaN. */
static void print_number(double v, bool count)
{
    if (isnan(v) || isinf(v))
        fputs("null", stdout);
    else if (count)
        printf("%.0f", v);
    else
        printf("%.9g", v);
}

static void print_json(const figure *rows, size_t n)
{
    fputs("{", stdout);
    for (size_t i = 0; i < n; i++) {
        printf("%s\n  \"%s\": ", i ? "," : "", rows[i].name);
        print_number(rows[i].value, rows[i].count);
        if (!isnan(rows[i].error)) {
            printf(",\n  \"%s_error\": ", rows[i].name);
            print_number(rows[i].error, false);
        }
    }
    puts("\n}");
}

static void print_csv(const figure *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        printf("%s%s", i ? "," : "", rows[i].name);
        if (!isnan(rows[i].error))
            printf(",%s_error", rows[i].name);
    }
    putchar('\n');
    for (size_t i = 0; i < n; i++) {
        printf(rows[i].count ? "%s%.0f" : "%s%.9g", i ? "," : "", rows[i].value);
        if (!isnan(rows[i].error))
            printf(",%.9g", rows[i].error);
    }
    putchar('\n');
}

void print_figures(const opts *o, const figure *rows, size_t n)
{
    const char *format = opt_text(o, OPT_FORMAT);

    if (strcmp(format, "json") == 0) {
        print_json(rows, n);
        return;
    }
    if (strcmp(format, "csv") == 0) {
        print_csv(rows, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        printf(rows[i].count ? "%-34s %12.0f" : "%-34s %12.6g", rows[i].label, rows[i].value);
        if (!isnan(rows[i].error))
            printf(" ± %.2g", rows[i].error);
        putchar('\n');
    }
}
