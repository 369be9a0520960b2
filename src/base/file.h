/* Files: mapping for reading, atomic writing, and what the system has. */
#ifndef JL_BASE_FILE_H
#define JL_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct jl_file {
    const uint8_t *data; /* NULL if empty */
    uint64_t n_bytes;
    bool mapped; /* false: the bytes belong to somebody else and unmap only forgets them */
} jl_file;

/* Maps a regular file read-only. Names the path and the reason on failure. A file that another
 * program cuts short while it is mapped ends the process with SIGBUS: do not write to models in
 * use. */
JL_MUST_CHECK jl_status jl_file_map(const char *path, jl_file *out, jl_error *err);
void jl_file_unmap(jl_file *file); /* zeroes *file; NULL is fine */
/* Reads a whole file of any kind (pipes, /dev/stdin) of at most max_bytes into memory. *out is
 * NUL-terminated behind its *n_bytes and freed by the caller with jl_free. JL_TOO_LARGE names the
 * limit. */
JL_MUST_CHECK jl_status jl_file_read(const char *path, uint64_t max_bytes, char **out,
                                     size_t *n_bytes, jl_error *err);
/* Touches every page (progress 0..1 may be NULL; return false stops with JL_CANCELLED). */
JL_MUST_CHECK jl_status jl_file_prefault(const jl_file *file, bool (*progress)(void *, float),
                                         void *ctx, jl_error *err);
JL_MUST_CHECK jl_status jl_file_lock(const jl_file *file, jl_error *err); /* mlock */

/* Writes beside the target and renames at the end: the target is whole or untouched. Where the
 * system allows it (Linux, O_TMPFILE) the data has no name until then, so that a killed process
 * leaves nothing behind. A target that is a device or a pipe is written in place. After a failed
 * write only abort is useful. */
typedef struct jl_writer jl_writer;
JL_MUST_CHECK jl_status jl_writer_create(const char *path, jl_writer **out, jl_error *err);
/* Takes the disk space at once, so that a full disk is reported before hours of work. */
JL_MUST_CHECK jl_status jl_writer_reserve(jl_writer *w, uint64_t n_bytes, jl_error *err);
JL_MUST_CHECK jl_status jl_writer_write(jl_writer *w, const void *data, size_t n_bytes,
                                        jl_error *err);
uint64_t jl_writer_tell(const jl_writer *w);
JL_MUST_CHECK jl_status jl_writer_commit(jl_writer *w, jl_error *err); /* frees w either way */
void jl_writer_abort(jl_writer *w); /* leaves nothing, frees w; NULL is fine */

uint64_t jl_memory_available(void); /* bytes free for new work, cache included; 0: unknown */
uint64_t jl_memory_total(void);     /* bytes */
uint64_t jl_memory_peak(void);      /* peak resident set of this process, bytes */
uint64_t jl_time_ns(void);          /* monotonic */
double jl_time_cpu(void);           /* CPU seconds of this process */
const char *jl_env(const char *name); /* NULL if unset or empty */

#endif
