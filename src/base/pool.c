/* Fork-join pool. A region starts when the caller bumps `epoch` and ends when `n_left` reaches 0.
 *
 * Both sides spin for a while, because regions of one token follow each other within microseconds,
 * then sleep on a condition variable, so that an idle program uses no processor time. Sleeping is
 * race-free by the usual pair of stores and loads in one total order: the sleeper announces itself
 * (n_asleep) and then looks at the epoch again, the waker moves the epoch and then looks at
 * n_asleep; at least one of them sees the other.
 *
 * A pool can use fewer threads than it has (jl_pool_use): the workers above are parked, which costs
 * nothing and keeps their caches and stacks for when they are wanted again. */
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "base/cpu.h"
#include "base/file.h"
#include "base/mem.h"

enum { MAX_THREADS = 1024, PAUSES_PER_LOOK = 64 };

typedef struct {
    jl_pool *pool;
    pthread_t thread;
    int ith;
} worker;

struct jl_pool {
    /* Shared counters live on their own cache lines: the caller writes epoch while workers spin on
     * it, and every worker writes n_left when it is done. */
    _Alignas(64) atomic_uint epoch;
    char pad0[64 - sizeof(atomic_uint)];
    _Alignas(64) atomic_int n_left; /* workers still inside the region */
    char pad1[64 - sizeof(atomic_int)];
    _Alignas(64) jl_task_fn *fn; /* of the region; written before the epoch moves */
    void *ctx;
    atomic_int n_asleep; /* workers waiting on `wake` */
    atomic_bool caller_asleep;
    atomic_bool stop;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pthread_cond_t done;
    pthread_cond_t unpark; /* workers that are not in use wait here */
    int n_threads;  /* in use, the caller included */
    int n_most;     /* the pool was created with */
    int n_started;  /* workers that exist */
    int n_parked;   /* under the mutex */
    int n_keep;     /* threads in use after this region; written between regions */
    uint64_t spin_ns;
    bool pin;
    worker *workers; /* [n_threads - 1] */
    size_t block_bytes;
};

static void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield");
#else
    sched_yield();
#endif
}

/* Waits until the epoch differs from `seen` or the pool stops: spinning, then asleep. */
static void wait_for_region(jl_pool *pool, unsigned seen)
{
    const uint64_t until = pool->spin_ns ? jl_time_ns() + pool->spin_ns : 0;
    while (until && jl_time_ns() < until) {
        for (int i = 0; i < PAUSES_PER_LOOK; i++) {
            if (atomic_load_explicit(&pool->epoch, memory_order_acquire) != seen)
                return;
            cpu_relax();
        }
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->n_asleep, 1);
    while (atomic_load(&pool->epoch) == seen)
        pthread_cond_wait(&pool->wake, &pool->mutex);
    atomic_fetch_sub(&pool->n_asleep, 1);
    pthread_mutex_unlock(&pool->mutex);
}

static void leave_region(jl_pool *pool)
{
    if (atomic_fetch_sub(&pool->n_left, 1) != 1 || !atomic_load(&pool->caller_asleep))
        return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_signal(&pool->done);
    pthread_mutex_unlock(&pool->mutex);
}

/* Sleeps until the pool uses this worker again; returns the epoch it joins at. jl_pool_use waits
 * for the workers it calls back, so no region starts meanwhile. */
static unsigned park(jl_pool *pool, int ith)
{
    pthread_mutex_lock(&pool->mutex);
    pool->n_parked++;
    pthread_cond_broadcast(&pool->unpark);
    while (ith >= pool->n_keep && !atomic_load(&pool->stop))
        pthread_cond_wait(&pool->unpark, &pool->mutex);
    pool->n_parked--;
    const unsigned epoch = atomic_load(&pool->epoch);
    pthread_cond_broadcast(&pool->unpark);
    pthread_mutex_unlock(&pool->mutex);
    return epoch;
}

static void *worker_main(void *arg)
{
    const worker *self = arg;
    jl_pool *pool = self->pool;
    unsigned seen = 0;
    if (pool->pin)
        jl_cpu_pin(self->ith);
    for (;;) {
        wait_for_region(pool, seen);
        seen++; /* regions never overlap, so a worker in use cannot miss one */
        if (atomic_load(&pool->stop))
            return NULL;
        const bool leaves = self->ith >= pool->n_keep; /* fixed while the region runs */
        pool->fn(pool->ctx, self->ith, pool->n_threads);
        leave_region(pool);
        if (leaves) {
            seen = park(pool, self->ith);
            if (atomic_load(&pool->stop))
                return NULL;
        }
    }
}

/* Moves the epoch and wakes whoever sleeps. */
static void start_region(jl_pool *pool)
{
    atomic_fetch_add(&pool->epoch, 1);
    if (atomic_load(&pool->n_asleep) == 0)
        return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
}

static void wait_for_workers(jl_pool *pool)
{
    const uint64_t until = pool->spin_ns ? jl_time_ns() + pool->spin_ns : 0;
    do {
        for (int i = 0; i < PAUSES_PER_LOOK; i++) {
            if (atomic_load_explicit(&pool->n_left, memory_order_acquire) == 0)
                return;
            cpu_relax();
        }
    } while (until && jl_time_ns() < until);
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->caller_asleep, true);
    while (atomic_load(&pool->n_left) != 0)
        pthread_cond_wait(&pool->done, &pool->mutex);
    atomic_store(&pool->caller_asleep, false);
    pthread_mutex_unlock(&pool->mutex);
}

static void nothing(void *ctx, int ith, int nth)
{
    (void)ctx;
    (void)ith;
    (void)nth;
}

/* Waits until exactly the workers that are not in use are parked. */
static void wait_for_parked(jl_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->unpark);
    while (pool->n_parked != pool->n_most - pool->n_keep)
        pthread_cond_wait(&pool->unpark, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

void jl_pool_use(jl_pool *pool, int n)
{
    n = n < 1 ? 1 : n > pool->n_most ? pool->n_most : n;
    if (n == pool->n_threads)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->n_keep = n;
    pthread_mutex_unlock(&pool->mutex);
    if (n < pool->n_threads) /* the workers that leave learn it from a region */
        jl_pool_run(pool, nothing, NULL);
    wait_for_parked(pool);
    pool->n_threads = n;
}

void jl_pool_run(jl_pool *pool, jl_task_fn *fn, void *ctx)
{
    if (pool->n_threads == 1) {
        fn(ctx, 0, 1);
        return;
    }
    pool->fn = fn;
    pool->ctx = ctx;
    atomic_store(&pool->n_left, pool->n_threads - 1);
    start_region(pool);
    fn(ctx, 0, pool->n_threads);
    wait_for_workers(pool);
}

jl_status jl_pool_create(const jl_pool_config *config, jl_pool **out, jl_error *err)
{
    const int n = config->n_threads;
    if (n < 1 || n > MAX_THREADS)
        return jl_fail(err, JL_INVALID, "%d threads asked for: use 1 to %d", n, MAX_THREADS);

    /* From the system, because the struct needs cache line alignment. */
    const size_t bytes = sizeof(jl_pool) + (size_t)n * sizeof(worker);
    jl_pool *pool = jl_map_anon(bytes);
    if (!pool)
        return jl_fail(err, JL_NO_MEMORY, "out of memory for a pool of %d threads", n);
    pool->block_bytes = bytes;
    pool->workers = (worker *)(pool + 1);
    pool->n_threads = n;
    pool->n_most = n;
    pool->n_keep = n;
    pool->spin_ns = (uint64_t)config->spin_us * 1000;
    pool->pin = config->pin;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);
    pthread_cond_init(&pool->unpark, NULL);

    for (int i = 1; i < n; i++) {
        worker *w = &pool->workers[i - 1];
        w->pool = pool;
        w->ith = i;
        const int rc = pthread_create(&w->thread, NULL, worker_main, w);
        if (rc != 0) {
            jl_pool_destroy(pool);
            return jl_fail(err, JL_NO_MEMORY,
                           "cannot start thread %d of %d (%s): use fewer with -t", i + 1, n,
                           strerror(rc));
        }
        pool->n_started = i;
    }
    if (config->pin)
        jl_cpu_pin(0);
    *out = pool;
    return JL_OK;
}

void jl_pool_destroy(jl_pool *pool)
{
    if (!pool)
        return;
    atomic_store(&pool->stop, true);
    start_region(pool);
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->unpark);
    pthread_mutex_unlock(&pool->mutex);
    for (int i = 0; i < pool->n_started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->mutex);
    jl_unmap_anon(pool, pool->block_bytes);
}

int jl_pool_n_threads(const jl_pool *pool)
{
    return pool->n_threads;
}

/* First unit of share `ith` when `units` are dealt as evenly as possible, the larger shares first.
 */
static size_t share_begin(size_t units, size_t ith, size_t nth)
{
    const size_t rest = units % nth;
    return units / nth * ith + (ith < rest ? ith : rest);
}

jl_range jl_split(size_t n, size_t grain, int ith, int nth)
{
    const size_t units = n / grain + (n % grain != 0);
    const size_t first = share_begin(units, (size_t)ith, (size_t)nth);
    const size_t last = share_begin(units, (size_t)ith + 1, (size_t)nth);
    /* The last unit may be a partial one: its end is n, and units * grain could overflow. */
    return (jl_range){first == units ? n : first * grain, last == units ? n : last * grain};
}
