/* A file that grows over several runs, and what storing it needs of the disk: folders, links, free
 * space. */
#ifndef JL_BASE_APPEND_H
#define JL_BASE_APPEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "joule/sys.h"

typedef struct jl_append jl_append;

/* Opens or makes the file; *n_old are the bytes it has, behind which writing goes on. */
JL_MUST_CHECK jl_status jl_append_open(const char *path, jl_append **out, uint64_t *n_old,
                                       jl_error *err);
/* Reads bytes that are there. */
JL_MUST_CHECK jl_status jl_append_read(jl_append *a, uint64_t pos, void *data, size_t n,
                                       jl_error *err);
JL_MUST_CHECK jl_status jl_append_write(jl_append *a, const void *data, size_t n, jl_error *err);
JL_MUST_CHECK jl_status jl_append_clear(jl_append *a, jl_error *err); /* starts over, empty */
/* Syncs, gives the file its final name, frees a either way. */
JL_MUST_CHECK jl_status jl_append_finish(jl_append *a, const char *path, jl_error *err);
void jl_append_close(jl_append *a); /* the file stays; NULL is fine */

/* Makes the folders of a path up to its last slash, as the umask says. */
JL_MUST_CHECK jl_status jl_folders_make(const char *path, jl_error *err);
/* Makes path a symbolic link to target, whatever it was before, in one step. */
JL_MUST_CHECK jl_status jl_link_put(const char *target, const char *path, jl_error *err);
bool jl_link_read(const char *path, char *out, size_t cap); /* false: no link, or too long */
/* Size of a regular file, links followed; false if there is none. */
bool jl_file_bytes(const char *path, uint64_t *out);
bool jl_is_folder(const char *path);
/* Bytes free for this user on the disk of a path; UINT64_MAX if the system does not say. */
uint64_t jl_disk_free(const char *path);

#endif
