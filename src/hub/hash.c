#include "hub/hash.h"

#include <gcrypt.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

struct jl_hash {
    gcry_md_hd_t md;
    int kind;
    uint64_t n_bytes;
};

jl_status jl_hash_open(const char *expected, uint64_t n_bytes, jl_hash **out, jl_error *err)
{
    jl_hash *h = jl_calloc(1, sizeof *h);

    if (!h)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    gcry_check_version(NULL); /* libgcrypt starts with this call */
    gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    h->kind = strlen(expected) == 64 ? GCRY_MD_SHA256 : GCRY_MD_SHA1;
    h->n_bytes = n_bytes;
    if (gcry_md_open(&h->md, h->kind, 0) != 0) {
        jl_free(h);
        return jl_fail(err, JL_UNSUPPORTED, "libgcrypt has no %s", gcry_md_algo_name(h->kind));
    }
    jl_hash_restart(h);
    *out = h;
    return JL_OK;
}

void jl_hash_restart(jl_hash *h)
{
    char head[40];

    gcry_md_reset(h->md);
    if (h->kind == GCRY_MD_SHA256)
        return;
    const int n = snprintf(head, sizeof head, "blob %llu", (unsigned long long)h->n_bytes);
    gcry_md_write(h->md, head, (size_t)n + 1); /* with the NUL */
}

void jl_hash_add(jl_hash *h, const void *data, size_t n)
{
    gcry_md_write(h->md, data, n);
}

void jl_hash_text(jl_hash *h, char out[65])
{
    const unsigned n = gcry_md_get_algo_dlen(h->kind);
    const unsigned char *digest = gcry_md_read(h->md, h->kind);

    for (unsigned i = 0; i < n; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

void jl_hash_close(jl_hash *h)
{
    if (!h)
        return;
    gcry_md_close(h->md);
    jl_free(h);
}
