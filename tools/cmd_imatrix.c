/* joule imatrix: importance of the columns of every matrix, from a text. */
#include <stdio.h>
#include <time.h>

#include "figures.h"
#include "joule/power.h"
#include "joule/quantize.h"
#include "joule/sys.h"

/* What the callbacks need. */
typedef struct {
    eval_run run;
    jl_power *power; /* NULL: not in the background */
} job;

static void on_unseen(void *ctx, const char *tensor, uint32_t n_unseen, uint32_t n_expert)
{
    const eval_run *run = &((const job *)ctx)->run;

    if (!opt_on(run->o, OPT_QUIET))
        fprintf(stderr,
                "joule imatrix: %s: no token reached %u of %u experts; they count as equally "
                "important everywhere. A longer or more varied text helps.\n",
                tensor, n_unseen, n_expert);
}

/* After every piece of text: waits while background work is to wait. */
static bool on_progress(void *ctx, size_t done, size_t total, double so_far)
{
    job *j = ctx;
    bool told = opt_on(j->run.o, OPT_QUIET);

    while (j->power && done < total && !ui_interrupted && jl_power_defer_background(j->power)) {
        if (!told)
            fprintf(stderr, "joule imatrix: waits: on battery, or hot\n");
        told = true;
        nanosleep(&(struct timespec){2, 0}, NULL);
    }
    return eval_progress(&j->run, done, total, so_far);
}

static jl_status run_text(const opts *o, job *j, uint32_t n_ctx, jl_error *err)
{
    eval_run *run = &j->run;
    token_list tokens = {0};

    jl_status s = load_text_tokens(o, run->model, JL_TOKENIZE_BOS, &tokens, err);
    if (s == JL_OK) {
        const jl_imatrix_params params = {.struct_size = sizeof params,
                                          .tokens = tokens.ids,
                                          .n_tokens = tokens.n,
                                          .n_ctx = n_ctx,
                                          .n_chunks = (uint32_t)opt_int(o, OPT_CHUNKS),
                                          .dataset = opt_text(o, OPT_FILE),
                                          .progress = on_progress,
                                          .unseen = on_unseen,
                                          .ctx = j};
        ui_progress_start(&run->progress, o, "collecting");
        s = jl_imatrix_write(run->session, &params, opt_text(o, OPT_OUTPUT), err);
        ui_progress_end(&run->progress);
    }
    jl_free(tokens.ids);
    return s;
}

int cmd_imatrix(const opts *o)
{
    const uint32_t n_ctx = opt_int(o, OPT_CTX) ? (uint32_t)opt_int(o, OPT_CTX) : 512;
    jl_error err = {0};
    job j = {.power = NULL};

    if (!opt_text(o, OPT_FILE))
        return usage_error(o, "give the text with -f; - is stdin");
    if (!opt_text(o, OPT_OUTPUT))
        return usage_error(o, "say with -o which file to write");
    jl_status s = eval_open(o, &j.run, n_ctx, 1, &err);
    if (s != JL_OK)
        return ui_fail(o, &err);
    if (opt_on(o, OPT_BACKGROUND)) {
        (void)jl_process_nice(19);
        s = jl_power_open(&(jl_power_params){.struct_size = sizeof(jl_power_params),
                                             .sysfs = jl_env("JOULE_SYSFS")},
                          &j.power, &err);
    }
    if (s == JL_OK)
        s = run_text(o, &j, n_ctx, &err);
    eval_close(&j.run);
    jl_power_close(j.power);
    return s == JL_OK ? EXIT_OK : ui_fail(o, &err);
}
