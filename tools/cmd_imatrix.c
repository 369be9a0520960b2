/* joule imatrix: importance of the columns of every matrix, from a text. */
#include <stdio.h>

#include "figures.h"
#include "joule/quantize.h"
#include "joule/sys.h"

static void on_unseen(void *ctx, const char *tensor, uint32_t n_unseen, uint32_t n_expert)
{
    const eval_run *run = ctx;

    if (!opt_on(run->o, OPT_QUIET))
        fprintf(stderr,
                "joule imatrix: %s: no token reached %u of %u experts; they count as equally "
                "important everywhere. A longer or more varied text helps.\n",
                tensor, n_unseen, n_expert);
}

static jl_status run_text(const opts *o, eval_run *run, uint32_t n_ctx, jl_error *err)
{
    token_list tokens = {0};

    jl_status s = load_text_tokens(o, run->model, JL_TOKENIZE_BOS, &tokens, err);
    if (s == JL_OK) {
        const jl_imatrix_params params = {.struct_size = sizeof params,
                                          .tokens = tokens.ids,
                                          .n_tokens = tokens.n,
                                          .n_ctx = n_ctx,
                                          .n_chunks = (uint32_t)opt_int(o, OPT_CHUNKS),
                                          .dataset = opt_text(o, OPT_FILE),
                                          .progress = eval_progress,
                                          .unseen = on_unseen,
                                          .ctx = run};
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
    eval_run run;

    if (!opt_text(o, OPT_FILE))
        return usage_error(o, "give the text with -f; - is stdin");
    if (!opt_text(o, OPT_OUTPUT))
        return usage_error(o, "say with -o which file to write");
    jl_status s = eval_open(o, &run, n_ctx, 1, &err);
    if (s == JL_OK) {
        s = run_text(o, &run, n_ctx, &err);
        eval_close(&run);
    }
    return s == JL_OK ? EXIT_OK : ui_fail(o, &err);
}
