/* Inside src/hub: lists of files, the choice among them, the cache's layout. */
#ifndef JL_HUB_HUB_H
#define JL_HUB_HUB_H

#include "base/append.h"
#include "joule/hub.h"

enum {
    JL_HUB_PATH = 4096,
    JL_HUB_NAME = 512,       /* longest name of a file in a repository */
    JL_HUB_MAX_FILES = 20000,
};

typedef struct {
    char *name;    /* path in the repository, owned */
    uint64_t bytes;
    char hash[65]; /* hex: SHA-256, or Git's SHA-1 of small files; also the name of the blob */
    bool chosen;
} jl_hub_file;

typedef struct {
    jl_hub_file *items;
    size_t n, cap;
} jl_hub_files;

/* Adds a copy of the name. JL_FORMAT for a name that leaves its folder. */
JL_MUST_CHECK jl_status jl_hub_files_add(jl_hub_files *f, const char *name, uint64_t bytes,
                                         const char *hash, jl_error *err);
void jl_hub_files_free(jl_hub_files *f);

/* Marks the files that spec means: a GGUF file with all its parts, or, in a repository without
 * one, the files of a checkpoint. *first is the one to open, SIZE_MAX for a checkpoint. JL_IO:
 * there is no such file; JL_INVALID: there are several; JL_FORMAT: a part is missing. */
JL_MUST_CHECK jl_status jl_hub_choose(jl_hub_files *f, const jl_hub_spec *spec, size_t *first,
                                      jl_error *err);
/* The quantisation a file's name ends with ("UD-IQ4_XS"), parts and ".gguf" left out; or "". */
void jl_hub_label(const char *name, char *out, size_t cap);
bool jl_hub_is_gguf(const char *name); /* not of vision or importance matrices */
/* Part and number of parts of "x-00001-of-00003.gguf", and bytes before that; false: not split. */
bool jl_hub_split(const char *name, unsigned *part, unsigned *n_parts, size_t *stem_len);

/* "CACHE", "CACHE/models--OWNER--REPO/SUB"; JL_TOO_LARGE if it does not fit. */
JL_MUST_CHECK jl_status jl_hub_cache(char *out, size_t cap, jl_error *err);
JL_MUST_CHECK jl_status jl_hub_path(const jl_hub_spec *spec, const char *sub, char *out, size_t cap,
                                    jl_error *err);
/* Commit of the revision as the cache has it; "" if it is not there. */
JL_MUST_CHECK jl_status jl_hub_commit(const jl_hub_spec *spec, char out[65], jl_error *err);
/* Calls fn for the folder of every snapshot of a repository, until it returns false. */
JL_MUST_CHECK jl_status jl_hub_each_snapshot(const jl_hub_spec *spec,
                                             bool (*fn)(void *ctx, const char *snapshot), void *ctx,
                                             jl_error *err);
/* The files of a snapshot folder. */
JL_MUST_CHECK jl_status jl_hub_scan(const char *snapshot, jl_hub_files *out, jl_error *err);

/* Calls fn for every file of a repository's blobs, until it returns false. */
typedef struct {
    const char *name, *path;
    uint64_t bytes;
} jl_hub_blob;
JL_MUST_CHECK jl_status jl_hub_each_blob(const jl_hub_spec *spec,
                                         bool (*fn)(void *ctx, const jl_hub_blob *item),
                                         void *ctx, jl_error *err);

/* snprintf that must fit. */
JL_MUST_CHECK jl_status jl_hub_join(char *out, size_t cap, jl_error *err, const char *fmt, ...)
    JL_PRINTF(4, 5);
bool jl_hub_is_hex(const char *s, size_t n); /* n digits and no more */

#endif
