/* joule synth: a full-size model file with random weights. */
#include <stdio.h>

#include "joule/synth.h"
#include "joule/sys.h"
#include "opt.h"
#include "paths.h"
#include "ui.h"

static void print_size(const opts *o, const jl_synth_size *size)
{
    char bytes[24];

    if (!opt_on(o, OPT_QUIET))
        fprintf(stderr, "%s %s: %u tensors, %.3f billion parameters, %s of weights\n",
                opt_text(o, OPT_SHAPE), opt_text(o, OPT_TYPE), size->n_tensors,
                (double)size->n_params * 1e-9, ui_bytes(size->tensor_bytes, bytes));
}

int cmd_synth(const opts *o)
{
    ui_progress progress;
    jl_synth_size size;
    jl_error err = {0};
    jl_synth_params params = {
        .struct_size = sizeof params,
        .shape = opt_text(o, OPT_SHAPE),
        .type = opt_text(o, OPT_TYPE),
        .n_layer = (uint32_t)opt_int(o, OPT_LAYERS),
        .n_threads = (uint32_t)opt_int(o, OPT_THREADS),
        .seed = opt_is_set(o, OPT_SEED) ? o->v[OPT_SEED].u64 : 1,
        .sparse = opt_on(o, OPT_SPARSE),
        .vocab_path = opt_text(o, OPT_VOCAB) ? opt_text(o, OPT_VOCAB) : path_bundled(),
        .progress = ui_progress_bytes,
        .progress_ctx = &progress,
    };

    if (o->n_args != 1)
        return usage_error(o, "say which file to write");
    if (jl_synth_measure(&params, &size, &err) != JL_OK)
        return ui_fail(o, &err);
    print_size(o, &size);

    const uint64_t start = jl_time_ns();
    ui_catch_interrupt(NULL, NULL);
    ui_progress_start(&progress, o, "writing");
    const jl_status status = jl_synth_write(&params, o->args[0], &err);
    ui_progress_end(&progress);
    if (status != JL_OK)
        return ui_fail(o, &err);
    if (!opt_on(o, OPT_QUIET))
        fprintf(stderr, "written in %.1f s\n", (double)(jl_time_ns() - start) * 1e-9);
    return EXIT_OK;
}
