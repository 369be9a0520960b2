/* Builds GGUF files of a tokenizer alone in memory, of any size, for tests and fuzz targets. */
#ifndef JL_TESTS_VOCAB_IMAGE_H
#define JL_TESTS_VOCAB_IMAGE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gguf/gguf.h"

typedef struct {
    uint8_t *data;
    size_t n_bytes, cap;
    uint64_t n_kv;
} vocab_image;

static inline void vi_put(vocab_image *m, const void *data, size_t n)
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

static inline void vi_u32(vocab_image *m, uint32_t x)
{
    vi_put(m, &x, sizeof x);
}

static inline void vi_u64(vocab_image *m, uint64_t x)
{
    vi_put(m, &x, sizeof x);
}

static inline void vi_text(vocab_image *m, const char *s, size_t len)
{
    vi_u64(m, len);
    vi_put(m, s, len);
}

static inline void vi_begin(vocab_image *m)
{
    memset(m, 0, sizeof *m);
    vi_put(m, "GGUF", 4);
    vi_u32(m, 3);
    vi_u64(m, 0); /* tensors */
    vi_u64(m, 0); /* values, see vi_end */
}

static inline void vi_key(vocab_image *m, const char *key, jl_gguf_type type)
{
    vi_text(m, key, strlen(key));
    vi_u32(m, type);
    m->n_kv++;
}

static inline void vi_str(vocab_image *m, const char *key, const char *value)
{
    vi_key(m, key, JL_GGUF_STRING);
    vi_text(m, value, strlen(value));
}

static inline void vi_scalar(vocab_image *m, const char *key, uint32_t value)
{
    vi_key(m, key, JL_GGUF_U32);
    vi_u32(m, value);
}

static inline void vi_strs(vocab_image *m, const char *key, const jl_str *items, size_t n)
{
    vi_key(m, key, JL_GGUF_ARRAY);
    vi_u32(m, JL_GGUF_STRING);
    vi_u64(m, n);
    for (size_t i = 0; i < n; i++)
        vi_text(m, items[i].ptr, items[i].len);
}

static inline void vi_i32s(vocab_image *m, const char *key, const int32_t *items, size_t n)
{
    vi_key(m, key, JL_GGUF_ARRAY);
    vi_u32(m, JL_GGUF_I32);
    vi_u64(m, n);
    vi_put(m, items, n * sizeof *items);
}

static inline void vi_f32s(vocab_image *m, const char *key, const float *items, size_t n)
{
    vi_key(m, key, JL_GGUF_ARRAY);
    vi_u32(m, JL_GGUF_F32);
    vi_u64(m, n);
    vi_put(m, items, n * sizeof *items);
}

static inline void vi_end(vocab_image *m)
{
    memcpy(m->data + 16, &m->n_kv, sizeof m->n_kv);
}

#endif
