/* Hashes the Hub names files by: SHA-256 of large ones, Git's SHA-1 of a blob for small ones. */
#ifndef JL_HUB_HASH_H
#define JL_HUB_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct jl_hash jl_hash;

/* The kind follows from the length of the expected hash: 64 or 40 hexadecimal digits. n_bytes is
 * the size of the whole file, which is part of Git's hash. */
JL_MUST_CHECK jl_status jl_hash_open(const char *expected, uint64_t n_bytes, jl_hash **out,
                                     jl_error *err);
void jl_hash_restart(jl_hash *h);
void jl_hash_add(jl_hash *h, const void *data, size_t n);
void jl_hash_text(jl_hash *h, char out[65]); /* ends the hash */
void jl_hash_close(jl_hash *h);              /* NULL is fine */

#endif
