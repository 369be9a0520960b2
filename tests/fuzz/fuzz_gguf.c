/* Any bytes as a GGUF file: refused with a message, or every descriptor can be used, and writer and
 * reader agree on a copy. */
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "gguf/gguf.h"

static volatile uint64_t sink;

static void use_kv(const jl_gguf *g, const jl_gguf_kv *kv)
{
    uint64_t u;
    int64_t i;
    float f;
    bool b;
    jl_str s;
    jl_gguf_iter it = {0, 0};
    uint64_t n = 0;
    fuzz_require(jl_gguf_find(g, kv->key) == kv);
    const uint64_t last = kv->count ? kv->count - 1 : 0;
    sink += jl_gguf_get_u64(g, kv->key, last, &u) + jl_gguf_get_i64(g, kv->key, last, &i) +
            jl_gguf_get_f32(g, kv->key, last, &f) + jl_gguf_get_bool(g, kv->key, last, &b) +
            jl_gguf_get_str(g, kv->key, &s);
    fuzz_require(!jl_gguf_get_i64(g, kv->key, kv->count, &i));
    while (jl_gguf_next_str(kv, &it, &s)) {
        for (size_t k = 0; k < s.len; k++)
            sink += (unsigned char)s.ptr[k];
        n++;
    }
    fuzz_require(kv->item_type != JL_GGUF_STRING || n == kv->count);
    for (uint64_t k = 0; k < kv->raw_bytes; k++)
        sink += kv->raw[k];
}

static void use_tensor(const jl_gguf *g, const jl_gguf_tensor *t)
{
    fuzz_require(jl_gguf_find_tensor(g, t->name) == t);
    fuzz_require(t->n_elements == t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3]);
    fuzz_require(t->n_bytes == jl_row_bytes(t->type, t->ne[0]) * (t->n_elements / t->ne[0]));
    fuzz_require(t->n_bytes > 0 && t->offset + t->n_bytes <= jl_gguf_file_bytes(g));
    sink += t->data[0] + t->data[t->n_bytes - 1];
}

/* The writer accepts whatever the reader accepts. */
static void copy(const jl_gguf *g, const char *path)
{
    jl_error err;
    jl_gguf_writer *w = NULL;
    fuzz_require(jl_gguf_writer_create(path, jl_gguf_alignment(g), &w, &err) == JL_OK);
    for (size_t i = 0; i < jl_gguf_n_kv(g); i++)
        fuzz_require(jl_gguf_put_kv(w, jl_gguf_kv_at(g, i), &err) == JL_OK);
    for (size_t i = 0; i < jl_gguf_n_tensors(g); i++) {
        const jl_gguf_tensor *t = jl_gguf_tensor_at(g, i);
        fuzz_require(jl_gguf_put_tensor(w, t->name, t->type, t->ne, t->n_dims, &err) == JL_OK);
    }
    for (size_t i = 0; i < jl_gguf_n_tensors(g); i++) {
        const jl_gguf_tensor *t = jl_gguf_tensor_at(g, i);
        fuzz_require(jl_gguf_write_data(w, t->data, t->n_bytes, &err) == JL_OK);
    }
    fuzz_require(jl_gguf_writer_finish(w, &err) == JL_OK);
}

static void compare(const jl_gguf *a, const jl_gguf *b)
{
    fuzz_require(jl_gguf_n_tensors(a) == jl_gguf_n_tensors(b));
    for (size_t i = 0; i < jl_gguf_n_kv(a); i++) {
        const jl_gguf_kv *x = jl_gguf_kv_at(a, i);
        const jl_gguf_kv *y = jl_gguf_kv_at(b, i);
        fuzz_require(y && strcmp(x->key, y->key) == 0 && x->count == y->count);
        /* general.alignment may come in as any integer type and goes out as a u32. */
        if (strcmp(x->key, "general.alignment") != 0)
            fuzz_require(x->type == y->type && x->raw_bytes == y->raw_bytes &&
                         memcmp(x->raw, y->raw, x->raw_bytes) == 0);
    }
    for (size_t i = 0; i < jl_gguf_n_tensors(a); i++) {
        const jl_gguf_tensor *x = jl_gguf_tensor_at(a, i);
        const jl_gguf_tensor *y = jl_gguf_tensor_at(b, i);
        fuzz_require(strcmp(x->name, y->name) == 0 && x->type == y->type);
        fuzz_require(memcmp(x->ne, y->ne, sizeof x->ne) == 0 && x->n_bytes == y->n_bytes);
        fuzz_require(memcmp(x->data, y->data, x->n_bytes) == 0);
    }
}

/* Through a file and its sync, hence slow: only for every 64th input, by a checksum of it. */
static void round_trip(const jl_gguf *g, const uint8_t *data, size_t size)
{
    char path[64];
    jl_error err;
    jl_gguf *back = NULL;
    uint32_t sum = (uint32_t)size;
    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + data[i];
    if (sum % 64 != 0)
        return;
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(path, sizeof path, "%s/joule-fuzz-%ld.gguf", folder, (long)getpid());
    copy(g, path);
    fuzz_require(jl_gguf_open(path, &back, &err) == JL_OK);
    compare(g, back);
    jl_gguf_close(back);
    fuzz_require(unlink(path) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    jl_error err = {JL_OK, 0, ""};
    jl_gguf *g = NULL;
    if (jl_gguf_open_memory(data, size, &g, &err) != JL_OK) {
        fuzz_require(!g && err.status != JL_OK && err.text[0]);
        return 0;
    }
    for (size_t i = 0; i < jl_gguf_n_kv(g); i++)
        use_kv(g, jl_gguf_kv_at(g, i));
    for (size_t i = 0; i < jl_gguf_n_tensors(g); i++)
        use_tensor(g, jl_gguf_tensor_at(g, i));
    round_trip(g, data, size);
    jl_gguf_close(g);
    return 0;
}
