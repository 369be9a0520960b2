/* Repacked weights: which ones, their file, and its place. The file is GGUF: the tensors under
 * their names, and a last one with the checksums of their blocks, since those are known only when
 * everything is written. Its name holds the model's fingerprint and the version of the layout. */
#ifndef JL_MODEL_REPACK_H
#define JL_MODEL_REPACK_H

#include "base/folder.h"
#include "base/pool.h"
#include "joule/repack.h"
#include "model/model.h"

/* Goes up when jl_transcode_type or jl_transcode_rows give something else than before. */
enum { JL_REPACK_VERSION = 1 };

enum { JL_REPACK_NAME_CAP = 64 };
#define JL_REPACK_SUMS "joule.repack.checksums" /* [blocks] I64: XXH3 of the blocks, in order */
#define JL_REPACK_ARCH "joule-repack"           /* general.architecture */
#define JL_REPACK_KEY_SOURCE "joule.repack.source"

typedef struct {
    const jl_gguf_tensor *from;
    jl_type type;
    uint64_t n_rows, row_bytes; /* repacked */
    uint64_t block_rows;        /* rows that share a checksum */
    size_t first_block;
} jl_repack_item;

typedef struct {
    const jl_repack_params *params;
    jl_repack_item *items; /* owned, in file order */
    size_t n_items, n_blocks;
    uint64_t bytes_from, bytes;
    uint64_t block_bytes; /* of the longest */
    uint64_t key[2];
    const char *source; /* path of the model */
    char *path;         /* owned: the repacked file */
    jl_pool *pool;      /* owned */
    int n_threads;
} jl_repack_job;

/* Which weights of a model are repacked: those that products read and that have a better type.
 * n_items 0: none. The job holds the params and source. Freed with jl_repack_job_free after
 * failures, too. */
JL_MUST_CHECK jl_status jl_repack_job_make(const jl_model *m, const char *source,
                                           const jl_repack_params *params, jl_repack_job *out,
                                           jl_error *err);
void jl_repack_job_free(jl_repack_job *job);

/* Opens the job's file; headers, names, shapes, types and sizes are always compared with the model,
 * `sums`: the checksums, too. JL_IO: it is not there. JL_CANCELLED. JL_FORMAT and others: the file
 * is not what it should be. */
JL_MUST_CHECK jl_status jl_repack_open(const jl_repack_job *job, bool sums, jl_gguf **out,
                                       jl_error *err);
/* Writes it. The folder is there and locked. The model's pages are given back behind it. */
JL_MUST_CHECK jl_status jl_repack_write(const jl_repack_job *job, jl_error *err);

/* Whether a file of that name is one of these: made for any model by any version, or left over by a
 * program that ended while it wrote. */
bool jl_repack_is_name(const char *name);
/* FOLDER/NAME; jl_free. NULL: out of memory. */
char *jl_repack_join(const char *folder, const char *name);
/* The folder's lock; JL_INVALID: another program writes there. */
JL_MUST_CHECK jl_status jl_repack_lock(const char *folder, jl_folder_lock **out, jl_error *err);
/* Removes what no run will use again: files left over, and those of the same source that have
 * another name than the job's. The folder is locked. */
void jl_repack_tidy(const jl_repack_job *job);

/* Finds or makes the repacked weights and points the model's views at them. Only JL_CANCELLED is a
 * failure: whatever else is wrong goes to params->report, and the weights stay as they are. */
JL_MUST_CHECK jl_status jl_model_repack(jl_model *m, const char *source,
                                        const jl_repack_params *params, jl_error *err);

#endif
