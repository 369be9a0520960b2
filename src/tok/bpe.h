/* Byte-pair merging by rank over a sequence of symbols, in bounded memory and near-linear time. */
#ifndef JL_TOK_BPE_H
#define JL_TOK_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Where tokens go. n counts all of them, ids holds the first cap. */
typedef struct {
    int32_t *ids;
    size_t cap;
    size_t n;
} jl_tok_out;

static inline void jl_tok_put(jl_tok_out *out, int32_t id)
{
    if (out->n < out->cap)
        out->ids[out->n] = id;
    out->n++;
}

typedef struct jl_bpe jl_bpe;

/* A table for at most n_merges merges. Filled by one thread, then immutable. */
JL_MUST_CHECK jl_status jl_bpe_create(size_t n_merges, jl_bpe **out, jl_error *err);
void jl_bpe_destroy(jl_bpe *bpe);

typedef struct {
    int32_t left, right, merged; /* tokens */
    int32_t last_symbol;         /* last initial symbol of left */
    int32_t first_symbol;        /* first initial symbol of right */
} jl_bpe_merge;

/* Starts loading the place of a pair, for many of them at once. */
void jl_bpe_load(const jl_bpe *bpe, int32_t left, int32_t right);

/* Enters the next merge; each has a higher rank than those before. A pair already there is kept. */
void jl_bpe_add(jl_bpe *bpe, const jl_bpe_merge *merge);

/* false if no merge can ever remove the boundary between two adjacent initial symbols, so that the
 * text can be cut there without changing the result. */
bool jl_bpe_may_join(const jl_bpe *bpe, int32_t a, int32_t b);

/* Scratch of one encode call. */
typedef struct {
    void *block;       /* the memory of all arrays below */
    size_t n_max;      /* symbols a run takes */
    int32_t *window;   /* [n_max] initial symbols of the run */
    int32_t *id;       /* [n_max] token that starts at this symbol */
    int32_t *next;     /* [n_max] next token's start, n at the end */
    int32_t *prev;     /* [n_max] */
    uint32_t *rank;    /* [n_max] of the pair that starts here */
    int32_t *merged;   /* [n_max] what the pair becomes */
    uint64_t *heap;    /* [2 * n_max] rank << 32 | start, lowest first, some stale */
    size_t n_heap;
    size_t n;          /* symbols of the last run */
} jl_bpe_work;

/* Scratch for segments of up to n_symbols; longer ones work too. false: out of memory. */
JL_MUST_CHECK bool jl_bpe_work_init(jl_bpe_work *w, size_t n_symbols);
void jl_bpe_work_free(jl_bpe_work *w);

/* The initial symbols of a segment. */
typedef struct {
    /* The next cap symbols; fewer only at the end. */
    size_t (*read)(void *ctx, int32_t *symbols, size_t cap);
    void (*rewind)(void *ctx); /* back to the segment's start */
    void *ctx;
} jl_bpe_source;

/* Appends the tokens of one segment. Merges the pair of lowest rank, the leftmost of several,
 * until none is left. false: out of memory. */
JL_MUST_CHECK bool jl_bpe_encode(const jl_bpe *bpe, jl_bpe_work *w, const jl_bpe_source *source,
                                 jl_tok_out *out);

#endif
