/* A step of the scheduler: one evaluation for all running jobs, and what follows from it. */
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
        if (!s->running[i]->load && jl_job_is_answering(s->running[i]))
            add_piece(s, s->running[i], 1);
    s->n_answers = s->n_pieces;

    size_t budget = s->params.n_ubatch;
    if (s->n_answers > 0)
        budget = s->slice + s->n_answers < budget ? s->slice : budget - s->n_answers;
    for (uint32_t k = 0; k < s->n_running && budget > 0; k++) {
        jl_job *j = s->running[(s->turn + k) % s->n_running];
        if (j->load || jl_job_is_answering(j))
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
        jl_job_finish(s, index_of(s, j), JL_JOB_STOPPED, NULL);
    else if (j->n_tokens == j->n_prompt + j->n_new_max)
        jl_job_finish(s, index_of(s, j), JL_JOB_LENGTH, NULL);
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

void jl_scheduler_step(jl_scheduler *s)
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
            jl_job_finish(s, s->n_running - 1, JL_JOB_FAILED, &err);
    }
}
