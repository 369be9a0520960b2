/* joule perplexity and joule kl: quality of a model on a text, alone and against a reference. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "curve.h"
#include "figures.h"
#include "joule/sys.h"
#include "paths.h"

static void print_perplexity(const opts *o, const jl_perplexity_result *r)
{
    const figure rows[] = {
        {"chunks", "chunks", (double)r->n_chunks, NAN, true},
        {"tokens", "tokens scored", (double)r->n_tokens, NAN, true},
        {"nll", "negative log likelihood (nats)", r->nll.value, r->nll.error, false},
        {"ppl", "perplexity", r->ppl.value, r->ppl.error, false},
    };

    print_figures(o, rows, sizeof rows / sizeof *rows);
}

static jl_status run_perplexity(const opts *o, jl_perplexity_result *out, jl_error *err)
{
    eval_run run;
    token_list tokens = {0};
    const uint32_t n_ctx = opt_int(o, OPT_CTX) ? (uint32_t)opt_int(o, OPT_CTX) : 512;

    jl_status s = eval_open(o, &run, n_ctx, 1, err);
    if (s != JL_OK)
        return s;
    s = load_text_tokens(o, run.model, JL_TOKENIZE_BOS, &tokens, err);
    if (s == JL_OK) {
        const jl_eval_text text = {.struct_size = sizeof text,
                                   .tokens = tokens.ids,
                                   .n_tokens = tokens.n,
                                   .n_ctx = n_ctx,
                                   .n_chunks = (uint32_t)opt_int(o, OPT_CHUNKS),
                                   .progress = eval_progress,
                                   .progress_ctx = &run};
        run.label = "perplexity";
        ui_progress_start(&run.progress, o, "evaluating");
        s = jl_perplexity(run.session, &text, opt_text(o, OPT_SAVE_LOGITS), out, err);
        ui_progress_end(&run.progress);
    }
    jl_free(tokens.ids);
    eval_close(&run);
    return s;
}

int cmd_perplexity(const opts *o)
{
    jl_perplexity_result result;
    jl_error err = {0};

    if (!opt_text(o, OPT_FILE))
        return usage_error(o, "give the text with -f; - is stdin");
    if (run_perplexity(o, &result, &err) != JL_OK)
        return ui_fail(o, &err);
    print_perplexity(o, &result);
    return EXIT_OK;
}

static void print_kl(const opts *o, const jl_kl_result *r)
{
    const figure rows[] = {
        {"chunks", "chunks", (double)r->n_chunks, NAN, true},
        {"tokens", "tokens compared", (double)r->n_tokens, NAN, true},
        {"ppl", "perplexity", r->ppl.value, r->ppl.error, false},
        {"ppl_reference", "perplexity of the reference", r->ppl_reference.value,
         r->ppl_reference.error, false},
        {"ln_ppl_ratio", "ln of their ratio", r->log_ratio.value, r->log_ratio.error, false},
        {"kl_mean", "KL mean (nats)", r->kl.value, r->kl.error, false},
        {"kl_median", "KL median", r->kl_median.value, r->kl_median.error, false},
        {"kl_p90", "KL 90 %", r->kl_p90.value, r->kl_p90.error, false},
        {"kl_p99", "KL 99 %", r->kl_p99.value, r->kl_p99.error, false},
        {"kl_p999", "KL 99.9 %", r->kl_p999.value, r->kl_p999.error, false},
        {"kl_max", "KL largest", r->kl_max, NAN, false},
        {"top1", "same best token (share)", r->top1.value, r->top1.error, false},
        {"delta_p_mean", "right token's probability, change", r->delta_p.value, r->delta_p.error,
         false},
        {"delta_p_rms", "the same, root mean square", r->rms_delta_p.value, r->rms_delta_p.error,
         false},
    };

    print_figures(o, rows, sizeof rows / sizeof *rows);
}

static jl_status run_kl(const opts *o, jl_logits_file *base, jl_kl_result *out, jl_error *err)
{
    eval_run run;

    jl_status s = eval_open(o, &run, jl_logits_file_n_ctx(base), 1, err);
    if (s != JL_OK)
        return s;
    const jl_eval_text text = {.struct_size = sizeof text,
                               .n_chunks = (uint32_t)opt_int(o, OPT_CHUNKS),
                               .progress = eval_progress,
                               .progress_ctx = &run};
    run.label = "KL";
    ui_progress_start(&run.progress, o, "comparing");
    s = jl_kl(run.session, base, &text, out, err);
    ui_progress_end(&run.progress);
    eval_close(&run);
    return s;
}

/* Adds the result to the points, and draws them. */
static jl_status keep_point(const opts *o, const jl_kl_result *r, jl_error *err)
{
    const char *path = opt_text(o, OPT_MODEL) ? opt_text(o, OPT_MODEL) : path_bundled();
    struct stat st;
    curve_point p = {.kl = r->kl.value,
                     .kl_error = r->kl.error,
                     .kl_p99 = r->kl_p99.value,
                     .top1 = r->top1.value};

    if (!opt_text(o, OPT_POINTS))
        return JL_OK;
    if (!path || stat(path, &st) != 0)
        return tool_error(err, JL_IO, "the size of the model's file is not known");
    p.bytes = (uint64_t)st.st_size;
    path_model_id(path, p.name, sizeof p.name);
    snprintf(p.series, sizeof p.series, "%s", opt_text(o, OPT_SERIES));
    for (char *c = p.name; *c; c++)
        *c = *c == ',' ? '_' : *c;
    const jl_status s = curve_add(opt_text(o, OPT_POINTS), &p, err);
    if (s != JL_OK || !opt_text(o, OPT_SVG))
        return s;
    return curve_draw(opt_text(o, OPT_POINTS), opt_text(o, OPT_SVG), err);
}

int cmd_kl(const opts *o)
{
    jl_logits_file *base = NULL;
    jl_kl_result result;
    jl_error err = {0};

    if (!opt_text(o, OPT_BASE))
        return usage_error(o, "name the reference's saved logits with --base; joule perplexity "
                              "--save-logits writes them");
    if (opt_text(o, OPT_SVG) && !opt_text(o, OPT_POINTS))
        return usage_error(o, "--svg draws the points of --points FILE.csv: name it");
    if (strchr(opt_text(o, OPT_SERIES), ',') || strlen(opt_text(o, OPT_SERIES)) > 39)
        return usage_error(o, "--series is a word of at most 39 bytes without a comma");
    jl_status s = jl_logits_file_open(opt_text(o, OPT_BASE), &base, &err);
    if (s == JL_OK)
        s = run_kl(o, base, &result, &err);
    jl_logits_file_close(base);
    if (s != JL_OK)
        return ui_fail(o, &err);
    print_kl(o, &result);
    return keep_point(o, &result, &err) == JL_OK ? EXIT_OK : ui_fail(o, &err);
}
