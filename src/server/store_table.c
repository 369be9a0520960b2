/* The store's table of records in memory: by hash, and which of them to give up first. */
#include "server/store_parts.h"

static bool same(jl_record_id a, jl_record_id b)
{
    return a.kind == b.kind && a.hash.lo == b.hash.lo && a.hash.hi == b.hash.hi;
}

static uint32_t *bucket_of(const jl_store *s, jl_record_id id)
{
    return &s->buckets[(id.hash.lo ^ (uint64_t)id.kind) & (s->n_buckets - 1)];
}

jl_record *jl_store_lookup(const jl_store *s, jl_record_id id)
{
    for (uint32_t i = s->n_buckets ? *bucket_of(s, id) : 0; i; i = s->records[i].next)
        if (same(s->records[i].id, id))
            return &s->records[i];
    return NULL;
}

bool jl_store_grow(jl_store *s)
{
    const uint32_t cap = s->cap ? s->cap * 2 : 1024;
    jl_record *records = jl_realloc(s->records, cap * sizeof *records);

    if (!records)
        return false;
    s->records = records;
    uint32_t *buckets = jl_calloc(cap, sizeof *buckets);
    if (!buckets)
        return false;
    jl_free(s->buckets);
    s->buckets = buckets;
    s->n_buckets = cap;
    for (uint32_t i = 1; i < s->n_records; i++) {
        jl_record *r = &records[i];
        if (!r->live || r->group)
            continue;
        uint32_t *b = bucket_of(s, r->id);
        r->next = *b;
        *b = i;
    }
    s->n_records = s->n_records ? s->n_records : 1;
    s->cap = cap;
    return true;
}

bool jl_store_insert(jl_store *s, jl_record r)
{
    if (!s->free_list && s->n_records == s->cap && !jl_store_grow(s))
        return false;
    uint32_t i = s->free_list;
    if (i)
        s->free_list = s->records[i].next;
    else
        i = s->n_records++;
    r.live = true;
    if (r.group == 0) {
        uint32_t *b = bucket_of(s, r.id);
        r.next = *b;
        *b = i;
        s->n_own++;
    }
    s->records[i] = r;
    s->n_bytes += r.n_bytes;
    return true;
}

void jl_store_forget(jl_store *s, jl_record *r)
{
    const uint32_t i = (uint32_t)(r - s->records);

    if (r->group == 0) {
        uint32_t *link = bucket_of(s, r->id);
        while (*link != i)
            link = &s->records[*link].next;
        *link = r->next;
        s->n_own--;
    }
    s->n_bytes -= r->n_bytes;
    r->live = false;
    r->next = s->free_list;
    s->free_list = i;
}

/* Whether a is less worth keeping than b: of records used together those of other keys go first,
 * then the deeper blocks. */
static bool goes_before(const jl_record *a, const jl_record *b)
{
    if (a->used_at != b->used_at)
        return a->used_at < b->used_at;
    if (!a->group != !b->group)
        return a->group != 0;
    return a->id.index > b->id.index;
}

jl_record *jl_store_least_worth(const jl_store *s)
{
    jl_record *worst = NULL;

    for (uint32_t i = 1; i < s->n_records; i++) {
        jl_record *r = &s->records[i];
        if (r->live && (!worst || goes_before(r, worst)))
            worst = r;
    }
    return worst;
}
