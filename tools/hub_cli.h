/* Models by the name they have on the Hugging Face Hub. */
#ifndef JL_TOOLS_HUB_CLI_H
#define JL_TOOLS_HUB_CLI_H

#include <stddef.h>

#include "joule/hub.h"
#include "opt.h"

/* Downloads what spec means, with progress; *path is the file or the folder. */
JL_MUST_CHECK jl_status hub_pull(const opts *o, const jl_hub_spec *spec, char *path,
                                 size_t path_cap, jl_error *err);
/* The path behind "hf:...", as -m takes it: from the cache; else asks on a terminal whether to
 * download, and elsewhere refuses with the command to run. */
JL_MUST_CHECK jl_status hub_resolve(const opts *o, const char *text, char *path, size_t path_cap,
                                    jl_error *err);
/* Asks "text [y/N]" on stderr. */
bool hub_ask(const char *text);

#endif
