#include "chat/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void append(replay_log *l, const char *s, size_t len)
{
    if (l->cap - l->len < len + 1) {
        l->cap = (l->len + len + 1) * 2;
        l->log = realloc(l->log, l->cap);
        if (!l->log)
            abort();
    }
    memcpy(l->log + l->len, s, len);
    l->len += len;
    l->log[l->len] = 0;
}

static void appendf(replay_log *l, const char *fmt, const char *arg, int number)
{
    char text[512];
    const int n = snprintf(text, sizeof text, fmt, number, arg);
    append(l, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

static void on_delta(replay_log *l, const jl_chat_event *e)
{
    static const char *const heads[] = {"C|", "R|", "", "A%d|%s"};
    if (l->last_kind != (int)e->kind || l->last_call != e->call) {
        if (l->last_kind >= 0)
            append(l, "\n", 1);
        if (e->kind == JL_EVENT_CALL_ARGUMENTS)
            appendf(l, heads[e->kind], "", e->call);
        else
            append(l, heads[e->kind], 2);
    }
    l->last_kind = (int)e->kind;
    l->last_call = e->call;
    append(l, e->text, e->len);
    l->broken = l->broken || e->len == 0 || e->text[e->len] != 0;
}

static void on_event(void *ctx, const jl_chat_event *e)
{
    replay_log *l = ctx;
    l->broken = l->broken || l->n_finish;
    if (e->kind <= JL_EVENT_REASONING || e->kind == JL_EVENT_CALL_ARGUMENTS) {
        on_delta(l, e);
        return;
    }
    if (l->last_kind >= 0)
        append(l, "\n", 1);
    l->last_kind = -1;
    switch (e->kind) {
    case JL_EVENT_CALL_BEGIN: appendf(l, "B%d|%s\n", e->name, e->call); break;
    case JL_EVENT_CALL_END: appendf(l, "E%d|%s\n", e->complete ? "whole" : "cut", e->call); break;
    case JL_EVENT_REPAIR: appendf(l, "!%d|%s\n", jl_chat_repair_name(e->repair), e->call); break;
    default:
        appendf(l, "F%d|%s\n", jl_chat_finish_name(e->finish), 0);
        l->n_finish++;
    }
}

/* The mark at s, JL_MARK_END if there is none; *len is its length. */
static jl_mark mark_at(const char *s, size_t left, jl_call_style style, size_t *len)
{
    const int first = style == JL_CALLS_GEMMA4 ? 0 : JL_MARK_COUNT;
    const int end = style == JL_CALLS_GEMMA4 ? JL_MARK_COUNT : JL_MARK_END;
    for (int m = first; m < end; m++) {
        *len = strlen(jl_mark_text((jl_mark)m));
        if (*len <= left && memcmp(s, jl_mark_text((jl_mark)m), *len) == 0)
            return (jl_mark)m;
    }
    return JL_MARK_END;
}

static void feed(jl_reply *r, const char *text, size_t len, replay_cut *cut, void *ctx)
{
    size_t begin = 0;
    for (size_t i = 0; i < len;) {
        size_t n;
        const jl_mark mark = mark_at(text + i, len - i, r->json.style, &n);
        if (mark == JL_MARK_END && !(i > begin && cut && cut(ctx, i))) {
            i++;
            continue;
        }
        jl_reply_text(r, text + begin, i - begin);
        jl_reply_flush(r);
        begin = i;
        if (mark != JL_MARK_END) {
            jl_reply_mark(r, mark);
            jl_reply_flush(r);
            begin = i += n;
        } else {
            i++;
        }
    }
    jl_reply_text(r, text + begin, len - begin);
    jl_reply_flush(r);
}

void replay(const char *text, size_t len, const replay_params *params, replay_cut *cut, void *ctx,
            replay_log *log)
{
    const jl_chat_parser_params p = {.in_thought = params->in_thought, .id_seed = 1};
    jl_reply r;
    *log = (replay_log){.last_kind = -1};
    append(log, "", 0);
    jl_reply_init(&r, params->tools, &p, on_event, log);
    if (params->style != JL_CALLS_GEMMA4)
        jl_reply_set_style(&r, params->style);
    feed(&r, text, len, cut, ctx);
    jl_reply_finish(&r, params->finish);
    log->broken = log->broken || log->n_finish != 1 || r.status != JL_OK;

    /* Whole calls are whole JSON objects. */
    const jl_chat_message *m = jl_reply_message(&r);
    for (size_t i = 0; i < m->n_calls; i++) {
        json_t *v = NULL;
        const jl_chat_text t = m->calls[i].arguments;
        log->broken = log->broken || jl_text_parse_json(t.ptr, t.len, "", &v, NULL) != JL_OK ||
                      !json_is_object(v);
        json_decref(v);
    }
    jl_reply_free(&r);
}

void replay_ignore(void *ctx, const jl_chat_event *e)
{
    (void)ctx;
    (void)e;
}

void replay_quietly(const char *text, const replay_params *params, jl_reply *r)
{
    const jl_chat_parser_params p = {.in_thought = params->in_thought, .id_seed = 1};
    jl_reply_init(r, params->tools, &p, replay_ignore, NULL);
    if (params->style != JL_CALLS_GEMMA4)
        jl_reply_set_style(r, params->style);
    feed(r, text, strlen(text), NULL, NULL);
    jl_reply_finish(r, params->finish);
}

void replay_log_free(replay_log *log)
{
    free(log->log);
    *log = (replay_log){0};
}
