/* Continuous batching. Every job is a list of tokens of which the sequence holds n_past; a step
 * brings the sequences forward: by one token where one is missing (an answer being written), by a
 * slice where more are (a prompt being read). Because the logits of a token depend on its sequence
 * alone, neither the batching nor the cache changes an answer. */
#include "server/scheduler.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "server/spill.h"

enum { SLICE_START = 32, SLICE_MIN = 4, MIN_BRANCH = 16, MIN_MARK_STEP = 128, FLUSH_S = 10 };

struct jl_scheduler {
    jl_session *session;
    jl_prefix *prefix;
    jl_scheduler_params params;
    jl_lock *lock;
    jl_thread *thread;

    /* Under the lock. */
    jl_job *queue;
    uint32_t n_queued;
    bool stop;
    bool poked; /* something has come that a sleeping engine must look at */
    jl_scheduler_stats stats;

    /* The engine thread's. */
    jl_job **running; /* [n_parallel] in order of arrival */
    uint32_t n_running;
    bool crowded;       /* a job had to make room: none starts before one has ended */
    uint32_t turn;      /* job that reads first in the next step */
    uint32_t slice;     /* prompt tokens beside running answers */
    jl_piece *pieces;   /* [n_parallel] */
    jl_job **piece_job; /* [n_parallel] */
    uint32_t n_pieces;
    uint32_t n_answers; /* pieces that continue an answer */
    size_t n_slice;     /* tokens of prompts in the pieces */
    jl_spill spill;     /* if there is a disk */
    bool working;       /* jl_power_begin was called */
};

static bool is_answering(const jl_job *j)
{
    return j->n_tokens - j->n_past == 1;
}

/* Makes the engine thread look at what has changed. */
static void poke(void *ctx)
{
    jl_scheduler *s = ctx;

    jl_lock_take(s->lock);
    s->poked = true;
    jl_lock_wake(s->lock);
    jl_lock_leave(s->lock);
}

/* ---- jobs come and go ------------------------------------------------------------------- */

static void job_end(jl_scheduler *s, jl_job *j, jl_job_end end, const jl_error *err)
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

static void load_end(jl_scheduler *s, jl_job *j)
{
    if (j->load)
        jl_disk_load_end(s->params.disk, j->load);
    j->load = NULL;
}

/* Takes a running job off; what it has read becomes a cache entry. */
static void job_finish(jl_scheduler *s, uint32_t index, jl_job_end end, const jl_error *err)
{
    jl_job *j = s->running[index];

    s->crowded = false;
    s->n_running--;
    memmove(&s->running[index], &s->running[index + 1],
            (s->n_running - index) * sizeof *s->running);
    load_end(s, j);
    if (j->n_past > 0 && end != JL_JOB_FAILED)
        jl_prefix_keep(s->prefix, j->seq, j->tokens, (jl_prefix_kind){.small = j->small});
    else
        jl_prefix_give_back(s->prefix, j->seq);
    job_end(s, j, end, err);
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
        if (is_answering(other) || shared <= other->n_past || shared < cached + MIN_BRANCH)
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
    load_end(s, j);
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

static uint32_t n_runnable(const jl_scheduler *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->n_running; i++)
        n += s->running[i]->load == NULL;
    return n;
}

static void take_loads(jl_scheduler *s)
{
    const bool beside = n_runnable(s) > 0;

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

/* Takes cancelled jobs off the queue and the running ones. */
static void drop_cancelled(jl_scheduler *s)
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
        job_end(s, j, JL_JOB_CANCELLED, NULL);
    }
    for (uint32_t i = s->n_running; i-- > 0;)
        if (atomic_load(&s->running[i]->cancelled))
            job_finish(s, i, JL_JOB_CANCELLED, NULL);
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

static void put_back(jl_scheduler *s, jl_job *j)
{
    jl_lock_take(s->lock);
    j->next = s->queue;
    s->queue = j;
    s->n_queued++;
    jl_lock_leave(s->lock);
}

static void admit(jl_scheduler *s)
{
    while (!s->crowded && s->n_running < s->params.n_parallel) {
        jl_job *j = next_job(s);
        if (!j)
            return;
        if (!job_start(s, j)) { /* cannot happen while n_running < n_parallel */
            put_back(s, j);
            return;
        }
    }
}

/* ---- a step ----------------------------------------------------------------------------- */

/* Tokens of a prompt to read now: up to the budget, and no further than the next mark. */
static size_t slice_of(const jl_job *j, size_t budget)
{
    size_t end = j->n_tokens;

    for (size_t i = j->n_marks; i-- > 0;)
        if (j->marks[i] > j->n_past && j->marks[i] < end)
            end = j->marks[i];
    const size_t n = end - j->n_past;
    return n < budget ? n : budget;
}

static void add_piece(jl_scheduler *s, jl_job *j, size_t n)
{
    s->piece_job[s->n_pieces] = j;
    s->pieces[s->n_pieces++] = (jl_piece){
        .seq = j->seq,
        .tokens = j->tokens + j->n_past,
        .n_tokens = n,
        .no_logits = j->n_past + n < j->n_tokens,
    };
}

static void plan(jl_scheduler *s)
{
    s->n_pieces = 0;
    s->n_slice = 0;
    for (uint32_t i = 0; i < s->n_running; i++)
        if (!s->running[i]->load && is_answering(s->running[i]))
            add_piece(s, s->running[i], 1);
    s->n_answers = s->n_pieces;

    size_t budget = s->params.n_ubatch;
    if (s->n_answers > 0)
        budget = s->slice + s->n_answers < budget ? s->slice : budget - s->n_answers;
    for (uint32_t k = 0; k < s->n_running && budget > 0; k++) {
        jl_job *j = s->running[(s->turn + k) % s->n_running];
        if (j->load || is_answering(j))
            continue;
        const size_t n = slice_of(j, budget);
        add_piece(s, j, n);
        budget -= n;
        s->n_slice += n;
    }
    s->turn++;
}

/* Brings the length of the slice near what fits into the allowed wait. */
static void adjust_slice(jl_scheduler *s, double step_ms)
{
    const double limit = s->params.max_stall_ms;
    double slice = s->slice;

    if (s->n_answers == 0 || s->n_slice == 0)
        return;
    if (step_ms > 0.9 * limit)
        slice *= 0.7 * limit / step_ms;
    else if (step_ms < 0.6 * limit && s->n_slice >= s->slice)
        slice = slice * 1.5 + 1;
    else
        return;
    if (slice < SLICE_MIN)
        slice = SLICE_MIN;
    s->slice = slice < s->params.n_ubatch ? (uint32_t)slice : s->params.n_ubatch;
}

static uint32_t index_of(const jl_scheduler *s, const jl_job *j)
{
    uint32_t i = 0;

    while (s->running[i] != j)
        i++;
    return i;
}

static void checkpoint(jl_scheduler *s, const jl_job *j, size_t n_before)
{
    for (size_t i = 0; i < j->n_marks; i++)
        if (j->marks[i] == j->n_past && n_before < j->n_past)
            jl_prefix_checkpoint(s->prefix, j->seq, j->tokens, j->n_past,
                                 (jl_prefix_kind){.small = j->small, .checkpoint = true});
    if (j->n_past == j->n_prompt && n_before + MIN_MARK_STEP <= j->n_past)
        jl_prefix_checkpoint(s->prefix, j->seq, j->tokens, j->n_past,
                             (jl_prefix_kind){.small = j->small});
}

static void sample(jl_scheduler *s, jl_job *j, const float *logits)
{
    const uint32_t *allowed = j->events->allowed ? j->events->allowed(j->ctx) : NULL;
    const int32_t token = jl_sampler_pick(j->sampler, logits, allowed);

    if (j->n_tokens == j->n_prompt)
        j->stats.first_ns = jl_time_ns();
    atomic_store(&j->reading, false);
    jl_sampler_accept(j->sampler, token);
    j->tokens[j->n_tokens++] = token;
    if (!j->events->on_token(j->ctx, token, logits))
        job_finish(s, index_of(s, j), JL_JOB_STOPPED, NULL);
    else if (j->n_tokens == j->n_prompt + j->n_new_max)
        job_finish(s, index_of(s, j), JL_JOB_LENGTH, NULL);
}

static void count_step(jl_scheduler *s, uint64_t ns)
{
    const double seconds = (double)ns * 1e-9;

    jl_lock_take(s->lock);
    s->stats.n_steps++;
    s->stats.n_prompt_read += s->n_slice;
    *(s->n_slice ? &s->stats.read_s : &s->stats.decode_s) += seconds;
    if (s->n_answers && seconds > s->stats.step_max_s)
        s->stats.step_max_s = seconds;
    for (uint32_t i = 0; i < s->n_pieces; i++)
        s->stats.n_generated += !s->pieces[i].no_logits;
    jl_lock_leave(s->lock);
}

static void settle(jl_scheduler *s)
{
    for (uint32_t i = 0; i < s->n_pieces; i++) {
        jl_job *j = s->piece_job[i];
        const size_t before = j->n_past;
        j->n_past = jl_seq_length(s->session, j->seq);
        checkpoint(s, j, before);
        if (j->n_tokens == j->n_prompt) {
            j->stats.n_read += j->n_past - before;
            if (j->events->on_progress)
                j->events->on_progress(j->ctx);
        }
    }
    for (uint32_t i = 0; i < s->n_pieces; i++)
        if (!s->pieces[i].no_logits)
            sample(s, s->piece_job[i], jl_session_logits(s->session, i));
}

/* After a step that did not finish: some pieces may have been computed, their logits are lost. */
static void resync(jl_scheduler *s)
{
    for (uint32_t i = 0; i < s->n_pieces; i++) {
        jl_job *j = s->piece_job[i];
        const size_t before = j->n_past;
        size_t len = jl_seq_length(s->session, j->seq);
        if (len == j->n_tokens && jl_seq_truncate(s->session, j->seq, len - 1, NULL) != JL_OK)
            jl_seq_clear(s->session, j->seq);
        j->n_past = jl_seq_length(s->session, j->seq);
        if (j->n_past > before && j->n_tokens == j->n_prompt)
            j->stats.n_read += j->n_past - before;
    }
}

/* No page is free: entries of the cache go first, then the youngest job starts again later. */
static void make_room(jl_scheduler *s, const jl_error *why)
{
    bool small = true;

    for (uint32_t i = 0; i < s->n_running; i++)
        small = small && s->running[i]->small;
    if (jl_prefix_evict(s->prefix, small) || jl_prefix_evict(s->prefix, false))
        return;
    jl_job *youngest = s->running[s->n_running - 1];
    if (s->n_running == 1) {
        job_finish(s, 0, JL_JOB_FAILED, why);
        return;
    }
    s->crowded = true;
    s->n_running--;
    load_end(s, youngest);
    jl_prefix_give_back(s->prefix, youngest->seq);
    youngest->n_past = 0;
    put_back(s, youngest);
    jl_lock_take(s->lock);
    s->stats.n_preempted++;
    jl_lock_leave(s->lock);
}

/* Puts the energy and processor time of a step down to its jobs, by tokens times the measured cost
 * of the phase. */
static void share_cost(jl_scheduler *s, double joules, double cpu_s)
{
    const size_t n_decode = s->n_answers;
    double per_prompt = NAN;
    double per_decode = NAN;
    double cpu_prompt, cpu_decode;

    if (!s->params.power)
        return;
    jl_power_share(s->params.power, joules, s->n_slice, n_decode, &per_prompt, &per_decode);
    jl_power_share(s->params.power, cpu_s, s->n_slice, n_decode, &cpu_prompt, &cpu_decode);
    for (uint32_t i = 0; i < s->n_pieces; i++) {
        jl_job_stats *st = &s->piece_job[i]->stats;
        const double n = (double)s->pieces[i].n_tokens;
        if (i < s->n_answers)
            st->decode_j += n * per_decode;
        else
            st->prompt_j += n * per_prompt;
        st->cpu_s += n * (i < s->n_answers ? cpu_decode : cpu_prompt);
    }
}

static void step(jl_scheduler *s)
{
    jl_error err = {0};

    plan(s);
    const double joules = s->params.power ? jl_power_joules(s->params.power, false) : NAN;
    const double cpu_s = jl_time_cpu();
    const uint64_t start = jl_time_ns();
    const jl_status status = jl_session_eval(s->session, s->pieces, s->n_pieces, &err);
    const uint64_t ns = jl_time_ns() - start;

    if (s->params.power)
        share_cost(s, jl_power_joules(s->params.power, false) - joules, jl_time_cpu() - cpu_s);
    if (status == JL_OK) {
        adjust_slice(s, (double)ns * 1e-6);
        count_step(s, ns);
        settle(s);
        return;
    }
    resync(s);
    if (status == JL_TOO_LARGE) {
        make_room(s, &err);
    } else if (status != JL_CANCELLED) {
        while (s->n_running > 0)
            job_finish(s, s->n_running - 1, JL_JOB_FAILED, &err);
    }
}

/* ---- the thread ------------------------------------------------------------------------- */

static void publish(jl_scheduler *s)
{
    jl_prefix_get_stats(s->prefix, &s->stats.prefix);
    s->stats.n_running = s->n_running;
    s->stats.n_queued = s->n_queued;
    s->stats.slice = s->slice;
    s->stats.kv_used = jl_session_kv_used(s->session);
    s->stats.n_reading = 0;
    for (uint32_t i = 0; i < s->n_running; i++)
        s->stats.n_reading += !is_answering(s->running[i]);
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
    while (!s->stop && !s->poked && !more && n_runnable(s) == 0)
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
        drop_cancelled(s);
        admit(s);
        take_loads(s);
        if (n_runnable(s) > 0)
            step(s);
        if (s->params.disk)
            spill = may_spill(s) ? jl_spill_step(&s->spill) : JL_SPILL_IDLE;
    }
    jl_lock_take(s->lock);
    for (jl_job *j = s->queue; j; j = j->next)
        atomic_store(&j->cancelled, true);
    jl_lock_leave(s->lock);
    for (uint32_t i = 0; i < s->n_running; i++)
        atomic_store(&s->running[i]->cancelled, true);
    drop_cancelled(s);
    if (s->params.disk)
        flush_spill(s);
    tell_power(s, false);
}

static jl_status create_parts(jl_scheduler *s, jl_error *err)
{
    const jl_scheduler_params *p = &s->params;

    s->running = jl_calloc(p->n_parallel, sizeof *s->running);
    s->pieces = jl_calloc(p->n_parallel, sizeof *s->pieces);
    s->piece_job = jl_calloc(p->n_parallel, sizeof *s->piece_job);
    if (!s->running || !s->pieces || !s->piece_job)
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
    s->slice = SLICE_START < s->params.n_ubatch ? SLICE_START : s->params.n_ubatch;
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
    jl_free(s->pieces);
    jl_free(s->piece_job);
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
