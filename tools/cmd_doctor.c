/* joule doctor: this machine, or a model file on it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gen.h"
#include "hub_cli.h"
#include "joule/check.h"
#include "joule/sys.h"
#include "json.h"
#include "opt.h"
#include "paths.h"
#include "run.h"
#include "ui.h"

enum { RUN_TOKENS = 32 };

typedef struct {
    const opts *o;
    ui_progress progress;
    int n[3]; /* findings by result */
} doctor;

static void print_machine(void)
{
    static char text[8192];
    const char *bundled = path_bundled();

    printf("joule: %s\n", JL_VERSION_STRING);
    jl_describe_machine(text, sizeof text);
    fputs(text, stdout);
    printf("bundled model: %s\n", bundled ? bundled : "missing");
}

static void on_finding(void *ctx, const jl_check_finding *f)
{
    static const char *const marks[] = {"ok", "note", "FAIL"};
    doctor *d = ctx;

    d->n[f->result]++;
    ui_progress_end(&d->progress);
    if (opt_on(d->o, OPT_JSON)) {
        printf("{\"result\":\"%s\",\"what\":", marks[f->result]);
        json_print_string(stdout, f->what, strlen(f->what));
        fputs(",\"text\":", stdout);
        json_print_string(stdout, f->text, strlen(f->text));
        puts("}");
    } else {
        printf("%-5s %-18s %s\n", marks[f->result], f->what, f->text);
    }
    fflush(stdout);
}

static void finding(doctor *d, jl_check_result result, const char *what, const char *text)
{
    const jl_check_finding f = {result, what, text};
    on_finding(d, &f);
}

static bool on_scan(void *ctx, float done)
{
    doctor *d = ctx;

    ui_progress_show(&d->progress, done, NULL);
    return !ui_interrupted;
}

/* Entropy of the next token in nats; NAN if a logit is not a number. */
static double entropy(const float *logits, size_t n)
{
    double top = -INFINITY;
    double sum = 0;
    double weighted = 0;

    for (size_t i = 0; i < n; i++) {
        if (isnan(logits[i]))
            return NAN;
        top = logits[i] > top ? (double)logits[i] : top;
    }
    for (size_t i = 0; i < n; i++) {
        const double x = (double)logits[i] - top;
        const double p = exp(x);
        sum += p;
        weighted += p > 0 ? p * x : 0;
    }
    return log(sum) - weighted / sum;
}

typedef struct {
    gen *g;
    size_t n_vocab;
    double sum;
    int n;
    int32_t last;
    int n_same; /* tokens equal to the one before */
} sample;

static bool on_token(void *ctx, int32_t token)
{
    sample *s = ctx;

    s->sum += entropy(jl_session_logits(s->g->session, 0), s->n_vocab);
    s->n_same += s->n > 0 && token == s->last;
    s->last = token;
    s->n++;
    return s->n < RUN_TOKENS;
}

/* A working model is sure of most tokens of plain English: well below a third of the entropy of a
 * uniform choice, above zero, and it does not repeat one token. */
static void judge(doctor *d, const sample *s)
{
    const double mean = s->n ? s->sum / s->n : NAN;
    const double uniform = log((double)s->n_vocab);
    char text[300];

    snprintf(
        text, sizeof text,
        "%d tokens, mean entropy %.2f nats (a uniform choice: %.2f), %d repeats, prompt %.1f t/s, "
        "generation %.2f t/s",
        s->n, mean, uniform, s->n_same,
        s->g->stats.prompt_s > 0 ? (double)s->g->stats.n_prompt / s->g->stats.prompt_s : 0,
        s->g->stats.decode_s > 0 ? (double)s->n / s->g->stats.decode_s : 0);
    if (!isfinite(mean) || mean > 0.95 * uniform)
        finding(d, JL_CHECK_FAIL, "run", text);
    else if (mean > uniform / 3 || mean < 1e-4 || s->n_same > RUN_TOKENS / 2)
        finding(d, JL_CHECK_NOTE, "run", text);
    else
        finding(d, JL_CHECK_PASS, "run", text);
}

static jl_status run_model(doctor *d, gen *g, jl_error *err)
{
    static const char prompt[] = "The capital of France is Paris. The capital of Italy is";
    token_list tokens = {0};
    jl_model_info info;
    gen_end end;

    jl_model_get_info(g->model, &info);
    sample s = {.g = g, .n_vocab = info.n_vocab};
    jl_status status =
        load_tokenize(g->model, prompt, strlen(prompt), JL_TOKENIZE_BOS, &tokens, err);
    if (status == JL_OK)
        status = gen_prefill(g, tokens.ids, tokens.n, err);
    if (status == JL_OK)
        status = gen_run(g, on_token, &s, &end, err);
    if (status == JL_OK)
        judge(d, &s);
    jl_free(tokens.ids);
    return status;
}

static jl_status check_run(doctor *d, jl_error *err)
{
    gen g;

    const jl_status opened = gen_open(d->o, &g, err);
    if (opened != JL_OK)
        return opened;
    finding(d, JL_CHECK_PASS, "open", "the engine takes the file");
    run_catch(&g, true);
    const jl_status status = run_model(d, &g, err);
    run_catch(&g, false);
    gen_close(&g);
    return status;
}

static int check_model(const opts *o)
{
    doctor d = {.o = o};
    const jl_check_params params = {
        .struct_size = sizeof params,
        .n_threads = (uint32_t)opt_int(o, OPT_THREADS),
        .finding = on_finding,
        .progress = on_scan,
        .ctx = &d,
    };
    jl_error err = {0};

    const char *path = opt_text(o, OPT_MODEL);
    char here[4096];
    if (jl_hub_is_spec(path)) {
        if (hub_resolve(o, path, here, sizeof here, &err) != JL_OK)
            return ui_fail(o, &err);
        path = here;
    }
    ui_catch_interrupt(NULL, NULL);
    ui_progress_start(&d.progress, o, "scanning the weights");
    jl_status status = jl_check_file(path, &params, &err);
    ui_progress_end(&d.progress);
    ui_release_interrupt();
    if (status != JL_OK)
        return ui_fail(o, &err);
    status = check_run(&d, &err);
    if (status != JL_OK && ui_interrupted)
        return ui_fail(o, &err);
    if (status != JL_OK)
        finding(&d, JL_CHECK_FAIL, "run", err.text);
    if (!opt_on(o, OPT_JSON))
        printf("\n%d ok, %d notes, %d failed. %s\n", d.n[0], d.n[1], d.n[2],
               d.n[2] ? "Report these lines and the output of `joule doctor`."
                      : "Nothing to report.");
    return d.n[2] ? EXIT_FAIL : EXIT_OK;
}

int cmd_doctor(const opts *o)
{
    if (opt_text(o, OPT_MODEL))
        return check_model(o);
    print_machine();
    return EXIT_OK;
}
