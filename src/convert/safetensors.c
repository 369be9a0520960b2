#include "convert/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { MAX_HEADER = 100 << 20, MAX_PATH_BYTES = 4096 };

static const struct {
    const char *name;
    jl_st_dtype dtype;
    uint32_t bytes; /* 0: not checked */
} dtypes[] = {
    {"F32", JL_ST_F32, 4},    {"F16", JL_ST_F16, 2},   {"BF16", JL_ST_BF16, 2},
    {"I32", JL_ST_I32, 4},    {"F64", JL_ST_OTHER, 8}, {"I64", JL_ST_OTHER, 8},
    {"I16", JL_ST_OTHER, 2},  {"I8", JL_ST_OTHER, 1},  {"U8", JL_ST_OTHER, 1},
    {"BOOL", JL_ST_OTHER, 1},
};

static jl_status read_shape(const char *path, const json_t *shape, jl_st_tensor *t, uint64_t *n,
                            jl_error *err)
{
    *n = 1;
    t->n_dims = (uint32_t)json_array_size(shape);
    for (size_t d = 0; d < JL_ST_MAX_DIMS; d++)
        t->shape[d] = 1;
    if (!json_is_array(shape) || json_array_size(shape) > JL_ST_MAX_DIMS)
        return jl_fail(err, JL_FORMAT, "%s: tensor %.80s needs a shape of at most %d numbers", path,
                       t->name, JL_ST_MAX_DIMS);
    for (size_t d = 0; d < t->n_dims; d++) {
        const json_t *v = json_array_get(shape, d);
        if (!json_is_integer(v) || json_integer_value(v) < 0 ||
            !jl_mul_u64(*n, (uint64_t)json_integer_value(v), n))
            return jl_fail(err, JL_FORMAT, "%s: tensor %.80s has an impossible shape", path,
                           t->name);
        t->shape[d] = (uint64_t)json_integer_value(v);
    }
    return JL_OK;
}

/* Where the data lies and whether its length fits type and shape. */
static jl_status read_range(const char *path, const json_t *info, const uint8_t *data,
                            uint64_t n_data, jl_st_tensor *t, jl_error *err)
{
    const json_t *range = json_object_get(info, "data_offsets");
    const json_t *b = json_array_get(range, 0);
    const json_t *e = json_array_get(range, 1);
    const char *dtype = json_string_value(json_object_get(info, "dtype"));
    uint32_t item = 0;
    uint64_t n = 0;
    uint64_t need = 0;

    if (!dtype || !json_is_integer(b) || !json_is_integer(e) || json_integer_value(b) < 0 ||
        json_integer_value(e) < json_integer_value(b) || (uint64_t)json_integer_value(e) > n_data)
        return jl_fail(err, JL_FORMAT,
                       "%s: tensor %.80s has no dtype, or data outside the file's %" PRIu64
                       " bytes of data (is the download complete?)",
                       path, t->name, n_data);
    t->dtype = JL_ST_OTHER;
    t->dtype_name = dtype;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, dtype) == 0) {
            t->dtype = dtypes[i].dtype;
            item = dtypes[i].bytes;
        }
    JL_TRY(read_shape(path, json_object_get(info, "shape"), t, &n, err));
    t->data = data + json_integer_value(b);
    t->n_bytes = (uint64_t)(json_integer_value(e) - json_integer_value(b));
    if (item && (!jl_mul_u64(n, item, &need) || need != t->n_bytes))
        return jl_fail(err, JL_FORMAT,
                       "%s: tensor %.80s has %" PRIu64
                       " bytes; its shape and type %s need %" PRIu64,
                       path, t->name, t->n_bytes, dtype, need);
    return JL_OK;
}

static jl_status add_tensor(jl_st *st, const jl_st_tensor *t, jl_error *err)
{
    if (st->n_tensors == st->cap) {
        const size_t cap = st->cap ? 2 * st->cap : 256;
        jl_st_tensor *grown = jl_realloc(st->tensors, cap * sizeof *grown);
        if (!grown)
            return jl_fail(err, JL_NO_MEMORY, "no memory for %zu tensors", cap);
        st->tensors = grown;
        st->cap = cap;
    }
    st->tensors[st->n_tensors++] = *t;
    return JL_OK;
}

jl_status jl_st_parse(jl_st *st, const char *path, const uint8_t *data, uint64_t n_bytes,
                      json_t **header, jl_error *err)
{
    uint64_t len = 0;
    json_error_t e;
    const char *name;
    json_t *info;

    *header = NULL;
    if (n_bytes < 8)
        return jl_fail(err, JL_FORMAT, "%s is no safetensors file: %" PRIu64 " bytes", path,
                       n_bytes);
    for (int i = 7; i >= 0; i--)
        len = len << 8 | data[i];
    if (len > MAX_HEADER || len > n_bytes - 8)
        return jl_fail(err, JL_FORMAT,
                       "%s is no safetensors file, or cut short: a header of %" PRIu64
                       " bytes in a file of %" PRIu64,
                       path, len, n_bytes);
    *header = json_loadb((const char *)data + 8, (size_t)len, JSON_REJECT_DUPLICATES, &e);
    if (!json_is_object(*header))
        return jl_fail_at(err, JL_FORMAT, 8, "%s: the header is no JSON object: %s", path,
                          *header ? "another value" : e.text);
    json_object_foreach(*header, name, info)
    {
        jl_st_tensor t = {.name = name};
        if (strcmp(name, "__metadata__") == 0)
            continue;
        JL_TRY(read_range(path, info, data + 8 + len, n_bytes - 8 - len, &t, err));
        JL_TRY(add_tensor(st, &t, err));
    }
    return JL_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const jl_st_tensor *)a)->name, ((const jl_st_tensor *)b)->name);
}

jl_status jl_st_sort(jl_st *st, jl_error *err)
{
    if (st->n_tensors)
        qsort(st->tensors, st->n_tensors, sizeof *st->tensors, compare_names);
    for (size_t i = 1; i < st->n_tensors; i++)
        if (strcmp(st->tensors[i].name, st->tensors[i - 1].name) == 0)
            return jl_fail(err, JL_FORMAT, "tensor %.120s is in two files of the checkpoint",
                           st->tensors[i].name);
    return JL_OK;
}

const jl_st_tensor *jl_st_find(const jl_st *st, const char *name)
{
    const jl_st_tensor key = {.name = name};

    return st->n_tensors ? bsearch(&key, st->tensors, st->n_tensors, sizeof key, compare_names)
                         : NULL;
}

static jl_status open_file(jl_st *st, const char *folder, const char *name, jl_error *err)
{
    char path[MAX_PATH_BYTES];

    if (strchr(name, '/') || strlen(folder) + strlen(name) + 2 > sizeof path)
        return jl_fail(err, JL_FORMAT, "the index names a file outside the folder: %.200s", name);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    jl_file *files = jl_realloc(st->files, (st->n_files + 1) * sizeof *files);
    if (files)
        st->files = files;
    json_t **headers = jl_realloc(st->headers, (st->n_files + 1) * sizeof *headers);
    if (headers)
        st->headers = headers;
    if (!files || !headers)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    JL_TRY(jl_file_map(path, &st->files[st->n_files], err));
    st->headers[st->n_files] = NULL;
    const jl_file *f = &st->files[st->n_files++];
    return jl_st_parse(st, path, f->data, f->n_bytes, &st->headers[st->n_files - 1], err);
}

static jl_status open_shards(jl_st *st, const char *folder, const json_t *map, jl_error *err)
{
    json_t *seen = json_object();
    const char *name;
    json_t *file;
    jl_status status = seen ? JL_OK : jl_fail(err, JL_NO_MEMORY, "out of memory");

    json_object_foreach((json_t *)(uintptr_t)map, name, file)
    {
        const char *shard = json_string_value(file);
        if (status != JL_OK)
            break;
        if (!shard)
            status = jl_fail(err, JL_FORMAT, "the index names no file for tensor %.120s", name);
        else if (!json_object_get(seen, shard)) {
            json_object_set_new(seen, shard, json_true());
            status = open_file(st, folder, shard, err);
        }
    }
    json_decref(seen);
    JL_TRY(status);
    JL_TRY(jl_st_sort(st, err));
    json_object_foreach((json_t *)(uintptr_t)map, name, file) if (
        !jl_st_find(st, name)) return jl_fail(err, JL_FORMAT,
                                              "tensor %.120s is in the index, but not in %.120s",
                                              name, json_string_value(file));
    return JL_OK;
}

jl_status jl_st_open(const char *folder, jl_st *out, jl_error *err)
{
    char path[MAX_PATH_BYTES];
    json_error_t e;

    *out = (jl_st){0};
    if (strlen(folder) > sizeof path - 40)
        return jl_fail(err, JL_INVALID, "the folder's name is too long");
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", folder);
    jl_file f;
    jl_error ignored;
    if (jl_file_map(path, &f, &ignored) != JL_OK) {
        JL_TRY(open_file(out, folder, "model.safetensors", err));
        return jl_st_sort(out, err);
    }
    json_t *index = json_loadb((const char *)f.data, (size_t)f.n_bytes, 0, &e);
    const json_t *map = json_object_get(index, "weight_map");
    const jl_status status = json_is_object(map)
                                 ? open_shards(out, folder, map, err)
                                 : jl_fail(err, JL_FORMAT, "%s: no weight_map", path);
    json_decref(index);
    jl_file_unmap(&f);
    return status;
}

void jl_st_close(jl_st *st)
{
    for (size_t i = 0; i < st->n_files; i++) {
        json_decref(st->headers[i]);
        jl_file_unmap(&st->files[i]);
    }
    jl_free(st->files);
    jl_free(st->headers);
    jl_free(st->tensors);
    *st = (jl_st){0};
}
