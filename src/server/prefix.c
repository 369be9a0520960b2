/* Entries are few (tens) and comparing tokens is cheap beside computing one, so a lookup simply
 * compares with all of them. */
#include "server/prefix.h"

#include <string.h>

#include "base/mem.h"

typedef enum { SLOT_FREE = 0, SLOT_RUNNING, SLOT_ENTRY } slot_state;

typedef struct {
    slot_state state;
    jl_prefix_kind kind;
    const int32_t *tokens; /* of an entry: owned */
    size_t n;              /* of an entry */
    uint64_t used_at;      /* tick of the last use */
    uint64_t id;           /* of an entry: tick of its making */
    bool saved;            /* of an entry: stored elsewhere */
} slot;

struct jl_prefix {
    jl_session *session;
    slot *slots; /* [n_seq] */
    uint32_t n_seq;
    uint64_t tick;
    uint64_t n_hits, n_misses, n_evicted;
};

jl_status jl_prefix_create(jl_session *session, uint32_t n_seq, jl_prefix **out, jl_error *err)
{
    jl_prefix *p = jl_calloc(1, sizeof *p);
    slot *slots = jl_calloc(n_seq, sizeof *slots);

    if (!p || !slots) {
        jl_free(p);
        jl_free(slots);
        return jl_fail(err, JL_NO_MEMORY, "no memory for the prefix cache");
    }
    *p = (jl_prefix){.session = session, .slots = slots, .n_seq = n_seq};
    *out = p;
    return JL_OK;
}

static void slot_clear(jl_prefix *p, int32_t seq)
{
    slot *s = &p->slots[seq];

    if (s->state == SLOT_ENTRY)
        jl_free((void *)s->tokens);
    jl_seq_clear(p->session, seq);
    *s = (slot){0};
}

void jl_prefix_destroy(jl_prefix *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; i < p->n_seq; i++)
        slot_clear(p, (int32_t)i);
    jl_free(p->slots);
    jl_free(p);
}

static int32_t find_free(const jl_prefix *p)
{
    for (uint32_t i = 0; i < p->n_seq; i++)
        if (p->slots[i].state == SLOT_FREE)
            return (int32_t)i;
    return -1;
}

/* Whether a is less worth keeping than b. */
static bool goes_before(const slot *a, const slot *b)
{
    if (a->kind.small != b->kind.small)
        return a->kind.small;
    return a->used_at < b->used_at;
}

bool jl_prefix_evict(jl_prefix *p, bool small)
{
    int32_t worst = -1;

    for (uint32_t i = 0; i < p->n_seq; i++) {
        const slot *s = &p->slots[i];
        if (s->state != SLOT_ENTRY)
            continue;
        if (worst < 0 || goes_before(s, &p->slots[worst]))
            worst = (int32_t)i;
    }
    if (worst < 0 || (small && !p->slots[worst].kind.small))
        return false;
    slot_clear(p, worst);
    p->n_evicted++;
    return true;
}

int32_t jl_prefix_take(jl_prefix *p, bool small)
{
    int32_t seq = find_free(p);

    if (seq < 0 && (jl_prefix_evict(p, small) || jl_prefix_evict(p, false)))
        seq = find_free(p);
    if (seq >= 0)
        p->slots[seq] = (slot){.state = SLOT_RUNNING, .used_at = ++p->tick};
    return seq;
}

void jl_prefix_announce(jl_prefix *p, int32_t seq, const int32_t *tokens)
{
    p->slots[seq].tokens = tokens;
}

static size_t common_prefix(const int32_t *a, const int32_t *b, size_t n)
{
    size_t i = 0;

    while (i < n && a[i] == b[i])
        i++;
    return i;
}

size_t jl_prefix_find(jl_prefix *p, const int32_t *tokens, size_t n, int32_t *src)
{
    size_t best = 0;

    *src = -1;
    for (uint32_t i = 0; i < p->n_seq && n > 1; i++) {
        const slot *s = &p->slots[i];
        const size_t have = jl_seq_length(p->session, (int32_t)i);
        if (s->state == SLOT_FREE || !s->tokens || have <= best)
            continue;
        const size_t len = common_prefix(s->tokens, tokens, have < n - 1 ? have : n - 1);
        /* equal lengths: an entry made as a place to branch off is the better source */
        if (len > best && len >= jl_seq_min_length(p->session, (int32_t)i)) {
            best = len;
            *src = (int32_t)i;
        }
    }
    return best;
}

size_t jl_prefix_fork(jl_prefix *p, const int32_t *tokens, size_t n, int32_t dst)
{
    int32_t src;
    const size_t len = jl_prefix_find(p, tokens, n, &src);

    if (src < 0 || jl_seq_fork(p->session, src, dst, len, NULL) != JL_OK) {
        p->n_misses++;
        return 0;
    }
    p->n_hits++;
    /* An entry that is continued to its end is superseded by what grows from it. */
    if (p->slots[src].kind.checkpoint || len < jl_seq_length(p->session, src))
        p->slots[src].used_at = ++p->tick;
    return len;
}

/* The entry with exactly these tokens, -1: none. */
static int32_t find_same(const jl_prefix *p, const int32_t *tokens, size_t n)
{
    for (uint32_t i = 0; i < p->n_seq; i++) {
        const slot *s = &p->slots[i];
        if (s->state == SLOT_ENTRY && s->n == n &&
            memcmp(s->tokens, tokens, n * sizeof *tokens) == 0)
            return (int32_t)i;
    }
    return -1;
}

static bool make_entry(jl_prefix *p, int32_t seq, const int32_t *tokens, size_t n,
                       jl_prefix_kind kind)
{
    int32_t *copy = n ? jl_malloc(n * sizeof *copy) : NULL;

    if (!copy)
        return false;
    memcpy(copy, tokens, n * sizeof *copy);
    ++p->tick;
    p->slots[seq] = (slot){.state = SLOT_ENTRY,
                           .kind = kind,
                           .tokens = copy,
                           .n = n,
                           .used_at = p->tick,
                           .id = p->tick,
                           .saved = kind.small};
    return true;
}

void jl_prefix_keep(jl_prefix *p, int32_t seq, const int32_t *tokens, jl_prefix_kind kind)
{
    const size_t n = jl_seq_length(p->session, seq);
    const int32_t same = find_same(p, tokens, n);

    if (same >= 0) {
        kind.small = kind.small && p->slots[same].kind.small;
        kind.checkpoint = kind.checkpoint || p->slots[same].kind.checkpoint;
        slot_clear(p, same);
    }
    if (!make_entry(p, seq, tokens, n, kind))
        slot_clear(p, seq);
}

void jl_prefix_checkpoint(jl_prefix *p, int32_t seq, const int32_t *tokens, size_t n,
                          jl_prefix_kind kind)
{
    const int32_t same = find_same(p, tokens, n);

    if (same >= 0) {
        p->slots[same].used_at = ++p->tick;
        p->slots[same].kind.checkpoint = true;
        if (p->slots[same].kind.small && !kind.small)
            p->slots[same].kind.small = p->slots[same].saved = false;
        return;
    }
    int32_t dst = find_free(p);
    if (dst < 0 && jl_prefix_evict(p, kind.small))
        dst = find_free(p);
    if (dst < 0 || jl_seq_fork(p->session, seq, dst, n, NULL) != JL_OK)
        return;
    if (!make_entry(p, dst, tokens, n, kind))
        slot_clear(p, dst);
}

void jl_prefix_give_back(jl_prefix *p, int32_t seq)
{
    slot_clear(p, seq);
}

bool jl_prefix_unsaved(const jl_prefix *p, jl_prefix_entry *out)
{
    const slot *first = NULL;

    for (uint32_t i = 0; i < p->n_seq; i++) {
        const slot *s = &p->slots[i];
        if (s->state == SLOT_ENTRY && !s->saved && (!first || s->id < first->id))
            first = s;
    }
    if (first)
        *out = (jl_prefix_entry){(int32_t)(first - p->slots), first->id, first->tokens, first->n};
    return first != NULL;
}

const int32_t *jl_prefix_tokens(const jl_prefix *p, int32_t seq, uint64_t id)
{
    const slot *s = &p->slots[seq];

    return s->state == SLOT_ENTRY && s->id == id ? s->tokens : NULL;
}

void jl_prefix_saved(jl_prefix *p, int32_t seq, uint64_t id)
{
    if (jl_prefix_tokens(p, seq, id))
        p->slots[seq].saved = true;
}

void jl_prefix_get_stats(const jl_prefix *p, jl_prefix_stats *out)
{
    *out =
        (jl_prefix_stats){.n_hits = p->n_hits, .n_misses = p->n_misses, .n_evicted = p->n_evicted};
    for (uint32_t i = 0; i < p->n_seq; i++) {
        out->n_entries += p->slots[i].state == SLOT_ENTRY;
        out->n_running += p->slots[i].state == SLOT_RUNNING;
        out->n_tokens += p->slots[i].n;
    }
}
