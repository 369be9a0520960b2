#include "grammar/trie.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

typedef struct {
    const uint8_t *s;
    uint32_t len;
    int32_t token;
} entry;

static int compare(const void *pa, const void *pb)
{
    const entry *a = pa, *b = pb;
    const int c = memcmp(a->s, b->s, a->len < b->len ? a->len : b->len);
    if (c)
        return c;
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return a->token < b->token ? -1 : a->token > b->token;
}

static size_t common(const entry *a, const entry *b)
{
    size_t n = 0;
    while (n < a->len && n < b->len && a->s[n] == b->s[n])
        n++;
    return n;
}

static size_t count_nodes(const entry *e, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += e[i].len - (i ? common(&e[i - 1], &e[i]) : 0);
    return count;
}

/* Writes the nodes of sorted entries; open holds the nodes on the current path. */
static void fill(jl_trie *t, const entry *e, size_t n)
{
    uint32_t open[JL_TRIE_MAX_DEPTH];
    size_t depth = 0, at = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t keep = i ? common(&e[i - 1], &e[i]) : 0;
        while (depth > keep)
            t->nodes[open[--depth]].skip = (uint32_t)at;
        for (; depth < e[i].len; depth++) {
            t->nodes[at] = (jl_trie_node){0, -1, (uint16_t)depth, e[i].s[depth]};
            open[depth] = (uint32_t)at++;
        }
        jl_trie_node *last = &t->nodes[open[depth - 1]];
        t->same[e[i].token] = last->token;
        last->token = e[i].token;
    }
    while (depth > 0)
        t->nodes[open[--depth]].skip = (uint32_t)at;
    t->n_nodes = at;
}

jl_status jl_trie_create(const jl_trie_piece *pieces, uint32_t n_tokens, jl_trie **out,
                         jl_error *err)
{
    jl_trie *t = jl_calloc(1, sizeof *t);
    entry *e = jl_calloc((size_t)n_tokens + 1, sizeof *e);
    size_t n = 0;
    if (t && e) {
        for (uint32_t i = 0; i < n_tokens; i++)
            if (pieces[i].ptr && pieces[i].len > 0 && pieces[i].len <= JL_TRIE_MAX_DEPTH)
                e[n++] = (entry){(const uint8_t *)pieces[i].ptr, (uint32_t)pieces[i].len,
                    (int32_t)i};
        qsort(e, n, sizeof *e, compare);
        t->nodes = jl_calloc(count_nodes(e, n) + 1, sizeof *t->nodes);
        t->same = jl_malloc(((size_t)n_tokens + 1) * sizeof *t->same);
        t->n_tokens = n_tokens;
    }
    if (!t || !e || !t->nodes || !t->same) {
        jl_free(e);
        jl_trie_free(t);
        return jl_fail(err, JL_NO_MEMORY, "no memory for a tree of %u tokens", n_tokens);
    }
    for (uint32_t i = 0; i < n_tokens; i++)
        t->same[i] = -1;
    fill(t, e, n);
    jl_free(e);
    *out = t;
    return JL_OK;
}

void jl_trie_free(jl_trie *t)
{
    if (!t)
        return;
    jl_free(t->nodes);
    jl_free(t->same);
    jl_free(t);
}
