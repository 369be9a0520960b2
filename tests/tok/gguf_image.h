/* Builds the image of a GGUF file without tensors in memory, for tests and fuzzers. */
#ifndef JL_TESTS_GGUF_IMAGE_H
#define JL_TESTS_GGUF_IMAGE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gguf/gguf.h"

typedef struct {
    uint8_t *data;
    size_t n_bytes, cap;
    uint64_t n_kv;
} gguf_image;

static inline void image_put(gguf_image *m, const void *data, size_t n)
{
    if (m->n_bytes + n > m->cap) {
        m->cap = 2 * (m->n_bytes + n) + 256;
        m->data = realloc(m->data, m->cap);
        if (!m->data)
            abort();
    }
    if (n)
        memcpy(m->data + m->n_bytes, data, n);
    m->n_bytes += n;
}

static inline void image_u32(gguf_image *m, uint32_t x)
{
    image_put(m, &x, sizeof x);
}

static inline void image_u64(gguf_image *m, uint64_t x)
{
    image_put(m, &x, sizeof x);
}

static inline void image_text(gguf_image *m, const char *s, size_t len)
{
    image_u64(m, len);
    image_put(m, s, len);
}

static inline void image_begin(gguf_image *m)
{
    memset(m, 0, sizeof *m);
    image_put(m, "GGUF", 4);
    image_u32(m, 3);
    image_u64(m, 0); /* tensors */
    image_u64(m, 0); /* values, see image_end */
}

static inline void image_key(gguf_image *m, const char *key, jl_gguf_type type)
{
    image_text(m, key, strlen(key));
    image_u32(m, type);
    m->n_kv++;
}

static inline void image_str(gguf_image *m, const char *key, const char *value)
{
    image_key(m, key, JL_GGUF_STRING);
    image_text(m, value, strlen(value));
}

static inline void image_scalar(gguf_image *m, const char *key, uint32_t value)
{
    image_key(m, key, JL_GGUF_U32);
    image_u32(m, value);
}

static inline void image_strs(gguf_image *m, const char *key, const jl_str *items, size_t n)
{
    image_key(m, key, JL_GGUF_ARRAY);
    image_u32(m, JL_GGUF_STRING);
    image_u64(m, n);
    for (size_t i = 0; i < n; i++)
        image_text(m, items[i].ptr, items[i].len);
}

static inline void image_i32s(gguf_image *m, const char *key, const int32_t *items, size_t n)
{
    image_key(m, key, JL_GGUF_ARRAY);
    image_u32(m, JL_GGUF_I32);
    image_u64(m, n);
    image_put(m, items, n * sizeof *items);
}

static inline void image_end(gguf_image *m)
{
    memcpy(m->data + 16, &m->n_kv, sizeof m->n_kv);
}

#endif
