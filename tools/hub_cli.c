#include "hub_cli.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "joule/sys.h"
#include "load.h"
#include "ui.h"

bool hub_ask(const char *text)
{
    char line[16] = "";

    fprintf(stderr, "%s [y/N] ", text);
    fflush(stderr);
    return fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y');
}

#ifdef JOULE_HAVE_PULL

typedef struct {
    const opts *o;
    ui_progress progress;
    uint64_t last_ns, last_done; /* of the last rate */
    double rate;                 /* bytes per second, smoothed */
    bool started;
} pull_run;

static void update_rate(pull_run *r, uint64_t done, uint64_t total)
{
    const uint64_t now = jl_time_ns();

    if (!r->started) {
        r->started = true;
        r->last_ns = now;
        r->last_done = done;
        r->progress.from = total ? (double)done / (double)total : 0;
    }
    if (now - r->last_ns < 500000000u)
        return;
    const double gained = done > r->last_done ? (double)(done - r->last_done) : 0;
    const double rate = gained / ((double)(now - r->last_ns) * 1e-9);
    r->rate = r->rate > 0 ? 0.7 * r->rate + 0.3 * rate : rate;
    r->last_ns = now;
    r->last_done = done;
}

static bool on_pull(void *ctx, uint64_t done, uint64_t total, const char *file)
{
    pull_run *r = ctx;
    char text[3][24];
    char detail[160];

    (void)file;
    update_rate(r, done, total);
    snprintf(detail, sizeof detail, "%s of %s, %s/s", ui_bytes(done, text[0]),
             ui_bytes(total, text[1]), ui_bytes((uint64_t)r->rate, text[2]));
    ui_progress_show(&r->progress, total ? (double)done / (double)total : 1, detail);
    return !ui_interrupted;
}

static void on_notice(void *ctx, const char *text)
{
    pull_run *r = ctx;

    ui_progress_end(&r->progress);
    if (!opt_on(r->o, OPT_QUIET))
        fprintf(stderr, "joule %s: %s\n", r->o->cmd->name, text);
}

static jl_status run_plan(const opts *o, jl_hub_plan *plan, char *path, size_t path_cap,
                          jl_error *err)
{
    pull_run r = {.o = o};
    const jl_hub_params params = {.struct_size = sizeof params,
                                  .progress = on_pull,
                                  .notice = on_notice,
                                  .ctx = &r};

    ui_catch_interrupt(NULL, NULL);
    ui_progress_start(&r.progress, o, "downloading");
    const jl_status s = jl_hub_plan_run(plan, &params, path, path_cap, err);
    ui_progress_end(&r.progress);
    ui_release_interrupt();
    return s;
}

jl_status hub_pull(const opts *o, const jl_hub_spec *spec, char *path, size_t path_cap,
                   jl_error *err)
{
    jl_hub_plan *plan = NULL;
    jl_hub_size size;
    char text[2][24];

    jl_status s = jl_hub_plan_open(spec, &plan, err);
    if (s != JL_OK)
        return s;
    jl_hub_plan_size(plan, &size);
    if (!opt_on(o, OPT_QUIET) && size.missing)
        fprintf(stderr, "joule %s: %s: %u file%s, %s, of which %s are to be downloaded\n",
                o->cmd->name, spec->repo, size.n_files, size.n_files == 1 ? "" : "s",
                ui_bytes(size.bytes, text[0]), ui_bytes(size.missing, text[1]));
    s = run_plan(o, plan, path, path_cap, err);
    jl_hub_plan_close(plan);
    return s;
}

static jl_status ask_and_pull(const opts *o, const jl_hub_spec *spec, const char *name, char *path,
                              size_t path_cap, jl_error *err)
{
    jl_hub_plan *plan = NULL;
    jl_hub_size size;
    char question[400];
    char bytes[24];

    jl_status s = jl_hub_plan_open(spec, &plan, err);
    if (s != JL_OK)
        return s;
    jl_hub_plan_size(plan, &size);
    snprintf(question, sizeof question, "%.250s is not here. Download %s?", name,
             ui_bytes(size.missing, bytes));
    s = hub_ask(question) ? run_plan(o, plan, path, path_cap, err)
                          : tool_error(err, JL_CANCELLED, "not downloaded");
    jl_hub_plan_close(plan);
    return s;
}

#else

jl_status hub_pull(const opts *o, const jl_hub_spec *spec, char *path, size_t path_cap,
                   jl_error *err)
{
    (void)o;
    (void)path;
    (void)path_cap;
    return tool_error(err, JL_UNSUPPORTED,
                      "this joule was built without libcurl and libgcrypt: get the file with curl "
                      "-LO https://huggingface.co/%s/resolve/main/FILE.gguf and name it with -m",
                      spec->repo);
}

static jl_status ask_and_pull(const opts *o, const jl_hub_spec *spec, const char *name, char *path,
                              size_t path_cap, jl_error *err)
{
    (void)name;
    return hub_pull(o, spec, path, path_cap, err);
}

#endif

jl_status hub_resolve(const opts *o, const char *text, char *path, size_t path_cap, jl_error *err)
{
    jl_hub_spec spec;

    jl_status s = jl_hub_parse(text, &spec, err);
    if (s == JL_OK)
        s = jl_hub_find(&spec, path, path_cap, err);
    if (s != JL_OK || path[0])
        return s;
    if (isatty(STDIN_FILENO) && isatty(STDERR_FILENO))
        return ask_and_pull(o, &spec, text, path, path_cap, err);
    return tool_error(err, JL_IO, "%.200s is not here; run: joule pull %.200s", text, text);
}
