/* Reading values of the system's tree of one-line files. Through a table, because tests put trees
 * with missing permissions and vanishing devices in its place. */
#ifndef JL_POWER_SYSFS_H
#define JL_POWER_SYSFS_H

#include "base/sysfile.h"

typedef struct {
    /* As jl_line_read and jl_dir_each; path starts with "class/...". */
    jl_read_result (*line)(void *ctx, const char *path, char *text, size_t cap);
    bool (*each)(void *ctx, const char *path, jl_dir_fn *fn, void *fn_ctx);
    void *ctx;
} jl_sysfs;

enum { JL_SYS_PATH = 320 };

/* The tree below a folder; root must outlive it. */
jl_sysfs jl_sysfs_at(const char *root);

/* folder/name as text; "" on failure. */
jl_read_result jl_sysfs_text(const jl_sysfs *fs, const char *folder, const char *name, char *text,
                             size_t cap);
/* folder/name as a whole number; JL_READ_FAILED if it is none or does not fit. */
jl_read_result jl_sysfs_number(const jl_sysfs *fs, const char *folder, const char *name,
                               int64_t *out);
/* A number of digits with an optional sign, spaces around it. */
bool jl_number_parse(const char *text, int64_t *out);

/* Joins folder and name; false if it does not fit. */
bool jl_path_join(char *out, size_t cap, const char *folder, const char *name);

/* Sorted names of a folder that start with prefix, each shorter than JL_SYS_NAME; returns how many
 * were stored. */
enum { JL_SYS_NAME = 48, JL_SYS_NAMES = 64 };
typedef struct {
    char name[JL_SYS_NAMES][JL_SYS_NAME];
    size_t n;
} jl_sys_names;
size_t jl_sysfs_names(const jl_sysfs *fs, const char *folder, const char *prefix,
                      jl_sys_names *out);

#endif
