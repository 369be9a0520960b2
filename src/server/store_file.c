/* The files of the store: their names, heads and checksums. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "server/store_parts.h"

static const char magic[8] = {'j', 'o', 'u', 'l', 'e', 'r', 'e', 'c'};

void jl_store_folder(const jl_store *s, uint32_t group, char out[JL_STORE_PATH_CAP])
{
    char own[40];

    snprintf(own, sizeof own, "%016" PRIx64 "%016" PRIx64, s->key[0], s->key[1]);
    snprintf(out, JL_STORE_PATH_CAP, "%s/%s", s->folder, group ? s->others[group - 1] : own);
}

void jl_store_path(const jl_store *s, jl_record_id id, uint32_t group, char out[JL_STORE_PATH_CAP])
{
    jl_store_folder(s, group, out);
    const size_t n = strlen(out);
    snprintf(out + n, JL_STORE_PATH_CAP - n, "/%016" PRIx64 "%016" PRIx64 "-%06" PRIx32 ".%c",
             id.hash.lo, id.hash.hi, id.index, (char)id.kind);
}

bool jl_store_parse_name(const char *name, jl_record_id *id)
{
    char kind;
    int n = 0;

    if (sscanf(name, "%16" SCNx64 "%16" SCNx64 "-%6" SCNx32 ".%c%n", &id->hash.lo, &id->hash.hi,
               &id->index, &kind, &n) != 4 ||
        name[n] != '\0' || (kind != 'g' && kind != 'w' && kind != 't'))
        return false;
    id->kind = (jl_record_kind)kind;
    return true;
}

static void checksum(const jl_record_header *h, const void *a, size_t a_bytes, const void *b,
                     size_t b_bytes, uint64_t sum[2])
{
    XXH3_state_t state;

    memset(&state, 0, sizeof state); /* XXH3_INITSTATE leaves a field that reset reads */
    XXH3_128bits_reset(&state);
    XXH3_128bits_update(&state, h, offsetof(jl_record_header, sum));
    if (a_bytes)
        XXH3_128bits_update(&state, a, a_bytes);
    if (b_bytes)
        XXH3_128bits_update(&state, b, b_bytes);
    const XXH128_hash_t digest = XXH3_128bits_digest(&state);
    sum[0] = digest.low64;
    sum[1] = digest.high64;
}

static jl_record_header header_of(const jl_store *s, jl_record_id id, uint64_t n_bytes)
{
    jl_record_header h = {.version = JL_STORE_FORMAT,
                .kind = (uint32_t)id.kind,
                .key = {s->key[0], s->key[1]},
                .hash = id.hash,
                .index = id.index,
                .n_bytes = n_bytes};

    memcpy(h.magic, magic, sizeof magic);
    return h;
}

jl_status jl_store_write_small(const char *path, const void *data, size_t n, jl_error *err)
{
    jl_writer *w;

    JL_TRY(jl_writer_create(path, &w, err));
    jl_status status = jl_writer_make_private(w, err);
    if (status == JL_OK)
        status = jl_writer_write(w, data, n, err);
    if (status == JL_OK)
        return jl_writer_commit(w, err);
    jl_writer_abort(w);
    return status;
}

jl_status jl_store_write_record(const jl_store *s, jl_record_id id, const void *a, size_t a_bytes,
                                const void *b, size_t b_bytes, jl_error *err)
{
    jl_record_header h = header_of(s, id, a_bytes + b_bytes);
    char path[JL_STORE_PATH_CAP];
    jl_writer *w;

    checksum(&h, a, a_bytes, b, b_bytes, h.sum);
    jl_store_path(s, id, 0, path);
    JL_TRY(jl_writer_create(path, &w, err));
    jl_status status = jl_writer_make_private(w, err);
    if (status == JL_OK)
        status = jl_writer_reserve(w, sizeof h + a_bytes + b_bytes, err);
    if (status == JL_OK)
        status = jl_writer_write(w, &h, sizeof h, err);
    if (status == JL_OK)
        status = jl_writer_write(w, a, a_bytes, err);
    if (status == JL_OK)
        status = jl_writer_write(w, b, b_bytes, err);
    if (status == JL_OK)
        return jl_writer_commit(w, err);
    jl_writer_abort(w);
    return status;
}

/* What is wrong with a file; NULL: nothing. */
const char *jl_store_check_record(const jl_store *s, jl_record_id id, const char *data, size_t n)
{
    jl_record_header h;
    jl_record_header want;

    if (n < sizeof h)
        return "it is too short";
    memcpy(&h, data, sizeof h);
    want = header_of(s, id, n - sizeof h);
    checksum(&want, data + sizeof h, n - sizeof h, NULL, 0, want.sum);
    if (memcmp(&h, &want, offsetof(jl_record_header, sum)) != 0)
        return "its head is not what its name says";
    return memcmp(h.sum, want.sum, sizeof h.sum) == 0 ? NULL : "its checksum is wrong";
}
