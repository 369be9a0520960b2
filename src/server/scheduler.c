/* Continuous batching. Every job is a list of tokens of which the sequence holds n_past; a step
 * brings the sequences forward: by one token where one is missing (an answer being written), by a
 * slice where more are (a prompt being read). Because the logits of a token depend on its sequence
 * alone, neither the batching nor the cache changes an answer. */
#include "server/scheduler.h"

#include "server/scheduler_parts.h"

enum { FLUSH_S = 10 };

/* Makes the engine thread look at what has changed. */
static void poke(void *ctx)
{
    jl_scheduler *s = ctx;

    jl_lock_take(s->lock);
    s->poked = true;
    jl_lock_wake(s->lock);
    jl_lock_leave(s->lock);
}

static void publish(jl_scheduler *s)
{
    jl_prefix_get_stats(s->prefix, &s->stats.prefix);
    s->stats.n_running = s->n_running;
    s->stats.n_queued = s->n_queued;
    s->stats.slice = s->pause.n_tokens;
    s->stats.kv_used = jl_session_kv_used(s->session);
    s->stats.n_reading = 0;
    for (uint32_t i = 0; i < s->n_running; i++)
        s->stats.n_reading += !jl_job_is_answering(s->running[i]);
}

/* Tells the meters when work begins and when nothing is left to do. */
static void tell_power(jl_scheduler *s, bool working)
{
    if (!s->params.power || working == s->working)
        return;
    s->working = working;
    if (working)
        jl_power_begin(s->params.power);
    else
        jl_power_end(s->params.power);
}

static bool has_work(jl_scheduler *s)
{
    jl_lock_take(s->lock);
    const bool any = s->n_running > 0 || s->queue;
    jl_lock_leave(s->lock);
    return any;
}

/* Waits for work; false when the thread is to end. */
static bool wait_for_work(jl_scheduler *s, bool more)
{
    if (!has_work(s))
        tell_power(s, false);
    jl_lock_take(s->lock);
    publish(s);
    while (!s->stop && !s->poked && !more && jl_scheduler_n_runnable(s) == 0)
        jl_lock_wait(s->lock);
    s->poked = false;
    const bool go_on = !s->stop;
    jl_lock_leave(s->lock);
    return go_on;
}

/* What the cache holds goes to the disk before the end, if the disk is quick enough. */
static void flush_spill(jl_scheduler *s)
{
    const uint64_t until = jl_time_ns() + FLUSH_S * 1000000000ull;
    jl_spill_state state = JL_SPILL_MORE;

    while (state != JL_SPILL_IDLE && jl_time_ns() < until) {
        jl_lock_take(s->lock);
        while (state == JL_SPILL_BLOCKED && !s->poked)
            jl_lock_wait(s->lock);
        s->poked = false;
        jl_lock_leave(s->lock);
        state = jl_spill_step(&s->spill);
    }
}

/* On battery, or when it is hot, the cache is written only at the end. */
static bool may_spill(const jl_scheduler *s)
{
    return !s->params.power || !jl_power_defer_background(s->params.power);
}

static void engine_main(void *ctx)
{
    jl_scheduler *s = ctx;
    jl_spill_state spill = JL_SPILL_IDLE;

    while (wait_for_work(s, spill == JL_SPILL_MORE)) {
        tell_power(s, has_work(s));
        jl_scheduler_drop_cancelled(s);
        jl_scheduler_admit(s);
        jl_scheduler_take_loads(s);
        if (jl_scheduler_n_runnable(s) > 0)
            jl_scheduler_step(s);
        if (s->params.disk)
            spill = may_spill(s) ? jl_spill_step(&s->spill) : JL_SPILL_IDLE;
    }
    jl_lock_take(s->lock);
    for (jl_job *j = s->queue; j; j = j->next)
        atomic_store(&j->cancelled, true);
    jl_lock_leave(s->lock);
    for (uint32_t i = 0; i < s->n_running; i++)
        atomic_store(&s->running[i]->cancelled, true);
    jl_scheduler_drop_cancelled(s);
    if (s->params.disk)
        flush_spill(s);
    tell_power(s, false);
}

static bool step_create(jl_step *t, uint32_t n)
{
    t->pieces = jl_calloc(n, sizeof *t->pieces);
    t->jobs = jl_calloc(n, sizeof *t->jobs);
    return t->pieces && t->jobs;
}

static void step_free(jl_step *t)
{
    jl_free(t->pieces);
    jl_free(t->jobs);
}

static jl_status create_parts(jl_scheduler *s, jl_error *err)
{
    const jl_scheduler_params *p = &s->params;

    s->running = jl_calloc(p->n_parallel, sizeof *s->running);
    if (!s->running || !step_create(&s->main, p->n_parallel) ||
        !step_create(&s->beside, p->n_parallel))
        return jl_fail(err, JL_NO_MEMORY, "no memory for %u parallel requests", p->n_parallel);
    JL_TRY(jl_prefix_create(s->session, p->n_parallel + p->n_cache, &s->prefix, err));
    JL_TRY(jl_lock_create(&s->lock, err));
    jl_spill_init(&s->spill, s->session, s->prefix, p->disk, p->disk_bytes);
    if (p->disk)
        jl_disk_on_progress(p->disk, poke, s);
    return jl_thread_start(engine_main, s, &s->thread, err);
}

jl_status jl_scheduler_create(jl_session *session, const jl_scheduler_params *params,
                              jl_scheduler **out, jl_error *err)
{
    jl_scheduler *s = jl_calloc(1, sizeof *s);

    if (!s)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    s->session = session;
    s->params = *params;
    s->params.n_parallel = params->n_parallel ? params->n_parallel : 4;
    s->params.n_queue = params->n_queue ? params->n_queue : 64;
    s->params.max_stall_ms = params->max_stall_ms ? params->max_stall_ms : 500;
    s->params.n_ubatch = params->n_ubatch ? params->n_ubatch : 512;
    s->slice = JL_SLICE_MAX < s->params.n_ubatch ? JL_SLICE_MAX : s->params.n_ubatch;
    jl_pause_init(&s->pause, s->params.max_stall_ms * 1e-3, s->params.n_ubatch);
    jl_session_set_between(session, jl_scheduler_between, s);
    const jl_status status = create_parts(s, err);
    if (status != JL_OK) {
        jl_scheduler_destroy(s);
        return status;
    }
    *out = s;
    return JL_OK;
}

void jl_scheduler_destroy(jl_scheduler *s)
{
    if (!s)
        return;
    if (s->thread) {
        jl_lock_take(s->lock);
        s->stop = true;
        jl_lock_wake(s->lock);
        jl_lock_leave(s->lock);
        jl_session_cancel(s->session);
        jl_thread_join(s->thread);
    }
    if (s->params.disk)
        jl_disk_on_progress(s->params.disk, NULL, NULL);
    jl_spill_free(&s->spill);
    jl_prefix_destroy(s->prefix);
    jl_lock_destroy(s->lock);
    jl_free(s->running);
    step_free(&s->main);
    step_free(&s->beside);
    jl_session_set_between(s->session, NULL, NULL);
    jl_free(s);
}

static jl_status check_job(const jl_scheduler *s, const jl_job *j, jl_error *err)
{
    const uint32_t n_ctx = jl_session_n_ctx(s->session);

    if (j->n_prompt == 0 || j->n_new_max == 0)
        return jl_fail(err, JL_INVALID, "a job needs a prompt and room for at least one token");
    if (j->n_prompt > n_ctx || j->n_new_max > n_ctx - j->n_prompt)
        return jl_fail(err, JL_INVALID,
                       "%zu prompt tokens and %zu new ones exceed the context of %u "
                       "tokens",
                       j->n_prompt, j->n_new_max, n_ctx);
    return JL_OK;
}

jl_status jl_scheduler_submit(jl_scheduler *s, jl_job *const *jobs, size_t n_jobs, jl_error *err)
{
    jl_status status = JL_OK;

    for (size_t i = 0; i < n_jobs; i++)
        JL_TRY(check_job(s, jobs[i], err));
    jl_lock_take(s->lock);
    jl_job **link = &s->queue;
    while (*link)
        link = &(*link)->next;
    const uint32_t n_free = s->params.n_parallel - s->stats.n_running;
    if (s->stop || s->n_queued + n_jobs > s->params.n_queue + n_free) {
        status = jl_fail(err, JL_TOO_LARGE, "%u requests are waiting already", s->n_queued);
    } else {
        for (size_t i = 0; i < n_jobs; i++) {
            jl_job *j = jobs[i];
            j->next = NULL;
            j->n_tokens = j->n_prompt;
            j->n_past = 0;
            j->load = NULL;
            j->counted = false;
            j->stats = (jl_job_stats){.submit_ns = jl_time_ns()};
            atomic_store(&j->cancelled, false);
            atomic_store(&j->reading, false);
            *link = j;
            link = &j->next;
        }
        s->n_queued += (uint32_t)n_jobs;
        s->stats.n_queued = s->n_queued;
        s->poked = true;
        jl_lock_wake(s->lock);
    }
    jl_lock_leave(s->lock);
    return status;
}

void jl_scheduler_cancel(jl_scheduler *s, jl_job *job)
{
    atomic_store(&job->cancelled, true);
    /* One token more is quicker than computing this step again for everybody. Unless it waits. */
    jl_power_status power = {0};
    if (s->params.power)
        jl_power_get_status(s->params.power, &power);
    if (atomic_load(&job->reading) || power.paused)
        jl_session_cancel(s->session);
    poke(s);
}

void jl_scheduler_get_stats(jl_scheduler *s, jl_scheduler_stats *out)
{
    jl_lock_take(s->lock);
    *out = s->stats;
    out->n_queued = s->n_queued;
    jl_lock_leave(s->lock);
    if (s->params.disk)
        jl_disk_get_stats(s->params.disk, &out->disk);
}
