/* Builds GGUF files byte by byte, right or wrong, for tests and fuzz seeds. Independent of the
 * writer in src/gguf, so that reader and writer cannot share a mistake. */
#ifndef JL_TESTS_GGUF_IMAGE_H
#define JL_TESTS_GGUF_IMAGE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    uint8_t data[16384];
    size_t len;
} gguf_image;

static inline void image_bytes(gguf_image *m, const void *p, size_t n)
{
    assert(n <= sizeof m->data - m->len);
    memcpy(m->data + m->len, p, n);
    m->len += n;
}

static inline void image_le(gguf_image *m, uint64_t v, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++) {
        const uint8_t byte = (uint8_t)(v >> 8 * i);
        image_bytes(m, &byte, 1);
    }
}

static inline void image_u32(gguf_image *m, uint32_t v)
{
    image_le(m, v, 4);
}

static inline void image_u64(gguf_image *m, uint64_t v)
{
    image_le(m, v, 8);
}

static inline void image_str(gguf_image *m, const char *s)
{
    image_u64(m, strlen(s));
    image_bytes(m, s, strlen(s));
}

static inline void image_begin(gguf_image *m, uint32_t version, uint64_t n_tensors, uint64_t n_kv)
{
    m->len = 0;
    image_bytes(m, "GGUF", 4);
    image_u32(m, version);
    image_u64(m, n_tensors);
    image_u64(m, n_kv);
}

/* A scalar of n_bytes bytes; type ids as in the file. */
static inline void image_kv(gguf_image *m, const char *key, uint32_t type, uint64_t bits,
                            int n_bytes)
{
    image_str(m, key);
    image_u32(m, type);
    image_le(m, bits, n_bytes);
}

static inline void image_kv_str(gguf_image *m, const char *key, const char *s)
{
    image_str(m, key);
    image_u32(m, 8);
    image_str(m, s);
}

/* Head of an array; the items follow. */
static inline void image_kv_array(gguf_image *m, const char *key, uint32_t item_type,
                                  uint64_t count)
{
    image_str(m, key);
    image_u32(m, 9);
    image_u32(m, item_type);
    image_u64(m, count);
}

static inline void image_tensor(gguf_image *m, const char *name, uint32_t n_dims,
                                const uint64_t *ne, uint32_t type, uint64_t offset)
{
    image_str(m, name);
    image_u32(m, n_dims);
    for (uint32_t d = 0; d < n_dims; d++)
        image_u64(m, ne[d]);
    image_u32(m, type);
    image_u64(m, offset);
}

static inline void image_align(gguf_image *m, size_t alignment)
{
    while (m->len % alignment)
        image_le(m, 0, 1);
}

/* A whole file: every metadata type, an array of each kind, and three tensors. */
static inline void image_full(gguf_image *m, uint32_t version)
{
    image_begin(m, version, 3, 17);
    image_kv_str(m, "general.architecture", "gemma4");
    image_kv(m, "t.u8", 0, 200, 1);
    image_kv(m, "t.i8", 1, 0xfe, 1); /* -2 */
    image_kv(m, "t.u16", 2, 60000, 2);
    image_kv(m, "t.i16", 3, 0xfffd, 2); /* -3 */
    image_kv(m, "t.u32", 4, 4000000000u, 4);
    image_kv(m, "t.i32", 5, 0xfffffffc, 4); /* -4 */
    image_kv(m, "t.f32", 6, 0x3fc00000, 4); /* 1.5 */
    image_kv(m, "t.bool", 7, 1, 1);
    image_kv(m, "t.u64", 10, UINT64_MAX, 8);
    image_kv(m, "t.i64", 11, (uint64_t)INT64_MIN, 8);
    image_kv(m, "t.f64", 12, 0x3fb999999999999a, 8); /* 0.1 */
    image_kv_array(m, "a.i32", 5, 3);
    image_u32(m, 7);
    image_u32(m, 0xffffffff);
    image_u32(m, 9);
    image_kv_array(m, "a.str", 8, 3);
    image_str(m, "one");
    image_str(m, "");
    image_str(m, "dr\xc3\xa9i");
    image_kv_array(m, "a.bool", 7, 2);
    image_le(m, 1, 1);
    image_le(m, 0, 1);
    image_kv_array(m, "a.empty", 8, 0);
    image_kv_str(m, "t.str", "");
    image_tensor(m, "token_embd.weight", 2, (const uint64_t[]){32, 3}, 8, 0); /* Q8_0: 102 bytes */
    image_tensor(m, "output_norm.weight", 1, (const uint64_t[]){5}, 0, 128);  /* F32: 20 bytes */
    image_tensor(m, "blk.0.x", 4, (const uint64_t[]){2, 1, 3, 1}, 1, 160);    /* F16: 12 bytes */
    image_align(m, 32);
    for (int i = 0; i < 160 + 12; i++) {
        const bool gap = (i >= 102 && i < 128) || (i >= 148 && i < 160);
        image_le(m, gap ? 0 : (uint64_t)i * 7, 1);
    }
}

#endif
