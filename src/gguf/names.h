/* Names: copies that stay where they are, and a hash index over records that start with one. */
#ifndef JL_GGUF_NAMES_H
#define JL_GGUF_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NUL-terminated copies in chunks, freed together. Zero-initialise. */
typedef struct jl_name_chunk jl_name_chunk;
typedef struct {
    jl_name_chunk *first;
} jl_names;

const char *jl_names_copy(jl_names *names, const char *s, size_t len); /* NULL: out of memory */
void jl_names_free(jl_names *names);

/* Open-addressed index over an array of records whose first member is `const char *name`. The
 * records may move between calls; their order may not change. Zero-initialise. */
typedef struct {
    uint32_t *slots; /* [cap] record number + 1, 0: free */
    size_t cap;      /* a power of two, at least twice n */
    size_t n;
} jl_name_index;

/* Number of the record with this name, or SIZE_MAX. */
size_t jl_index_find(const jl_name_index *index, const void *records, size_t record_bytes,
                     const char *name);
/* Adds record number `i`, whose name must be new. false: out of memory, index unchanged. */
bool jl_index_add(jl_name_index *index, const void *records, size_t record_bytes, size_t i);
void jl_index_free(jl_name_index *index);

/* A name that can be used: 1..max_len bytes of valid UTF-8 without control characters. */
bool jl_name_valid(const char *s, uint64_t len, uint64_t max_len);

#endif
