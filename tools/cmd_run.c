/* joule run: answers a prompt or chats. */
#include <stdio.h>
#include <unistd.h>

#include "joule/sys.h"
#include "opt.h"
#include "run.h"
#include "ui.h"

static void stop(void *session)
{
    jl_session_cancel(session);
}

static jl_status answer(const opts *o, gen *g, const char *text, size_t len, jl_error *err)
{
    gen_end end = GEN_EOG;

    ui_catch_interrupt(stop, g->session);
    const jl_status status = run_raw(g, text, len, &end, err);
    ui_catch_interrupt(NULL, NULL);
    if (status != JL_OK)
        return status;
    if (end == GEN_CONTEXT_FULL && !opt_on(o, OPT_QUIET))
        fprintf(stderr, "joule: the context of %u tokens is full; -c makes it larger\n", g->n_ctx);
    gen_print_stats(g);
    return JL_OK;
}

int cmd_run(const opts *o)
{
    jl_error err = {0};
    char *text = NULL;
    size_t len = 0;
    gen g;

    if (!opt_text(o, OPT_PROMPT) && !opt_text(o, OPT_FILE) && isatty(STDIN_FILENO))
        return usage_error(o, "give a prompt with -p or -f");
    jl_status status = load_text(o, &text, &len, &err);
    if (status == JL_OK)
        status = gen_open(o, &g, &err);
    if (status == JL_OK) {
        status = answer(o, &g, text, len, &err);
        gen_close(&g);
    }
    jl_free(text);
    if (status != JL_OK)
        return ui_fail(o, &err);
    return ui_interrupted ? EXIT_INTERRUPTED : EXIT_OK;
}
