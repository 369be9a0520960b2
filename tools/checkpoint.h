/* Checkpoint folders that are given where a model file is expected. */
#ifndef JL_TOOLS_CHECKPOINT_H
#define JL_TOOLS_CHECKPOINT_H

#include <stddef.h>

#include "joule/status.h"
#include "opt.h"

/* The model file of a checkpoint folder, converted when it is missing or older than the folder's
 * config.json: DIR/joule.gguf; for a snapshot of the Hub's cache, which belongs to other programs
 * too, a file of joule's own cache. */
JL_MUST_CHECK jl_status checkpoint_model(const opts *o, const char *folder, char *path, size_t cap,
                                         jl_error *err);
/* Removes what was converted from snapshots of repo, "OWNER/REPO". Returns its bytes. */
uint64_t checkpoint_forget(const char *repo);

#endif
