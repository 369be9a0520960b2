/* Writing GGUF version 3: metadata is collected, then tensor data is streamed behind it. */
#include <string.h>

#include "base/mem.h"
#include "gguf/internal.h"

typedef struct {
    const char *name; /* first: the index looks it up here */
    uint64_t offset;  /* in the data section */
    uint64_t n_bytes;
} record;

typedef struct {
    uint8_t *data;
    size_t len, cap;
} bytes;

struct jl_gguf_writer {
    jl_writer *file;
    uint32_t alignment;
    bytes kv_bytes, tensor_bytes; /* as they will stand in the file */
    record *keys, *tensors;
    size_t n_keys, n_tensors, keys_cap, tensors_cap;
    jl_name_index key_index, tensor_index;
    jl_names names;
    uint64_t data_bytes; /* of all tensors, padding included */
    bool sparse;         /* tensors are holes */
    bool streaming;      /* the header is written */
    size_t current;      /* tensor being written */
    uint64_t done;       /* bytes of it */
};

static jl_status no_memory(jl_error *err)
{
    return jl_fail(err, JL_NO_MEMORY, "out of memory while writing a GGUF file");
}

/* ---- growing buffers ---------------------------------------------------------------------- */

static bool bytes_put(bytes *b, const void *data, uint64_t n)
{
    if (n > SIZE_MAX / 4 - b->len)
        return false;
    if (b->len + n > b->cap) {
        const size_t cap = 2 * (b->len + (size_t)n) + 4096;
        uint8_t *grown = jl_realloc(b->data, cap);
        if (!grown)
            return false;
        b->data = grown;
        b->cap = cap;
    }
    if (n)
        memcpy(b->data + b->len, data, (size_t)n);
    b->len += (size_t)n;
    return true;
}

static bool put_u32(bytes *b, uint32_t v)
{
    const uint8_t p[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    return bytes_put(b, p, 4);
}

static bool put_u64(bytes *b, uint64_t v)
{
    return put_u32(b, (uint32_t)v) && put_u32(b, (uint32_t)(v >> 32));
}

static bool put_string(bytes *b, const char *s, uint64_t len)
{
    return put_u64(b, len) && bytes_put(b, s, len);
}

/* Values come in the machine's byte order. */
static bool put_values(bytes *b, const void *values, size_t item_bytes, uint64_t count)
{
    uint64_t n;
    const uint16_t one = 1;
    if (!jl_mul_u64(count, item_bytes, &n))
        return false;
    if (*(const uint8_t *)&one == 1 || item_bytes == 1)
        return bytes_put(b, values, n);
    for (uint64_t i = 0; i < count; i++) {
        uint8_t swapped[8];
        for (size_t k = 0; k < item_bytes; k++)
            swapped[k] = ((const uint8_t *)values)[(i + 1) * item_bytes - 1 - k];
        if (!bytes_put(b, swapped, item_bytes))
            return false;
    }
    return true;
}

/* Appends a named record; the name must be valid and new. */
static jl_status add_record(jl_gguf_writer *w, record **list, size_t *n, size_t *cap,
                            jl_name_index *index, const char *name, jl_error *err)
{
    if (jl_index_find(index, *list, sizeof **list, name) != SIZE_MAX)
        return jl_fail(err, JL_INVALID, "%s is written twice", name);
    if (*n == *cap) {
        record *grown = jl_realloc(*list, (*cap * 2 + 64) * sizeof **list);
        if (!grown)
            return no_memory(err);
        *list = grown;
        *cap = *cap * 2 + 64;
    }
    const char *copy = jl_names_copy(&w->names, name, strlen(name));
    if (!copy)
        return no_memory(err);
    (*list)[*n] = (record){copy, 0, 0};
    if (!jl_index_add(index, *list, sizeof **list, *n))
        return no_memory(err);
    (*n)++;
    return JL_OK;
}

/* ---- life cycle --------------------------------------------------------------------------- */

static void writer_free(jl_gguf_writer *w)
{
    jl_free(w->kv_bytes.data);
    jl_free(w->tensor_bytes.data);
    jl_free(w->keys);
    jl_free(w->tensors);
    jl_index_free(&w->key_index);
    jl_index_free(&w->tensor_index);
    jl_names_free(&w->names);
    jl_free(w);
}

static jl_status create(const char *path, uint32_t alignment, bool partial, jl_gguf_writer **out,
                        jl_error *err)
{
    const uint32_t a = alignment ? alignment : GGUF_DEFAULT_ALIGNMENT;
    if (a < 8 || a > GGUF_MAX_ALIGNMENT || (a & (a - 1)))
        return jl_fail(err, JL_INVALID, "alignment %u: use a power of two from 8 to %d", alignment,
                       GGUF_MAX_ALIGNMENT);
    jl_gguf_writer *w = jl_calloc(1, sizeof *w);
    if (!w)
        return no_memory(err);
    w->alignment = a;
    const jl_status status = partial ? jl_writer_create_partial(path, &w->file, err)
                                     : jl_writer_create(path, &w->file, err);
    if (status != JL_OK) {
        writer_free(w);
        return status;
    }
    *out = w;
    return JL_OK;
}

jl_status jl_gguf_writer_create(const char *path, uint32_t alignment, jl_gguf_writer **out,
                                jl_error *err)
{
    return create(path, alignment, false, out, err);
}

jl_status jl_gguf_writer_create_partial(const char *path, uint32_t alignment, jl_gguf_writer **out,
                                        jl_error *err)
{
    return create(path, alignment, true, out, err);
}

void jl_gguf_writer_make_sparse(jl_gguf_writer *w)
{
    w->sparse = true;
}

uint64_t jl_gguf_writer_keep(jl_gguf_writer *w)
{
    const uint64_t n = jl_writer_keep(w->file);

    writer_free(w);
    return n;
}

void jl_gguf_writer_abort(jl_gguf_writer *w)
{
    if (!w)
        return;
    jl_writer_abort(w->file);
    writer_free(w);
}

/* ---- metadata ----------------------------------------------------------------------------- */

static jl_status begin_key(jl_gguf_writer *w, const char *key, jl_error *err)
{
    if (w->streaming)
        return jl_fail(err, JL_INVALID, "%s comes after the tensor data has begun", key);
    if (!jl_name_valid(key, strlen(key), GGUF_MAX_KEY))
        return jl_fail(err, JL_INVALID,
                       "the metadata key \"%s\" is empty, too long or not printable", key);
    JL_TRY(add_record(w, &w->keys, &w->n_keys, &w->keys_cap, &w->key_index, key, err));
    return put_string(&w->kv_bytes, key, strlen(key)) ? JL_OK : no_memory(err);
}

jl_status jl_gguf_put_scalar(jl_gguf_writer *w, const char *key, jl_gguf_type type,
                             const void *value, jl_error *err)
{
    const size_t n_bytes = jl_gguf_type_bytes(type);
    uint32_t alignment;
    if (n_bytes == 0)
        return jl_fail(err, JL_INVALID, "%s: a value of type %s is not a scalar", key,
                       jl_gguf_type_name(type));
    if (strcmp(key, "general.alignment") == 0) {
        if (type != JL_GGUF_U32)
            return jl_fail(err, JL_INVALID, "general.alignment must be a u32");
        memcpy(&alignment, value, sizeof alignment);
        if (alignment != w->alignment)
            return jl_fail(err, JL_INVALID, "general.alignment %u, but the file is written with %u",
                           alignment, w->alignment);
    }
    JL_TRY(begin_key(w, key, err));
    if (!put_u32(&w->kv_bytes, type) || !put_values(&w->kv_bytes, value, n_bytes, 1))
        return no_memory(err);
    return JL_OK;
}

jl_status jl_gguf_put_str(jl_gguf_writer *w, const char *key, const char *s, size_t len,
                          jl_error *err)
{
    JL_TRY(begin_key(w, key, err));
    if (!put_u32(&w->kv_bytes, JL_GGUF_STRING) || !put_string(&w->kv_bytes, s, len))
        return no_memory(err);
    return JL_OK;
}

static jl_status begin_array(jl_gguf_writer *w, const char *key, jl_gguf_type item_type,
                             uint64_t count, jl_error *err)
{
    JL_TRY(begin_key(w, key, err));
    if (!put_u32(&w->kv_bytes, JL_GGUF_ARRAY) || !put_u32(&w->kv_bytes, item_type) ||
        !put_u64(&w->kv_bytes, count))
        return no_memory(err);
    return JL_OK;
}

jl_status jl_gguf_put_array(jl_gguf_writer *w, const char *key, jl_gguf_type item_type,
                            const void *items, uint64_t count, jl_error *err)
{
    const size_t n_bytes = jl_gguf_type_bytes(item_type);
    if (n_bytes == 0)
        return jl_fail(err, JL_INVALID, "%s: an array of type %s is not one of numbers", key,
                       jl_gguf_type_name(item_type));
    JL_TRY(begin_array(w, key, item_type, count, err));
    return put_values(&w->kv_bytes, items, n_bytes, count) ? JL_OK : no_memory(err);
}

jl_status jl_gguf_put_str_array(jl_gguf_writer *w, const char *key, const jl_str *items,
                                uint64_t count, jl_error *err)
{
    JL_TRY(begin_array(w, key, JL_GGUF_STRING, count, err));
    for (uint64_t i = 0; i < count; i++) {
        if (!put_string(&w->kv_bytes, items[i].ptr, items[i].len))
            return no_memory(err);
    }
    return JL_OK;
}

jl_status jl_gguf_put_kv(jl_gguf_writer *w, const jl_gguf_kv *kv, jl_error *err)
{
    if (kv->type == JL_GGUF_ARRAY) {
        JL_TRY(begin_array(w, kv->key, kv->item_type, kv->count, err));
    } else if (strcmp(kv->key, "general.alignment") == 0) {
        uint64_t value = 0;
        if (!jl_gguf_kv_u64(kv, 0, &value) || value != w->alignment)
            return jl_fail(err, JL_INVALID,
                           "general.alignment %llu, but the file is written with %u",
                           (unsigned long long)value, w->alignment);
        const uint32_t alignment = (uint32_t)value;
        return jl_gguf_put_scalar(w, kv->key, JL_GGUF_U32, &alignment, err);
    } else {
        JL_TRY(begin_key(w, kv->key, err));
        if (!put_u32(&w->kv_bytes, kv->type))
            return no_memory(err);
    }
    return bytes_put(&w->kv_bytes, kv->raw, kv->raw_bytes) ? JL_OK : no_memory(err);
}

/* ---- tensors ------------------------------------------------------------------------------ */

static uint64_t padding(const jl_gguf_writer *w, uint64_t pos)
{
    return (w->alignment - pos % w->alignment) % w->alignment;
}

static jl_status measure(const char *name, jl_type type, const uint64_t *ne, uint32_t n_dims,
                         uint64_t *n_bytes, jl_error *err)
{
    const uint64_t row = n_dims >= 1 && n_dims <= 4 ? jl_row_bytes(type, ne[0]) : 0;
    if (row == 0)
        return jl_fail(err, JL_INVALID, "tensor %s: no rows of this length in type %s", name,
                       jl_type_name(type));
    const uint32_t group = jl_type_get(type)->group_rows;
    if ((n_dims > 1 ? ne[1] : 1) % group)
        return jl_fail(err, JL_INVALID, "tensor %s: type %s needs a multiple of %u rows", name,
                       jl_type_name(type), group);
    uint64_t total = row;
    for (uint32_t d = 1; d < n_dims; d++) {
        if (ne[d] == 0 || !jl_mul_u64(total, ne[d], &total))
            return jl_fail(err, JL_INVALID, "tensor %s has an impossible shape", name);
    }
    *n_bytes = total;
    return JL_OK;
}

jl_status jl_gguf_put_tensor(jl_gguf_writer *w, const char *name, jl_type type, const uint64_t *ne,
                             uint32_t n_dims, jl_error *err)
{
    uint64_t n_bytes = 0;
    uint64_t end;
    if (w->streaming)
        return jl_fail(err, JL_INVALID, "tensor %s comes after the tensor data has begun", name);
    if (!jl_name_valid(name, strlen(name), GGUF_MAX_NAME))
        return jl_fail(err, JL_INVALID,
                       "the tensor name \"%s\" is empty, too long or not printable", name);
    JL_TRY(measure(name, type, ne, n_dims, &n_bytes, err));
    if (!jl_add_u64(w->data_bytes, n_bytes, &end) || end > INT64_MAX - GGUF_MAX_ALIGNMENT)
        return jl_fail(err, JL_INVALID, "tensor %s makes the file larger than any disk", name);
    JL_TRY(add_record(w, &w->tensors, &w->n_tensors, &w->tensors_cap, &w->tensor_index, name, err));
    w->tensors[w->n_tensors - 1].offset = w->data_bytes;
    w->tensors[w->n_tensors - 1].n_bytes = n_bytes;

    bytes *b = &w->tensor_bytes;
    bool ok = put_string(b, name, strlen(name)) && put_u32(b, n_dims);
    for (uint32_t d = 0; d < n_dims; d++)
        ok = ok && put_u64(b, ne[d]);
    ok = ok && put_u32(b, type) && put_u64(b, w->data_bytes);
    w->data_bytes = end + padding(w, end);
    return ok ? JL_OK : no_memory(err);
}

static jl_status write_padding(jl_gguf_writer *w, jl_error *err)
{
    static const uint8_t zeros[4096];
    uint64_t n = padding(w, jl_writer_tell(w->file));
    while (n > 0) {
        const size_t piece = n < sizeof zeros ? (size_t)n : sizeof zeros;
        JL_TRY(jl_writer_write(w->file, zeros, piece, err));
        n -= piece;
    }
    return JL_OK;
}

static jl_status write_header(jl_gguf_writer *w, jl_error *err)
{
    if (w->alignment != GGUF_DEFAULT_ALIGNMENT &&
        jl_index_find(&w->key_index, w->keys, sizeof *w->keys, "general.alignment") == SIZE_MAX)
        JL_TRY(jl_gguf_put_scalar(w, "general.alignment", JL_GGUF_U32, &w->alignment, err));
    bytes head = {NULL, 0, 0};
    jl_status status = JL_OK;
    if (!put_u32(&head, GGUF_MAGIC) || !put_u32(&head, 3) || !put_u64(&head, w->n_tensors) ||
        !put_u64(&head, w->n_keys))
        status = no_memory(err);
    if (status == JL_OK && !w->sparse)
        status = jl_writer_reserve(w->file,
                                   head.len + w->kv_bytes.len + w->tensor_bytes.len +
                                       w->alignment + w->data_bytes,
                                   err);
    if (status == JL_OK)
        status = jl_writer_write(w->file, head.data, head.len, err);
    jl_free(head.data);
    JL_TRY(status);
    JL_TRY(jl_writer_write(w->file, w->kv_bytes.data, w->kv_bytes.len, err));
    JL_TRY(jl_writer_write(w->file, w->tensor_bytes.data, w->tensor_bytes.len, err));
    w->streaming = true;
    return write_padding(w, err);
}

jl_status jl_gguf_write_data(jl_gguf_writer *w, const void *data, uint64_t n_bytes, jl_error *err)
{
    const uint8_t *p = data;
    if (!w->streaming)
        JL_TRY(write_header(w, err));
    while (n_bytes > 0) {
        if (w->current == w->n_tensors)
            return jl_fail(err, JL_INVALID, "%llu bytes more than the declared tensors hold",
                           (unsigned long long)n_bytes);
        const uint64_t left = w->tensors[w->current].n_bytes - w->done;
        const uint64_t n = n_bytes < left ? n_bytes : left;
        JL_TRY(w->sparse ? jl_writer_hole(w->file, n, err)
                         : jl_writer_write(w->file, p, (size_t)n, err));
        p += w->sparse ? 0 : n;
        n_bytes -= n;
        w->done += n;
        if (n == left) {
            JL_TRY(write_padding(w, err));
            w->current++;
            w->done = 0;
        }
    }
    return JL_OK;
}

jl_status jl_gguf_left_over(jl_gguf_writer *w, bool *whole, jl_error *err)
{
    if (!w->streaming)
        JL_TRY(write_header(w, err));
    *whole = w->current < w->n_tensors && w->done == 0 &&
             jl_writer_left_over(w->file) >= w->tensors[w->current].n_bytes;
    return JL_OK;
}

jl_status jl_gguf_peek(const jl_gguf_writer *w, uint64_t offset, void *data, size_t n_bytes,
                       jl_error *err)
{
    return jl_writer_peek(w->file, jl_writer_tell(w->file) + offset, data, n_bytes, err);
}

jl_status jl_gguf_skip(jl_gguf_writer *w, bool keep, jl_error *err)
{
    if (!keep)
        return jl_writer_rewind(w->file, err);
    JL_TRY(jl_writer_skip(w->file, w->tensors[w->current].n_bytes, err));
    w->current++;
    return write_padding(w, err);
}

jl_status jl_gguf_writer_sync(jl_gguf_writer *w, jl_error *err)
{
    return jl_writer_sync(w->file, err);
}

jl_status jl_gguf_writer_finish(jl_gguf_writer *w, jl_error *err)
{
    jl_status status = w->streaming ? JL_OK : write_header(w, err);
    if (status == JL_OK && w->current < w->n_tensors)
        status = jl_fail(err, JL_INVALID, "data is missing from tensor %s on",
                         w->tensors[w->current].name);
    if (status != JL_OK) {
        jl_gguf_writer_abort(w);
        return status;
    }
    status = jl_writer_commit(w->file, err);
    writer_free(w);
    return status;
}
