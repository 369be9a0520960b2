/* What tells one model file from another. */
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/file.h"
#include "model/model.h"

/* Of each tensor this many pieces of this many bytes go into the fingerprint. */
enum { N_SAMPLES = 4, SAMPLE_BYTES = 4096 };

static void hash_number(XXH3_state_t *h, uint64_t n)
{
    XXH3_128bits_update(h, &n, sizeof n);
}

static void hash_tensor(XXH3_state_t *h, const jl_gguf_tensor *t)
{
    XXH3_128bits_update(h, t->name, strlen(t->name) + 1);
    XXH3_128bits_update(h, t->ne, sizeof t->ne);
    hash_number(h, t->type);
    hash_number(h, t->offset);
    if (t->n_bytes <= N_SAMPLES * SAMPLE_BYTES) {
        XXH3_128bits_update(h, t->data, t->n_bytes);
        return;
    }
    for (uint64_t i = 0; i < N_SAMPLES; i++)
        XXH3_128bits_update(h, t->data + (t->n_bytes - SAMPLE_BYTES) / (N_SAMPLES - 1) * i,
                            SAMPLE_BYTES);
}

void jl_model_fingerprint(const jl_model *m, uint64_t out[2])
{
    XXH3_state_t h;

    memset(&h, 0, sizeof h); /* XXH3_INITSTATE leaves a field that reset reads */
    XXH3_128bits_reset(&h);
    for (size_t i = 0; i < jl_gguf_n_kv(m->gguf); i++) {
        const jl_gguf_kv *kv = jl_gguf_kv_at(m->gguf, i);
        XXH3_128bits_update(&h, kv->key, strlen(kv->key) + 1);
        hash_number(&h, kv->type);
        hash_number(&h, kv->count);
        XXH3_128bits_update(&h, kv->raw, kv->raw_bytes);
    }
    for (size_t i = 0; i < jl_gguf_n_tensors(m->gguf); i++)
        hash_tensor(&h, jl_gguf_tensor_at(m->gguf, i));
    for (size_t i = 0; i < jl_gguf_n_parts(m->gguf); i++) {
        const jl_file *f = jl_gguf_part_file(m->gguf, i);
        hash_number(&h, f->n_bytes);
        hash_number(&h, f->modified_ns);
    }
    const XXH128_hash_t digest = XXH3_128bits_digest(&h);
    out[0] = digest.low64;
    out[1] = digest.high64;
}
