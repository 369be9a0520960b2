/* joule convert: a Hugging Face checkpoint to a GGUF file. */
#include <stdio.h>

#include "joule/convert.h"
#include "joule/sys.h"
#include "opt.h"
#include "ui.h"

int cmd_convert(const opts *o)
{
    ui_progress progress;
    jl_convert_result r;
    jl_error err = {0};
    char bytes[24];
    const jl_convert_params params = {
        .struct_size = sizeof params,
        .name = opt_text(o, OPT_NAME),
        .awq = opt_text(o, OPT_AWQ),
        .progress = ui_progress_bytes,
        .progress_ctx = &progress,
    };

    if (o->n_args != 2)
        return usage_error(o, "give the folder of the checkpoint and the file to write");
    const uint64_t start = jl_time_ns();
    ui_catch_interrupt(NULL, NULL);
    ui_progress_start(&progress, o, "converting");
    const jl_status status = jl_convert(o->args[0], o->args[1], &params, &r, &err);
    ui_progress_end(&progress);
    if (status != JL_OK)
        return ui_fail(o, &err);
    if (!opt_on(o, OPT_QUIET))
        fprintf(stderr,
                "%s: %u tensors, %.3f billion parameters, %s of weights, %u tensors of other kinds "
                "left out; written in %.1f s\n",
                r.architecture, r.n_tensors, (double)r.n_params * 1e-9, ui_bytes(r.bytes, bytes),
                r.n_left_out, (double)(jl_time_ns() - start) * 1e-9);
    return EXIT_OK;
}
