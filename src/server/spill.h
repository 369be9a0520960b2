/* What the prefix cache holds goes to the disk, a block at a time, between the engine's steps. */
#ifndef JL_SERVER_SPILL_H
#define JL_SERVER_SPILL_H

#include "server/disk.h"
#include "server/prefix.h"

typedef struct {
    jl_session *session;
    jl_prefix *prefix;
    jl_disk *disk;
    uint64_t max_bytes; /* of the store: longer entries are not written */
    /* The entry being written. */
    int32_t seq; /* -1: none */
    uint64_t id;
    size_t n_blocks, first; /* of all layers; first one that window layers need */
    size_t at;              /* item: global blocks, then window blocks */
    jl_hash *hashes;        /* [n_blocks], owned */
} jl_spill;

typedef enum {
    JL_SPILL_IDLE,    /* everything is on its way */
    JL_SPILL_BLOCKED, /* the disk is busy: it will report progress */
    JL_SPILL_MORE     /* a block was handed over, others wait */
} jl_spill_state;

void jl_spill_init(jl_spill *sp, jl_session *session, jl_prefix *prefix, jl_disk *disk,
                   uint64_t max_bytes);
void jl_spill_free(jl_spill *sp);
/* Copies at most one block. */
jl_spill_state jl_spill_step(jl_spill *sp);

#endif
