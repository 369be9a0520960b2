/* Records on disk: what the prefix cache keeps for the next start. A record is a file of its own,
 * named by a hash, that appears whole or not at all and carries a checksum; nothing else is needed
 * to open the store, so a process that was killed leaves it as good as it was. One process at a
 * time.
 *
 * Any thread may ask (find, touch, is_writable, get_stats); one thread reads and writes files. */
#ifndef JL_SERVER_STORE_H
#define JL_SERVER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "joule/server.h"

typedef struct jl_store jl_store;

typedef enum {
    JL_RECORD_GLOBAL = 'g', /* a block of global layers: 64 tokens, then the cells */
    JL_RECORD_WINDOW = 'w', /* the same of window layers */
    JL_RECORD_TURN = 't'    /* tokens of a remembered turn */
} jl_record_kind;

typedef struct {
    uint64_t lo, hi;
} jl_hash;

/* index: position of a block among those of its sequence, any number for others. */
typedef struct {
    jl_record_kind kind;
    jl_hash hash;
    uint32_t index;
} jl_record_id;

typedef struct {
    const char *folder; /* made if missing, mode 0700 */
    uint64_t max_bytes; /* of all records, those of other models included */
    uint64_t max_daily; /* bytes written per day (UTC); 0: any number */
    const char *key;    /* what the records depend on: other keys are other records */
    void (*log)(void *ctx, jl_log_level level, const char *line); /* any thread */
    void *log_ctx;
} jl_store_params;

typedef struct {
    uint64_t n_records, n_bytes; /* of this key; of all */
    uint64_t n_written_bytes;    /* since the start */
    uint64_t n_evicted, n_damaged;
} jl_store_stats;

/* JL_IO and JL_INVALID say why there is no store (not writable, used by another process). */
JL_MUST_CHECK jl_status jl_store_open(const jl_store_params *params, jl_store **out, jl_error *err);
void jl_store_close(jl_store *s); /* NULL is fine */

/* Secret of this store, so that nobody can make up two texts with one hash. Same at every start. */
uint64_t jl_store_seed(const jl_store *s);
/* Hash of a block of tokens behind those that `before` stands for (zero: none). */
jl_hash jl_store_chain(const jl_store *s, jl_hash before, const int32_t *tokens);

/* Bytes of a record's content; 0: there is none. */
uint64_t jl_store_find(jl_store *s, jl_record_id id);
/* Marks a record as used now. Of records used within one second the deeper blocks go first. */
void jl_store_touch(jl_store *s, jl_record_id id);
/* Writes a record of two pieces. Others go if there is no room. Does nothing once the day's share
 * is used up, and after a failure (one log line each). */
void jl_store_put(jl_store *s, jl_record_id id, const void *a, size_t a_bytes, const void *b,
                  size_t b_bytes);
typedef enum { JL_STORE_READ, JL_STORE_GONE, JL_STORE_UNUSABLE } jl_store_result;
/* Content of a record, jl_free. Otherwise *data is NULL: there is no such record (it may have been
 * evicted), or it could not be used: a damaged one is removed and logged, or memory was short. */
jl_store_result jl_store_get(jl_store *s, jl_record_id id, uint8_t **data, size_t *n_bytes);
/* Takes a record away that its reader cannot use. */
void jl_store_drop(jl_store *s, jl_record_id id, const char *why);
/* Calls fn for every record of a kind, newest first, with its content; false stops. */
void jl_store_each(jl_store *s, jl_record_kind kind,
                   bool (*fn)(void *ctx, jl_record_id id, const uint8_t *data, size_t n_bytes),
                   void *ctx);
void jl_store_sync(jl_store *s); /* names of new records and the count of bytes written */
bool jl_store_is_writable(jl_store *s);
void jl_store_get_stats(jl_store *s, jl_store_stats *out);

#endif
