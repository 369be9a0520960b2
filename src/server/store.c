/* A folder per key, a file per record:
 *
 *     folder/lock                      held while a process uses the store
 *     folder/seed                      16 secret bytes; the first 8 seed all hashes
 *     folder/written                   "DAY BYTES": bytes written on that day since 1970
 *     folder/<key>/<hash>-<index>.<kind>
 *
 * The table of records in memory is made of the names at the start. Files are written without a
 * name and linked when they are on the disk (joule/sys.h), so there are no halves; should a file be
 * damaged later, its checksum tells. */
#include "server/store.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "server/store_parts.h"

enum { COUNT_STEP = 64 << 20 }; /* bytes written between two notes of the day's sum */

JL_PRINTF(3, 4)
static void note(jl_store *s, jl_log_level level, const char *fmt, ...)
{
    char line[400];
    va_list args;

    if (!s->params.log)
        return;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    s->params.log(s->params.log_ctx, level, line);
}

/* Removes records until n more bytes fit. Files go outside the lock, which others wait for. */
bool jl_store_make_room(jl_store *s, uint64_t n_bytes)
{
    char path[JL_STORE_PATH_CAP];

    if (n_bytes > s->params.max_bytes)
        return false;
    for (;;) {
        jl_lock_take(s->lock);
        jl_record *r = s->n_bytes > s->params.max_bytes - n_bytes ? jl_store_least_worth(s) : NULL;
        if (r) {
            jl_store_path(s, r->id, r->group, path);
            jl_store_forget(s, r);
            s->n_evicted++;
        }
        jl_lock_leave(s->lock);
        if (!r)
            return true;
        (void)jl_file_remove(path);
    }
}

/* Times count in whole seconds: what is used together is equally old. */
uint64_t jl_store_seconds(uint64_t ns)
{
    return ns / 1000000000u * 1000000000u;
}

uint64_t jl_store_today(void)
{
    return jl_clock_ns() / JL_STORE_DAY_NS;
}

void jl_store_note_written(jl_store *s)
{
    char path[JL_STORE_PATH_CAP];
    char text[64];

    snprintf(path, sizeof path, "%s/written", s->folder);
    const int n = snprintf(text, sizeof text, "%" PRIu64 " %" PRIu64 "\n", s->day, s->day_bytes);
    if (jl_store_write_small(path, text, (size_t)n, NULL) == JL_OK)
        s->noted_bytes = s->day_bytes;
}

uint64_t jl_store_seed(const jl_store *s)
{
    return s->seed[0];
}

jl_hash jl_store_chain(const jl_store *s, jl_hash before, const int32_t *tokens)
{
    struct {
        jl_hash before;
        int32_t tokens[JL_BLOCK_TOKENS];
    } in = {.before = before};

    memcpy(in.tokens, tokens, sizeof in.tokens);
    const XXH128_hash_t digest = XXH3_128bits_withSeed(&in, sizeof in, s->seed[0]);
    return (jl_hash){digest.low64, digest.high64};
}

uint64_t jl_store_find(jl_store *s, jl_record_id id)
{
    jl_lock_take(s->lock);
    const jl_record *r = jl_store_lookup(s, id);
    const uint64_t n = r && r->id.index == id.index ? r->n_bytes - sizeof(jl_record_header) : 0;
    jl_lock_leave(s->lock);
    return n;
}

static uint64_t now_s(void)
{
    return jl_store_seconds(jl_clock_ns());
}

static void use(jl_record *r)
{
    r->used_at = now_s();
    r->touched = true;
}

void jl_store_touch(jl_store *s, jl_record_id id)
{
    jl_lock_take(s->lock);
    jl_record *r = jl_store_lookup(s, id);
    if (r)
        use(r);
    jl_lock_leave(s->lock);
}

bool jl_store_is_writable(jl_store *s)
{
    jl_lock_take(s->lock);
    const bool ok = !s->failed && !(s->full_today && s->day == jl_store_today());
    jl_lock_leave(s->lock);
    return ok;
}

/* Whether a record is new, and within the day's share. */
static bool may_write(jl_store *s, jl_record_id id, uint64_t n_bytes)
{
    if (s->failed || (jl_store_lookup(s, id) && id.kind != JL_RECORD_TURN))
        return false;
    if (s->day != jl_store_today()) {
        s->day = jl_store_today();
        s->day_bytes = s->noted_bytes = 0;
        s->full_today = false;
    }
    if (!s->params.max_daily || s->day_bytes + n_bytes <= s->params.max_daily)
        return true;
    if (!s->full_today)
        note(s, JL_LOG_INFO,
             "cache on disk: %.1f GB were written today, nothing more is until midnight UTC",
             (double)s->day_bytes / 1e9);
    s->full_today = true;
    return false;
}

/* Takes a record out of the table, then its file away. */
static bool erase(jl_store *s, jl_record_id id, char path[JL_STORE_PATH_CAP])
{
    jl_lock_take(s->lock);
    jl_record *r = jl_store_lookup(s, id);
    if (r) {
        jl_store_path(s, r->id, 0, path);
        jl_store_forget(s, r);
    }
    jl_lock_leave(s->lock);
    return r && jl_file_remove(path);
}

void jl_store_put(jl_store *s, jl_record_id id, const void *a, size_t a_bytes, const void *b,
                  size_t b_bytes)
{
    const uint64_t n_bytes = sizeof(jl_record_header) + a_bytes + b_bytes;
    char path[JL_STORE_PATH_CAP];
    jl_error err = {0};

    jl_lock_take(s->lock);
    const bool go_on = may_write(s, id, n_bytes);
    jl_lock_leave(s->lock);
    if (!go_on || !jl_store_make_room(s, n_bytes))
        return;
    (void)erase(s, id, path); /* a turn that was answered again */
    const jl_status status = jl_store_write_record(s, id, a, a_bytes, b, b_bytes, &err);

    jl_lock_take(s->lock);
    if (status == JL_OK) {
        (void)jl_store_insert(s, (jl_record){.id = id, .n_bytes = n_bytes, .used_at = now_s()});
        s->day_bytes += n_bytes;
        s->n_written += n_bytes;
    } else {
        s->failed = true;
    }
    jl_lock_leave(s->lock);
    if (status != JL_OK)
        note(s, JL_LOG_ERROR, "cache on disk: %s; nothing more is written, what is there is used",
             err.text);
    else if (s->day_bytes - s->noted_bytes > COUNT_STEP)
        jl_store_note_written(s);
}

void jl_store_drop(jl_store *s, jl_record_id id, const char *why)
{
    char path[JL_STORE_PATH_CAP];

    if (!erase(s, id, path))
        return;
    jl_lock_take(s->lock);
    s->n_damaged++;
    jl_lock_leave(s->lock);
    note(s, JL_LOG_ERROR, "cache on disk: dropped %s: %s", path, why);
}

jl_store_result jl_store_get(jl_store *s, jl_record_id id, uint8_t **out, size_t *n_bytes)
{
    char path[JL_STORE_PATH_CAP];
    char *data = NULL;
    size_t n = 0;
    jl_error err;
    const uint64_t want = jl_store_find(s, id);

    *out = NULL;
    if (want == 0)
        return JL_STORE_GONE;
    jl_store_path(s, id, 0, path);
    const jl_status status = jl_file_read(path, want + sizeof(jl_record_header), &data, &n, &err);
    if (status == JL_NO_MEMORY)
        return JL_STORE_UNUSABLE;
    const char *bad = status != JL_OK ? err.text : jl_store_check_record(s, id, data, n);
    if (bad) {
        jl_store_drop(s, id, bad);
        jl_free(data);
        return JL_STORE_UNUSABLE;
    }
    memmove(data, data + sizeof(jl_record_header), n - sizeof(jl_record_header));
    *n_bytes = n - sizeof(jl_record_header);
    *out = (uint8_t *)data;
    return JL_STORE_READ;
}

typedef struct {
    jl_record_id id;
    uint64_t used_at;
} dated;

static int newer_first(const void *a, const void *b)
{
    const uint64_t x = ((const dated *)a)->used_at;
    const uint64_t y = ((const dated *)b)->used_at;

    return (x < y) - (x > y);
}

/* Records of a kind, or of all kinds (0) whose files' times are old; jl_free. */
static dated *list(jl_store *s, int kind, size_t *n)
{
    dated *items = jl_malloc(s->n_records * sizeof *items);

    *n = 0;
    for (uint32_t i = 1; items && i < s->n_records; i++) {
        jl_record *r = &s->records[i];
        if (!r->live || r->group || (kind ? (int)r->id.kind != kind : !r->touched))
            continue;
        items[(*n)++] = (dated){r->id, r->used_at};
        r->touched = r->touched && kind;
    }
    return items;
}

void jl_store_each(jl_store *s, jl_record_kind kind,
                   bool (*fn)(void *ctx, jl_record_id id, const uint8_t *data, size_t n_bytes),
                   void *ctx)
{
    size_t n;
    bool go_on = true;

    jl_lock_take(s->lock);
    dated *items = list(s, (int)kind, &n);
    jl_lock_leave(s->lock);
    if (n)
        qsort(items, n, sizeof *items, newer_first);
    for (size_t i = 0; i < n && go_on; i++) {
        size_t n_bytes;
        uint8_t *data;
        if (jl_store_get(s, items[i].id, &data, &n_bytes) != JL_STORE_READ)
            continue;
        go_on = fn(ctx, items[i].id, data, n_bytes);
        jl_free(data);
    }
    jl_free(items);
}

void jl_store_sync(jl_store *s)
{
    char path[JL_STORE_PATH_CAP];
    size_t n;

    jl_lock_take(s->lock);
    dated *items = list(s, 0, &n);
    jl_lock_leave(s->lock);
    for (size_t i = 0; i < n; i++) {
        jl_store_path(s, items[i].id, 0, path);
        jl_file_touch(path);
    }
    jl_free(items);
    jl_store_folder(s, 0, path);
    jl_folder_sync(path);
    if (s->day_bytes != s->noted_bytes)
        jl_store_note_written(s);
}

void jl_store_get_stats(jl_store *s, jl_store_stats *out)
{
    jl_lock_take(s->lock);
    *out = (jl_store_stats){.n_records = s->n_own,
                            .n_bytes = s->n_bytes,
                            .n_written_bytes = s->n_written,
                            .n_evicted = s->n_evicted,
                            .n_damaged = s->n_damaged};
    jl_lock_leave(s->lock);
}
