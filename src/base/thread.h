/* Threads, locks and conditions, for queues between a few long-lived threads. Compute uses pool.h.
 */
#ifndef JL_BASE_THREAD_H
#define JL_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct jl_lock jl_lock; /* a mutex and one condition that belongs to it */

JL_MUST_CHECK jl_status jl_lock_create(jl_lock **out, jl_error *err);
void jl_lock_destroy(jl_lock *lock); /* NULL is fine */
void jl_lock_take(jl_lock *lock);
void jl_lock_leave(jl_lock *lock);
void jl_lock_wait(jl_lock *lock); /* taken: sleeps until woken; may wake without reason */
/* As jl_lock_wait, for at most `ms` milliseconds; false if the time passed. */
bool jl_lock_wait_for(jl_lock *lock, uint32_t ms);
void jl_lock_wake(jl_lock *lock); /* wakes all sleepers */

/* Calls fn the first time, and returns when it has run; any thread. */
typedef pthread_once_t jl_once;
#define JL_ONCE_INIT PTHREAD_ONCE_INIT
void jl_once_call(jl_once *once, void (*fn)(void));

typedef struct jl_thread jl_thread;
typedef void jl_thread_fn(void *ctx);

/* Starts a thread that blocks all signals, so that they reach the main thread. */
JL_MUST_CHECK jl_status jl_thread_start(jl_thread_fn *fn, void *ctx, jl_thread **out,
                                        jl_error *err);
void jl_thread_join(jl_thread *thread); /* frees it; NULL is fine */

#endif
