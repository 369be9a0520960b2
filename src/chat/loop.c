/* Loops: text that repeats itself within a reply, and tool calls that repeat themselves over a
 * conversation. */
#include "base/mem.h"
#include "chat/conversation.h"
#include "chat/text.h"

enum { MAX_STEPS = 256, MAX_CALL_PERIOD = 4 };

/* For every period the length of the current run of t[i] == t[i - period] is kept, so a cycle of
 * that period has stood run / period + 1 times. */
jl_loop jl_loop_guard_push(jl_loop_guard *guard, int32_t token, uint32_t min_repeats,
                           uint32_t min_tokens)
{
    const uint64_t n = guard->n_tokens;
    const uint64_t repeats = min_repeats ? min_repeats : 8;
    const uint64_t tokens = min_tokens ? min_tokens : 512;
    const uint64_t reach = n < JL_LOOP_MAX_PERIOD ? n : JL_LOOP_MAX_PERIOD;
    jl_loop found = {0, 1};
    for (uint64_t period = reach; period >= 1; period--) {
        uint32_t *run = &guard->run[period - 1];
        const bool same = guard->recent[(n - period) % JL_LOOP_MAX_PERIOD] == token;
        *run = same && *run < UINT32_MAX ? *run + 1 : 0;
        if (*run + period >= tokens && *run >= (repeats - 1) * period)
            found = (jl_loop){(uint32_t)period, (uint32_t)(*run / period + 1)};
    }
    guard->recent[n % JL_LOOP_MAX_PERIOD] = token;
    guard->n_tokens++;
    return found;
}

/* ---- calls ------------------------------------------------------------------------------ */

typedef struct { /* one assistant message with calls, and what came back */
    uint64_t calls;
    uint64_t results;
} step;

static uint64_t hash(uint64_t h, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)s[i]) * 0x100000001b3u;
    return (h ^ 0xff) * 0x100000001b3u; /* 0xff is in no UTF-8 text: ends the piece */
}

static int hash_piece(const char *s, size_t len, void *h)
{
    uint64_t *at = h;
    for (size_t i = 0; i < len; i++)
        *at = (*at ^ (unsigned char)s[i]) * 0x100000001b3u;
    return 0;
}

static jl_status hash_call(const jl_chat_call *call, uint64_t *h, jl_error *err)
{
    json_t *v = NULL;
    *h = hash(*h, call->name, jl_chat_str(call->name).len);
    if (jl_text_strip(call->arguments).len > 0)
        JL_TRY(jl_text_parse_json(call->arguments.ptr, call->arguments.len, "the arguments of a "
                                  "call",
                                  &v, err));
    const int bad = v ? json_dump_callback(v, hash_piece, h, JSON_SORT_KEYS | JSON_COMPACT |
                                           JSON_ENCODE_ANY) : 0;
    json_decref(v);
    if (bad)
        return jl_fail(err, JL_NO_MEMORY, "no memory to compare tool calls");
    return JL_OK;
}

static jl_status hash_calls(const jl_chat_message *m, uint64_t *h, jl_error *err)
{
    *h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < m->n_calls; i++)
        JL_TRY(hash_call(&m->calls[i], h, err));
    return JL_OK;
}

static uint64_t hash_result(uint64_t h, const jl_chat_message *m)
{
    h = hash(h, m->content.ptr, m->content.len);
    for (size_t i = 0; i < m->n_parts; i++)
        h = hash(h, m->parts[i].text.ptr, m->parts[i].text.len);
    return h;
}

/* The steps since the last user message, newest first, at most MAX_STEPS. */
static jl_status collect(const jl_conversation *conv, step *steps, size_t *n, jl_error *err)
{
    uint64_t results = 0;
    *n = 0;
    for (size_t i = conv->n_messages; i-- > 0 && *n < MAX_STEPS;) {
        const jl_chat_message *m = &conv->messages[i]->pub;
        if (m->role == JL_ROLE_USER)
            break;
        if (m->role == JL_ROLE_TOOL)
            results = hash_result(results, m);
        if (m->n_calls == 0)
            continue;
        JL_TRY(hash_calls(m, &steps[*n].calls, err));
        steps[*n].results = results;
        results = 0;
        ++*n;
    }
    return JL_OK;
}

/* Steps in a row, the reply first, that repeat the one `period` steps before. */
static size_t run_of(const step *steps, size_t n, uint64_t reply, size_t period)
{
    size_t run = 0;
    if (period > n || steps[period - 1].calls != reply)
        return 0;
    for (run = 1; run - 1 + period < n; run++) {
        const step *a = &steps[run - 1], *b = &steps[run - 1 + period];
        if (a->calls != b->calls || a->results != b->results)
            break;
    }
    return run;
}

jl_status jl_conversation_find_loop(const jl_conversation *conv, const jl_chat_message *reply,
                                    jl_loop *out, jl_error *err)
{
    step steps[MAX_STEPS];
    size_t n;
    uint64_t calls;
    jl_loop found = {0, 1};
    if (reply->n_calls > 0) {
        JL_TRY(hash_calls(reply, &calls, err));
        JL_TRY(collect(conv, steps, &n, err));
        for (uint32_t period = MAX_CALL_PERIOD; period >= 1; period--) {
            const uint32_t repeats = (uint32_t)(run_of(steps, n, calls, period) / period) + 1;
            if (repeats > 1 && repeats >= found.repeats)
                found = (jl_loop){period, repeats};
        }
    }
    *out = found;
    return JL_OK;
}
