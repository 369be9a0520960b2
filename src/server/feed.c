/* Tokens to events, on the engine thread. */
#include "server/feed.h"

#include <string.h>

#include "base/mem.h"

void jl_out_free(jl_out *o)
{
    if (!o)
        return;
    jl_free(o->text);
    jl_free(o->id);
    jl_free(o->name);
    json_decref(o->logprob);
    jl_free(o);
}

static void fail(jl_feed *r, const char *what)
{
    if (r->failed == JL_OK)
        r->failed = jl_fail(&r->err, JL_NO_MEMORY, "out of memory: %s", what);
}

static void emit(jl_feed *r, jl_out_kind kind, const jl_chat_event *e, const char *text, size_t len)
{
    jl_out *o = jl_calloc(1, sizeof *o);

    if (!o) {
        fail(r, "an event of the answer");
        return;
    }
    o->kind = kind;
    o->text = text ? jl_strndup(text, len) : NULL;
    o->len = o->text ? len : 0;
    if (e) {
        o->call = e->call;
        o->complete = e->complete;
        o->repair = e->repair;
        o->id = e->id ? jl_strndup(e->id, strlen(e->id)) : NULL;
        o->name = e->name ? jl_strndup(e->name, strlen(e->name)) : NULL;
    }
    if (text && !o->text)
        fail(r, "text of the answer");
    r->sink(r->ctx, o);
}

static void emit_held(jl_feed *r, size_t n)
{
    if (n > 0)
        emit(r, JL_OUT_CONTENT, NULL, r->held.ptr, n);
    if (r->held.len > 0)
        jl_str_cut(&r->held, 0, n);
}

static const char *find_text(const char *text, size_t len, const char *what, size_t what_len)
{
    for (size_t i = 0; what_len > 0 && i + what_len <= len; i++)
        if (memcmp(text + i, what, what_len) == 0)
            return text + i;
    return NULL;
}

/* Bytes at the end of the held text that could be the start of a stop string. */
static size_t stop_overlap(const jl_feed *r)
{
    size_t longest = 0;
    size_t i;
    json_t *stop;

    json_array_foreach(r->stops, i, stop)
    {
        const char *s = json_string_value(stop);
        size_t n = json_string_length(stop) - 1;
        n = n < r->held.len ? n : r->held.len;
        while (n > longest && memcmp(r->held.ptr + r->held.len - n, s, n) != 0)
            n--;
        longest = n > longest ? n : longest;
    }
    return longest;
}

static void add_content(jl_feed *r, const char *text, size_t len)
{
    size_t at = SIZE_MAX;
    size_t i;
    json_t *stop;

    if (r->stop_hit || len == 0)
        return;
    if (!r->stops) {
        emit(r, JL_OUT_CONTENT, NULL, text, len);
        return;
    }
    if (!jl_str_put(&r->held, text, len)) {
        fail(r, "text of the answer");
        return;
    }
    json_array_foreach(r->stops, i, stop)
    {
        const char *hit =
            find_text(r->held.ptr, r->held.len, json_string_value(stop), json_string_length(stop));
        if (hit && (size_t)(hit - r->held.ptr) < at) {
            at = (size_t)(hit - r->held.ptr);
            r->stop_hit = json_string_value(stop);
        }
    }
    if (r->stop_hit) {
        emit_held(r, at);
        r->held.len = 0;
        return;
    }
    emit_held(r, r->held.len - stop_overlap(r));
}

void jl_feed_event(void *ctx, const jl_chat_event *e)
{
    static const jl_out_kind kinds[] = {
        [JL_EVENT_REASONING] = JL_OUT_REASONING,
        [JL_EVENT_CALL_BEGIN] = JL_OUT_CALL_BEGIN,
        [JL_EVENT_CALL_ARGUMENTS] = JL_OUT_CALL_ARGUMENTS,
        [JL_EVENT_CALL_END] = JL_OUT_CALL_END,
        [JL_EVENT_REPAIR] = JL_OUT_REPAIR,
    };
    jl_feed *r = ctx;

    if (e->kind == JL_EVENT_CONTENT) {
        add_content(r, e->text, e->len);
        return;
    }
    if (e->kind == JL_EVENT_FINISH) {
        emit_held(r, r->stop_hit ? 0 : r->held.len);
        jl_out *o = jl_calloc(1, sizeof *o);
        if (o) {
            o->kind = JL_OUT_END;
            o->finish = e->finish;
            r->sink(r->ctx, o);
        }
        return;
    }
    if (r->stop_hit || (r->one_call && r->call_done))
        return;
    emit_held(r, r->held.len);
    r->call_done = r->call_done || (e->kind == JL_EVENT_CALL_END && e->complete);
    emit(r, kinds[e->kind], e, e->text, e->len);
}

static void push_token(jl_feed *r, int32_t token)
{
    size_t len;

    if (r->parser) {
        if (jl_chat_parser_push(r->parser, token, &r->err) != JL_OK)
            r->failed = r->err.status;
        return;
    }
    const char *text = jl_detok_push(r->detok, token, &len);
    add_content(r, text, len);
}

static bool on_token(void *ctx, int32_t token, const float *logits)
{
    jl_feed *r = ctx;
    const bool is_end = jl_token_is_eog(r->model, token);

    if (r->names && !is_end && !r->limits.in_thought) {
        jl_out *o = jl_calloc(1, sizeof *o);
        if (o) {
            o->kind = JL_OUT_LOGPROB;
            o->logprob = jl_logprob_json(r, token, logits);
            r->sink(r->ctx, o);
        }
    }
    if (!is_end || (r->parser && !r->ignore_eos))
        push_token(r, token);
    if (!is_end)
        jl_limits_accept(&r->limits, token);
    if (jl_loop_guard_push(&r->guard, token, 0, 0).repeats > 1)
        r->looped = true;
    if (r->limits.failed != JL_OK && r->failed == JL_OK) {
        r->failed = r->limits.failed;
        r->err = r->limits.err;
    }
    return r->failed == JL_OK && !(is_end && !r->ignore_eos) && !r->stop_hit && !r->looped &&
           !(r->one_call && r->call_done);
}

static const uint32_t *allowed(void *ctx)
{
    jl_feed *r = ctx;

    return jl_limits_mask(&r->limits);
}

static void on_progress(void *ctx)
{
    jl_feed *r = ctx;
    jl_out *o = jl_calloc(1, sizeof *o);

    if (!o)
        return;
    o->kind = JL_OUT_PROGRESS;
    o->n_cached = r->job->stats.n_cached;
    o->n_done = r->job->stats.n_cached + r->job->stats.n_read;
    r->sink(r->ctx, o);
}

/* The parser's FINISH event becomes the END of the answer; here the way the job ended is added. */
static void on_end(void *ctx, jl_job_end end, const jl_error *err)
{
    static const jl_chat_finish finish[] = {
        [JL_JOB_STOPPED] = JL_FINISH_STOP,
        [JL_JOB_LENGTH] = JL_FINISH_LENGTH,
        [JL_JOB_CANCELLED] = JL_FINISH_CANCELLED,
        [JL_JOB_FAILED] = JL_FINISH_CANCELLED,
    };
    jl_feed *r = ctx;
    jl_chat_event plain = {.kind = JL_EVENT_FINISH, .finish = finish[end]};
    size_t len;

    if (r->parser && jl_chat_parser_finish(r->parser, finish[end], &r->err) != JL_OK)
        r->failed = r->err.status;
    if (!r->parser) {
        const char *text = jl_detok_flush(r->detok, &len);
        add_content(r, text, len);
        jl_feed_event(r, &plain);
    }
    jl_out *o = r->last;
    r->last = NULL;
    o->kind = JL_OUT_END;
    o->end = r->failed == JL_OK ? end : JL_JOB_FAILED;
    o->finish = JL_FINISH_CANCELLED;
    if (r->failed != JL_OK)
        o->err = r->err;
    else if (err)
        o->err = *err;
    o->complete = true; /* nothing follows */
    r->sink(r->ctx, o);
}

const jl_job_events jl_feed_events = {
    .on_token = on_token, .allowed = allowed, .on_progress = on_progress, .on_end = on_end};

void jl_feed_free(jl_feed *r)
{
    jl_chat_parser_destroy(r->parser);
    jl_detok_destroy(r->detok);
    jl_detok_destroy(r->names);
    jl_limits_free(&r->limits);
    jl_out_free(r->last);
    r->last = NULL;
    jl_str_free(&r->held);
    r->parser = NULL;
    r->detok = r->names = NULL;
}
