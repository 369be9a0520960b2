/* Generating text. */
#include "gen.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "joule/sys.h"
#include "ui.h"

enum { MAX_BIAS = 1024 };

static double seconds(uint64_t since_ns)
{
    return (double)(jl_time_ns() - since_ns) * 1e-9;
}

/* Reads "15043+1.5,12-inf" into bias. */
static jl_status parse_bias(const char *text, uint32_t n_vocab, jl_logit_bias *bias, size_t *n,
                            jl_error *err)
{
    for (const char *s = text; *s;) {
        char *end;
        const long id = strtol(s, &end, 10);
        const char *number = end;
        if (end == s || id < 0 || id >= (long)n_vocab || (*number != '+' && *number != '-'))
            return tool_error(err, JL_INVALID,
                              "--logit-bias: '%.40s' is not a token id below %u followed "
                              "by +number or -number",
                              s, n_vocab);
        const double value = strtod(number, &end);
        if (end == number || isnan(value) || (*end && *end != ',') || *n == MAX_BIAS)
            return tool_error(err, JL_INVALID,
                              "--logit-bias: '%.40s' is not id+number, or more than %d "
                              "are given",
                              s, MAX_BIAS);
        bias[(*n)++] = (jl_logit_bias){(int32_t)id, (float)value};
        s = *end ? end + 1 : end;
    }
    return JL_OK;
}

static void set_float(const opts *o, opt_id id, float *out)
{
    if (opt_text(o, id))
        *out = (float)o->v[id].num;
}

static void set_int(const opts *o, opt_id id, int32_t *out)
{
    if (opt_text(o, id))
        *out = (int32_t)o->v[id].num;
}

static void sampler_params(const opts *o, const jl_model *model, jl_sampler_params *p)
{
    jl_sampler_defaults(model, p);
    set_float(o, OPT_TEMP, &p->temperature);
    set_int(o, OPT_TOP_K, &p->top_k);
    set_float(o, OPT_TOP_P, &p->top_p);
    set_float(o, OPT_MIN_P, &p->min_p);
    set_float(o, OPT_TYPICAL, &p->typical_p);
    set_float(o, OPT_REPEAT_PENALTY, &p->repeat_penalty);
    set_float(o, OPT_PRESENCE_PENALTY, &p->presence_penalty);
    set_float(o, OPT_FREQUENCY_PENALTY, &p->frequency_penalty);
    set_int(o, OPT_REPEAT_LAST_N, &p->repeat_last_n);
    set_float(o, OPT_DRY_MULTIPLIER, &p->dry_multiplier);
    set_float(o, OPT_DRY_BASE, &p->dry_base);
    set_int(o, OPT_DRY_ALLOWED_LENGTH, &p->dry_allowed_length);
    set_int(o, OPT_DRY_PENALTY_LAST_N, &p->dry_penalty_last_n);
    if (opt_is_set(o, OPT_SEED))
        p->seed = o->v[OPT_SEED].u64;
    else
        p->seed = o->id == CMD_RUN ? jl_time_ns() * 0x9E3779B97F4A7C15u >> 32 : 1;
}

static jl_status make_sampler(gen *g, jl_error *err)
{
    jl_logit_bias bias[MAX_BIAS];
    jl_sampler_params p;
    jl_model_info info;
    const char *text = opt_text(g->o, OPT_LOGIT_BIAS);

    jl_model_get_info(g->model, &info);
    sampler_params(g->o, g->model, &p);
    if (text) {
        const jl_status status = parse_bias(text, info.n_vocab, bias, &p.n_logit_bias, err);
        if (status != JL_OK)
            return status;
        p.logit_bias = bias;
    }
    if (opt_on(g->o, OPT_VERBOSE))
        fprintf(stderr, "sampling: temperature %g, top-k %d, top-p %g, min-p %g, seed %llu\n",
                (double)p.temperature, p.top_k, (double)p.top_p, (double)p.min_p,
                (unsigned long long)p.seed);
    return jl_sampler_create(g->model, &p, &g->sampler, err);
}

static void warn_context(const gen *g)
{
    jl_model_info info;

    jl_model_get_info(g->model, &info);
    if (g->n_ctx > info.n_ctx_train && !opt_on(g->o, OPT_QUIET))
        fprintf(stderr, "joule: a context of %u tokens is beyond the %u the model was trained on\n",
                g->n_ctx, info.n_ctx_train);
}

/* Called by the engine between layers. */
static void on_prefill(void *ctx, size_t n_done, size_t n_total)
{
    const gen *g = ctx;

    (void)n_total;
    if (g->progress)
        ui_progress_show(g->progress, (double)(g->n_before + n_done) / (double)g->n_total, NULL);
}

static jl_status make_session(gen *g, jl_error *err)
{
    jl_session_params params;

    load_session_params(g->o, &params);
    params.progress = on_prefill;
    params.progress_ctx = g;
    jl_status status = load_check_memory(g->o, g->model, &params, err);
    if (status == JL_OK)
        status = jl_session_create(g->model, &params, &g->session, err);
    if (status != JL_OK)
        return status;
    g->n_ctx = jl_session_n_ctx(g->session);
    warn_context(g);
    g->history.ids = jl_malloc((size_t)g->n_ctx * sizeof *g->history.ids);
    if (!g->history.ids)
        return tool_error(err, JL_NO_MEMORY, "out of memory for a context of %u tokens", g->n_ctx);
    if (opt_on(g->o, OPT_VERBOSE))
        fprintf(stderr, "session: context %u tokens, %u threads\n", g->n_ctx,
                jl_session_n_threads(g->session));
    return JL_OK;
}

jl_status gen_open(const opts *o, gen *g, jl_error *err)
{
    const uint64_t start = jl_time_ns();

    *g = (gen){.o = o};
    jl_status status = load_model(o, NULL, LOAD_WEIGHTS, &g->model, err);
    if (status == JL_OK)
        status = make_session(g, err);
    if (status == JL_OK)
        status = make_sampler(g, err);
    if (status == JL_OK)
        status = power_open(o, g->model, &g->power, err);
    if (status != JL_OK) {
        gen_close(g);
        return status;
    }
    jl_power_attach(g->power, g->session);
    jl_power_get_totals(g->power, &g->stats.energy);
    g->stats.load_s = seconds(start);
    return status;
}

void gen_close(gen *g)
{
    if (g->power && g->session)
        jl_power_detach(g->power, g->session);
    jl_power_close(g->power);
    jl_sampler_destroy(g->sampler);
    jl_session_destroy(g->session);
    jl_model_close(g->model);
    jl_free(g->history.ids);
    *g = (gen){.o = g->o};
}

/* Cuts the sequence back to what it shares with the tokens. The last token is always computed
 * again, since its logits are needed. Returns how many tokens are kept. */
static jl_status keep_prefix(gen *g, const int32_t *tokens, size_t n, jl_error *err)
{
    size_t same = 0;

    while (same < g->history.n && same + 1 < n && g->history.ids[same] == tokens[same])
        same++;
    if (same < g->history.n && same < jl_seq_min_length(g->session, 0))
        same = 0; /* the window of that length is gone */
    if (same == 0)
        jl_seq_clear(g->session, 0);
    else if (same < g->history.n) {
        const jl_status status = jl_seq_truncate(g->session, 0, same, err);
        if (status != JL_OK)
            return status;
    }
    g->history.n = same;
    return JL_OK;
}

static jl_status append(gen *g, const int32_t *tokens, size_t n, bool last, jl_error *err)
{
    const jl_piece piece = {0, tokens, n, !last};
    const jl_status status = jl_session_eval(g->session, &piece, 1, err);

    if (status != JL_OK)
        return status;
    memmove(g->history.ids + g->history.n, tokens, n * sizeof *tokens);
    g->history.n += n;
    return JL_OK;
}

static void load_sampler_history(gen *g)
{
    jl_sampler_reset(g->sampler);
    for (size_t i = 0; i < g->history.n; i++)
        jl_sampler_accept(g->sampler, g->history.ids[i]);
}

jl_status gen_prefill(gen *g, const int32_t *tokens, size_t n, jl_error *err)
{
    const size_t batch = (size_t)opt_int(g->o, OPT_BATCH);
    const uint64_t start = jl_time_ns();
    ui_progress progress;

    if (n > g->n_ctx)
        return tool_error(err, JL_TOO_LARGE,
                          "the prompt has %zu tokens, the context holds %u: use -c %zu "
                          "or more",
                          n, g->n_ctx, n + 256);
    jl_status status = keep_prefix(g, tokens, n, err);
    if (status != JL_OK)
        return status;
    const size_t cached = g->history.n;
    ui_progress_start(&progress, g->o, "reading the prompt");
    g->progress = &progress;
    g->n_total = n - cached;
    jl_power_begin(g->power);
    while (status == JL_OK && g->history.n < n) {
        const size_t at = g->history.n;
        const size_t count = n - at < batch ? n - at : batch;
        g->n_before = at - cached;
        status = ui_interrupted ? tool_error(err, JL_CANCELLED, "interrupted")
                                : append(g, tokens + at, count, at + count == n, err);
    }
    jl_power_end(g->power);
    g->progress = NULL;
    ui_progress_end(&progress);
    g->stats.n_cached += cached;
    g->stats.n_prompt += g->history.n - cached;
    g->stats.prompt_s += seconds(start);
    if (status == JL_OK)
        load_sampler_history(g);
    return status;
}

/* One step: hands over a sampled token and evaluates it. Sets *end and *stop when it is the last.
 */
static jl_status step(gen *g, gen_token_fn *fn, void *ctx, gen_end *end, bool *stop, jl_error *err)
{
    const float *logits = jl_session_logits(g->session, 0);
    const int32_t token = jl_sampler_pick(g->sampler, logits, NULL);
    const bool eog = jl_token_is_eog(g->model, token) && !opt_on(g->o, OPT_IGNORE_EOS);

    jl_sampler_accept(g->sampler, token);
    g->stats.n_generated++;
    *stop = true;
    *end = eog ? GEN_EOG : GEN_LIMIT;
    if (!fn(ctx, token) || eog)
        return JL_OK;
    *end = GEN_CONTEXT_FULL;
    if (g->history.n >= g->n_ctx)
        return JL_OK;
    *stop = false;
    return append(g, &token, 1, true, err);
}

jl_status gen_run(gen *g, gen_token_fn *fn, void *ctx, gen_end *end, jl_error *err)
{
    const uint64_t start = jl_time_ns();
    const double start_cpu = jl_time_cpu();
    const int limit = opt_int(g->o, OPT_PREDICT);
    jl_status status = JL_OK;
    bool stop = false;

    *end = GEN_LIMIT;
    jl_power_begin(g->power);
    for (int i = 0; status == JL_OK && !stop && (limit < 0 || i < limit); i++) {
        if (ui_interrupted) {
            *end = GEN_INTERRUPTED;
            break;
        }
        status = step(g, fn, ctx, end, &stop, err);
        if (!stop && limit >= 0 && i + 1 >= limit)
            *end = GEN_LIMIT;
    }
    jl_power_end(g->power);
    if (status == JL_CANCELLED && ui_interrupted) {
        *end = GEN_INTERRUPTED;
        status = JL_OK;
    }
    g->stats.decode_s += seconds(start);
    g->stats.decode_cpu_s += jl_time_cpu() - start_cpu;
    return status;
}

static double rate(size_t n, double s)
{
    return s > 0 ? (double)n / s : 0;
}

/* A second line: energy, where there is a meter or somebody asks. */
static void print_energy(gen *g)
{
    jl_power_totals now;
    char text[400];

    jl_power_get_totals(g->power, &now);
    if (jl_power_meter(g->power) || opt_on(g->o, OPT_VERBOSE)) {
        power_describe(g->power, &g->stats.energy, &now, text, sizeof text);
        fprintf(stderr, "energy %s\n", text);
    }
    g->stats.energy = now;
}

static void warn_floor(gen *g)
{
    jl_power_status s;

    jl_power_get_status(g->power, &s);
    if (s.at_floor)
        fprintf(stderr,
                "joule: %.3g W are below what this machine needs at least, about %.3g W (%s)\n",
                s.budget_w, s.floor_w, s.domain);
}

void gen_print_stats(gen *g)
{
    const gen_stats *s = &g->stats;
    char cached[48] = "";

    if (s->n_cached)
        snprintf(cached, sizeof cached, " (+ %zu cached)", s->n_cached);
    if (!opt_on(g->o, OPT_QUIET) && s->n_prompt + s->n_generated > 0)
        fprintf(stderr,
                "load %.2f s | prompt %zu tokens%s, %.1f t/s | generated %zu tokens, %.2f t/s, "
                "%.3f CPU s per token | peak memory %.0f MiB\n",
                s->load_s, s->n_prompt, cached, rate(s->n_prompt, s->prompt_s), s->n_generated,
                rate(s->n_generated, s->decode_s),
                s->n_generated ? s->decode_cpu_s / (double)s->n_generated : 0,
                (double)jl_memory_peak() / 1048576.0);
    if (!opt_on(g->o, OPT_QUIET) && s->n_prompt + s->n_generated > 0) {
        print_energy(g);
        warn_floor(g);
    }
    g->stats = (gen_stats){.load_s = s->load_s, .energy = s->energy};
}
