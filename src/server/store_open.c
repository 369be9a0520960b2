/* How the store opens: its lock, its seed, the day's sum, and its table from the files' names. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "server/store_parts.h"

enum { KEEP_DAYS = 30 };

typedef struct {
    jl_store *s;
    uint32_t group;
    uint64_t oldest; /* records used before go */
    bool ok;
} scan;

static bool scan_record(void *ctx, const jl_folder_item *item)
{
    scan *c = ctx;
    jl_record r = {.n_bytes = item->n_bytes,
                   .used_at = jl_store_seconds(item->modified_ns),
                   .group = c->group};

    if (item->is_folder)
        return true;
    if (jl_store_parse_name(item->name, &r.id) && item->n_bytes > sizeof(jl_record_header) &&
        item->modified_ns >= c->oldest) {
        c->ok = jl_store_insert(c->s, r);
        return c->ok;
    }
    /* too old, cut short, or a temporary file of a killed process */
    char folder[JL_STORE_PATH_CAP];
    char path[JL_STORE_PATH_CAP + 257];
    jl_store_folder(c->s, c->group, folder);
    snprintf(path, sizeof path, "%s/%.255s", folder, item->name);
    (void)jl_file_remove(path);
    return true;
}

static bool scan_folder(void *ctx, const jl_folder_item *item)
{
    scan *c = ctx;
    jl_store *s = c->s;
    uint64_t key[2];
    int n = 0;

    if (!item->is_folder ||
        sscanf(item->name, "%16" SCNx64 "%16" SCNx64 "%n", &key[0], &key[1], &n) != 2 || n != 32 ||
        item->name[n] != '\0' || (key[0] == s->key[0] && key[1] == s->key[1]))
        return true;
    char(*others)[40] = jl_realloc(s->others, (s->n_others + 1) * sizeof *others);
    c->ok = others != NULL;
    if (!c->ok)
        return false;
    s->others = others;
    snprintf(others[s->n_others++], sizeof *others, "%.32s", item->name);
    return true;
}

static jl_status scan_key(jl_store *s, uint32_t group, jl_error *err)
{
    const uint64_t now = jl_clock_ns();
    scan c = {.s = s,
              .group = group,
              .oldest = now > KEEP_DAYS * JL_STORE_DAY_NS ? now - KEEP_DAYS * JL_STORE_DAY_NS : 0,
              .ok = true};
    char path[JL_STORE_PATH_CAP];

    jl_store_folder(s, group, path);
    if (group == 0)
        JL_TRY(jl_folder_make(path, err));
    JL_TRY(jl_folder_each(path, scan_record, &c, err));
    if (group)
        (void)jl_file_remove(path); /* if nothing is left in it */
    return c.ok ? JL_OK : jl_fail(err, JL_NO_MEMORY, "out of memory");
}

static jl_status scan_all(jl_store *s, jl_error *err)
{
    scan c = {.s = s, .ok = true};

    if (!jl_store_grow(s))
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    JL_TRY(jl_folder_each(s->folder, scan_folder, &c, err));
    if (!c.ok)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    for (uint32_t group = 0; group <= s->n_others; group++)
        JL_TRY(scan_key(s, group, err));
    return JL_OK;
}

static jl_status read_seed(jl_store *s, jl_error *err)
{
    char path[JL_STORE_PATH_CAP];
    char *data = NULL;
    size_t n = 0;

    snprintf(path, sizeof path, "%s/seed", s->folder);
    const jl_status status = jl_file_read(path, 1024, &data, &n, NULL);
    const bool known = status == JL_OK && n == sizeof s->seed;
    if (known)
        memcpy(s->seed, data, sizeof s->seed);
    jl_free(data);
    if (known)
        return JL_OK;
    if (!jl_random_bytes(s->seed, sizeof s->seed))
        return jl_fail(err, JL_IO, "the system gives no random bytes");
    return jl_store_write_small(path, s->seed, sizeof s->seed, err);
}

static void read_written(jl_store *s)
{
    char path[JL_STORE_PATH_CAP];
    char *data = NULL;
    size_t n;
    uint64_t day;
    uint64_t bytes;

    snprintf(path, sizeof path, "%s/written", s->folder);
    if (jl_file_read(path, 1024, &data, &n, NULL) == JL_OK &&
        sscanf(data, "%" SCNu64 " %" SCNu64, &day, &bytes) == 2 && day == jl_store_today())
        s->day_bytes = s->noted_bytes = bytes;
    jl_free(data);
    s->day = jl_store_today();
}

static jl_status open_parts(jl_store *s, jl_error *err)
{
    char path[JL_STORE_PATH_CAP];

    JL_TRY(jl_lock_create(&s->lock, err));
    JL_TRY(jl_folder_make(s->folder, err));
    snprintf(path, sizeof path, "%s/lock", s->folder);
    JL_TRY(jl_folder_lock_take(path, &s->held, err));
    JL_TRY(read_seed(s, err));
    read_written(s);
    JL_TRY(scan_all(s, err));
    (void)jl_store_make_room(s, 0);
    return JL_OK;
}

jl_status jl_store_open(const jl_store_params *params, jl_store **out, jl_error *err)
{
    jl_store *s;

    if (strlen(params->folder) >= sizeof s->folder)
        return jl_fail(err, JL_INVALID, "the name of the folder %.60s... is too long",
                       params->folder);
    s = jl_calloc(1, sizeof *s);
    if (!s)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    s->params = *params;
    snprintf(s->folder, sizeof s->folder, "%s", params->folder);
    const XXH128_hash_t key =
        XXH3_128bits_withSeed(params->key, strlen(params->key), JL_STORE_FORMAT);
    s->key[0] = key.low64;
    s->key[1] = key.high64;
    const jl_status status = open_parts(s, err);
    if (status != JL_OK) {
        jl_store_close(s);
        return status;
    }
    *out = s;
    return JL_OK;
}

void jl_store_close(jl_store *s)
{
    if (!s)
        return;
    if (s->held && s->lock && s->records)
        jl_store_sync(s);
    jl_folder_lock_leave(s->held);
    jl_lock_destroy(s->lock);
    jl_free(s->records);
    jl_free(s->buckets);
    jl_free(s->others);
    jl_free(s);
}
