/* A step of the scheduler: one evaluation for all running jobs, and what follows from it. A long
 * slice of prompts is read alone and pauses between its layers for the answers: cut into slices so
 * short that they need not wait long, it would read the weights again for every few tokens. */
#include <math.h>

#include "server/scheduler_parts.h"

enum { SLICE_MIN = 4, MIN_MARK_STEP = 128 };

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

static void add_piece(jl_step *t, jl_job *j, size_t n)
{
    t->jobs[t->n_pieces] = j;
    t->pieces[t->n_pieces++] = (jl_piece){
        .seq = j->seq,
        .tokens = j->tokens + j->n_past,
        .n_tokens = n,
        .no_logits = j->n_past + n < j->n_tokens,
    };
}

static void add_answers(const jl_scheduler *s, jl_step *t)
{
    t->n_pieces = 0;
    t->n_slice = 0;
    for (uint32_t i = 0; i < s->n_running; i++)
        if (!s->running[i]->load && jl_job_is_answering(s->running[i]))
            add_piece(t, s->running[i], 1);
    t->n_answers = t->n_pieces;
}

static void add_prompts(jl_scheduler *s, jl_step *t, size_t budget)
{
    for (uint32_t k = 0; k < s->n_running && budget > 0; k++) {
        jl_job *j = s->running[(s->turn + k) % s->n_running];
        if (j->load || jl_job_is_answering(j))
            continue;
        const size_t n = slice_of(j, budget);
        add_piece(t, j, n);
        budget -= n;
        t->n_slice += n;
    }
    s->turn++;
}

/* Tokens of prompts that could be read now. */
static size_t n_unread(const jl_scheduler *s)
{
    size_t sum = 0;

    for (uint32_t i = 0; i < s->n_running; i++)
        if (!s->running[i]->load && !jl_job_is_answering(s->running[i]))
            sum += slice_of(s->running[i], s->params.n_ubatch);
    return sum;
}

static void plan(jl_scheduler *s)
{
    jl_step *t = &s->main;

    add_answers(s, t);
    s->pausing = t->n_answers > 0 && !s->no_room && n_unread(s) > s->slice;
    s->no_room = false;
    size_t budget = s->params.n_ubatch;
    if (s->pausing) {
        budget = s->pause.n_tokens;
        t->n_pieces = t->n_answers = 0;
    } else if (t->n_answers > 0) {
        budget = s->slice + t->n_answers < budget ? s->slice : budget - t->n_answers;
    }
    add_prompts(s, t, budget);
}

/* Brings the length of the slice near what fits into the allowed wait. */
static void adjust_slice(jl_scheduler *s, double step_ms)
{
    const double limit = s->params.max_stall_ms;
    double slice = s->slice;

    if (s->main.n_answers == 0 || s->main.n_slice == 0)
        return;
    if (step_ms > 0.9 * limit)
        slice *= 0.7 * limit / step_ms;
    else if (step_ms < 0.6 * limit && s->main.n_slice >= s->slice)
        slice = slice * 1.5 + 1;
    else
        return;
    if (slice < SLICE_MIN)
        slice = SLICE_MIN;
    s->slice = slice < JL_SLICE_MAX ? (uint32_t)slice : JL_SLICE_MAX;
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
        jl_job_finish(s, index_of(s, j), JL_JOB_STOPPED, NULL);
    else if (j->n_tokens == j->n_prompt + j->n_new_max)
        jl_job_finish(s, index_of(s, j), JL_JOB_LENGTH, NULL);
}

/* waited: how long its answers waited for their tokens. */
static void count_step(jl_scheduler *s, const jl_step *t, double seconds, double waited)
{
    jl_lock_take(s->lock);
    s->stats.n_steps++;
    s->stats.n_prompt_read += t->n_slice;
    *(t->n_slice ? &s->stats.read_s : &s->stats.decode_s) += seconds;
    if (t->n_answers && waited > s->stats.step_max_s)
        s->stats.step_max_s = waited;
    for (uint32_t i = 0; i < t->n_pieces; i++)
        s->stats.n_generated += !t->pieces[i].no_logits;
    jl_lock_leave(s->lock);
}

static void settle(jl_scheduler *s, const jl_step *t)
{
    for (uint32_t i = 0; i < t->n_pieces; i++) {
        jl_job *j = t->jobs[i];
        const size_t before = j->n_past;
        j->n_past = jl_seq_length(s->session, j->seq);
        checkpoint(s, j, before);
        if (j->n_tokens == j->n_prompt) {
            j->stats.n_read += j->n_past - before;
            if (j->events->on_progress)
                j->events->on_progress(j->ctx);
        }
    }
    for (uint32_t i = 0; i < t->n_pieces; i++)
        if (!t->pieces[i].no_logits)
            sample(s, t->jobs[i], jl_session_logits(s->session, i));
}

/* After a step that did not finish: some pieces may have been computed, their logits are lost. */
static void resync(jl_scheduler *s, const jl_step *t)
{
    for (uint32_t i = 0; i < t->n_pieces; i++) {
        jl_job *j = t->jobs[i];
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
        jl_job_finish(s, 0, JL_JOB_FAILED, why);
        return;
    }
    s->crowded = true;
    s->n_running--;
    jl_job_stop_load(s, youngest);
    jl_prefix_give_back(s->prefix, youngest->seq);
    youngest->n_past = 0;
    jl_scheduler_put_back(s, youngest);
    jl_lock_take(s->lock);
    s->stats.n_preempted++;
    jl_lock_leave(s->lock);
}

/* Puts the energy and processor time of a step down to its jobs, by tokens times the measured cost
 * of the phase. */
static void share_cost(jl_scheduler *s, const jl_step *t, double joules, double cpu_s)
{
    const size_t n_decode = t->n_answers;
    double per_prompt = NAN;
    double per_decode = NAN;
    double cpu_prompt, cpu_decode;

    if (!s->params.power)
        return;
    jl_power_share(s->params.power, joules, t->n_slice, n_decode, &per_prompt, &per_decode);
    jl_power_share(s->params.power, cpu_s, t->n_slice, n_decode, &cpu_prompt, &cpu_decode);
    for (uint32_t i = 0; i < t->n_pieces; i++) {
        jl_job_stats *st = &t->jobs[i]->stats;
        const double n = (double)t->pieces[i].n_tokens;
        if (i < t->n_answers)
            st->decode_j += n * per_decode;
        else
            st->prompt_j += n * per_prompt;
        st->cpu_s += n * (i < t->n_answers ? cpu_decode : cpu_prompt);
    }
}

static double joules_now(const jl_scheduler *s)
{
    return s->params.power ? jl_power_joules(s->params.power, false) : NAN;
}

static double seconds_now(void)
{
    return (double)jl_time_ns() * 1e-9;
}

/* Answers whose client left would else be written until the eval that pauses has ended. */
static void drop_cancelled_answers(jl_scheduler *s)
{
    for (uint32_t i = s->n_running; i-- > 0;) {
        jl_job *j = s->running[i];
        if (!j->load && jl_job_is_answering(j) && atomic_load(&j->cancelled))
            jl_job_finish(s, i, JL_JOB_CANCELLED, NULL);
    }
}

static jl_status eval_beside(jl_scheduler *s, const jl_step *t, jl_error *err)
{
    jl_status status;

    do {
        status = jl_session_eval_beside(s->session, t->pieces, t->n_pieces, err);
    } while (status == JL_TOO_LARGE &&
             (jl_prefix_evict(s->prefix, true) || jl_prefix_evict(s->prefix, false)));
    return status;
}

/* A token for every answer while the eval of prompts pauses. */
static void answer_beside(jl_scheduler *s)
{
    jl_step *t = &s->beside;
    jl_error err = {0};

    drop_cancelled_answers(s);
    add_answers(s, t);
    if (t->n_pieces == 0)
        return;
    const double joules = joules_now(s);
    const double cpu_s = jl_time_cpu();
    const double began = seconds_now();
    const jl_status status = eval_beside(s, t, &err);
    const double ended = seconds_now();
    const double used_j = joules_now(s) - joules;
    const double used_cpu = jl_time_cpu() - cpu_s;

    share_cost(s, t, used_j, used_cpu);
    s->beside_s += ended - began;
    s->beside_j += used_j;
    s->beside_cpu += used_cpu;
    if (status != JL_OK) {
        resync(s, t);
        s->pausing = false;
        s->no_room = true;
        return;
    }
    count_step(s, t, ended - began, jl_pause_done(&s->pause, began, ended));
    settle(s, t);
}

void jl_scheduler_between(void *scheduler, jl_session *session)
{
    jl_scheduler *s = scheduler;
    (void)session;

    if (jl_pause_is_due(&s->pause, seconds_now()) && s->pausing)
        answer_beside(s);
}

/* The step was not computed, or not whole. */
static void step_failed(jl_scheduler *s, jl_status status, const jl_error *err)
{
    resync(s, &s->main);
    if (status == JL_TOO_LARGE) {
        make_room(s, err);
    } else if (status != JL_CANCELLED) {
        while (s->n_running > 0)
            jl_job_finish(s, s->n_running - 1, JL_JOB_FAILED, err);
    }
}

void jl_scheduler_step(jl_scheduler *s)
{
    jl_error err = {0};

    plan(s);
    const bool paused = s->pausing;
    s->beside_s = s->beside_j = s->beside_cpu = 0;
    const double joules = joules_now(s);
    const double cpu_s = jl_time_cpu();
    const double start = seconds_now();
    jl_pause_begin(&s->pause, start);
    const jl_status status = jl_session_eval(s->session, s->main.pieces, s->main.n_pieces, &err);
    const double end = seconds_now();
    const double seconds = end - start - s->beside_s;

    s->pausing = false;
    share_cost(s, &s->main, joules_now(s) - joules - s->beside_j,
               jl_time_cpu() - cpu_s - s->beside_cpu);
    if (status != JL_OK) {
        step_failed(s, status, &err);
        return;
    }
    adjust_slice(s, seconds * 1e3);
    if (s->main.n_answers == 0) /* also learns from prompts that nobody waits beside */
        jl_pause_end(&s->pause, (uint32_t)s->main.n_slice, end);
    if (!paused)
        jl_pause_served(&s->pause, end);
    count_step(s, &s->main, seconds, seconds);
    settle(s, &s->main);
}
