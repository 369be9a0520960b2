/* Remembered turns: a hash table of token lists, least recently used out first. */
#include "server/turns.h"

#include <jansson.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"

enum { MAX_TURNS = 1024 };

typedef struct {
    jl_turn_key key;
    int32_t *tokens; /* owned, without an end-of-generation token at the end */
    size_t n;
    uint64_t used_at;
    bool thought; /* holds a thought since the last user message */
} turn;

struct jl_turns {
    const jl_chat *chat;
    const jl_model *model;
    int32_t turn_end, tool_response;
    turn turns[MAX_TURNS];
    size_t n_turns;
    size_t used_bytes, max_bytes;
    uint64_t tick, seed;
    jl_disk *disk; /* NULL: none */
};

static void drop(jl_turns *t, size_t i)
{
    t->used_bytes -= t->turns[i].n * sizeof(int32_t);
    jl_free(t->turns[i].tokens);
    t->turns[i] = t->turns[--t->n_turns];
}

void jl_turns_destroy(jl_turns *t)
{
    if (!t)
        return;
    while (t->n_turns > 0)
        drop(t, t->n_turns - 1);
    jl_free(t);
}

static bool add(jl_turns *t, jl_turn_key key, bool thought, const int32_t *tokens, size_t n)
{
    int32_t *copy = n && n * sizeof *copy <= t->max_bytes ? jl_malloc(n * sizeof *copy) : NULL;

    if (!copy)
        return false;
    memcpy(copy, tokens, n * sizeof *copy);
    t->turns[t->n_turns++] =
        (turn){.key = key, .tokens = copy, .n = n, .used_at = ++t->tick, .thought = thought};
    t->used_bytes += n * sizeof *copy;
    return true;
}

/* A turn of an earlier process, the newest first; false: no more fit. */
static bool recall(void *ctx, jl_record_id id, const uint8_t *data, size_t n_bytes)
{
    jl_turns *t = ctx;

    if (t->n_turns == MAX_TURNS || t->used_bytes + n_bytes > t->max_bytes)
        return false;
    if (n_bytes % sizeof(int32_t) == 0)
        (void)add(t, id.hash, id.index & 1, (const int32_t *)(const void *)data,
                  n_bytes / sizeof(int32_t));
    return true;
}

/* The newest must be used last. */
static void reverse_ages(jl_turns *t)
{
    for (size_t i = 0; i < t->n_turns; i++)
        t->turns[i].used_at = t->tick + 1 - t->turns[i].used_at;
}

jl_status jl_turns_create(const jl_chat *chat, const jl_model *model, size_t max_bytes,
                          jl_disk *disk, jl_turns **out, jl_error *err)
{
    jl_turns *t = jl_calloc(1, sizeof *t);

    if (!t)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    t->chat = chat;
    t->model = model;
    t->max_bytes = max_bytes;
    t->disk = disk;
    t->turn_end = jl_token_find(model, "<turn|>");
    t->tool_response = jl_token_find(model, "<|tool_response>");
    /* keys cannot be predicted by a client */
    t->seed = disk ? jl_store_seed(jl_disk_store(disk)) : jl_time_ns() ^ (uint64_t)(uintptr_t)t;
    if (disk) {
        jl_store_each(jl_disk_store(disk), JL_RECORD_TURN, recall, t);
        reverse_ages(t);
    }
    *out = t;
    return JL_OK;
}

/* ---- keys ------------------------------------------------------------------------------- */

static void hash_text(XXH3_state_t *h, char tag, const char *s, size_t len)
{
    const uint64_t n = len;

    XXH3_128bits_update(h, &tag, 1);
    XXH3_128bits_update(h, &n, sizeof n);
    if (len)
        XXH3_128bits_update(h, s, len);
}

/* Clients write arguments again in their own way: what counts is their value. */
static void hash_arguments(XXH3_state_t *h, jl_chat_text text)
{
    json_t *value = text.ptr ? json_loadb(text.ptr, text.len, JSON_ALLOW_NUL, NULL) : NULL;
    char *flat = value ? json_dumps(value, JSON_SORT_KEYS | JSON_COMPACT) : NULL;

    hash_text(h, 'a', flat ? flat : "", flat ? strlen(flat) : 0);
    jl_free(flat);
    json_decref(value);
}

static jl_chat_text trim(jl_chat_text t)
{
    while (t.len > 0 && strchr(" \t\r\n", t.ptr[0])) {
        t.ptr++;
        t.len--;
    }
    while (t.len > 0 && strchr(" \t\r\n", t.ptr[t.len - 1]))
        t.len--;
    return t;
}

static void hash_answer(XXH3_state_t *h, const jl_chat_message *m)
{
    for (size_t i = 0; i < m->n_calls; i++) {
        if (m->calls[i].id) {
            hash_text(h, 'i', m->calls[i].id, strlen(m->calls[i].id));
            continue;
        }
        hash_text(h, 'n', m->calls[i].name, strlen(m->calls[i].name));
        hash_arguments(h, m->calls[i].arguments);
    }
    if (m->n_calls > 0)
        return;
    if (m->n_parts == 0) {
        const jl_chat_text text = trim(m->content);
        hash_text(h, 't', text.ptr, text.len);
    }
    for (size_t i = 0; i < m->n_parts; i++) {
        const jl_chat_text text = trim(m->parts[i].text);
        hash_text(h, 't', text.ptr, text.len);
    }
}

static jl_turn_key chain(const jl_turns *t, jl_turn_key before, const jl_chat_message *m)
{
    XXH3_state_t h;
    memset(&h, 0, sizeof h); /* XXH3_INITSTATE leaves a field that reset reads */
    const char role = (char)m->role;

    XXH3_128bits_reset_withSeed(&h, t->seed);
    XXH3_128bits_update(&h, &before, sizeof before);
    XXH3_128bits_update(&h, &role, 1);
    if (m->role == JL_ROLE_ASSISTANT) {
        hash_answer(&h, m);
    } else {
        hash_text(&h, 'c', m->content.ptr, m->content.len);
        for (size_t i = 0; i < m->n_parts; i++)
            hash_text(&h, 'p', m->parts[i].text.ptr, m->parts[i].text.len);
        hash_text(&h, 'r', m->call_id, m->call_id ? strlen(m->call_id) : 0);
    }
    const XXH128_hash_t digest = XXH3_128bits_digest(&h);
    return (jl_turn_key){digest.low64, digest.high64};
}

static jl_turn_key start_key(const jl_turns *t, const jl_turn_options *o)
{
    XXH3_state_t h;
    memset(&h, 0, sizeof h); /* XXH3_INITSTATE leaves a field that reset reads */
    const char flags = (char)(o->thinking | o->drop_thinking << 1);

    XXH3_128bits_reset_withSeed(&h, t->seed);
    hash_text(&h, flags, o->tools, o->tools ? o->tools_len : 0);
    const XXH128_hash_t digest = XXH3_128bits_digest(&h);
    return (jl_turn_key){digest.low64, digest.high64};
}

static turn *find(jl_turns *t, jl_turn_key key)
{
    for (size_t i = 0; i < t->n_turns; i++)
        if (t->turns[i].key.lo == key.lo && t->turns[i].key.hi == key.hi)
            return &t->turns[i];
    return NULL;
}

/* ---- rendering -------------------------------------------------------------------------- */

static jl_chat_options chat_options(const jl_turn_options *o)
{
    return (jl_chat_options){.struct_size = sizeof(jl_chat_options),
                             .thinking = o->thinking,
                             .preserve_thinking = !o->drop_thinking};
}

/* A conversation of one short question, an answer of the same kind as message k - 1, and all that
 * follows it: how the template goes on after such an answer. */
static jl_status make_probe(const jl_conversation *conv, size_t k, jl_conversation **out,
                            jl_error *err)
{
    const jl_chat_message *answer = jl_conversation_at(conv, k - 1);
    const jl_chat_message question = {.role = JL_ROLE_USER, .content = jl_chat_str("x")};
    jl_chat_message probe = {.role = JL_ROLE_ASSISTANT};

    if (answer->n_calls > 0) {
        probe.calls = answer->calls;
        probe.n_calls = answer->n_calls;
    } else {
        probe.content = jl_chat_str("x");
    }
    JL_TRY(jl_conversation_create(0, out, err));
    jl_status s = jl_conversation_add(*out, &question, err);
    if (s == JL_OK)
        s = jl_conversation_add(*out, &probe, err);
    for (size_t i = k; i < jl_conversation_length(conv) && s == JL_OK; i++)
        s = jl_conversation_add(*out, jl_conversation_at(conv, i), err);
    if (s != JL_OK)
        jl_conversation_destroy(*out);
    return s;
}

/* Index in the rendered probe at which what follows the answer begins; SIZE_MAX: cannot tell. */
static size_t boundary(const jl_turns *t, const jl_chat_prompt *probe, bool calls,
                       const jl_chat_prompt *full)
{
    size_t at = probe->n_tokens;
    const int32_t mark = calls ? t->tool_response : t->turn_end;

    while (at > 0 && probe->tokens[at - 1] != mark)
        at--;
    if (at == 0 || at > full->n_tokens ||
        memcmp(probe->tokens, full->tokens, at * sizeof *probe->tokens) != 0)
        return SIZE_MAX;
    return at - 1;
}

static jl_status splice(const turn *known, const jl_chat_prompt *rest, size_t from,
                        jl_turn_prompt *out, jl_error *err)
{
    const size_t n_rest = rest->n_tokens - from;
    int32_t *tokens = jl_malloc((known->n + n_rest) * sizeof *tokens);

    if (!tokens)
        return jl_fail(err, JL_NO_MEMORY, "no memory for a prompt of %zu tokens",
                       known->n + n_rest);
    memcpy(tokens, known->tokens, known->n * sizeof *tokens);
    memcpy(tokens + known->n, rest->tokens + from, n_rest * sizeof *tokens);
    out->prompt = (jl_chat_prompt){
        .tokens = tokens, .n_tokens = known->n + n_rest, .in_thought = rest->in_thought};
    out->n_replayed = known->n;
    return JL_OK;
}

/* The remembered turn followed by the rest of the conversation; out stays as it is if the template
 * does not allow to tell them apart. */
static jl_status replay(jl_turns *t, const turn *known, const jl_conversation *conv, size_t k,
                        const jl_turn_options *options, jl_turn_prompt *out, jl_error *err)
{
    jl_chat_options o = chat_options(options);
    jl_chat_prompt head = {0};
    jl_chat_prompt full = {0};
    jl_conversation *probe;

    JL_TRY(make_probe(conv, k, &probe, err));
    jl_status s = jl_chat_render(t->chat, probe, &o, &full, err);
    if (s == JL_OK) {
        jl_conversation_truncate(probe, 2);
        o.no_generation_prompt = true;
        s = jl_chat_render(t->chat, probe, &o, &head, err);
    }
    if (s == JL_OK) {
        const bool calls = jl_conversation_at(conv, k - 1)->n_calls > 0;
        const size_t from = boundary(t, &head, calls, &full);
        if (from != SIZE_MAX)
            s = splice(known, &full, from, out, err);
    }
    jl_chat_prompt_free(&head);
    jl_chat_prompt_free(&full);
    jl_conversation_destroy(probe);
    return s;
}

/* Keys of all prefixes of the conversation: keys[i] covers the first i messages. */
static jl_turn_key *prefix_keys(const jl_turns *t, const jl_conversation *conv,
                                const jl_turn_options *options)
{
    const size_t n = jl_conversation_length(conv);
    jl_turn_key *keys = jl_malloc((n + 1) * sizeof *keys);

    if (!keys)
        return NULL;
    keys[0] = start_key(t, options);
    for (size_t i = 0; i < n; i++)
        keys[i + 1] = chain(t, keys[i], jl_conversation_at(conv, i));
    return keys;
}

static jl_status render(jl_turns *t, const jl_conversation *conv, const jl_turn_key *keys,
                        const jl_turn_options *options, jl_turn_prompt *out, jl_error *err)
{
    bool user = false;

    for (size_t k = jl_conversation_length(conv); k-- > 1;) {
        const jl_chat_role role = jl_conversation_at(conv, k)->role;
        user = user || role == JL_ROLE_USER;
        if (jl_conversation_at(conv, k - 1)->role != JL_ROLE_ASSISTANT || role == JL_ROLE_ASSISTANT)
            continue;
        turn *known = find(t, keys[k]);
        if (!known || (options->drop_thinking && user && known->thought))
            continue;
        JL_TRY(replay(t, known, conv, k, options, out, err));
        if (!out->prompt.tokens)
            continue;
        known->used_at = ++t->tick;
        out->open_thought = known->thought && !user;
        return JL_OK;
    }
    const jl_chat_options o = chat_options(options);
    return jl_chat_render(t->chat, conv, &o, &out->prompt, err);
}

jl_status jl_turns_render(jl_turns *t, const jl_conversation *conv, const jl_turn_options *options,
                          jl_turn_prompt *out, jl_error *err)
{
    jl_turn_key *keys = prefix_keys(t, conv, options);
    jl_turn_prompt p = {0};

    if (!keys)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    p.key = keys[jl_conversation_length(conv)];
    const jl_status s = render(t, conv, keys, options, &p, err);
    jl_free(keys);
    if (s == JL_OK)
        *out = p;
    return s;
}

/* ---- remembering ------------------------------------------------------------------------ */

static void make_room(jl_turns *t, size_t n_bytes)
{
    while (t->n_turns > 0 && (t->n_turns == MAX_TURNS || t->used_bytes + n_bytes > t->max_bytes)) {
        size_t oldest = 0;
        for (size_t i = 1; i < t->n_turns; i++)
            if (t->turns[i].used_at < t->turns[oldest].used_at)
                oldest = i;
        drop(t, oldest);
    }
}

void jl_turns_remember(jl_turns *t, const jl_turn_prompt *prompt, const jl_chat_message *answer,
                       const int32_t *tokens, size_t n)
{
    const jl_turn_key key = chain(t, prompt->key, answer);

    while (n > 0 && jl_token_is_eog(t->model, tokens[n - 1]))
        n--;
    turn *same = find(t, key);
    if (same)
        drop(t, (size_t)(same - t->turns));
    make_room(t, n * sizeof *tokens);
    const bool thought = answer->reasoning.len > 0 || prompt->open_thought;
    if (add(t, key, thought, tokens, n) && t->disk)
        jl_disk_write_turn(t->disk, key, thought, tokens, n);
}
