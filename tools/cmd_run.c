/* joule run: answers a prompt, continues a text, or chats. */
#include <signal.h>
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

void run_catch(gen *g, bool on)
{
    if (on)
        ui_catch_interrupt(stop, g->session);
    else
        ui_release_interrupt();
}

void run_note_end(const gen *g, gen_end end)
{
    if (end == GEN_CONTEXT_FULL && !opt_on(g->o, OPT_QUIET))
        fprintf(stderr, "joule: the context of %u tokens is full; -c makes it larger\n", g->n_ctx);
}

static jl_status answer(gen *g, const char *text, size_t len, jl_error *err)
{
    gen_end end = GEN_EOG;
    chat_run c = {0};
    jl_status status;

    if (opt_on(g->o, OPT_RAW)) {
        status = run_raw(g, text, len, &end, err);
    } else {
        status = chat_open(g, &c, err);
        if (status == JL_OK)
            status = chat_say(&c, text, len, &end, err);
        chat_close(&c);
    }
    if (status == JL_OK)
        run_note_end(g, end);
    return status;
}

static jl_status run_prompt(const opts *o, jl_error *err)
{
    char *text = NULL;
    size_t len = 0;
    gen g;

    jl_status status = load_text(o, &text, &len, err);
    if (status == JL_OK && len == 0 && !opt_on(o, OPT_RAW))
        status = tool_error(err, JL_INVALID, "the prompt is empty: give one with -p, -f or stdin");
    if (status == JL_OK)
        status = gen_open(o, &g, err);
    if (status == JL_OK) {
        run_catch(&g, true);
        status = answer(&g, text, len, err);
        run_catch(&g, false);
        if (status == JL_OK)
            gen_print_stats(&g);
        gen_close(&g);
    }
    jl_free(text);
    return status;
}

static jl_status run_chat(const opts *o, jl_error *err)
{
    gen g;
    chat_run c;

    jl_status status = gen_open(o, &g, err);
    if (status != JL_OK)
        return status;
    status = chat_open(&g, &c, err);
    if (status == JL_OK) {
        status = repl_run(&c, err);
        gen_print_stats(&g);
        chat_close(&c);
    }
    gen_close(&g);
    return status;
}

int cmd_run(const opts *o)
{
    const bool prompt = opt_text(o, OPT_PROMPT) || opt_text(o, OPT_FILE) || !isatty(STDIN_FILENO);
    jl_error err = {0};

    if (opt_on(o, OPT_RAW) && !prompt)
        return usage_error(o, "--raw needs a text: give it with -p or -f");
    if (opt_on(o, OPT_RAW) && (opt_text(o, OPT_SYSTEM) || opt_text(o, OPT_TOOLS)))
        return usage_error(o, "--raw has no place for --system or --tools");
    const int rc = power_check_options(o);
    if (rc)
        return rc;
    if (opt_int(o, OPT_NICE) > 0)
        (void)jl_process_nice(opt_int(o, OPT_NICE));
    const jl_status status = prompt ? run_prompt(o, &err) : run_chat(o, &err);
    if (status != JL_OK)
        return ui_fail(o, &err);
    return ui_interrupted ? EXIT_INTERRUPTED : EXIT_OK;
}
