#include "repack_cli.h"

#include <stdio.h>
#include <string.h>

#include "joule/sys.h"
#include "load.h"
#include "paths.h"

static bool on_repack(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    repack_run *r = ctx;

    if (!r->what || strcmp(r->what, what) != 0) {
        ui_progress_end(&r->progress);
        ui_progress_start(&r->progress, r->o, what);
        r->what = what;
    }
    return ui_progress_bytes(&r->progress, done < total ? done : total, total);
}

static void say_made(const jl_repack_report *p, const char *what)
{
    char a[24];
    char b[24];

    fprintf(stderr, "joule: %u tensors %s, %s of %s as %s of %s, in %.1f s: %s\n", p->n_tensors,
            what, ui_bytes(p->bytes_from, a), p->from, ui_bytes(p->bytes, b), p->to, p->seconds,
            p->path);
}

static void on_report(void *ctx, const jl_repack_report *p)
{
    repack_run *r = ctx;

    repack_end(r);
    if (opt_on(r->o, OPT_QUIET))
        return;
    const bool verbose = opt_on(r->o, OPT_VERBOSE);
    if (p->outcome == JL_REPACK_MADE)
        say_made(p, "repacked once (joule cache lists them)");
    else if (p->outcome == JL_REPACK_USED && verbose)
        say_made(p, "repacked earlier and checked");
    else if (p->outcome == JL_REPACK_DAMAGED)
        fprintf(stderr, "joule: %s; it is made anew\n", p->why->text);
    else if (p->outcome == JL_REPACK_NOT && (verbose || p->why->status != JL_NO_MEMORY))
        fprintf(stderr, "joule: weights are not repacked, used as they are: %s (--no-repack does "
                        "not try)\n",
                p->why->text);
}

const jl_repack_params *repack_start(repack_run *r, const opts *o)
{
    *r = (repack_run){.o = o};
    if (!opt_applies(&opt_table[OPT_NO_REPACK], o->id) || opt_on(o, OPT_NO_REPACK) ||
        load_uses_gpu(o) || !path_repack(r->folder, sizeof r->folder))
        return NULL;
    r->params = (jl_repack_params){.struct_size = sizeof r->params,
                                   .folder = r->folder,
                                   .n_threads = (uint32_t)opt_int(o, OPT_THREADS),
                                   .memory = jl_memory_available(),
                                   .progress = on_repack,
                                   .report = on_report,
                                   .ctx = r};
    return &r->params;
}

void repack_end(repack_run *r)
{
    ui_progress_end(&r->progress);
    r->what = NULL;
}
