/* Safetensors files: a header of 8 bytes (its length), a JSON table of tensors, their data. */
#ifndef JL_CONVERT_SAFETENSORS_H
#define JL_CONVERT_SAFETENSORS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "base/status.h"

typedef enum { JL_ST_F32, JL_ST_F16, JL_ST_BF16, JL_ST_I32, JL_ST_OTHER } jl_st_dtype;

enum { JL_ST_MAX_DIMS = 4 };

typedef struct {
    const char *name; /* the reader's */
    jl_st_dtype dtype;
    const char *dtype_name;
    uint32_t n_dims;
    uint64_t shape[JL_ST_MAX_DIMS]; /* outermost first; unused ones are 1 */
    const uint8_t *data;            /* in the mapped file, not aligned */
    uint64_t n_bytes;
} jl_st_tensor;

typedef struct {
    jl_file *files;   /* [n_files] */
    json_t **headers; /* [n_files] */
    size_t n_files;
    jl_st_tensor *tensors; /* [n_tensors], by name */
    size_t n_tensors, cap;
} jl_st;

/* Adds the tensors of one file image; the bytes must stay. path names it in messages. */
JL_MUST_CHECK jl_status jl_st_parse(jl_st *st, const char *path, const uint8_t *data,
                                    uint64_t n_bytes, json_t **header, jl_error *err);
/* Opens the checkpoint of a folder: the shards of model.safetensors.index.json, or
 * model.safetensors. */
JL_MUST_CHECK jl_status jl_st_open(const char *folder, jl_st *out, jl_error *err);
void jl_st_close(jl_st *st);
const jl_st_tensor *jl_st_find(const jl_st *st, const char *name); /* NULL: absent */
/* Sorts by name and refuses names that come twice. */
JL_MUST_CHECK jl_status jl_st_sort(jl_st *st, jl_error *err);

#endif
