/* What the files of this folder share. */
#ifndef JL_GGUF_INTERNAL_H
#define JL_GGUF_INTERNAL_H

#include "base/file.h"
#include "gguf/gguf.h"
#include "gguf/names.h"

enum {
    GGUF_MAGIC = 0x46554747, /* "GGUF", little-endian */
    GGUF_DEFAULT_ALIGNMENT = 32,
    GGUF_MAX_ALIGNMENT = 65536,
    GGUF_MAX_KEY = 65535,  /* bytes, as in the GGUF specification */
    GGUF_MAX_NAME = 255,   /* bytes of a tensor name; the specification says 64 */
    GGUF_MAX_KV = 65536,
    GGUF_MAX_TENSORS = 65536,
    GGUF_MAX_PARTS = 1000,
};

/* Bytes of a scalar of this type; 0 for strings, arrays and unknown types. */
size_t jl_gguf_type_bytes(uint32_t type);
const char *jl_gguf_type_name(uint32_t type); /* "u32"; "unknown" */

typedef struct {
    jl_file file;
    uint32_t version;
    uint32_t alignment;
    uint64_t data_pos; /* of the tensor data, from the start of the file */
    jl_gguf_kv *kv;    /* [n_kv] */
    size_t n_kv;
    jl_name_index kv_index;
    uint64_t n_tensors; /* of this part */
} jl_gguf_part;

struct jl_gguf {
    jl_gguf_part *parts; /* [n_parts] */
    size_t n_parts;
    jl_gguf_tensor *tensors; /* [n_tensors] of all parts, in file order */
    size_t n_tensors;
    jl_name_index tensor_index;
    jl_names names;
};

/* Reads the header, metadata and tensor list of parts[i], whose file is set, and appends its
 * tensors. What was read before a failure is the reader's, freed by jl_gguf_close. */
JL_MUST_CHECK jl_status jl_gguf_parse_part(jl_gguf *g, size_t i, jl_error *err);
JL_MUST_CHECK jl_status jl_gguf_parse_tensors(jl_gguf *g, size_t i, uint64_t pos, jl_error *err);

const jl_gguf_kv *jl_gguf_part_find(const jl_gguf_part *part, const char *key);
/* A metadata value as an unsigned number, as jl_gguf_get_u64. */
bool jl_gguf_kv_u64(const jl_gguf_kv *kv, uint64_t index, uint64_t *out);

/* ---- cursor over the bytes of a part: every step is checked against the end ---------------- */

typedef struct {
    const uint8_t *data;
    uint64_t n_bytes;
    uint64_t pos;
} jl_cursor;

/* A span of n bytes at the cursor, which moves past it. `what` names it in the message. */
JL_MUST_CHECK jl_status jl_cursor_take(jl_cursor *c, uint64_t n, const char *what,
                                       const uint8_t **out, jl_error *err);
JL_MUST_CHECK jl_status jl_cursor_u32(jl_cursor *c, const char *what, uint32_t *out, jl_error *err);
JL_MUST_CHECK jl_status jl_cursor_u64(jl_cursor *c, const char *what, uint64_t *out, jl_error *err);
JL_MUST_CHECK jl_status jl_cursor_str(jl_cursor *c, const char *what, jl_str *out, jl_error *err);

/* Little-endian loads from unaligned bytes. */
uint16_t jl_load_u16(const uint8_t *p);
uint32_t jl_load_u32(const uint8_t *p);
uint64_t jl_load_u64(const uint8_t *p);

#endif
