/* Name storage and lookup for the reader and the writer. */
#include "gguf/names.h"

#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

enum { CHUNK_BYTES = 32768, FIRST_SLOTS = 64 };

struct jl_name_chunk {
    jl_name_chunk *next;
    size_t used, cap; /* bytes of text */
    char text[];
};

const char *jl_names_copy(jl_names *names, const char *s, size_t len)
{
    jl_name_chunk *chunk = names->first;
    if (!chunk || chunk->cap - chunk->used < len + 1) {
        const size_t cap = len + 1 > CHUNK_BYTES ? len + 1 : CHUNK_BYTES;
        chunk = jl_malloc(sizeof *chunk + cap);
        if (!chunk)
            return NULL;
        chunk->next = names->first;
        chunk->used = 0;
        chunk->cap = cap;
        names->first = chunk;
    }
    char *copy = chunk->text + chunk->used;
    memcpy(copy, s, len);
    copy[len] = '\0';
    chunk->used += len + 1;
    return copy;
}

void jl_names_free(jl_names *names)
{
    while (names->first) {
        jl_name_chunk *next = names->first->next;
        jl_free(names->first);
        names->first = next;
    }
}

static const char *name_at(const void *records, size_t record_bytes, size_t i)
{
    const char *name;
    memcpy(&name, (const char *)records + i * record_bytes, sizeof name);
    return name;
}

/* FNV-1a, 64 bits. */
static uint64_t hash(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (const char *s = name; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return h ^ h >> 32;
}

size_t jl_index_find(const jl_name_index *index, const void *records, size_t record_bytes,
                     const char *name)
{
    if (index->n == 0)
        return SIZE_MAX;
    for (size_t at = (size_t)hash(name);; at++) {
        const uint32_t slot = index->slots[at & (index->cap - 1)];
        if (slot == 0)
            return SIZE_MAX;
        if (strcmp(name_at(records, record_bytes, slot - 1), name) == 0)
            return slot - 1;
    }
}

static void place(uint32_t *slots, size_t cap, const char *name, size_t i)
{
    size_t at = (size_t)hash(name);
    while (slots[at & (cap - 1)])
        at++;
    slots[at & (cap - 1)] = (uint32_t)(i + 1);
}

static bool grow(jl_name_index *index, const void *records, size_t record_bytes)
{
    const size_t cap = index->cap ? index->cap * 2 : FIRST_SLOTS;
    uint32_t *slots = jl_calloc(cap, sizeof *slots);
    if (!slots)
        return false;
    for (size_t at = 0; at < index->cap; at++) {
        const uint32_t slot = index->slots[at];
        if (slot)
            place(slots, cap, name_at(records, record_bytes, slot - 1), slot - 1);
    }
    jl_free(index->slots);
    index->slots = slots;
    index->cap = cap;
    return true;
}

bool jl_index_add(jl_name_index *index, const void *records, size_t record_bytes, size_t i)
{
    if (index->n >= index->cap / 2 && !grow(index, records, record_bytes))
        return false;
    place(index->slots, index->cap, name_at(records, record_bytes, i), i);
    index->n++;
    return true;
}

void jl_index_free(jl_name_index *index)
{
    jl_free(index->slots);
    *index = (jl_name_index){NULL, 0, 0};
}

bool jl_name_valid(const char *s, uint64_t len, uint64_t max_len)
{
    if (len == 0 || len > max_len)
        return false;
    for (size_t i = 0; i < len;) {
        const size_t n = jl_utf8_len(s + i, (size_t)len - i);
        const unsigned char c = (unsigned char)s[i];
        if (n == 0 || c < 0x20 || c == 0x7f)
            return false;
        i += n;
    }
    return true;
}
