/* Heap, system pages and the measuring arena. */
#include "base/mem.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if !defined(MAP_ANONYMOUS) && defined(MAP_ANON)
#define MAP_ANONYMOUS MAP_ANON
#endif

enum { HUGE_PAGE = 2 << 20 };

static atomic_size_t n_calls;

static void count_call(void)
{
    atomic_fetch_add_explicit(&n_calls, 1, memory_order_relaxed);
}

void *jl_malloc(size_t n_bytes)
{
    count_call();
    return n_bytes ? malloc(n_bytes) : NULL;
}

void *jl_calloc(size_t count, size_t n_bytes)
{
    count_call();
    if (count == 0 || n_bytes == 0 || count > SIZE_MAX / n_bytes)
        return NULL;
    return calloc(count, n_bytes);
}

void *jl_realloc(void *p, size_t n_bytes)
{
    count_call();
    return n_bytes ? realloc(p, n_bytes) : NULL;
}

void jl_free(void *p)
{
    free(p);
}

char *jl_strndup(const char *s, size_t len)
{
    if (len == SIZE_MAX)
        return NULL;
    char *copy = jl_malloc(len + 1);
    if (!copy)
        return NULL;
    if (len)
        memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

size_t jl_mem_calls(void)
{
    return atomic_load_explicit(&n_calls, memory_order_relaxed);
}

bool jl_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    if (a && b > UINT64_MAX / a)
        return false;
    *out = a * b;
    return true;
}

bool jl_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    if (b > UINT64_MAX - a)
        return false;
    *out = a + b;
    return true;
}

void *jl_map_anon(size_t n_bytes)
{
    if (n_bytes == 0)
        return NULL;
    count_call();
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#ifdef MAP_NORESERVE
    flags |= MAP_NORESERVE;
#endif
    void *p = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
#ifdef MADV_HUGEPAGE
    /* Rows of activations lie kilobytes apart: with small pages every row costs a TLB miss. */
    if (n_bytes >= HUGE_PAGE)
        (void)madvise(p, n_bytes, MADV_HUGEPAGE);
#endif
    return p;
}

void jl_map_small_pages(void *p, size_t n_bytes)
{
#ifdef MADV_NOHUGEPAGE
    (void)madvise(p, n_bytes, MADV_NOHUGEPAGE);
#else
    (void)p;
    (void)n_bytes;
#endif
}

void jl_unmap_anon(void *p, size_t n_bytes)
{
    if (p)
        munmap(p, n_bytes);
}

void *jl_arena_take(jl_arena *arena, uint64_t n_bytes)
{
    assert(n_bytes <= UINT64_MAX - 63);
    const uint64_t rounded = (n_bytes + 63) & ~(uint64_t)63;
    uint64_t used;
    const bool fits = jl_add_u64(arena->used, rounded, &used);
    assert(fits);
    (void)fits;
    if (!arena->base) {
        arena->used = used;
        return NULL;
    }
    assert(used <= arena->cap);
    void *piece = arena->base + arena->used;
    arena->used = used;
    return piece;
}
