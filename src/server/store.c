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

#include "base/folder.h"
#include "base/mem.h"
#include "base/thread.h"

enum { FORMAT_VERSION = 1, PATH_CAP = 1200, NAME_CAP = 64, KEEP_DAYS = 30 };
enum { COUNT_STEP = 64 << 20 }; /* bytes written between two notes of the day's sum */
#define DAY_NS 86400000000000u

typedef struct {
    jl_record_id id;
    uint64_t n_bytes; /* of the file */
    uint64_t used_at; /* ns since 1970 */
    uint32_t next;    /* in its bucket, or in the free list; 0: none */
    uint32_t group;   /* 0: of this key; else of another one: index + 1 of its folder */
    bool live;
    bool touched; /* used_at is newer than the file's time */
} record;

typedef struct {
    char magic[8];
    uint32_t version, kind;
    uint64_t key[2];
    jl_hash hash;
    uint32_t index, unused;
    uint64_t n_bytes; /* of the content */
    uint64_t sum[2];  /* of the content and of everything above */
} header;

struct jl_store {
    char folder[PATH_CAP - NAME_CAP * 2];
    jl_store_params params;
    uint64_t key[2];
    uint64_t seed[2];
    jl_folder_lock *held;
    jl_lock *lock;

    /* Under the lock. */
    record *records; /* [cap], index 0 unused */
    uint32_t n_records, cap, free_list;
    uint32_t *buckets; /* [n_buckets], a power of two */
    uint32_t n_buckets;
    char (*others)[40]; /* folders of other keys */
    uint32_t n_others;
    uint64_t n_bytes, day, day_bytes, noted_bytes, n_written;
    uint64_t n_own, n_evicted, n_damaged;
    bool full_today, failed;
};

static const char magic[8] = {'j', 'o', 'u', 'l', 'e', 'r', 'e', 'c'};

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

/* ---- names ------------------------------------------------------------------------------ */

static void path_of(const jl_store *s, jl_record_id id, uint32_t group, char out[PATH_CAP])
{
    char own[40];

    snprintf(own, sizeof own, "%016" PRIx64 "%016" PRIx64, s->key[0], s->key[1]);
    snprintf(out, PATH_CAP, "%s/%s/%016" PRIx64 "%016" PRIx64 "-%06" PRIx32 ".%c", s->folder,
             group ? s->others[group - 1] : own, id.hash.lo, id.hash.hi, id.index, (char)id.kind);
}

static bool parse_name(const char *name, jl_record_id *id)
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

/* ---- the table -------------------------------------------------------------------------- */

static bool same(jl_record_id a, jl_record_id b)
{
    return a.kind == b.kind && a.hash.lo == b.hash.lo && a.hash.hi == b.hash.hi;
}

static uint32_t *bucket_of(const jl_store *s, jl_record_id id)
{
    return &s->buckets[(id.hash.lo ^ (uint64_t)id.kind) & (s->n_buckets - 1)];
}

static record *lookup(const jl_store *s, jl_record_id id)
{
    for (uint32_t i = s->n_buckets ? *bucket_of(s, id) : 0; i; i = s->records[i].next)
        if (same(s->records[i].id, id))
            return &s->records[i];
    return NULL;
}

static bool grow(jl_store *s)
{
    const uint32_t cap = s->cap ? s->cap * 2 : 1024;
    record *records = jl_realloc(s->records, cap * sizeof *records);

    if (!records)
        return false;
    s->records = records;
    uint32_t *buckets = jl_calloc(cap, sizeof *buckets);
    if (!buckets)
        return false;
    jl_free(s->buckets);
    s->buckets = buckets;
    s->n_buckets = cap;
    for (uint32_t i = 1; i < s->n_records; i++) {
        record *r = &records[i];
        if (!r->live || r->group)
            continue;
        uint32_t *b = bucket_of(s, r->id);
        r->next = *b;
        *b = i;
    }
    s->n_records = s->n_records ? s->n_records : 1;
    s->cap = cap;
    return true;
}

static bool insert(jl_store *s, record r)
{
    if (!s->free_list && s->n_records == s->cap && !grow(s))
        return false;
    uint32_t i = s->free_list;
    if (i)
        s->free_list = s->records[i].next;
    else
        i = s->n_records++;
    r.live = true;
    if (r.group == 0) {
        uint32_t *b = bucket_of(s, r.id);
        r.next = *b;
        *b = i;
        s->n_own++;
    }
    s->records[i] = r;
    s->n_bytes += r.n_bytes;
    return true;
}

static void forget(jl_store *s, record *r)
{
    const uint32_t i = (uint32_t)(r - s->records);

    if (r->group == 0) {
        uint32_t *link = bucket_of(s, r->id);
        while (*link != i)
            link = &s->records[*link].next;
        *link = r->next;
        s->n_own--;
    }
    s->n_bytes -= r->n_bytes;
    r->live = false;
    r->next = s->free_list;
    s->free_list = i;
}

/* Whether a is less worth keeping than b: of records used together those of other keys go first,
 * then the deeper blocks. */
static bool goes_before(const record *a, const record *b)
{
    if (a->used_at != b->used_at)
        return a->used_at < b->used_at;
    if (!a->group != !b->group)
        return a->group != 0;
    return a->id.index > b->id.index;
}

static record *least_worth(const jl_store *s)
{
    record *worst = NULL;

    for (uint32_t i = 1; i < s->n_records; i++) {
        record *r = &s->records[i];
        if (r->live && (!worst || goes_before(r, worst)))
            worst = r;
    }
    return worst;
}

/* Removes records until n more bytes fit. Files go outside the lock, which others wait for. */
static bool make_room(jl_store *s, uint64_t n_bytes)
{
    char path[PATH_CAP];

    if (n_bytes > s->params.max_bytes)
        return false;
    for (;;) {
        jl_lock_take(s->lock);
        record *r = s->n_bytes > s->params.max_bytes - n_bytes ? least_worth(s) : NULL;
        if (r) {
            path_of(s, r->id, r->group, path);
            forget(s, r);
            s->n_evicted++;
        }
        jl_lock_leave(s->lock);
        if (!r)
            return true;
        (void)jl_file_remove(path);
    }
}

/* ---- opening ---------------------------------------------------------------------------- */

/* Times count in whole seconds: what is used together is equally old. */
static uint64_t whole_seconds(uint64_t ns)
{
    return ns / 1000000000u * 1000000000u;
}

typedef struct {
    jl_store *s;
    uint32_t group;
    uint64_t oldest; /* records used before go */
    bool ok;
} scan;

static bool scan_record(void *ctx, const jl_folder_item *item)
{
    scan *c = ctx;
    record r = {
        .n_bytes = item->n_bytes, .used_at = whole_seconds(item->modified_ns), .group = c->group};

    if (item->is_folder)
        return true;
    if (parse_name(item->name, &r.id) && item->n_bytes > sizeof(header) &&
        item->modified_ns >= c->oldest) {
        c->ok = insert(c->s, r);
        return c->ok;
    }
    /* too old, cut short, or a temporary file of a killed process */
    char path[PATH_CAP + 256];
    char own[40];
    snprintf(own, sizeof own, "%016" PRIx64 "%016" PRIx64, c->s->key[0], c->s->key[1]);
    snprintf(path, sizeof path, "%s/%s/%.255s", c->s->folder,
             c->group ? c->s->others[c->group - 1] : own, item->name);
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

static jl_status scan_key(jl_store *s, const char *name, uint32_t group, jl_error *err)
{
    const uint64_t now = jl_clock_ns();
    scan c = {.s = s,
              .group = group,
              .oldest = now > KEEP_DAYS * DAY_NS ? now - KEEP_DAYS * DAY_NS : 0,
              .ok = true};
    char path[PATH_CAP];

    snprintf(path, sizeof path, "%s/%s", s->folder, name);
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
    char own[40];

    if (!grow(s))
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    JL_TRY(jl_folder_each(s->folder, scan_folder, &c, err));
    if (!c.ok)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    snprintf(own, sizeof own, "%016" PRIx64 "%016" PRIx64, s->key[0], s->key[1]);
    JL_TRY(scan_key(s, own, 0, err));
    for (uint32_t i = 0; i < s->n_others; i++)
        JL_TRY(scan_key(s, s->others[i], i + 1, err));
    return JL_OK;
}

static jl_status write_small(const char *path, const void *data, size_t n, jl_error *err)
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

static jl_status read_seed(jl_store *s, jl_error *err)
{
    char path[PATH_CAP];
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
    return write_small(path, s->seed, sizeof s->seed, err);
}

static uint64_t today(void)
{
    return jl_clock_ns() / DAY_NS;
}

static void read_written(jl_store *s)
{
    char path[PATH_CAP];
    char *data = NULL;
    size_t n;
    uint64_t day;
    uint64_t bytes;

    snprintf(path, sizeof path, "%s/written", s->folder);
    if (jl_file_read(path, 1024, &data, &n, NULL) == JL_OK &&
        sscanf(data, "%" SCNu64 " %" SCNu64, &day, &bytes) == 2 && day == today())
        s->day_bytes = s->noted_bytes = bytes;
    jl_free(data);
    s->day = today();
}

static jl_status open_parts(jl_store *s, jl_error *err)
{
    char path[PATH_CAP];

    JL_TRY(jl_lock_create(&s->lock, err));
    JL_TRY(jl_folder_make(s->folder, err));
    snprintf(path, sizeof path, "%s/lock", s->folder);
    JL_TRY(jl_folder_lock_take(path, &s->held, err));
    JL_TRY(read_seed(s, err));
    read_written(s);
    JL_TRY(scan_all(s, err));
    (void)make_room(s, 0);
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
        XXH3_128bits_withSeed(params->key, strlen(params->key), FORMAT_VERSION);
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

static void note_written(jl_store *s)
{
    char path[PATH_CAP];
    char text[64];

    snprintf(path, sizeof path, "%s/written", s->folder);
    const int n = snprintf(text, sizeof text, "%" PRIu64 " %" PRIu64 "\n", s->day, s->day_bytes);
    if (write_small(path, text, (size_t)n, NULL) == JL_OK)
        s->noted_bytes = s->day_bytes;
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

/* ---- hashes ----------------------------------------------------------------------------- */

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

static void checksum(const header *h, const void *a, size_t a_bytes, const void *b, size_t b_bytes,
                     uint64_t sum[2])
{
    XXH3_state_t state;

    memset(&state, 0, sizeof state); /* XXH3_INITSTATE leaves a field that reset reads */
    XXH3_128bits_reset(&state);
    XXH3_128bits_update(&state, h, offsetof(header, sum));
    if (a_bytes)
        XXH3_128bits_update(&state, a, a_bytes);
    if (b_bytes)
        XXH3_128bits_update(&state, b, b_bytes);
    const XXH128_hash_t digest = XXH3_128bits_digest(&state);
    sum[0] = digest.low64;
    sum[1] = digest.high64;
}

static header header_of(const jl_store *s, jl_record_id id, uint64_t n_bytes)
{
    header h = {.version = FORMAT_VERSION,
                .kind = (uint32_t)id.kind,
                .key = {s->key[0], s->key[1]},
                .hash = id.hash,
                .index = id.index,
                .n_bytes = n_bytes};

    memcpy(h.magic, magic, sizeof magic);
    return h;
}

/* ---- records ---------------------------------------------------------------------------- */

uint64_t jl_store_find(jl_store *s, jl_record_id id)
{
    jl_lock_take(s->lock);
    const record *r = lookup(s, id);
    const uint64_t n = r && r->id.index == id.index ? r->n_bytes - sizeof(header) : 0;
    jl_lock_leave(s->lock);
    return n;
}

static uint64_t now_s(void)
{
    return whole_seconds(jl_clock_ns());
}

static void use(record *r)
{
    r->used_at = now_s();
    r->touched = true;
}

void jl_store_touch(jl_store *s, jl_record_id id)
{
    jl_lock_take(s->lock);
    record *r = lookup(s, id);
    if (r)
        use(r);
    jl_lock_leave(s->lock);
}

bool jl_store_is_writable(jl_store *s)
{
    jl_lock_take(s->lock);
    const bool ok = !s->failed && !(s->full_today && s->day == today());
    jl_lock_leave(s->lock);
    return ok;
}

/* Whether a record is new, and within the day's share. */
static bool may_write(jl_store *s, jl_record_id id, uint64_t n_bytes)
{
    if (s->failed || (lookup(s, id) && id.kind != JL_RECORD_TURN))
        return false;
    if (s->day != today()) {
        s->day = today();
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

static jl_status write_record(const char *path, const header *h, const void *a, size_t a_bytes,
                              const void *b, size_t b_bytes, jl_error *err)
{
    jl_writer *w;

    JL_TRY(jl_writer_create(path, &w, err));
    jl_status status = jl_writer_make_private(w, err);
    if (status == JL_OK)
        status = jl_writer_reserve(w, sizeof *h + a_bytes + b_bytes, err);
    if (status == JL_OK)
        status = jl_writer_write(w, h, sizeof *h, err);
    if (status == JL_OK)
        status = jl_writer_write(w, a, a_bytes, err);
    if (status == JL_OK)
        status = jl_writer_write(w, b, b_bytes, err);
    if (status == JL_OK)
        return jl_writer_commit(w, err);
    jl_writer_abort(w);
    return status;
}

/* Takes a record out of the table, then its file away. */
static bool erase(jl_store *s, jl_record_id id, char path[PATH_CAP])
{
    jl_lock_take(s->lock);
    record *r = lookup(s, id);
    if (r) {
        path_of(s, r->id, 0, path);
        forget(s, r);
    }
    jl_lock_leave(s->lock);
    return r && jl_file_remove(path);
}

void jl_store_put(jl_store *s, jl_record_id id, const void *a, size_t a_bytes, const void *b,
                  size_t b_bytes)
{
    header h = header_of(s, id, a_bytes + b_bytes);
    const uint64_t n_bytes = sizeof h + a_bytes + b_bytes;
    char path[PATH_CAP];
    jl_error err = {0};

    jl_lock_take(s->lock);
    const bool go_on = may_write(s, id, n_bytes);
    jl_lock_leave(s->lock);
    if (!go_on || !make_room(s, n_bytes))
        return;
    (void)erase(s, id, path); /* a turn that was answered again */
    checksum(&h, a, a_bytes, b, b_bytes, h.sum);
    path_of(s, id, 0, path);
    const jl_status status = write_record(path, &h, a, a_bytes, b, b_bytes, &err);

    jl_lock_take(s->lock);
    if (status == JL_OK) {
        (void)insert(s, (record){.id = id, .n_bytes = n_bytes, .used_at = now_s()});
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
        note_written(s);
}

void jl_store_drop(jl_store *s, jl_record_id id, const char *why)
{
    char path[PATH_CAP];

    if (!erase(s, id, path))
        return;
    jl_lock_take(s->lock);
    s->n_damaged++;
    jl_lock_leave(s->lock);
    note(s, JL_LOG_ERROR, "cache on disk: dropped %s: %s", path, why);
}

/* What is wrong with a file; NULL: nothing. */
static const char *check(const jl_store *s, jl_record_id id, const char *data, size_t n)
{
    header h;
    header want;

    if (n < sizeof h)
        return "it is too short";
    memcpy(&h, data, sizeof h);
    want = header_of(s, id, n - sizeof h);
    checksum(&want, data + sizeof h, n - sizeof h, NULL, 0, want.sum);
    if (memcmp(&h, &want, offsetof(header, sum)) != 0)
        return "its head is not what its name says";
    return memcmp(h.sum, want.sum, sizeof h.sum) == 0 ? NULL : "its checksum is wrong";
}

uint8_t *jl_store_get(jl_store *s, jl_record_id id, size_t *n_bytes)
{
    char path[PATH_CAP];
    char *data = NULL;
    size_t n = 0;
    jl_error err;
    const uint64_t want = jl_store_find(s, id);

    if (want == 0)
        return NULL;
    path_of(s, id, 0, path);
    const jl_status status = jl_file_read(path, want + sizeof(header), &data, &n, &err);
    if (status == JL_NO_MEMORY)
        return NULL;
    const char *bad = status != JL_OK ? err.text : check(s, id, data, n);
    if (bad) {
        jl_store_drop(s, id, bad);
        jl_free(data);
        return NULL;
    }
    memmove(data, data + sizeof(header), n - sizeof(header));
    *n_bytes = n - sizeof(header);
    return (uint8_t *)data;
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
        record *r = &s->records[i];
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
        uint8_t *data = jl_store_get(s, items[i].id, &n_bytes);
        go_on = !data || fn(ctx, items[i].id, data, n_bytes);
        jl_free(data);
    }
    jl_free(items);
}

void jl_store_sync(jl_store *s)
{
    char path[PATH_CAP];
    size_t n;

    jl_lock_take(s->lock);
    dated *items = list(s, 0, &n);
    jl_lock_leave(s->lock);
    for (size_t i = 0; i < n; i++) {
        path_of(s, items[i].id, 0, path);
        jl_file_touch(path);
    }
    jl_free(items);
    snprintf(path, sizeof path, "%s/%016" PRIx64 "%016" PRIx64, s->folder, s->key[0], s->key[1]);
    jl_folder_sync(path);
    if (s->day_bytes != s->noted_bytes)
        note_written(s);
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
