/* Fork-join thread pool for compute. The caller is thread 0. Owned by a session, never global. */
#ifndef JL_BASE_POOL_H
#define JL_BASE_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct jl_pool jl_pool;

typedef struct {
    int n_threads;    /* 1..1024, the caller included */
    uint32_t spin_us; /* workers spin this long for the next region, then sleep; 0: sleep at once */
    bool pin;         /* thread i stays on the i-th processor (the caller too); Linux only */
} jl_pool_config;

/* Must not allocate, block, log, or start another region. */
typedef void jl_task_fn(void *ctx, int ith, int nth);

JL_MUST_CHECK jl_status jl_pool_create(const jl_pool_config *config, jl_pool **out, jl_error *err);
void jl_pool_destroy(jl_pool *pool); /* outside a region; NULL is fine */
int jl_pool_n_threads(const jl_pool *pool); /* that the next region uses */
/* The next regions use n threads, 1 to what the pool was created with; the others sleep without
 * cost until they are asked back. Outside a region. */
void jl_pool_use(jl_pool *pool, int n);
/* Runs fn on the threads in use, returns when all are done. Cannot fail. */
void jl_pool_run(jl_pool *pool, jl_task_fn *fn, void *ctx);

typedef struct {
    size_t begin, end;
} jl_range;

/* Share ith of nth of n items in units of grain (>= 1). The shares are in order, cover 0..n without
 * gap or overlap, and differ by at most one unit. A pure function: the same split every time. */
jl_range jl_split(size_t n, size_t grain, int ith, int nth);

/* Work handed out in order by an atomic counter: for tasks of uneven cost. Reset before the region.
 * Alone on its cache line, so that takers do not slow down readers of what lies beside it. */
typedef struct {
    _Alignas(64) atomic_size_t next;
    char pad[64 - sizeof(atomic_size_t)];
} jl_queue;
static inline void jl_queue_reset(jl_queue *q)
{
    atomic_store_explicit(&q->next, 0, memory_order_relaxed);
}
static inline size_t jl_queue_take(jl_queue *q)
{
    return atomic_fetch_add_explicit(&q->next, 1, memory_order_relaxed);
}

/* Takes the next units of n: at most `most`, and one of `parts` of what is left, so that pieces get
 * shorter near the end and all threads finish together. Empty when none is left. */
static inline jl_range jl_queue_take_piece(jl_queue *q, size_t n, size_t most, int parts)
{
    size_t begin = atomic_load_explicit(&q->next, memory_order_relaxed);
    size_t take;

    do {
        if (begin >= n)
            return (jl_range){n, n};
        take = (n - begin) / (size_t)parts;
        take = take > most ? most : take < 1 ? 1 : take;
    } while (!atomic_compare_exchange_weak_explicit(&q->next, &begin, begin + take,
                                                    memory_order_relaxed, memory_order_relaxed));
    return (jl_range){begin, begin + take};
}

#endif
