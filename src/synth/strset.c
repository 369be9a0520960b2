/* Open addressing with linear probing, at most half full. */
#include "synth/strset.h"

#include <string.h>

#include "base/mem.h"

static uint64_t hash(jl_str s) /* FNV-1a */
{
    uint64_t h = 0xCBF29CE484222325u;

    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (uint8_t)s.ptr[i]) * 0x100000001B3u;
    return h ^ (h >> 32);
}

bool jl_strset_create(jl_strset *s, size_t n)
{
    size_t n_slots = 16;

    while (n_slots < 2 * n)
        n_slots *= 2;
    *s = (jl_strset){.slots = jl_calloc(n_slots, sizeof *s->slots), .mask = n_slots - 1};
    return s->slots != NULL;
}

void jl_strset_destroy(jl_strset *s)
{
    jl_free(s->slots);
    *s = (jl_strset){0};
}

static jl_strset_slot *locate(const jl_strset *s, jl_str key)
{
    size_t i = hash(key) & s->mask;

    while (s->slots[i].key.ptr &&
           (s->slots[i].key.len != key.len || memcmp(s->slots[i].key.ptr, key.ptr, key.len) != 0))
        i = (i + 1) & s->mask;
    return &s->slots[i];
}

bool jl_strset_add(jl_strset *s, jl_str key, uint32_t value)
{
    jl_strset_slot *slot = locate(s, key);

    if (slot->key.ptr || s->n_used > s->mask / 2)
        return false;
    *slot = (jl_strset_slot){key, value};
    s->n_used++;
    return true;
}

bool jl_strset_find(const jl_strset *s, jl_str key, uint32_t *value)
{
    const jl_strset_slot *slot = locate(s, key);

    if (slot->key.ptr && value)
        *value = slot->value;
    return slot->key.ptr != NULL;
}
