/* How jobs come and go: from the queue, with what cache and disk have of them, to their end. */
#include <string.h>

#include "server/scheduler_parts.h"

enum { MIN_BRANCH = 16 }; /* tokens worth waiting for */

static void job_ended(jl_scheduler *s, jl_job *j, jl_job_end end, const jl_error *err)
{
    j->stats.end_ns = jl_time_ns();
    atomic_store(&j->reading, false);
    jl_lock_take(s->lock);
    s->poked = true; /* another one may start */
    s->stats.n_cancelled += end == JL_JOB_CANCELLED;
    s->stats.n_failed += end == JL_JOB_FAILED;
    jl_lock_leave(s->lock);
    j->events->on_end(j->ctx, end, err);
}

void jl_job_stop_load(jl_scheduler *s, jl_job *j)
{
    if (j->load)
        jl_disk_load_end(s->params.disk, j->load);
    j->load = NULL;
}

void jl_job_finish(jl_scheduler *s, uint32_t index, jl_job_end end, const jl_error *err)
{
    jl_job *j = s->running[index];

    s->crowded = false;
    s->n_running--;
    memmove(&s->running[index], &s->running[index + 1],
            (s->n_running - index) * sizeof *s->running);
    jl_job_stop_load(s, j);
    if (j->n_past > 0 && end != JL_JOB_FAILED)
        jl_prefix_keep(s->prefix, j->seq, j->tokens, (jl_prefix_kind){.small = j->small});
    else
        jl_prefix_give_back(s->prefix, j->seq);
    job_ended(s, j, end, err);
}

static size_t common_prefix(const jl_job *a, const jl_job *b)
{
    const size_t n = a->n_prompt < b->n_prompt ? a->n_prompt : b->n_prompt;
    size_t i = 0;

    while (i < n && a->tokens[i] == b->tokens[i])
        i++;
    return i < b->n_prompt ? i : b->n_prompt - 1;
}

static void add_mark(jl_job *j, size_t at)
{
    size_t i = 0;

    while (i < j->n_marks && j->marks[i] < at)
        i++;
    if (j->n_marks == JL_JOB_MARKS || (i < j->n_marks && j->marks[i] == at))
        return;
    memmove(&j->marks[i + 1], &j->marks[i], (j->n_marks - i) * sizeof *j->marks);
    j->marks[i] = at;
    j->n_marks++;
}

/* Whether a running job is about to read much of what this one needs: then it waits and branches
 * off there, instead of reading the same tokens beside it. */
static bool should_wait(jl_scheduler *s, const jl_job *j)
{
    int32_t src;
    const size_t cached = jl_prefix_find(s->prefix, j->tokens, j->n_prompt, &src);

    for (uint32_t i = 0; i < s->n_running; i++) {
        jl_job *other = s->running[i];
        const size_t shared = common_prefix(other, j);
        if (jl_job_is_answering(other) || shared <= other->n_past || shared < cached + MIN_BRANCH)
            continue;
        add_mark(other, shared);
        return true;
    }
    return false;
}

/* ---- from the disk ---------------------------------------------------------------------- */

/* Starts to load what the disk has of the tokens, if that is a block more than memory has. */
static bool load_start(jl_scheduler *s, jl_job *j)
{
    jl_disk *disk = s->params.disk;
    int32_t src;

    if (!disk)
        return false;
    const size_t in_memory = jl_prefix_find(s->prefix, j->tokens, j->n_tokens, &src);
    const size_t on_disk = jl_disk_find(disk, j->tokens, j->n_tokens - 1);
    if (on_disk < in_memory + JL_BLOCK_TOKENS)
        return false;
    j->load = jl_disk_load(disk, j->tokens, on_disk);
    j->n_loads = on_disk;
    return j->load != NULL;
}

static void count_cached(jl_scheduler *s, jl_job *j)
{
    if (j->counted)
        return; /* it had to make room once, and was counted then */
    j->counted = true;
    j->stats.n_cached = j->n_past;
    jl_lock_take(s->lock);
    s->stats.n_prompt_cached += j->n_past;
    jl_lock_leave(s->lock);
}

/* The sequence gets what memory has of the tokens. */
static void fork_prefix(jl_scheduler *s, jl_job *j)
{
    j->n_past = jl_prefix_fork(s->prefix, j->tokens, j->n_tokens, j->seq);
    jl_prefix_announce(s->prefix, j->seq, j->tokens);
    count_cached(s, j);
}

static jl_status put_block(jl_scheduler *s, jl_job *j, const jl_block *b)
{
    jl_status status;

    do {
        status = jl_seq_put_block(s->session, j->seq, b->kind, b->index, b->cells, NULL);
    } while (status == JL_TOO_LARGE && jl_prefix_evict(s->prefix, j->small));
    jl_free(b->data);
    return status;
}

/* The load has ended, well or not. A damaged block is gone from the disk, so another try finds a
 * shorter beginning. */
static void load_ended(jl_scheduler *s, jl_job *j, bool ok, bool again)
{
    jl_job_stop_load(s, j);
    if (ok && jl_seq_put_done(s->session, j->seq, j->n_loads, NULL) == JL_OK) {
        j->n_past = j->n_loads;
        jl_prefix_announce(s->prefix, j->seq, j->tokens);
        count_cached(s, j);
        return;
    }
    jl_seq_clear(s->session, j->seq);
    if (!again || !load_start(s, j))
        fork_prefix(s, j);
}

/* Takes what has been read; beside running answers one block at a time. */
static void load_more(jl_scheduler *s, jl_job *j, bool beside)
{
    jl_block b;

    while (j->load) {
        switch (jl_disk_load_next(s->params.disk, j->load, &b)) {
        case JL_LOAD_WAITS:
            return;
        case JL_LOAD_DONE:
            load_ended(s, j, true, false);
            return;
        case JL_LOAD_FAILED:
            load_ended(s, j, false, true);
            break;
        case JL_LOAD_BLOCK:
            if (put_block(s, j, &b) != JL_OK)
                load_ended(s, j, false, false); /* no room: read it */
            else if (beside)
                return;
            break;
        }
    }
}

uint32_t jl_scheduler_n_runnable(const jl_scheduler *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->n_running; i++)
        n += s->running[i]->load == NULL;
    return n;
}

void jl_scheduler_take_loads(jl_scheduler *s)
{
    const bool beside = jl_scheduler_n_runnable(s) > 0;

    for (uint32_t i = 0; i < s->n_running; i++)
        if (s->running[i]->load)
            load_more(s, s->running[i], beside);
}

/* ---- jobs start ------------------------------------------------------------------------- */

static bool job_start(jl_scheduler *s, jl_job *j)
{
    const int32_t seq = jl_prefix_take(s->prefix, j->small);

    if (seq < 0)
        return false;
    j->seq = seq;
    j->n_past = 0;
    if (!load_start(s, j))
        fork_prefix(s, j);
    atomic_store(&j->reading, true);
    if (j->stats.start_ns == 0) {
        j->stats.start_ns = jl_time_ns();
        for (size_t i = 0; i < j->n_prompt; i++)
            jl_sampler_accept(j->sampler, j->tokens[i]);
    }
    s->running[s->n_running++] = j;
    return true;
}

static jl_job *queue_remove(jl_scheduler *s, jl_job **link)
{
    jl_job *j = *link;

    *link = j->next;
    j->next = NULL;
    s->n_queued--;
    return j;
}

void jl_scheduler_drop_cancelled(jl_scheduler *s)
{
    jl_job *gone = NULL;

    jl_lock_take(s->lock);
    for (jl_job **link = &s->queue; *link;) {
        if (!atomic_load(&(*link)->cancelled)) {
            link = &(*link)->next;
            continue;
        }
        jl_job *j = queue_remove(s, link);
        j->next = gone;
        gone = j;
    }
    jl_lock_leave(s->lock);
    while (gone) {
        jl_job *j = gone;
        gone = j->next;
        job_ended(s, j, JL_JOB_CANCELLED, NULL);
    }
    for (uint32_t i = s->n_running; i-- > 0;)
        if (atomic_load(&s->running[i]->cancelled))
            jl_job_finish(s, i, JL_JOB_CANCELLED, NULL);
}

/* The first job of the queue that need not wait for another; NULL: none. */
static jl_job *next_job(jl_scheduler *s)
{
    jl_job *j = NULL;

    jl_lock_take(s->lock);
    for (jl_job **link = &s->queue; *link && !j; link = &(*link)->next)
        if (!should_wait(s, *link)) {
            j = queue_remove(s, link);
            s->stats.n_jobs++;
            break;
        }
    jl_lock_leave(s->lock);
    return j;
}

void jl_scheduler_put_back(jl_scheduler *s, jl_job *j)
{
    jl_lock_take(s->lock);
    j->next = s->queue;
    s->queue = j;
    s->n_queued++;
    jl_lock_leave(s->lock);
}

void jl_scheduler_admit(jl_scheduler *s)
{
    while (!s->crowded && s->n_running < s->params.n_parallel) {
        jl_job *j = next_job(s);
        if (!j)
            return;
        if (!job_start(s, j)) { /* cannot happen while n_running < n_parallel */
            jl_scheduler_put_back(s, j);
            return;
        }
    }
}
