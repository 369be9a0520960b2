/* Threads and locks over pthreads. */
#include "base/thread.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"

struct jl_lock {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
};

struct jl_thread {
    pthread_t thread;
    jl_thread_fn *fn;
    void *ctx;
};

jl_status jl_lock_create(jl_lock **out, jl_error *err)
{
    jl_lock *l = jl_calloc(1, sizeof *l);
    if (!l)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    if (pthread_mutex_init(&l->mutex, NULL) != 0) {
        jl_free(l);
        return jl_fail(err, JL_NO_MEMORY, "the system has no room for a lock");
    }
    if (pthread_cond_init(&l->wake, NULL) != 0) {
        pthread_mutex_destroy(&l->mutex);
        jl_free(l);
        return jl_fail(err, JL_NO_MEMORY, "the system has no room for a condition");
    }
    *out = l;
    return JL_OK;
}

void jl_lock_destroy(jl_lock *l)
{
    if (!l)
        return;
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->mutex);
    jl_free(l);
}

void jl_lock_take(jl_lock *l)
{
    pthread_mutex_lock(&l->mutex);
}

void jl_lock_leave(jl_lock *l)
{
    pthread_mutex_unlock(&l->mutex);
}

void jl_lock_wait(jl_lock *l)
{
    pthread_cond_wait(&l->wake, &l->mutex);
}

/* Against CLOCK_REALTIME, the only clock that every system's conditions know: a clock that is set
 * meanwhile makes one wait shorter or longer, nothing else. */
bool jl_lock_wait_for(jl_lock *l, uint32_t ms)
{
    struct timespec until;

    if (clock_gettime(CLOCK_REALTIME, &until) != 0)
        return false;
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    return pthread_cond_timedwait(&l->wake, &l->mutex, &until) == 0;
}

void jl_lock_wake(jl_lock *l)
{
    pthread_cond_broadcast(&l->wake);
}

static void *thread_main(void *ctx)
{
    jl_thread *t = ctx;
    t->fn(t->ctx);
    return NULL;
}

jl_status jl_thread_start(jl_thread_fn *fn, void *ctx, jl_thread **out, jl_error *err)
{
    jl_thread *t = jl_calloc(1, sizeof *t);
    if (!t)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    t->fn = fn;
    t->ctx = ctx;

    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&t->thread, NULL, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        jl_free(t);
        return jl_fail(err, JL_NO_MEMORY, "cannot start a thread: %s", strerror(failed));
    }
    *out = t;
    return JL_OK;
}

void jl_thread_join(jl_thread *t)
{
    if (!t)
        return;
    pthread_join(t->thread, NULL);
    jl_free(t);
}

void jl_once_call(jl_once *once, void (*fn)(void))
{
    (void)pthread_once(once, fn);
}
