/* The only door to the heap (jl_malloc, jl_realloc and jl_free: joule/sys.h). Large blocks come
 * zeroed and lazily committed. */
#ifndef JL_BASE_MEM_H
#define JL_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "joule/sys.h"

void *jl_calloc(size_t count, size_t n_bytes); /* zeroed, overflow-checked */
char *jl_strndup(const char *s, size_t len);   /* NUL-terminated copy */
size_t jl_mem_calls(void);                     /* heap calls so far; tests count with it */

/* false on overflow, else *out = a op b. */
bool jl_mul_u64(uint64_t a, uint64_t b, uint64_t *out);
bool jl_add_u64(uint64_t a, uint64_t b, uint64_t *out);

/* Page-aligned zeroed memory from the system, committed on first touch. NULL on failure. */
void *jl_map_anon(size_t n_bytes);
void jl_unmap_anon(void *p, size_t n_bytes);
/* Such memory comes in huge pages where the system has them (when it is large enough). This asks
 * for small ones, before the first touch. */
void jl_map_small_pages(void *p, size_t n_bytes);

/* Bump allocator over one block: with base NULL it only measures, so that the same code computes
 * the need and hands out the memory. Every piece is 64-byte aligned. */
typedef struct {
    uint8_t *base; /* NULL: measuring */
    uint64_t used; /* bytes */
    uint64_t cap;  /* bytes; ignored while measuring */
} jl_arena;

void *jl_arena_take(jl_arena *arena,
                    uint64_t n_bytes); /* NULL while measuring; asserts on overflow */

#endif
