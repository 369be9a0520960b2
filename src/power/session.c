/* The pace function: counts work, applies what was decided, sleeps. Runs on the engine's thread
 * and takes no lock. */
#include "base/file.h"
#include "power/power.h"

enum { PAUSE_NS = 100000000 };

static void apply(jl_power *p, jl_session *s)
{
    const uint32_t threads = atomic_load_explicit(&p->use_threads, memory_order_relaxed);
    const uint32_t place = atomic_load_explicit(&p->use_place, memory_order_relaxed);

    if (threads == p->used_threads && place == p->used_place)
        return;
    jl_session_set_use(s, &(jl_session_use){.n_threads = threads, .place = (jl_place)place});
    p->used_threads = threads;
    p->used_place = place;
}

/* A rule stops all work: the micro-batch waits until it may go on or is cancelled. */
static void wait_while_paused(jl_power *p, const jl_session *s)
{
    while (atomic_load(&p->paused) && !jl_session_is_cancelled(s))
        jl_sleep_ns(PAUSE_NS);
}

/* Counts a share of the micro-batch's tokens. */
static void count_tokens(jl_power *p, const jl_pace_point *at, double share)
{
    const double parts = share * JL_POWER_PARTS;

    if (at->n_prompt)
        atomic_fetch_add_explicit(&p->n_prompt, (uint64_t)(parts * at->n_prompt),
                                  memory_order_relaxed);
    if (at->n_decode)
        atomic_fetch_add_explicit(&p->n_decode, (uint64_t)(parts * at->n_decode),
                                  memory_order_relaxed);
}

static void sleep_after(jl_power *p, uint64_t worked)
{
    const double duty = atomic_load_explicit(&p->duty, memory_order_relaxed);
    const uint64_t ns = jl_pace_work(&p->pace, worked, duty);

    if (!ns)
        return;
    const uint64_t before = jl_time_ns();
    jl_sleep_ns(ns);
    jl_pace_slept(&p->pace, jl_time_ns() - before);
}

void jl_power_pace(void *power, jl_session *session, const jl_pace_point *at)
{
    jl_power *p = power;
    const uint64_t now = jl_time_ns();

    if (at->where == JL_PACE_BEGIN) {
        wait_while_paused(p, session);
        apply(p, session);
        p->layer = 0;
        p->mark_ns = jl_time_ns();
        return;
    }
    if (at->where == JL_PACE_BESIDE) { /* its time is counted with the layer it came after */
        count_tokens(p, at, 1.0);
        return;
    }
    const uint64_t worked = now - p->mark_ns;
    atomic_fetch_add_explicit(&p->busy_ns, worked, memory_order_relaxed);
    /* The output layer counts as one more, so that the last token is whole only at the end. */
    const double steps = p->n_layers + 1.0;
    if (at->where == JL_PACE_LAYER) {
        p->layer++;
        if (p->n_layers && p->layer <= p->n_layers)
            count_tokens(p, at, 1.0 / steps);
    } else {
        const double counted = p->n_layers ? p->layer / steps : 0.0;
        count_tokens(p, at, counted < 1.0 ? 1.0 - counted : 0.0);
        p->n_layers = p->layer;
    }
    sleep_after(p, worked);
    if (at->where == JL_PACE_LAYER)
        apply(p, session);
    p->mark_ns = jl_time_ns();
}
