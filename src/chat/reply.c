/* A reply is text, thoughts between channel marks and calls between call marks, in any order. */
#include "chat/reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "chat/schema.h"

typedef enum { R_CONTENT, R_AFTER_CALL, R_CHANNEL, R_THOUGHT, R_NAME, R_ARGUMENTS } reply_state;

/* Longest header `call:NAME` that is taken for a call, bytes. */
enum { MAX_CALL_HEAD = 256 };

/* ---- events ----------------------------------------------------------------------------- */

static int current_call(const jl_reply *r)
{
    return r->state == R_ARGUMENTS ? (int)r->n_calls - 1 : -1;
}

/* Hands over b[*sent .. end). */
static void send_text(jl_reply *r, jl_chat_event_kind kind, jl_buf *b, size_t *sent, size_t end)
{
    if (end <= *sent)
        return;
    const char last = b->ptr[end];
    b->ptr[end] = 0;
    const jl_chat_event e = {.kind = kind, .text = b->ptr + *sent, .len = end - *sent, .id = "",
                             .name = "", .call = kind == JL_EVENT_CALL_ARGUMENTS
                                                     ? (int)r->n_calls - 1 : -1};
    r->fn(r->ctx, &e);
    b->ptr[end] = last;
    *sent = end;
}

void jl_reply_flush(jl_reply *r)
{
    send_text(r, JL_EVENT_REASONING, &r->reasoning, &r->reasoning_sent, r->reasoning.len);
    send_text(r, JL_EVENT_CONTENT, &r->content, &r->content_sent, r->content.len);
    if (r->state == R_ARGUMENTS) {
        const size_t end = r->args.json.len < r->args.hold_from ? r->args.json.len
                                                                : r->args.hold_from;
        send_text(r, JL_EVENT_CALL_ARGUMENTS, &r->args.json, &r->arguments_sent, end);
    }
}

static void send(jl_reply *r, jl_chat_event e)
{
    jl_reply_flush(r);
    if (!e.text)
        e.text = "";
    if (!e.id)
        e.id = e.name = "";
    e.len = strlen(e.text);
    r->fn(r->ctx, &e);
}

static void report(void *ctx, jl_chat_repair repair)
{
    jl_reply *r = ctx;
    send(r, (jl_chat_event){.kind = JL_EVENT_REPAIR, .repair = repair, .call = current_call(r),
                            .text = jl_chat_repair_text(repair)});
}

/* ---- life ------------------------------------------------------------------------------- */

void jl_reply_init(jl_reply *r, const json_t *tools, const jl_chat_parser_params *params,
                   jl_chat_event_fn *fn, void *ctx)
{
    const size_t max = params && params->max_bytes ? params->max_bytes : (size_t)64 << 20;
    *r = (jl_reply){.fn = fn, .ctx = ctx, .tools = tools};
    r->id_seed = params && params->id_seed ? params->id_seed : jl_time_ns();
    r->state = params && params->in_thought ? R_THOUGHT : R_CONTENT;
    jl_buf_init(&r->content, max);
    jl_buf_init(&r->reasoning, max);
    jl_buf_init(&r->head, max);
    jl_args_init(&r->args, max);
    r->args.report = report;
    r->args.ctx = r;
}

void jl_reply_free(jl_reply *r)
{
    for (size_t i = 0; i < r->n_calls; i++) {
        jl_buf_free(&r->calls[i].name);
        jl_buf_free(&r->calls[i].arguments);
    }
    jl_free(r->calls);
    jl_free(r->message_calls);
    jl_reply_json_free(r);
    jl_buf_free(&r->content);
    jl_buf_free(&r->reasoning);
    jl_buf_free(&r->head);
    jl_args_free(&r->args);
}

static void put(jl_reply *r, jl_buf *b, const char *s, size_t len)
{
    if (r->status == JL_OK)
        r->status = jl_buf_put(b, s, len, &r->error);
}

static void put_thought(jl_reply *r, const char *s, size_t len)
{
    if (len == 0)
        return;
    if (!r->thought_begun && r->reasoning.len)
        put(r, &r->reasoning, "\n", 1); /* between two thoughts */
    if (r->newline_held)
        put(r, &r->reasoning, "\n", 1);
    r->thought_begun = true;
    r->newline_held = s[len - 1] == '\n';
    put(r, &r->reasoning, s, len - (r->newline_held ? 1 : 0));
}

/* ---- calls ------------------------------------------------------------------------------ */

/* splitmix64: ids of one reply never collide, those of two replies practically never. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static void begin_call(jl_reply *r, jl_chat_text name)
{
    if (r->status == JL_OK)
        r->status = jl_grow(&r->calls, &r->cap_calls, r->n_calls + 1, sizeof *r->calls, &r->error);
    if (r->status != JL_OK)
        return;
    jl_reply_flush(r);
    jl_reply_call *call = &r->calls[r->n_calls];
    *call = (jl_reply_call){0};
    jl_buf_init(&call->name, r->head.max);
    jl_buf_init(&call->arguments, r->head.max);
    snprintf(call->id, sizeof call->id, "call_%016" PRIx64, mix(mix(r->id_seed) + r->n_calls));
    r->n_calls++;
    put(r, &call->name, name.ptr, name.len);
    send(r, (jl_chat_event){.kind = JL_EVENT_CALL_BEGIN, .call = (int)r->n_calls - 1,
                            .id = call->id, .name = jl_buf_str(&call->name)});
    jl_args_begin(&r->args, jl_schema_of_tool(r->tools, jl_buf_str(&call->name)));
    r->arguments_sent = 0;
    r->state = R_ARGUMENTS;
    jl_buf_clear(&r->head);
}

void jl_reply_report(jl_reply *r, jl_chat_repair repair)
{
    report(r, repair);
}

void jl_reply_add_call(jl_reply *r, jl_chat_text name, jl_chat_text id, jl_chat_text arguments,
                       bool complete)
{
    if (r->status == JL_OK)
        r->status = jl_grow(&r->calls, &r->cap_calls, r->n_calls + 1, sizeof *r->calls, &r->error);
    if (r->status != JL_OK)
        return;
    jl_reply_call *call = &r->calls[r->n_calls];
    *call = (jl_reply_call){.complete = complete};
    jl_buf_init(&call->name, r->head.max);
    jl_buf_init(&call->arguments, 7 * r->head.max);
    snprintf(call->id, sizeof call->id, "call_%016" PRIx64, mix(mix(r->id_seed) + r->n_calls));
    if (id.ptr && id.len < sizeof call->id)
        snprintf(call->id, sizeof call->id, "%.*s", (int)id.len, id.ptr);
    const int index = (int)r->n_calls++;
    put(r, &call->name, name.ptr, name.len);
    put(r, &call->arguments, arguments.ptr, arguments.len);
    if (r->status != JL_OK)
        return;
    send(r, (jl_chat_event){.kind = JL_EVENT_CALL_BEGIN, .call = index, .id = call->id,
                            .name = jl_buf_str(&call->name)});
    r->arguments_sent = 0;
    send_text(r, JL_EVENT_CALL_ARGUMENTS, &call->arguments, &r->arguments_sent,
              call->arguments.len);
    send(r, (jl_chat_event){.kind = JL_EVENT_CALL_END, .call = index, .complete = complete});
}

static void end_call(jl_reply *r)
{
    jl_reply_call *call = &r->calls[r->n_calls - 1];
    r->args.hold_from = SIZE_MAX;
    call->complete = r->args.complete;
    put(r, &call->arguments, jl_buf_str(&r->args.json), r->args.json.len);
    send(r, (jl_chat_event){.kind = JL_EVENT_CALL_END, .call = (int)r->n_calls - 1,
                            .complete = call->complete});
    r->state = r->args.reopened ? R_NAME : R_AFTER_CALL;
    jl_buf_clear(&r->head);
}

static void push_argument(jl_reply *r, jl_arg_kind kind, char c)
{
    jl_args_push(&r->args, kind, c);
    if (r->args.status != JL_OK && r->status == JL_OK) {
        r->status = r->args.status;
        r->error = r->args.error;
    }
    if (r->args.done && r->status == JL_OK)
        end_call(r);
}

/* The name in the header of a call: `call:NAME`, the prefix may be missing. */
static jl_chat_text call_name(const jl_reply *r)
{
    jl_chat_text t = jl_text_strip((jl_chat_text){jl_buf_str(&r->head), r->head.len});
    if (t.len >= 5 && memcmp(t.ptr, "call:", 5) == 0)
        t = jl_text_strip((jl_chat_text){t.ptr + 5, t.len - 5});
    return memchr(t.ptr, 0, t.len) ? (jl_chat_text){"", 0} : t;
}

/* What began like a call is none: its header goes on as text. */
static void give_up_call(jl_reply *r)
{
    report(r, JL_REPAIR_CALL_WITHOUT_NAME);
    put(r, &r->content, jl_buf_str(&r->head), r->head.len);
    jl_buf_clear(&r->head);
    r->state = R_CONTENT;
}

/* A call without any argument list ends. */
static void end_name(jl_reply *r, jl_arg_kind kind)
{
    const jl_chat_text name = call_name(r);
    if (name.len == 0) {
        give_up_call(r);
        return;
    }
    begin_call(r, name);
    if (r->status != JL_OK)
        return;
    report(r, JL_REPAIR_NO_ARGUMENTS);
    jl_args_push(&r->args, JL_ARG_BYTE, '}');
    push_argument(r, kind, 0);
}

/* ---- text ------------------------------------------------------------------------------- */

/* Reads the channel name; "thought" and the newline behind it are not part of the thought. Returns
 * the bytes used. */
static size_t read_channel(jl_reply *r, const char *s)
{
    static const char name[] = "thought";
    const size_t n = r->head.len;
    const bool fits = n < 7 ? *s == name[n] : *s == '\n' || *s == ' ' || *s == '\t' || *s == '\r';
    if (!fits) { /* another channel: all of it counts as thought */
        r->state = R_THOUGHT;
        put_thought(r, jl_buf_str(&r->head), n);
        jl_buf_clear(&r->head);
        return 0;
    }
    put(r, &r->head, s, 1);
    if (*s == '\n') {
        r->state = R_THOUGHT;
        jl_buf_clear(&r->head);
    }
    return 1;
}

static size_t read_name(jl_reply *r, const char *s, size_t len)
{
    const char *brace = memchr(s, '{', len);
    const size_t n = brace ? (size_t)(brace - s) : len;
    const size_t room = MAX_CALL_HEAD - r->head.len;
    if (n > room) {
        put(r, &r->head, s, room + 1);
        give_up_call(r);
        return room + 1;
    }
    put(r, &r->head, s, n);
    if (!brace)
        return n;
    const jl_chat_text name = call_name(r);
    if (name.len == 0) {
        put(r, &r->head, "{", 1);
        give_up_call(r);
    } else {
        begin_call(r, name);
    }
    return n + 1;
}

/* Blanks behind a call are held: they count only if text follows. */
static size_t read_after_call(jl_reply *r, const char *s)
{
    if (*s == ' ' || *s == '\n' || *s == '\r' || *s == '\t') {
        put(r, &r->head, s, 1);
        return 1;
    }
    put(r, &r->content, jl_buf_str(&r->head), r->head.len);
    jl_buf_clear(&r->head);
    r->state = R_CONTENT;
    return 0;
}

/* Valid UTF-8. */
static void read_text(jl_reply *r, const char *s, size_t len)
{
    for (size_t i = 0; i < len && r->status == JL_OK;) {
        if (r->json.style != JL_CALLS_GEMMA4) {
            i += jl_reply_json_text(r, s + i, len - i);
            continue;
        }
        switch ((reply_state)r->state) {
        case R_CONTENT:
            put(r, &r->content, s + i, len - i);
            i = len;
            break;
        case R_THOUGHT:
            put_thought(r, s + i, len - i);
            i = len;
            break;
        case R_AFTER_CALL: i += read_after_call(r, s + i); break;
        case R_CHANNEL: i += read_channel(r, s + i); break;
        case R_NAME: i += read_name(r, s + i, len - i); break;
        case R_ARGUMENTS: push_argument(r, JL_ARG_BYTE, s[i++]); break;
        }
    }
}

static void bad_byte(jl_reply *r)
{
    if (!r->bad_utf8)
        report(r, JL_REPAIR_BAD_UTF8);
    r->bad_utf8 = true;
    read_text(r, "\xef\xbf\xbd", 3);
}

/* Completes the sequence begun in the piece before, byte by byte. */
static size_t complete_partial(jl_reply *r, const char *s, size_t len)
{
    size_t used = 0;
    while (r->n_partial && used < len) {
        r->partial[r->n_partial++] = s[used++];
        if (jl_utf8_len(r->partial, r->n_partial) == r->n_partial) {
            read_text(r, r->partial, r->n_partial);
            r->n_partial = 0;
        } else if (jl_utf8_incomplete(r->partial, r->n_partial) != r->n_partial) {
            /* The first byte begins no sequence; what follows it is read afresh. */
            const size_t rest = r->n_partial - 1;
            char again[4];
            memcpy(again, r->partial + 1, rest);
            r->n_partial = 0;
            bad_byte(r);
            jl_reply_text(r, again, rest);
        }
    }
    return used;
}

void jl_reply_text(jl_reply *r, const char *s, size_t len)
{
    if (r->done || r->status != JL_OK)
        return;
    size_t i = complete_partial(r, s, len);
    size_t begin = i;
    while (i < len) {
        const size_t n = jl_utf8_len(s + i, len - i);
        if (n > 0) {
            i += n;
            continue;
        }
        read_text(r, s + begin, i - begin);
        if (jl_utf8_incomplete(s + i, len - i) == len - i) {
            memcpy(r->partial, s + i, len - i);
            r->n_partial = len - i;
            return;
        }
        bad_byte(r);
        begin = ++i;
    }
    read_text(r, s + begin, len - begin);
}

static void end_partial(jl_reply *r)
{
    const size_t n = r->n_partial;
    r->n_partial = 0;
    for (size_t i = 0; i < n; i++)
        bad_byte(r);
}

/* ---- marks ------------------------------------------------------------------------------ */

/* The channel header ends without a newline. */
static void leave_channel(jl_reply *r)
{
    const jl_chat_text t = jl_text_strip((jl_chat_text){jl_buf_str(&r->head), r->head.len});
    r->state = R_THOUGHT;
    if (!(t.len == 7 && memcmp(t.ptr, "thought", 7) == 0))
        put_thought(r, jl_buf_str(&r->head), r->head.len);
    jl_buf_clear(&r->head);
}

static void end_thought(jl_reply *r, reply_state next)
{
    r->newline_held = false;
    r->thought_begun = false;
    r->state = (int)next;
    jl_buf_clear(&r->head);
}

static bool ends_turn(jl_mark mark)
{
    return mark == JL_MARK_TURN_CLOSE || mark == JL_MARK_RESPONSE_OPEN;
}

static void mark_in_thought(jl_reply *r, jl_mark mark)
{
    if (mark == JL_MARK_CHANNEL_CLOSE) {
        end_thought(r, R_CONTENT);
    } else if (mark == JL_MARK_CALL_OPEN) {
        report(r, JL_REPAIR_THOUGHT_NOT_CLOSED);
        end_thought(r, R_NAME);
    } else if (mark == JL_MARK_CHANNEL_OPEN) {
        report(r, JL_REPAIR_THOUGHT_REOPENED);
        end_thought(r, R_CHANNEL);
    } else if (mark == JL_MARK_QUOTE) {
        put_thought(r, jl_mark_text(mark), strlen(jl_mark_text(mark)));
    } else {
        report(r, JL_REPAIR_STRAY_MARK);
    }
}

static void mark_in_content(jl_reply *r, jl_mark mark)
{
    if (mark == JL_MARK_CHANNEL_OPEN) {
        end_thought(r, R_CHANNEL);
    } else if (mark == JL_MARK_CALL_OPEN) {
        end_thought(r, R_NAME);
    } else if (mark == JL_MARK_QUOTE) {
        read_text(r, jl_mark_text(mark), strlen(jl_mark_text(mark)));
    } else if (mark != JL_MARK_CALL_CLOSE || r->state != R_AFTER_CALL) {
        report(r, JL_REPAIR_STRAY_MARK);
    }
}

static void mark_in_name(jl_reply *r, jl_mark mark)
{
    const bool empty = call_name(r).len == 0;
    if (mark == JL_MARK_CALL_CLOSE)
        end_name(r, JL_ARG_CLOSE);
    else if (mark == JL_MARK_CALL_OPEN && !empty)
        end_name(r, JL_ARG_OPEN);
    else
        report(r, JL_REPAIR_STRAY_MARK);
}

static void mark_in_arguments(jl_reply *r, jl_mark mark)
{
    if (mark == JL_MARK_QUOTE)
        push_argument(r, JL_ARG_QUOTE, 0);
    else if (mark == JL_MARK_CALL_CLOSE)
        push_argument(r, JL_ARG_CLOSE, 0);
    else if (mark == JL_MARK_CALL_OPEN)
        push_argument(r, JL_ARG_OPEN, 0);
    else
        jl_reply_special(r, jl_mark_text(mark), strlen(jl_mark_text(mark)));
}

void jl_reply_special(jl_reply *r, const char *text, size_t len)
{
    if (r->done || r->status != JL_OK || r->state != R_ARGUMENTS)
        return;
    end_partial(r);
    jl_args_mark(&r->args, text, len);
    if (r->args.status != JL_OK && r->status == JL_OK) {
        r->status = r->args.status;
        r->error = r->args.error;
    }
}

void jl_reply_mark(jl_reply *r, jl_mark mark)
{
    if (r->done || r->status != JL_OK)
        return;
    if (ends_turn(mark)) {
        jl_reply_stop(r);
        return;
    }
    end_partial(r);
    if (r->json.style != JL_CALLS_GEMMA4) {
        jl_reply_json_mark(r, mark);
        return;
    }
    if (r->state == R_CHANNEL)
        leave_channel(r);
    switch ((reply_state)r->state) {
    case R_CHANNEL:
    case R_THOUGHT: mark_in_thought(r, mark); break;
    case R_NAME: mark_in_name(r, mark); break;
    case R_ARGUMENTS: mark_in_arguments(r, mark); break;
    default: mark_in_content(r, mark); break;
    }
}

/* ---- the end ---------------------------------------------------------------------------- */

void jl_reply_stop(jl_reply *r)
{
    if (r->done || r->status != JL_OK)
        return;
    end_partial(r);
    if (r->state == R_CHANNEL)
        leave_channel(r);
    if (r->state == R_THOUGHT) {
        report(r, JL_REPAIR_THOUGHT_NOT_CLOSED);
        end_thought(r, R_CONTENT);
    } else if (r->state == R_NAME) {
        end_name(r, JL_ARG_STOP);
    } else if (r->state == R_ARGUMENTS) {
        push_argument(r, JL_ARG_STOP, 0);
    }
    if (r->json.style != JL_CALLS_GEMMA4)
        jl_reply_json_end(r, false);
    r->done = true;
}

static void cut(jl_reply *r)
{
    if (r->done || r->status != JL_OK)
        return;
    r->n_partial = 0; /* the rest of the character was cut off */
    if (r->state == R_ARGUMENTS)
        push_argument(r, JL_ARG_CUT, 0);
    else if (r->state == R_CHANNEL)
        leave_channel(r);
    if (r->json.style != JL_CALLS_GEMMA4)
        jl_reply_json_end(r, true);
    r->done = true;
}

void jl_reply_finish(jl_reply *r, jl_chat_finish why)
{
    if (r->finished || r->status != JL_OK)
        return;
    const bool cut_off = why == JL_FINISH_LENGTH || why == JL_FINISH_CANCELLED;
    if (r->done && why == JL_FINISH_LENGTH)
        why = JL_FINISH_STOP; /* the model ended its turn with the last token it had */
    if (cut_off)
        cut(r);
    else
        jl_reply_stop(r);
    if (r->status != JL_OK)
        return;
    if (why == JL_FINISH_STOP || why == JL_FINISH_TOOL_CALLS) {
        why = JL_FINISH_STOP;
        for (size_t i = 0; i < r->n_calls; i++)
            if (r->calls[i].complete)
                why = JL_FINISH_TOOL_CALLS;
    }
    r->finished = true;
    send(r, (jl_chat_event){.kind = JL_EVENT_FINISH, .finish = why, .call = -1});
}

const jl_chat_message *jl_reply_message(jl_reply *r)
{
    size_t n = 0;
    jl_error ignored;
    r->message = (jl_chat_message){.role = JL_ROLE_ASSISTANT};
    r->message.content = (jl_chat_text){jl_buf_str(&r->content), r->content.len};
    if (r->reasoning.len)
        r->message.reasoning = (jl_chat_text){jl_buf_str(&r->reasoning), r->reasoning.len};
    if (jl_grow(&r->message_calls, &r->cap_message_calls, r->n_calls, sizeof *r->message_calls,
                &ignored) != JL_OK)
        return &r->message;
    for (size_t i = 0; i < r->n_calls; i++) {
        jl_reply_call *c = &r->calls[i];
        if (c->complete)
            r->message_calls[n++] = (jl_chat_call){
                c->id, jl_buf_str(&c->name), {jl_buf_str(&c->arguments), c->arguments.len}};
    }
    r->message.calls = n ? r->message_calls : NULL;
    r->message.n_calls = n;
    return &r->message;
}
