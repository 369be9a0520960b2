/* Private folders for stored data: making, locking, listing, removing. */
#ifndef JL_BASE_FOLDER_H
#define JL_BASE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct jl_folder_lock jl_folder_lock;

/* Makes a folder and those above it that are missing, all with mode 0700. A folder that exists
 * already and belongs to somebody else, or lets others in, is refused. */
JL_MUST_CHECK jl_status jl_folder_make(const char *path, jl_error *err);
/* Takes the lock file of that name; held until it is left or the process ends in any way.
 * JL_INVALID: another process holds it. */
JL_MUST_CHECK jl_status jl_folder_lock_take(const char *path, jl_folder_lock **out, jl_error *err);
void jl_folder_lock_leave(jl_folder_lock *lock); /* NULL is fine */

typedef struct {
    const char *name;
    bool is_folder;
    uint64_t n_bytes;
    uint64_t modified_ns; /* since 1970 */
} jl_folder_item;

/* Calls fn for everything in a folder, except "." and ".."; false stops. Links are not followed and
 * not reported. */
JL_MUST_CHECK jl_status jl_folder_each(const char *path,
                                       bool (*fn)(void *ctx, const jl_folder_item *item), void *ctx,
                                       jl_error *err);
/* Puts the names of a folder on the disk (fsync). Best effort. */
void jl_folder_sync(const char *path);
bool jl_file_remove(const char *path);     /* a file or an empty folder */
void jl_file_touch(const char *path);      /* its time of modification becomes now */
uint64_t jl_clock_ns(void);                /* wall clock, since 1970 */
bool jl_random_bytes(void *out, size_t n); /* from the system's generator */

#endif
