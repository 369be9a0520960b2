/* GGUF files: bytes <-> descriptors. No arithmetic on weights, no knowledge of models. */
#ifndef JL_GGUF_GGUF_H
#define JL_GGUF_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "quant/types.h"

typedef struct jl_gguf jl_gguf;

/* Metadata value types, ids as in the file. */
typedef enum {
    JL_GGUF_U8 = 0, JL_GGUF_I8, JL_GGUF_U16, JL_GGUF_I16, JL_GGUF_U32, JL_GGUF_I32, JL_GGUF_F32,
    JL_GGUF_BOOL, JL_GGUF_STRING, JL_GGUF_ARRAY, JL_GGUF_U64, JL_GGUF_I64, JL_GGUF_F64
} jl_gguf_type;

typedef struct { /* not NUL-terminated; lives in the mapped file */
    const char *ptr;
    size_t len;
} jl_str;

typedef struct {
    const char *key;        /* NUL-terminated, reader's */
    jl_gguf_type type;
    jl_gguf_type item_type; /* of an array, else type */
    uint64_t count;         /* items of an array, else 1 */
    const uint8_t *raw;     /* the value's (or first item's) bytes in the file, unaligned */
    uint64_t raw_bytes;
} jl_gguf_kv;

typedef struct {
    const char *name;    /* NUL-terminated, reader's */
    uint32_t n_dims;     /* 1..4 */
    uint64_t ne[4];      /* elements, ne[0] innermost, all >= 1; unused ones are 1 */
    jl_type type;
    uint64_t n_elements;
    uint64_t n_bytes;
    const uint8_t *data; /* in the mapping, aligned to the file's alignment */
    uint64_t offset;     /* bytes from the start of its file part */
    uint32_t part;       /* 0 for a single file */
} jl_gguf_tensor;

/* Opens a file and, when it is the first part of a split one, all its parts; the metadata is that
 * of the first. Every count, length, type and offset is checked against the file. Refused with a
 * message that names what and where: other versions and byte orders, duplicate names, nested
 * arrays, tensors that overlap or reach past the end, tensor types joule does not know. Limits:
 * 65,536 keys and tensors, 1000 parts. */
JL_MUST_CHECK jl_status jl_gguf_open(const char *path, jl_gguf **out, jl_error *err);
/* The same over memory that outlives the reader (tests, fuzzing). Tensor data is as aligned as
 * `data` is. */
JL_MUST_CHECK jl_status jl_gguf_open_memory(const void *data, size_t n_bytes, jl_gguf **out,
                                            jl_error *err);
void jl_gguf_close(jl_gguf *g);

uint32_t jl_gguf_version(const jl_gguf *g);
uint32_t jl_gguf_alignment(const jl_gguf *g);  /* bytes, of the first part */
uint64_t jl_gguf_file_bytes(const jl_gguf *g); /* all parts */
size_t jl_gguf_n_kv(const jl_gguf *g);
const jl_gguf_kv *jl_gguf_kv_at(const jl_gguf *g, size_t i);
const jl_gguf_kv *jl_gguf_find(const jl_gguf *g, const char *key); /* NULL if absent */
size_t jl_gguf_n_tensors(const jl_gguf *g);
const jl_gguf_tensor *jl_gguf_tensor_at(const jl_gguf *g, size_t i);
const jl_gguf_tensor *jl_gguf_find_tensor(const jl_gguf *g, const char *name); /* NULL if absent */

/* Scalars and arrays by key. A missing key leaves *out and returns false; a value of another type
 * that cannot be represented exactly also returns false. Index 0 for scalars; arrays by item. */
bool jl_gguf_get_u64(const jl_gguf *g, const char *key, uint64_t index, uint64_t *out);
bool jl_gguf_get_i64(const jl_gguf *g, const char *key, uint64_t index, int64_t *out);
bool jl_gguf_get_f32(const jl_gguf *g, const char *key, uint64_t index, float *out);
bool jl_gguf_get_bool(const jl_gguf *g, const char *key, uint64_t index, bool *out);
bool jl_gguf_get_str(const jl_gguf *g, const char *key, jl_str *out); /* scalar strings */
/* Walks a string array front to back: it[0] = 0 at first. false at the end. */
typedef struct {
    uint64_t index, pos;
} jl_gguf_iter;
bool jl_gguf_next_str(const jl_gguf_kv *kv, jl_gguf_iter *it, jl_str *out);

/* Mapped bytes of a tensor's file part and advice, for prefault and mlock. */
size_t jl_gguf_n_parts(const jl_gguf *g);
const struct jl_file *jl_gguf_part_file(const jl_gguf *g, size_t part);

/* ---- writer: collects descriptors, then streams tensor data in order ---------------------
 * Writes version 3, atomically: the file appears whole at finish, or not at all. After a failure
 * only abort is useful. */

typedef struct jl_gguf_writer jl_gguf_writer;

/* alignment: a power of two from 8 to 65536, 0 for the usual 32. Another value than 32 also puts
 * general.alignment, last, unless the caller has put it. */
JL_MUST_CHECK jl_status jl_gguf_writer_create(const char *path, uint32_t alignment,
                                              jl_gguf_writer **out, jl_error *err);
/* Metadata, before the first data. Keys must be new. Values are in the machine's byte order. */
JL_MUST_CHECK jl_status jl_gguf_put_scalar(jl_gguf_writer *w, const char *key, jl_gguf_type type,
                                           const void *value, jl_error *err);
JL_MUST_CHECK jl_status jl_gguf_put_str(jl_gguf_writer *w, const char *key, const char *s,
                                        size_t len, jl_error *err);
JL_MUST_CHECK jl_status jl_gguf_put_array(jl_gguf_writer *w, const char *key,
                                          jl_gguf_type item_type, const void *items, uint64_t count,
                                          jl_error *err);
JL_MUST_CHECK jl_status jl_gguf_put_str_array(jl_gguf_writer *w, const char *key,
                                              const jl_str *items, uint64_t count, jl_error *err);
JL_MUST_CHECK jl_status jl_gguf_put_kv(jl_gguf_writer *w, const jl_gguf_kv *kv, jl_error *err);
/* Declares a tensor; the data follows in the order of declaration. */
JL_MUST_CHECK jl_status jl_gguf_put_tensor(jl_gguf_writer *w, const char *name, jl_type type,
                                           const uint64_t *ne, uint32_t n_dims, jl_error *err);
/* Bytes of the current tensor, in one or many calls; crosses to the next tensor by itself. */
JL_MUST_CHECK jl_status jl_gguf_write_data(jl_gguf_writer *w, const void *data, uint64_t n_bytes,
                                           jl_error *err);
/* Waits until the disk has what was written (jl_writer_sync). */
JL_MUST_CHECK jl_status jl_gguf_writer_sync(jl_gguf_writer *w, jl_error *err);
/* Fails with JL_INVALID if data is missing. On success the file is in place; w is freed either way.
 */
JL_MUST_CHECK jl_status jl_gguf_writer_finish(jl_gguf_writer *w, jl_error *err);
void jl_gguf_writer_abort(jl_gguf_writer *w);

/* Work that may be continued (jl_writer_create_partial): the header and every tensor that an
 * earlier run wrote whole can be taken over, if the caller finds it right. */
JL_MUST_CHECK jl_status jl_gguf_writer_create_partial(const char *path, uint32_t alignment,
                                                      jl_gguf_writer **out, jl_error *err);
/* Writes the header if that is still to do; *whole: the current tensor is there, whole. */
JL_MUST_CHECK jl_status jl_gguf_left_over(jl_gguf_writer *w, bool *whole, jl_error *err);
/* Bytes of the current tensor as the earlier run wrote them. */
JL_MUST_CHECK jl_status jl_gguf_peek(const jl_gguf_writer *w, uint64_t offset, void *data,
                                     size_t n_bytes, jl_error *err);
/* Takes the current tensor over (keep), or forgets it and all that follows. */
JL_MUST_CHECK jl_status jl_gguf_skip(jl_gguf_writer *w, bool keep, jl_error *err);
/* Before the first data: what is written as tensors becomes holes that read as zeros, and takes no
 * disk space. */
void jl_gguf_writer_make_sparse(jl_gguf_writer *w);
/* Ends like abort but leaves PATH.partial; returns its bytes. */
uint64_t jl_gguf_writer_keep(jl_gguf_writer *w);

#endif
