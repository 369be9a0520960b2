/* Files: mapping for reading. Reading whole, atomic writing and what the system has: joule/sys.h.
 */
#ifndef JL_BASE_FILE_H
#define JL_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "joule/sys.h"

typedef struct jl_file {
    const uint8_t *data; /* NULL if empty */
    uint64_t n_bytes;
    bool mapped;          /* false: the bytes belong to somebody else and unmap only forgets them */
    uint64_t modified_ns; /* since 1970; 0: unknown */
} jl_file;

/* Maps a regular file read-only. Names the path and the reason on failure. A file that another
 * program cuts short while it is mapped ends the process with SIGBUS: do not write to models in
 * use. */
JL_MUST_CHECK jl_status jl_file_map(const char *path, jl_file *out, jl_error *err);
void jl_file_unmap(jl_file *file); /* zeroes *file; NULL is fine */
/* Touches every page (progress 0..1 may be NULL; return false stops with JL_CANCELLED). */
JL_MUST_CHECK jl_status jl_file_prefault(const jl_file *file, bool (*progress)(void *, float),
                                         void *ctx, jl_error *err);
/* Gives the pages that lie whole within a piece of a mapped file back to the system; they are read
 * again when touched. Best effort. */
void jl_file_release(const uint8_t *data, uint64_t n_bytes);
JL_MUST_CHECK jl_status jl_file_lock(const jl_file *file, jl_error *err); /* mlock */

#endif
