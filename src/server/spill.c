/* Entries of small requests are not written; a block that is on the disk already is not written
 * again, so a conversation that grows costs its new tokens only. */
#include "server/spill.h"

#include "base/mem.h"

void jl_spill_init(jl_spill *sp, jl_session *session, jl_prefix *prefix, jl_disk *disk,
                   uint64_t max_bytes)
{
    *sp = (jl_spill){
        .session = session, .prefix = prefix, .disk = disk, .max_bytes = max_bytes, .seq = -1};
}

void jl_spill_free(jl_spill *sp)
{
    jl_free(sp->hashes);
    sp->hashes = NULL;
    sp->seq = -1;
}

static jl_record_id item_at(const jl_spill *sp, size_t at, jl_block_kind *kind, size_t *block)
{
    *kind = at < sp->n_blocks ? JL_BLOCK_GLOBAL : JL_BLOCK_WINDOW;
    *block = at < sp->n_blocks ? at : sp->first + at - sp->n_blocks;
    return (jl_record_id){*kind == JL_BLOCK_GLOBAL ? JL_RECORD_GLOBAL : JL_RECORD_WINDOW,
                          sp->hashes[*block], (uint32_t)*block};
}

static size_t n_items(const jl_spill *sp)
{
    return 2 * sp->n_blocks - sp->first;
}

/* Takes an entry that has not been written; false: there is none. */
static bool begin(jl_spill *sp)
{
    jl_prefix_entry e;

    jl_spill_free(sp);
    while (jl_prefix_unsaved(sp->prefix, &e)) {
        const size_t n = e.n / JL_BLOCK_TOKENS;
        const uint64_t window = jl_session_block_bytes(sp->session, JL_BLOCK_WINDOW);
        const size_t first =
            window ? jl_session_first_window_block(sp->session, n * JL_BLOCK_TOKENS) : n;
        const uint64_t n_bytes =
            n * jl_session_block_bytes(sp->session, JL_BLOCK_GLOBAL) + (n - first) * window;
        sp->hashes = n && n_bytes <= sp->max_bytes ? jl_malloc(n * sizeof *sp->hashes) : NULL;
        if (!sp->hashes) {
            jl_prefix_saved(sp->prefix, e.seq, e.id);
            continue;
        }
        sp->seq = e.seq;
        sp->id = e.id;
        sp->n_blocks = n;
        sp->first = first;
        sp->at = 0;
        jl_hash h = {0};
        for (size_t b = 0; b < n; b++) {
            h = jl_store_chain(jl_disk_store(sp->disk), h, e.tokens + b * JL_BLOCK_TOKENS);
            sp->hashes[b] = h;
        }
        return true;
    }
    return false;
}

static void finish(jl_spill *sp)
{
    jl_block_kind kind;
    size_t block;

    for (size_t at = 0; at < n_items(sp); at++)
        jl_store_touch(jl_disk_store(sp->disk), item_at(sp, at, &kind, &block));
    jl_prefix_saved(sp->prefix, sp->seq, sp->id);
    jl_spill_free(sp);
}

/* Copies the block; false: the entry cannot be written whole. */
static bool hand_over(jl_spill *sp, const int32_t *tokens)
{
    jl_block_kind kind;
    size_t block;
    uint8_t *cells;
    const jl_record_id id = item_at(sp, sp->at, &kind, &block);
    uint8_t *data = jl_disk_block_new(sp->disk, kind, &cells);

    if (!data || jl_seq_get_block(sp->session, sp->seq, kind, block, cells, NULL) != JL_OK) {
        jl_free(data);
        return false;
    }
    jl_disk_write_block(sp->disk, kind, id.hash, block, tokens + block * JL_BLOCK_TOKENS, data);
    sp->at++;
    return true;
}

jl_spill_state jl_spill_step(jl_spill *sp)
{
    jl_store *store = jl_disk_store(sp->disk);
    jl_block_kind kind;
    size_t block;

    if (!jl_store_is_writable(store))
        return JL_SPILL_IDLE;
    for (;;) {
        const int32_t *tokens = sp->seq >= 0 ? jl_prefix_tokens(sp->prefix, sp->seq, sp->id) : NULL;
        if (!tokens) { /* none, or it was dropped meanwhile */
            if (!begin(sp))
                return JL_SPILL_IDLE;
            continue;
        }
        while (sp->at < n_items(sp) && jl_store_find(store, item_at(sp, sp->at, &kind, &block)) > 0)
            sp->at++;
        if (sp->at == n_items(sp)) {
            finish(sp);
            continue;
        }
        if (!jl_disk_has_room(sp->disk))
            return JL_SPILL_BLOCKED;
        if (hand_over(sp, tokens))
            return JL_SPILL_MORE;
        finish(sp);
    }
}
