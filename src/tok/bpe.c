/* Byte-pair merging by rank.
 *
 * The rule: of all adjacent pairs of tokens that are a merge, replace the one of lowest rank, the
 * leftmost of several; repeat until none is left. Two facts make that quick for texts of any size.
 *
 * Cuts. A merge (L, R) removes exactly one boundary: the one between the last symbol of L and the
 * first symbol of R. If no merge of the table has that pair of symbols (a, b) there, the boundary
 * between an adjacent a and b is never removed. Then each side sees only its own merges, in the
 * order it would see them alone: whenever the rule picks a pair of one side, that pair is the best
 * of the side too. So the tokens of the whole are the tokens of the left side followed by those of
 * the right. The set of pairs is kept as a bitmap of hashes: a collision only misses a cut.
 *
 * Blocks. Call (s, t) sound if the text of s and t, encoded alone, gives [s, t]. A sequence of
 * tokens is the encoding of its text exactly if each adjacent pair is sound.
 *   If: suppose the rule crosses a boundary t_i | t_i+1 of the sequence, and take the first time.
 *   Until then nothing crossed any boundary, so inside the span of t_i t_i+1 the merges were those
 *   of that span alone, in that order (the best of all is the best of the span), and the crossing
 *   one is inside the span: the span alone would do it too, and (t_i, t_i+1) were not sound. So
 *   nothing crosses, and each span ends as it ends alone.
 *   Only if: no merge crossed the final boundaries, so each span of two saw just its own merges.
 * Hence encodings of overlapping blocks can be joined at any token that starts at the same symbol
 * in both: all pairs left of it are sound in the first, the others in the second. A long segment is
 * encoded block by block, each starting at a token of the one before; if the new block's first
 * token differs from that token, the blocks were too short to tell, and the segment is done again
 * with blocks twice as long, at the worst with one block for all of it. */
#include "tok/bpe.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"

enum {
    FILTER_BITS_PER_MERGE = 8, /* a wrong answer for at most one pair in nine */
    BLOCK_SYMBOLS = 4096,      /* scratch of a call stays in the L2 cache */
    SCAN_SYMBOLS = 24,         /* up to this length a linear search beats the heap */
};

#define RANK_NONE UINT32_MAX

typedef struct {
    int32_t left, right;
    uint32_t rank; /* RANK_NONE: empty */
    int32_t merged;
} merge_slot;

struct jl_bpe {
    merge_slot *slots;
    uint64_t mask;
    uint32_t n_added;  /* rank of the next merge */
    uint8_t *filter;   /* bitmap of hashes of (last symbol of left, first symbol of right) */
    int filter_shift;  /* from a hash to a bit of the filter */
};

static uint64_t pair_hash(int32_t a, int32_t b)
{
    const uint32_t pair[2] = {(uint32_t)a, (uint32_t)b};
    return XXH3_64bits(pair, sizeof pair);
}

jl_status jl_bpe_create(size_t n_merges, jl_bpe **out, jl_error *err)
{
    uint64_t n_slots = 16;
    while (n_slots < 2 * (uint64_t)n_merges)
        n_slots *= 2;

    int filter_log2 = 10;
    while (1ull << filter_log2 < FILTER_BITS_PER_MERGE * (uint64_t)n_merges)
        filter_log2++;

    jl_bpe *bpe = jl_calloc(1, sizeof *bpe);
    if (!bpe)
        goto no_memory;
    bpe->slots = jl_calloc((size_t)n_slots, sizeof *bpe->slots);
    bpe->filter = jl_calloc((size_t)1 << (filter_log2 - 3), 1);
    if (!bpe->slots || !bpe->filter)
        goto no_memory;

    for (uint64_t i = 0; i < n_slots; i++)
        bpe->slots[i].rank = RANK_NONE;
    bpe->mask = n_slots - 1;
    bpe->filter_shift = 64 - filter_log2;
    *out = bpe;
    return JL_OK;

no_memory:
    jl_bpe_destroy(bpe);
    return jl_fail(err, JL_NO_MEMORY, "no memory for %zu merges of the tokenizer", n_merges);
}

void jl_bpe_destroy(jl_bpe *bpe)
{
    if (!bpe)
        return;
    jl_free(bpe->slots);
    jl_free(bpe->filter);
    jl_free(bpe);
}

/* The slot of a pair, or the empty one where it belongs. The table is at most half full. */
static merge_slot *find_slot(const jl_bpe *bpe, int32_t left, int32_t right)
{
    uint64_t i = pair_hash(left, right) & bpe->mask;
    for (;; i = (i + 1) & bpe->mask) {
        merge_slot *s = &bpe->slots[i];
        if (s->rank == RANK_NONE || (s->left == left && s->right == right))
            return s;
    }
}

void jl_bpe_load(const jl_bpe *bpe, int32_t left, int32_t right)
{
    __builtin_prefetch(&bpe->slots[pair_hash(left, right) & bpe->mask], 1);
}

void jl_bpe_add(jl_bpe *bpe, const jl_bpe_merge *merge)
{
    const uint32_t rank = bpe->n_added++;
    merge_slot *s = find_slot(bpe, merge->left, merge->right);
    if (s->rank != RANK_NONE)
        return;

    *s = (merge_slot){merge->left, merge->right, rank, merge->merged};
    const uint64_t h =
        pair_hash(merge->last_symbol, merge->first_symbol) >> bpe->filter_shift;
    bpe->filter[h / 8] |= (uint8_t)(1u << (h % 8));
}

bool jl_bpe_may_join(const jl_bpe *bpe, int32_t a, int32_t b)
{
    const uint64_t h = pair_hash(a, b) >> bpe->filter_shift;
    return (bpe->filter[h / 8] >> (h % 8)) & 1;
}

/* ---- scratch ---------------------------------------------------------------------------- */

static bool work_alloc(jl_bpe_work *w, size_t n_max)
{
    if (n_max > INT32_MAX / 2)
        return false;

    uint8_t *p = jl_malloc(n_max * (2 * sizeof *w->heap + 6 * sizeof(int32_t)));
    if (!p)
        return false;
    jl_free(w->block);

    w->block = p;
    w->n_max = n_max;
    w->heap = (uint64_t *)(void *)p;
    w->window = (int32_t *)(void *)(w->heap + 2 * n_max);
    w->id = w->window + n_max;
    w->next = w->id + n_max;
    w->prev = w->next + n_max;
    w->merged = w->prev + n_max;
    w->rank = (uint32_t *)(void *)(w->merged + n_max);
    return true;
}

bool jl_bpe_work_init(jl_bpe_work *w, size_t n_symbols)
{
    memset(w, 0, sizeof *w);
    /* One more than a segment can have, so that reading it ends short of the block. */
    return work_alloc(w, n_symbols < BLOCK_SYMBOLS ? n_symbols + 1 : BLOCK_SYMBOLS);
}

void jl_bpe_work_free(jl_bpe_work *w)
{
    jl_free(w->block);
    memset(w, 0, sizeof *w);
}

/* ---- one run over at most n_max symbols ------------------------------------------------- */

static void set_pair(const jl_bpe *bpe, jl_bpe_work *w, size_t i)
{
    w->rank[i] = RANK_NONE;
    const size_t j = (size_t)w->next[i];
    if (j == w->n)
        return;

    const merge_slot *s = find_slot(bpe, w->id[i], w->id[j]);
    w->rank[i] = s->rank;
    w->merged[i] = s->merged;
}

/* Replaces the token at i and the next one by what they merge to. */
static void merge_at(jl_bpe_work *w, size_t i)
{
    const size_t j = (size_t)w->next[i];
    const int32_t k = w->next[j];

    w->id[i] = w->merged[i];
    w->next[i] = k;
    w->rank[j] = RANK_NONE;
    if ((size_t)k < w->n)
        w->prev[k] = (int32_t)i;
}

static void run_scan(const jl_bpe *bpe, jl_bpe_work *w)
{
    for (;;) {
        uint32_t best = RANK_NONE;
        size_t at = 0;
        for (size_t i = 0; i < w->n; i = (size_t)w->next[i]) {
            if (w->rank[i] < best) {
                best = w->rank[i];
                at = i;
            }
        }
        if (best == RANK_NONE)
            return;

        merge_at(w, at);
        set_pair(bpe, w, at);
        if (w->prev[at] >= 0)
            set_pair(bpe, w, (size_t)w->prev[at]);
    }
}

static void heap_down(uint64_t *heap, size_t n, size_t i)
{
    const uint64_t key = heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n)
            break;
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= key)
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = key;
}

static void heap_push(jl_bpe_work *w, size_t at)
{
    if (w->rank[at] == RANK_NONE)
        return;

    const uint64_t key = (uint64_t)w->rank[at] << 32 | at;
    size_t i = w->n_heap++;
    while (i > 0 && w->heap[(i - 1) / 2] > key) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = key;
}

static uint64_t heap_pop(jl_bpe_work *w)
{
    const uint64_t top = w->heap[0];
    w->heap[0] = w->heap[--w->n_heap];
    if (w->n_heap)
        heap_down(w->heap, w->n_heap, 0);
    return top;
}

/* A pair at a given start never comes back once it is gone, and each pair has its own rank: an
 * entry is stale exactly if its rank is not the one the start has now. Each merge takes one entry
 * and adds at most two, so there are never more than 2 n. */
static void run_heap(const jl_bpe *bpe, jl_bpe_work *w)
{
    w->n_heap = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (w->rank[i] != RANK_NONE)
            w->heap[w->n_heap++] = (uint64_t)w->rank[i] << 32 | i;
    }
    for (size_t i = w->n_heap / 2; i-- > 0;)
        heap_down(w->heap, w->n_heap, i);

    while (w->n_heap) {
        const uint64_t top = heap_pop(w);
        const size_t at = (size_t)(top & UINT32_MAX);
        if (w->rank[at] != top >> 32)
            continue;

        merge_at(w, at);
        set_pair(bpe, w, at);
        heap_push(w, at);
        if (w->prev[at] >= 0) {
            set_pair(bpe, w, (size_t)w->prev[at]);
            heap_push(w, (size_t)w->prev[at]);
        }
    }
}

/* Encodes n >= 1 symbols: afterwards id and next hold the tokens, the first at 0. */
static void run(const jl_bpe *bpe, jl_bpe_work *w, const int32_t *symbols, size_t n)
{
    w->n = n;
    for (size_t i = 0; i < n; i++) {
        w->id[i] = symbols[i];
        w->next[i] = (int32_t)i + 1;
        w->prev[i] = (int32_t)i - 1;
    }
    for (size_t i = 0; i < n; i++)
        set_pair(bpe, w, i);

    if (n <= SCAN_SYMBOLS)
        run_scan(bpe, w);
    else
        run_heap(bpe, w);
}

/* Appends the tokens that start before symbol end. */
static void emit(const jl_bpe_work *w, size_t end, jl_tok_out *out)
{
    for (size_t i = 0; i < end; i = (size_t)w->next[i])
        jl_tok_put(out, w->id[i]);
}

/* ---- segments --------------------------------------------------------------------------- */

/* Start of the last token within the first seven eighths of the block. */
static size_t join_point(const jl_bpe_work *w)
{
    size_t at = 0;
    while ((size_t)w->next[at] <= w->n_max / 8 * 7 && (size_t)w->next[at] < w->n)
        at = (size_t)w->next[at];
    return at;
}

/* Block by block with the scratch as it is. false: blocks could not be joined. */
static bool encode_blocks(const jl_bpe *bpe, jl_bpe_work *w, const jl_bpe_source *source,
                          jl_tok_out *out)
{
    size_t n = source->read(source->ctx, w->window, w->n_max);
    if (n == 0)
        return true;

    run(bpe, w, w->window, n);
    while (n == w->n_max) {
        const size_t at = join_point(w);
        const int32_t id = w->id[at];
        if (at == 0)
            return false;

        emit(w, at, out);
        n -= at;
        memmove(w->window, w->window + at, n * sizeof *w->window);
        n += source->read(source->ctx, w->window + n, w->n_max - n);
        run(bpe, w, w->window, n);
        if (w->id[0] != id)
            return false;
    }
    emit(w, n, out);
    return true;
}

bool jl_bpe_encode(const jl_bpe *bpe, jl_bpe_work *w, const jl_bpe_source *source, jl_tok_out *out)
{
    const size_t n_before = out->n;
    while (!encode_blocks(bpe, w, source, out)) {
        out->n = n_before;
        source->rewind(source->ctx);
        if (!work_alloc(w, 2 * w->n_max))
            return false;
    }
    return true;
}
