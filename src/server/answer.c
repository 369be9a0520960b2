/* Answers: jobs are made, their events come back from the engine thread, wires write them. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "server/internal.h"

enum { KEEP_ALIVE_MS = 5000 };

/* ---- events from the engine thread ------------------------------------------------------ */

static void sink(void *ctx, jl_out *o)
{
    jl_choice *c = ctx;
    jl_answer *a = c->answer;
    jl_server *s = a->s;
    bool wake = false;

    jl_lock_take(s->lock);
    if (c->last)
        c->last->next = o;
    else
        c->first = o;
    c->last = o;
    if (!a->ready) {
        wake = s->ready == NULL;
        a->ready = true;
        a->next_ready = s->ready;
        s->ready = a;
    }
    jl_lock_leave(s->lock);
    if (wake)
        event_active(s->wake, EV_READ, 0);
}

/* ---- making and freeing ----------------------------------------------------------------- */

static void choice_free(jl_choice *c)
{
    while (c->first) {
        jl_out *o = c->first;
        c->first = o->next;
        jl_out_free(o);
    }
    for (size_t i = 0; i < c->n_calls; i++) {
        jl_free(c->calls[i].id);
        jl_free(c->calls[i].name);
        jl_str_free(&c->calls[i].arguments);
    }
    jl_free(c->calls);
    jl_str_free(&c->content);
    jl_str_free(&c->reasoning);
    json_decref(c->logprobs);
    json_decref(c->repairs);
    jl_feed_free(&c->feed);
    jl_sampler_destroy(c->job.sampler);
    jl_free(c->job.tokens);
}

/* The last event may have come while the ones before it were being taken. */
static void forget_ready(jl_answer *a)
{
    jl_lock_take(a->s->lock);
    for (jl_answer **link = &a->s->ready; a->ready && *link; link = &(*link)->next_ready)
        if (*link == a) {
            *link = a->next_ready;
            break;
        }
    jl_lock_leave(a->s->lock);
}

static void answer_free(jl_answer *a)
{
    forget_ready(a);
    for (unsigned i = 0; a->choices && i < a->gen.n; i++)
        choice_free(&a->choices[i]);
    jl_free(a->choices);
    json_decref(a->extra);
    jl_gen_free(&a->gen);
    jl_free(a);
}

static jl_status make_limits(jl_answer *a, jl_limits *l, jl_error *err)
{
    jl_server *s = a->s;
    jl_limits_params p = a->gen.limits;

    p.in_thought = a->gen.prompt.prompt.in_thought;
    if ((p.form != JL_FORM_NONE || p.tools) && !s->tree)
        JL_TRY(jl_token_tree_create(s->model, &s->tree, err));
    return jl_limits_init(l, s->model, s->tree, &p, err);
}

static jl_status make_feed(jl_answer *a, jl_choice *c, jl_error *err)
{
    const jl_gen *g = &a->gen;
    jl_server *s = a->s;
    jl_feed *r = &c->feed;
    const jl_chat_parser_params pp = {.struct_size = sizeof pp,
                                      .in_thought = g->prompt.prompt.in_thought,
                                      .id_seed = jl_time_ns() ^ ++s->n_ids << 40};

    *r = (jl_feed){.model = s->model,
                   .job = &c->job,
                   .n_vocab = s->info.n_vocab,
                   .n_top = g->n_top,
                   .stops = g->stops,

                   .one_call = g->limits.one_call,
                   .ignore_eos = g->ignore_eos,
                   .sink = sink,
                   .ctx = c};
    r->last = jl_calloc(1, sizeof *r->last);
    if (!r->last)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    if (g->logprobs) {
        c->logprobs = json_array();
        JL_TRY(jl_detok_create(s->model, true, &r->names, err));
    }
    JL_TRY(make_limits(a, &r->limits, err));
    if (!g->conv)
        return jl_detok_create(s->model, false, &r->detok, err);
    return jl_chat_parser_create(s->chat, g->limits.tools ? g->conv : NULL, &pp, jl_feed_event, r,
                                 &r->parser, err);
}

static jl_status make_choice(jl_answer *a, unsigned index, jl_error *err)
{
    jl_choice *c = &a->choices[index];
    const jl_gen *g = &a->gen;
    const jl_chat_prompt *p = &g->prompt.prompt;
    const size_t room = a->s->n_ctx - p->n_tokens;
    jl_sampler_params sampling = g->sampling;

    c->answer = a;
    c->index = index;
    c->job = (jl_job){.n_prompt = p->n_tokens,
                      .n_new_max = g->n_new_max < room ? g->n_new_max : room,
                      .small = g->small,
                      .n_marks = g->n_marks,
                      .events = &jl_feed_events,
                      .ctx = &c->feed};
    memcpy(c->job.marks, g->marks, sizeof c->job.marks);
    c->job.tokens = jl_malloc((c->job.n_prompt + c->job.n_new_max) * sizeof *c->job.tokens);
    if (!c->job.tokens)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    memcpy(c->job.tokens, p->tokens, p->n_tokens * sizeof *p->tokens);
    sampling.seed += index;
    JL_TRY(jl_sampler_create(a->s->model, &sampling, &c->job.sampler, err));
    return make_feed(a, c, err);
}

static jl_status submit(jl_answer *a, jl_error *err)
{
    jl_job *jobs[64];
    const unsigned n = a->gen.n < 64 ? a->gen.n : 64;

    for (unsigned i = 0; i < n; i++)
        jobs[i] = &a->choices[i].job;
    return jl_scheduler_submit(a->s->scheduler, jobs, n, err);
}

static jl_status make_answer(jl_answer *a, jl_error *err)
{
    a->choices = jl_calloc(a->gen.n, sizeof *a->choices);
    if (!a->choices)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    for (unsigned i = 0; i < a->gen.n; i++)
        JL_TRY(make_choice(a, i, err));
    return submit(a, err);
}

static void link_answer(jl_server *s, jl_answer *a)
{
    static const struct timeval tenth = {.tv_usec = 100000};

    a->next = s->answers;
    if (s->answers)
        s->answers->prev = a;
    else
        event_add(s->tick, &tenth);
    s->answers = a;
}

static void unlink_answer(jl_server *s, jl_answer *a)
{
    if (a->next)
        a->next->prev = a->prev;
    if (a->prev)
        a->prev->next = a->next;
    else
        s->answers = a->next;
    if (!s->answers)
        event_del(s->tick);
}

void jl_answer_start(jl_exchange *ex, const jl_wire *wire, jl_gen *gen, json_t *extra)
{
    jl_server *s = ex->s;
    jl_answer *a = jl_calloc(1, sizeof *a);
    jl_fault f = {0};

    if (!a) {
        jl_gen_free(gen);
        json_decref(extra);
        (void)jl_fail(&f.err, JL_NO_MEMORY, "out of memory");
        jl_ex_fault(ex, &f);
        return;
    }
    *a = (jl_answer){.s = s,
                     .ex = ex,
                     .wire = wire,
                     .gen = *gen,
                     .extra = extra,
                     .created = (json_int_t)time(NULL),
                     .last_write_ns = jl_time_ns()};
    *gen = (jl_gen){0};
    snprintf(a->id, sizeof a->id, "%s%08llx%08llx", wire->id_prefix,
             (unsigned long long)(s->started_ns & 0xffffffffu), (unsigned long long)++s->n_ids);
    if (make_answer(a, &f.err) != JL_OK) {
        const bool full = a->choices && a->choices[a->gen.n - 1].feed.sink; /* all were made */
        f.http = full && f.err.status == JL_TOO_LARGE ? 429
                 : f.err.status == JL_UNSUPPORTED     ? 400
                                                      : 0;
        f.code = f.http == 429 ? "queue_full" : f.http ? "unsupported_parameter" : NULL;
        f.param = f.http == 429 || !a->choices ? NULL
                  : a->gen.form_text           ? "response_format"
                  : a->gen.limits.forced       ? "tools"
                                               : NULL;
        answer_free(a);
        jl_ex_fault(ex, &f);
        return;
    }
    ex->answer = a;
    link_answer(s, a);
    if (a->gen.stream) {
        jl_ex_stream_begin(ex, wire->stream_type);
        if (wire->begin)
            wire->begin(a);
    }
}

/* ---- taking events ---------------------------------------------------------------------- */

static jl_call *call_at(jl_choice *c, int index)
{
    const size_t need = (size_t)index + 1;

    if (index < 0)
        return NULL;
    if (need > c->calls_cap) {
        jl_call *grown = jl_realloc(c->calls, 2 * need * sizeof *grown);
        if (!grown)
            return NULL;
        c->calls = grown;
        c->calls_cap = 2 * need;
    }
    while (c->n_calls < need)
        c->calls[c->n_calls++] = (jl_call){0};
    return &c->calls[index];
}

/* What the answer is so far; false without memory. */
static bool collect(jl_choice *c, jl_out *o)
{
    jl_call *call =
        o->kind >= JL_OUT_CALL_BEGIN && o->kind <= JL_OUT_CALL_END ? call_at(c, o->call) : NULL;

    switch (o->kind) {
    case JL_OUT_CONTENT:
        return jl_str_put(&c->content, o->text, o->len);
    case JL_OUT_REASONING:
        return jl_str_put(&c->reasoning, o->text, o->len);
    case JL_OUT_CALL_BEGIN:
        if (!call || !o->id || !o->name)
            return false;
        call->id = jl_strndup(o->id, strlen(o->id));
        call->name = jl_strndup(o->name, strlen(o->name));
        return call->id && call->name;
    case JL_OUT_CALL_ARGUMENTS:
        return call && jl_str_put(&call->arguments, o->text, o->len);
    case JL_OUT_CALL_END:
        if (call)
            call->complete = o->complete;
        return call != NULL;
    case JL_OUT_REPAIR:
        if (!c->repairs)
            c->repairs = json_array();
        return json_array_append_new(c->repairs, json_string(jl_chat_repair_name(o->repair))) == 0;
    case JL_OUT_LOGPROB:
        return json_array_append(c->logprobs, o->logprob) == 0;
    case JL_OUT_PROGRESS:
    case JL_OUT_END:
        break;
    }
    return true;
}

/* The answer as a message, for jl_turns_remember. */
static void remember(jl_answer *a, jl_choice *c)
{
    jl_chat_message m = {.role = JL_ROLE_ASSISTANT,
                         .content = {jl_str_text(&c->content), c->content.len},
                         .reasoning = {jl_str_text(&c->reasoning), c->reasoning.len},
                         .n_calls = c->n_calls};
    jl_chat_call *calls = c->n_calls ? jl_calloc(c->n_calls, sizeof *calls) : NULL;

    if (c->n_calls && !calls)
        return;
    for (size_t i = 0; i < c->n_calls; i++)
        calls[i] = (jl_chat_call){
            .id = a->wire->id_prefix[0] ? c->calls[i].id : NULL,
            .name = c->calls[i].name,
            .arguments = {jl_str_text(&c->calls[i].arguments), c->calls[i].arguments.len}};
    m.calls = calls;
    jl_loop loop = {0};
    if (jl_conversation_find_loop(a->gen.conv, &m, &loop, NULL) == JL_OK)
        c->call_repeats = loop.repeats;
    if (a->gen.call_repeats > c->call_repeats)
        c->call_repeats = a->gen.call_repeats;
    jl_turns_remember(a->s->turns, &a->gen.prompt, &m, c->job.tokens, c->job.n_tokens);
    jl_free(calls);
}

static void choice_ended(jl_answer *a, jl_choice *c, const jl_out *o)
{
    c->ended = true;
    c->end = o->end;
    c->err = o->err;
    a->n_ended++;
    if (a->gen.conv && (o->end == JL_JOB_STOPPED || o->end == JL_JOB_LENGTH) && !c->feed.stop_hit)
        remember(a, c);
}

static void take(jl_answer *a, jl_choice *c, jl_out *o)
{
    const bool live = a->gen.stream && !a->ex->closed;

    if (o->kind == JL_OUT_END) {
        if (o->complete) {
            choice_ended(a, c, o);
            if (live && a->wire->end_choice && o->end != JL_JOB_FAILED &&
                o->end != JL_JOB_CANCELLED)
                a->wire->end_choice(a, c);
            return;
        }
        c->finish = o->finish;
        c->finished = true;
        return;
    }
    if (o->kind == JL_OUT_PROGRESS)
        c->n_cached = o->n_cached;
    if (!collect(c, o))
        jl_scheduler_cancel(a->s->scheduler, &c->job);
    if (live && (o->kind != JL_OUT_PROGRESS || a->gen.progress))
        a->wire->event(a, c, o);
}

static void log_usage(jl_answer *a)
{
    const jl_usage u = jl_answer_usage(a);

    snprintf(a->ex->note, sizeof a->ex->note, "prompt %zu cached %zu generated %zu", u.n_prompt,
             u.n_cached, u.n_generated);
    jl_server_log(a->s, JL_LOG_DEBUG,
                  "%s: waited %.1f ms, read %zu tokens in %.1f ms, wrote %zu in %.1f ms", a->id,
                  u.queue_ms, u.n_prompt - u.n_cached, u.prompt_ms, u.n_generated, u.decode_ms);
}

static void answer_done(jl_answer *a)
{
    jl_exchange *ex = a->ex;
    jl_fault f = {0};
    const jl_choice *bad = NULL;

    for (unsigned i = 0; i < a->gen.n; i++)
        if (a->choices[i].end == JL_JOB_FAILED || a->choices[i].end == JL_JOB_CANCELLED)
            bad = &a->choices[i];
    log_usage(a);
    unlink_answer(a->s, a);
    ex->answer = NULL;
    if (bad && bad->end == JL_JOB_CANCELLED)
        (void)jl_fault_set(&f, 503, "shutting_down", NULL, "the server ended this request");
    else if (bad)
        f.err = bad->err;
    if (bad && f.err.status == JL_TOO_LARGE)
        f.http = 503;
    if (!bad) {
        a->wire->finish(a);
    } else if (a->gen.stream && !ex->closed) {
        a->wire->stream_error(a, jl_fault_http(&f), &f);
        jl_ex_stream_end(ex);
    } else if (a->gen.stream) {
        jl_ex_stream_end(ex);
    } else {
        jl_ex_fault(ex, &f);
    }
    answer_free(a);
}

static void drain(jl_answer *a)
{
    for (unsigned i = 0; i < a->gen.n; i++) {
        jl_choice *c = &a->choices[i];
        jl_lock_take(a->s->lock);
        jl_out *o = c->first;
        c->first = c->last = NULL;
        jl_lock_leave(a->s->lock);
        while (o) {
            jl_out *next = o->next;
            take(a, c, o);
            jl_out_free(o);
            o = next;
        }
    }
    if (a->n_ended == a->gen.n)
        answer_done(a);
}

void jl_answers_wake(jl_server *s)
{
    for (;;) {
        jl_lock_take(s->lock);
        jl_answer *a = s->ready;
        if (a) {
            s->ready = a->next_ready;
            a->ready = false;
        }
        jl_lock_leave(s->lock);
        if (!a)
            return;
        drain(a);
    }
}

static void cancel(jl_answer *a)
{
    for (unsigned i = 0; i < a->gen.n; i++)
        if (!a->choices[i].ended)
            jl_scheduler_cancel(a->s->scheduler, &a->choices[i].job);
}

void jl_answer_closed(jl_answer *a)
{
    cancel(a);
}

void jl_answers_cancel(jl_server *s)
{
    for (jl_answer *a = s->answers; a; a = a->next)
        cancel(a);
}

void jl_answers_tick(jl_server *s)
{
    const uint64_t now = jl_time_ns();
    jl_answer *next;

    for (jl_answer *a = s->answers; a; a = next) {
        next = a->next;
        if (a->ex->closed)
            cancel(
                a); /* a request that met the start of a step was lost: see jl_scheduler_cancel */
        else if (a->gen.stream && a->wire->keep_alive &&
                 now - a->last_write_ns > KEEP_ALIVE_MS * 1000000ull)
            jl_ex_stream_write(a->ex, a->wire->keep_alive, strlen(a->wire->keep_alive));
    }
}

/* ---- figures ---------------------------------------------------------------------------- */

jl_usage jl_answer_usage(const jl_answer *a)
{
    const jl_job_stats *first = &a->choices[0].job.stats;
    jl_usage u = {.n_prompt = a->choices[0].job.n_prompt, .n_cached = a->choices[0].n_cached};

    if (!a->choices[0].ended)
        return u;
    const uint64_t first_ns = first->first_ns ? first->first_ns : first->end_ns;
    uint64_t last_ns = first_ns;
    u.n_cached = first->n_cached;
    for (unsigned i = 0; i < a->gen.n; i++) {
        const jl_choice *c = &a->choices[i];
        if (!c->ended)
            continue;
        u.n_generated += c->job.n_tokens - c->job.n_prompt;
        u.n_thought += c->feed.limits.n_thought;
        if (c->job.stats.end_ns > last_ns)
            last_ns = c->job.stats.end_ns;
    }
    if (first->start_ns) {
        u.queue_ms = (double)(first->start_ns - first->submit_ns) * 1e-6;
        u.prompt_ms = first_ns > first->start_ns ? (double)(first_ns - first->start_ns) * 1e-6 : 0;
        u.decode_ms = (double)(last_ns - first_ns) * 1e-6;
    }
    return u;
}

static double per(double a, double b)
{
    return b > 0 ? a / b : 0;
}

json_t *jl_answer_timings(const jl_answer *a)
{
    const jl_usage u = jl_answer_usage(a);
    const double n_read = (double)(u.n_prompt - u.n_cached);
    const double n_gen = (double)u.n_generated;

    return json_pack("{s:I, s:I, s:f, s:f, s:f, s:I, s:f, s:f, s:f, s:f}", "cache_n",
                     (json_int_t)u.n_cached, "prompt_n", (json_int_t)n_read, "prompt_ms",
                     u.prompt_ms, "prompt_per_token_ms", per(u.prompt_ms, n_read),
                     "prompt_per_second", per(n_read * 1e3, u.prompt_ms), "predicted_n",
                     (json_int_t)u.n_generated, "predicted_ms", u.decode_ms,
                     "predicted_per_token_ms", per(u.decode_ms, n_gen), "predicted_per_second",
                     per(n_gen * 1e3, u.decode_ms), "queue_ms", u.queue_ms);
}
