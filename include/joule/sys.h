/* What a program around the library needs from the system: heap, files that appear whole or not at
 * all, memory numbers, time, environment. */
#ifndef JL_JOULE_SYS_H
#define JL_JOULE_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "joule/status.h"

#ifdef __cplusplus
extern "C" {
#endif

JL_API void *jl_malloc(size_t n_bytes);           /* NULL when memory runs out or n_bytes is 0 */
JL_API void *jl_realloc(void *p, size_t n_bytes); /* on NULL the old block is still the caller's */
JL_API void jl_free(void *p);

/* Reads a whole file of any kind (pipes, /dev/stdin) of at most max_bytes into memory. *out is
 * NUL-terminated behind its *n_bytes and freed by the caller with jl_free. JL_TOO_LARGE names the
 * limit. */
JL_API JL_MUST_CHECK jl_status jl_file_read(const char *path, uint64_t max_bytes, char **out,
                                            size_t *n_bytes, jl_error *err);

/* Writes beside the target and renames at the end: the target is whole or untouched. Where the
 * system allows it (Linux, O_TMPFILE) the data has no name until then, so that a killed process
 * leaves nothing behind. A target that is a device or a pipe is written in place. After a failed
 * write only abort is useful. */
typedef struct jl_writer jl_writer;
JL_API JL_MUST_CHECK jl_status jl_writer_create(const char *path, jl_writer **out, jl_error *err);
/* Takes the disk space at once, so that a full disk is reported before hours of work. */
JL_API JL_MUST_CHECK jl_status jl_writer_reserve(jl_writer *w, uint64_t n_bytes, jl_error *err);
JL_API JL_MUST_CHECK jl_status jl_writer_write(jl_writer *w, const void *data, size_t n_bytes,
                                               jl_error *err);
/* n_bytes of zeros that take no disk space where the file system knows holes. */
JL_API JL_MUST_CHECK jl_status jl_writer_hole(jl_writer *w, uint64_t n_bytes, jl_error *err);
JL_API uint64_t jl_writer_tell(const jl_writer *w);
/* Waits until the disk has what was written so far. Now and then, it keeps commit from waiting for
 * gigabytes at once, and a full cache of unwritten pages from slowing down everybody else. */
JL_API JL_MUST_CHECK jl_status jl_writer_sync(jl_writer *w, jl_error *err);
/* The file will be its owner's alone (mode 0600), whatever the umask. Before the first write. */
JL_API JL_MUST_CHECK jl_status jl_writer_make_private(jl_writer *w, jl_error *err);

/* The same for work that may be continued: the data lies in PATH.partial until commit, and what an
 * earlier run left there is compared with what is written; as long as it is the same, nothing is
 * written. JL_IO if another process is at it. */
JL_API JL_MUST_CHECK jl_status jl_writer_create_partial(const char *path, jl_writer **out,
                                                        jl_error *err);
/* Bytes of the earlier run from the present position on. */
JL_API uint64_t jl_writer_left_over(const jl_writer *w);
/* Reads bytes of the earlier run, anywhere. */
JL_API JL_MUST_CHECK jl_status jl_writer_peek(const jl_writer *w, uint64_t pos, void *data,
                                              size_t n_bytes, jl_error *err);
/* Takes the next n_bytes of the earlier run as they are. */
JL_API JL_MUST_CHECK jl_status jl_writer_skip(jl_writer *w, uint64_t n_bytes, jl_error *err);
/* Forgets the rest of the earlier run. */
JL_API JL_MUST_CHECK jl_status jl_writer_rewind(jl_writer *w, jl_error *err);
/* Ends like abort, but leaves PATH.partial for a later run; returns its bytes. */
JL_API uint64_t jl_writer_keep(jl_writer *w);

/* Syncs and renames; frees w either way. */
JL_API JL_MUST_CHECK jl_status jl_writer_commit(jl_writer *w, jl_error *err);
JL_API void jl_writer_abort(jl_writer *w); /* removes, frees; NULL is fine */

/* Bytes free for new work, page cache counted as free; 0: unknown. */
JL_API uint64_t jl_memory_available(void);
JL_API uint64_t jl_memory_total(void);       /* bytes */
JL_API uint64_t jl_memory_peak(void);        /* peak resident set of this process, bytes */
JL_API void jl_memory_peak_reset(void);      /* forgets earlier peaks; Linux, elsewhere nothing */
JL_API uint64_t jl_time_ns(void);            /* monotonic */
JL_API double jl_time_cpu(void);             /* CPU seconds of this process */
/* Niceness of this process, 0 to 19: other programs go first. False if the system refuses. */
JL_API bool jl_process_nice(int level);
JL_API const char *jl_env(const char *name); /* NULL if unset or empty */

#ifdef __cplusplus
}
#endif
#endif
