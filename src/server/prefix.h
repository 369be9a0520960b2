/* The prefix cache in memory. An entry is a sequence of the session with the exact tokens it holds;
 * a request forks the entry that shares the longest prefix with its prompt, and reads only the
 * rest. Forks share KV pages, so entries of one conversation store each token once.
 *
 * Used by the engine thread alone. */
#ifndef JL_SERVER_PREFIX_H
#define JL_SERVER_PREFIX_H

#include <stdbool.h>

#include "joule/joule.h"

typedef struct jl_prefix jl_prefix;

typedef struct {
    bool small;      /* of a small request: goes first, and takes no room from others */
    bool checkpoint; /* a place where other requests may branch off: stays fresh when it is used */
} jl_prefix_kind;

typedef struct {
    uint32_t n_entries, n_running;
    uint64_t n_tokens;         /* of all entries; shared ones counted each time */
    uint64_t n_hits, n_misses; /* lookups that found something, and not */
    uint64_t n_evicted;
} jl_prefix_stats;

/* n_seq sequences, 0 .. n_seq-1, all of the session's. The session must outlive it. */
JL_MUST_CHECK jl_status jl_prefix_create(jl_session *session, uint32_t n_seq, jl_prefix **out,
                                         jl_error *err);
void jl_prefix_destroy(jl_prefix *p); /* NULL is fine */

/* A sequence for a request, empty; entries go if there is no other. -1 if all are running. */
int32_t jl_prefix_take(jl_prefix *p, bool small);
/* Tells which tokens a running sequence holds or will hold, so that others can branch off it: the
 * caller's until the sequence is kept or given back. */
void jl_prefix_announce(jl_prefix *p, int32_t seq, const int32_t *tokens);
/* Number of tokens at the start of `tokens` that some entry or running sequence holds now, at most
 * n - 1 (the last one is needed for its logits); *src is that sequence. */
size_t jl_prefix_find(jl_prefix *p, const int32_t *tokens, size_t n, int32_t *src);
/* Forks the longest prefix into dst, an empty sequence from jl_prefix_take; returns its length. */
size_t jl_prefix_fork(jl_prefix *p, const int32_t *tokens, size_t n, int32_t dst);

/* A running sequence becomes an entry that holds what has been read of tokens (copied). An entry
 * with the same tokens is replaced. Without memory the sequence is given back. */
void jl_prefix_keep(jl_prefix *p, int32_t seq, const int32_t *tokens, jl_prefix_kind kind);
/* Makes an entry of the first n tokens of a running sequence, if there is room for one. */
void jl_prefix_checkpoint(jl_prefix *p, int32_t seq, const int32_t *tokens, size_t n,
                          jl_prefix_kind kind);
/* Clears a running sequence. */
void jl_prefix_give_back(jl_prefix *p, int32_t seq);
/* Drops the entry that is least worth keeping; false if there is none. For a small request only
 * entries of small ones go. */
bool jl_prefix_evict(jl_prefix *p, bool small);

/* ---- entries that are to be stored elsewhere: all but those of small requests ------------- */

typedef struct {
    int32_t seq;
    uint64_t id;           /* of this entry: a sequence holds others later */
    const int32_t *tokens; /* [n], the entry's */
    size_t n;
} jl_prefix_entry;

/* The oldest entry that has not been reported as saved; false: none. */
bool jl_prefix_unsaved(const jl_prefix *p, jl_prefix_entry *out);
void jl_prefix_saved(jl_prefix *p, int32_t seq, uint64_t id);
/* Tokens of an entry; NULL: it is gone. */
const int32_t *jl_prefix_tokens(const jl_prefix *p, int32_t seq, uint64_t id);

void jl_prefix_get_stats(const jl_prefix *p, jl_prefix_stats *out);

#endif
