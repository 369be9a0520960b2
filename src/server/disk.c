/* The disk's thread takes reads before writes. A load reads ahead by two blocks, the engine may
 * have two blocks waiting to be written: memory stays bounded, whatever the lengths. */
#include "server/disk.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"

enum { READ_AHEAD = 2, WRITE_BEHIND = 2, MAX_TURNS_WAITING = 64 };
enum { HEAD_BYTES = JL_BLOCK_TOKENS * sizeof(int32_t) };

typedef struct write_op {
    struct write_op *next;
    jl_record_id id;
    uint8_t *data; /* owned */
    size_t n_bytes;
} write_op;

typedef struct {
    jl_block_kind kind;
    size_t index;
    jl_hash hash;
} load_item;

struct jl_load {
    jl_load *next;
    int32_t *tokens;  /* owned */
    load_item *items; /* [n_items], owned */
    size_t n_items;
    size_t n_read, n_taken; /* items read, and handed out */
    uint8_t *ready[READ_AHEAD];
    bool failed, busy, abandoned;
    bool evicted; /* failed because a record had made room for another one: nothing is wrong */
};

struct jl_disk {
    jl_store *store;
    const jl_session *session;
    uint64_t block_bytes[JL_BLOCK_KINDS];
    jl_lock *lock;
    jl_thread *thread;

    /* Under the lock. */
    write_op *first, *last;
    uint32_t n_blocks, n_turns; /* waiting to be written */
    jl_load *loads;             /* in order of arrival */
    bool stop;
    bool unsynced;
    void (*progress)(void *ctx);
    void *progress_ctx;
    bool telling; /* progress is being called */
    uint64_t n_loads, n_loads_failed, n_loaded_tokens;
};

static const jl_record_kind record_kind[JL_BLOCK_KINDS] = {JL_RECORD_GLOBAL, JL_RECORD_WINDOW};

static jl_record_id block_id(jl_block_kind kind, jl_hash hash, size_t index)
{
    return (jl_record_id){.kind = record_kind[kind], .hash = hash, .index = (uint32_t)index};
}

/* ---- the thread ------------------------------------------------------------------------- */

static void load_free(jl_load *l)
{
    for (size_t i = 0; i < READ_AHEAD; i++)
        jl_free(l->ready[i]);
    jl_free(l->tokens);
    jl_free(l->items);
    jl_free(l);
}

/* The record of an item, checked against the tokens wanted. */
static jl_store_result read_item(jl_disk *d, const jl_load *l, const load_item *item,
                                 uint8_t **data)
{
    const jl_record_id id = block_id(item->kind, item->hash, item->index);
    size_t n;
    const jl_store_result got = jl_store_get(d->store, id, data, &n);

    if (got != JL_STORE_READ ||
        (n == HEAD_BYTES + d->block_bytes[item->kind] &&
         memcmp(*data, l->tokens + item->index * JL_BLOCK_TOKENS, HEAD_BYTES) == 0))
        return got;
    jl_store_drop(d->store, id, "it holds other tokens than its name says");
    jl_free(*data);
    *data = NULL;
    return JL_STORE_UNUSABLE;
}

static jl_load *load_to_read(jl_disk *d)
{
    for (jl_load *l = d->loads; l; l = l->next)
        if (!l->failed && l->n_read < l->n_items && l->n_read - l->n_taken < READ_AHEAD)
            return l;
    return NULL;
}

/* Calls the engine without the lock, because it calls back under its own. */
static void tell(jl_disk *d)
{
    void (*const fn)(void *) = d->progress;
    void *const ctx = d->progress_ctx;

    if (!fn)
        return;
    d->telling = true;
    jl_lock_leave(d->lock);
    fn(ctx);
    jl_lock_take(d->lock);
    d->telling = false;
    jl_lock_wake(d->lock);
}

static void read_one(jl_disk *d, jl_load *l)
{
    const load_item item = l->items[l->n_read];

    l->busy = true;
    jl_lock_leave(d->lock);
    uint8_t *data;
    const jl_store_result got = read_item(d, l, &item, &data);
    jl_lock_take(d->lock);
    l->busy = false;
    if (l->abandoned) {
        jl_free(data);
        load_free(l);
        return;
    }
    l->failed = got != JL_STORE_READ;
    l->evicted = got == JL_STORE_GONE;
    if (data)
        l->ready[l->n_read++ % READ_AHEAD] = data;
    tell(d);
}

static void write_one(jl_disk *d)
{
    write_op *op = d->first;

    d->first = op->next;
    if (!d->first)
        d->last = NULL;
    jl_lock_leave(d->lock);
    jl_store_put(d->store, op->id, op->data, op->n_bytes, NULL, 0);
    jl_lock_take(d->lock);
    d->unsynced = true;
    if (op->id.kind == JL_RECORD_TURN)
        d->n_turns--;
    else
        d->n_blocks--;
    jl_free(op->data);
    jl_free(op);
    tell(d);
}

static void disk_main(void *ctx)
{
    jl_disk *d = ctx;

    jl_lock_take(d->lock);
    for (;;) {
        jl_load *l = load_to_read(d);
        if (l) {
            read_one(d, l);
        } else if (d->first) {
            write_one(d);
        } else if (d->unsynced) {
            d->unsynced = false;
            jl_lock_leave(d->lock);
            jl_store_sync(d->store);
            jl_lock_take(d->lock);
        } else if (d->stop) {
            break;
        } else {
            jl_lock_wait(d->lock);
        }
    }
    jl_lock_leave(d->lock);
}

/* ---- making and ending ------------------------------------------------------------------ */

static jl_status open_parts(jl_disk *d, const jl_model *model, const jl_store_params *store,
                            jl_error *err)
{
    jl_store_params params = *store;
    uint64_t model_id[2];
    char arithmetic[128];
    char key[256];
    uint8_t probe;

    for (int k = 0; k < JL_BLOCK_KINDS; k++)
        d->block_bytes[k] = jl_session_block_bytes(d->session, (jl_block_kind)k);
    /* every sequence is empty now: JL_INVALID means that blocks can be copied */
    const jl_status status = jl_seq_get_block(d->session, 0, JL_BLOCK_GLOBAL, 0, &probe, err);
    if (status != JL_INVALID)
        return status == JL_OK ? JL_UNSUPPORTED : status;
    jl_model_fingerprint(model, model_id);
    jl_session_arithmetic(d->session, arithmetic, sizeof arithmetic);
    snprintf(key, sizeof key, "%016" PRIx64 "%016" PRIx64 " numerics %d %s", model_id[0],
             model_id[1], JL_NUMERICS_VERSION, arithmetic);
    params.key = key;
    JL_TRY(jl_store_open(&params, &d->store, err));
    JL_TRY(jl_lock_create(&d->lock, err));
    return jl_thread_start(disk_main, d, &d->thread, err);
}

jl_status jl_disk_create(const jl_model *model, const jl_session *session,
                         const jl_store_params *store, jl_disk **out, jl_error *err)
{
    jl_disk *d = jl_calloc(1, sizeof *d);

    if (!d)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    d->session = session;
    const jl_status status = open_parts(d, model, store, err);
    if (status != JL_OK) {
        jl_disk_destroy(d);
        return status;
    }
    *out = d;
    return JL_OK;
}

void jl_disk_destroy(jl_disk *d)
{
    if (!d)
        return;
    if (d->thread) {
        jl_lock_take(d->lock);
        d->stop = true;
        jl_lock_wake(d->lock);
        jl_lock_leave(d->lock);
        jl_thread_join(d->thread);
    }
    jl_store_close(d->store);
    jl_lock_destroy(d->lock);
    jl_free(d);
}

void jl_disk_on_progress(jl_disk *d, void (*fn)(void *ctx), void *ctx)
{
    jl_lock_take(d->lock);
    while (d->telling)
        jl_lock_wait(d->lock);
    d->progress = fn;
    d->progress_ctx = ctx;
    jl_lock_leave(d->lock);
}

jl_store *jl_disk_store(jl_disk *d)
{
    return d->store;
}

void jl_disk_get_stats(jl_disk *d, jl_disk_stats *out)
{
    *out = (jl_disk_stats){0};
    jl_store_get_stats(d->store, &out->store);
    jl_lock_take(d->lock);
    out->n_loads = d->n_loads;
    out->n_loads_failed = d->n_loads_failed;
    out->n_loaded_tokens = d->n_loaded_tokens;
    jl_lock_leave(d->lock);
}

/* ---- looking up and loading ------------------------------------------------------------- */

static bool has(jl_disk *d, jl_block_kind kind, jl_hash hash, size_t index)
{
    return jl_store_find(d->store, block_id(kind, hash, index)) ==
           HEAD_BYTES + d->block_bytes[kind];
}

/* Hashes of the blocks at the start whose global part is there. */
static jl_hash *known_hashes(jl_disk *d, const int32_t *tokens, size_t n_blocks, size_t *n)
{
    jl_hash *hashes = n_blocks ? jl_malloc(n_blocks * sizeof *hashes) : NULL;
    jl_hash h = {0};

    for (*n = 0; hashes && *n < n_blocks; ++*n) {
        h = jl_store_chain(d->store, h, tokens + *n * JL_BLOCK_TOKENS);
        if (!has(d, JL_BLOCK_GLOBAL, h, *n))
            break;
        hashes[*n] = h;
    }
    return hashes;
}

/* The largest number of blocks, at most n, behind which a sequence can go on. */
static size_t whole(jl_disk *d, const jl_hash *hashes, size_t n)
{
    size_t best = 0;
    size_t run = 0; /* window blocks in a row that end here */

    if (d->block_bytes[JL_BLOCK_WINDOW] == 0)
        return n;
    for (size_t b = 0; b < n; b++) {
        run = has(d, JL_BLOCK_WINDOW, hashes[b], b) ? run + 1 : 0;
        const size_t first = jl_session_first_window_block(d->session, (b + 1) * JL_BLOCK_TOKENS);
        if (run >= b + 1 - first)
            best = b + 1;
    }
    return best;
}

size_t jl_disk_find(jl_disk *d, const int32_t *tokens, size_t n)
{
    size_t n_known;
    jl_hash *hashes = known_hashes(d, tokens, n / JL_BLOCK_TOKENS, &n_known);
    const size_t n_blocks = hashes ? whole(d, hashes, n_known) : 0;

    jl_free(hashes);
    return n_blocks * JL_BLOCK_TOKENS;
}

static bool list_items(jl_disk *d, jl_load *l, const int32_t *tokens, size_t n)
{
    const size_t n_blocks = n / JL_BLOCK_TOKENS;
    const bool windows = d->block_bytes[JL_BLOCK_WINDOW] > 0;
    const size_t first = windows ? jl_session_first_window_block(d->session, n) : n_blocks;
    jl_hash h = {0};

    l->tokens = jl_malloc(n * sizeof *l->tokens);
    l->items = jl_malloc(2 * n_blocks * sizeof *l->items);
    if (!l->tokens || !l->items)
        return false;
    memcpy(l->tokens, tokens, n * sizeof *tokens);
    for (size_t b = 0; b < n_blocks; b++) {
        h = jl_store_chain(d->store, h, l->tokens + b * JL_BLOCK_TOKENS);
        l->items[l->n_items++] = (load_item){JL_BLOCK_GLOBAL, b, h};
        if (b >= first)
            l->items[l->n_items++] = (load_item){JL_BLOCK_WINDOW, b, h};
    }
    return true;
}

jl_load *jl_disk_load(jl_disk *d, const int32_t *tokens, size_t n)
{
    jl_load *l = jl_calloc(1, sizeof *l);

    if (!l || !list_items(d, l, tokens, n)) {
        if (l)
            load_free(l);
        return NULL;
    }
    jl_lock_take(d->lock);
    jl_load **link = &d->loads;
    while (*link)
        link = &(*link)->next;
    *link = l;
    d->n_loads++;
    jl_lock_wake(d->lock);
    jl_lock_leave(d->lock);
    return l;
}

jl_load_state jl_disk_load_next(jl_disk *d, jl_load *l, jl_block *out)
{
    jl_load_state state = JL_LOAD_WAITS;

    jl_lock_take(d->lock);
    if (l->failed) {
        state = JL_LOAD_FAILED;
    } else if (l->n_taken == l->n_items) {
        state = JL_LOAD_DONE;
    } else if (l->n_taken < l->n_read) {
        const load_item *item = &l->items[l->n_taken];
        uint8_t **slot = &l->ready[l->n_taken++ % READ_AHEAD];
        *out = (jl_block){item->kind, item->index, *slot, *slot + HEAD_BYTES};
        *slot = NULL;
        state = JL_LOAD_BLOCK;
        jl_lock_wake(d->lock);
    }
    jl_lock_leave(d->lock);
    return state;
}

void jl_disk_load_end(jl_disk *d, jl_load *l)
{
    if (!l)
        return;
    jl_lock_take(d->lock);
    jl_load **link = &d->loads;
    while (*link != l)
        link = &(*link)->next;
    *link = l->next;
    if (l->n_taken == l->n_items)
        d->n_loaded_tokens += (l->items[l->n_items - 1].index + 1) * JL_BLOCK_TOKENS;
    d->n_loads_failed += l->failed && !l->evicted;
    l->abandoned = l->busy; /* then the disk's thread frees it */
    if (!l->busy)
        load_free(l);
    jl_lock_leave(d->lock);
}

/* ---- writing ---------------------------------------------------------------------------- */

bool jl_disk_has_room(jl_disk *d)
{
    jl_lock_take(d->lock);
    const bool room = d->n_blocks < WRITE_BEHIND;
    jl_lock_leave(d->lock);
    return room;
}

static void enqueue(jl_disk *d, jl_record_id id, uint8_t *data, size_t n_bytes)
{
    write_op *op = jl_calloc(1, sizeof *op);

    if (!op) {
        jl_free(data);
        return;
    }
    *op = (write_op){.id = id, .data = data, .n_bytes = n_bytes};
    jl_lock_take(d->lock);
    if (d->last)
        d->last->next = op;
    else
        d->first = op;
    d->last = op;
    *(id.kind == JL_RECORD_TURN ? &d->n_turns : &d->n_blocks) += 1;
    jl_lock_wake(d->lock);
    jl_lock_leave(d->lock);
}

uint8_t *jl_disk_block_new(const jl_disk *d, jl_block_kind kind, uint8_t **cells)
{
    uint8_t *data = jl_malloc(HEAD_BYTES + d->block_bytes[kind]);

    *cells = data ? data + HEAD_BYTES : NULL;
    return data;
}

void jl_disk_write_block(jl_disk *d, jl_block_kind kind, jl_hash hash, size_t index,
                         const int32_t *tokens, uint8_t *data)
{
    memcpy(data, tokens, HEAD_BYTES);
    enqueue(d, block_id(kind, hash, index), data, HEAD_BYTES + d->block_bytes[kind]);
}

void jl_disk_write_turn(jl_disk *d, jl_hash key, uint32_t flags, const int32_t *tokens, size_t n)
{
    const size_t n_bytes = n * sizeof *tokens;

    jl_lock_take(d->lock);
    const bool room = d->n_turns < MAX_TURNS_WAITING;
    jl_lock_leave(d->lock);
    uint8_t *data = room ? jl_malloc(n_bytes) : NULL;
    if (!data)
        return;
    memcpy(data, tokens, n_bytes);
    enqueue(d, (jl_record_id){JL_RECORD_TURN, key, flags}, data, n_bytes);
}
