/* The prefix cache on disk: a store of blocks and turns, and a thread that reads and writes it, so
 * that the engine never waits for a disk.
 *
 * Sequences are stored as blocks of 64 tokens named by a hash of all tokens up to their end; a
 * prompt is looked up block by block, and what is found is compared token by token. */
#ifndef JL_SERVER_DISK_H
#define JL_SERVER_DISK_H

#include "server/store.h"

typedef struct jl_disk jl_disk;
typedef struct jl_load jl_load;

/* store.key is made here: of the model, JL_NUMERICS_VERSION and the session's arithmetic. The
 * session and the model must outlive it. */
JL_MUST_CHECK jl_status jl_disk_create(const jl_model *model, const jl_session *session,
                                       const jl_store_params *store, jl_disk **out, jl_error *err);
/* Writes what waits, then frees. NULL is fine. */
void jl_disk_destroy(jl_disk *d);
/* fn is called from the disk's thread when a load has come further, or writes have room again. */
void jl_disk_on_progress(jl_disk *d, void (*fn)(void *ctx), void *ctx);
jl_store *jl_disk_store(jl_disk *d);

typedef struct {
    jl_store_stats store;
    uint64_t n_loads, n_loads_failed, n_loaded_tokens;
} jl_disk_stats;
void jl_disk_get_stats(jl_disk *d, jl_disk_stats *out); /* any thread */

/* ---- the engine's side ------------------------------------------------------------------ */

/* Tokens at the start that could be loaded: a multiple of 64, at most n. */
size_t jl_disk_find(jl_disk *d, const int32_t *tokens, size_t n);
/* Starts reading that many tokens' blocks (from jl_disk_find). NULL without memory. */
jl_load *jl_disk_load(jl_disk *d, const int32_t *tokens, size_t n);

typedef enum {
    JL_LOAD_WAITS,  /* nothing yet; progress will be reported */
    JL_LOAD_BLOCK,  /* *out is the next block; its data jl_free */
    JL_LOAD_DONE,   /* all were handed out */
    JL_LOAD_FAILED, /* a block was damaged (it is gone now) or memory ran out */
} jl_load_state;

typedef struct {
    jl_block_kind kind;
    size_t index;
    uint8_t *data; /* owned */
    const uint8_t *cells;
} jl_block;

jl_load_state jl_disk_load_next(jl_disk *d, jl_load *load, jl_block *out);
void jl_disk_load_end(jl_disk *d, jl_load *load); /* in any state; NULL is fine */

/* Whether a block may be handed over now. */
bool jl_disk_has_room(jl_disk *d);
/* Hands over a copy of a block, [64] tokens and the cells, made by jl_disk_block_new; data is
 * taken. */
uint8_t *jl_disk_block_new(const jl_disk *d, jl_block_kind kind, uint8_t **cells);
void jl_disk_write_block(jl_disk *d, jl_block_kind kind, jl_hash hash, size_t index,
                         const int32_t *tokens, uint8_t *data);

/* ---- turns: the event loop's side ------------------------------------------------------- */

/* Stores the tokens of a turn (copied). Dropped if too much is waiting. */
void jl_disk_write_turn(jl_disk *d, jl_hash key, uint32_t flags, const int32_t *tokens, size_t n);

#endif
