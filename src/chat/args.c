/* The argument reader is a state machine over single symbols with an explicit stack. Where a
 * symbol can be read in two ways (a quote inside a string, a comma in unquoted text, a closing
 * brace that may be content) it and what follows wait in `held` until the next symbols decide. A
 * handler returns true to have the same symbol handled again in the new state. */
#include "chat/args.h"

#include <stdint.h>
#include <string.h>

#include "chat/args_state.h"

/* ---- life ------------------------------------------------------------------------------- */

void jl_args_init(jl_args *a, size_t max_bytes)
{
    *a = (jl_args){.hold_from = SIZE_MAX, .done = true};
    jl_buf *const bufs[] = {&a->json, &a->key, &a->seen, &a->text, &a->held};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        jl_buf_init(bufs[i], max_bytes);
}

void jl_args_free(jl_args *a)
{
    jl_buf *const bufs[] = {&a->json, &a->key, &a->seen, &a->text, &a->held};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        jl_buf_free(bufs[i]);
}

void jl_args_begin(jl_args *a, const json_t *schema)
{
    jl_buf *const bufs[] = {&a->json, &a->key, &a->seen, &a->text, &a->held};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        jl_buf_clear(bufs[i]);
    a->schema = schema;
    a->hold_from = SIZE_MAX;
    a->done = a->complete = a->reopened = a->dropping = a->buried = a->trailing = false;
    a->state = S_KEY_START;
    a->n_frames = 1;
    a->frames[0] = (jl_arg_frame){.schema = schema};
    jl_args_puts(a, &a->json, "{");
}

/* ---- frames and members ----------------------------------------------------------------- */

const json_t *jl_args_value_schema(const jl_args *a)
{
    const jl_arg_frame *f = &a->frames[a->n_frames - 1];
    return f->is_array ? jl_schema_items(a->schema, f->schema)
                       : jl_schema_property(a->schema, f->schema, jl_buf_str(&a->key));
}

unsigned jl_args_value_types(const jl_args *a)
{
    return jl_schema_types(a->schema, jl_args_value_schema(a));
}

static bool was_seen(const jl_args *a, const char *key)
{
    const char *s = jl_buf_str(&a->seen);
    for (size_t i = 0; i < a->seen.len; i += strlen(s + i) + 1)
        if (strcmp(s + i, key) == 0)
            return true;
    return false;
}

/* A required parameter of the tool that has not come yet and, if container is given, is in it. */
static bool misses_required(const jl_args *a, const json_t *container)
{
    const json_t *required = json_object_get(a->schema, "required");
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        if (name && !was_seen(a, name) && (!container || json_object_get(container, name)))
            return true;
    }
    return false;
}

/* Writes the comma and the key before a value. */
void jl_args_begin_value(jl_args *a, bool container)
{
    jl_arg_frame *f = jl_args_top(a);
    const size_t start = a->json.len;
    const char *key = jl_buf_str(&a->key);
    const bool outermost = a->n_frames == 1;

    if (f->n_items++)
        jl_args_puts(a, &a->json, ",");
    if (f->is_array)
        return;
    jl_args_puts(a, &a->json, "\"");
    jl_args_escape(a, key, a->key.len);
    jl_args_puts(a, &a->json, "\":");
    if (!outermost)
        return;
    if (was_seen(a, key)) {
        a->dropping = true;
        a->hold_from = start;
        return;
    }
    if (container && json_object_size(json_object_get(a->schema, "properties")) > 0 &&
        !jl_schema_declares(a->schema, a->schema, key) && misses_required(a, NULL)) {
        a->buried = true;
        a->hold_from = start;
        a->buried_key = a->seen.len;
    }
    jl_args_put(a, &a->seen, key, strlen(key) + 1);
}

/* Moves the members of a container, the last value of json, up into the arguments if a required one
 * is among them and none of them has come before. */
static void unbury(jl_args *a)
{
    const char *json = jl_buf_str(&a->json);
    const char *key;
    json_t *item;
    const size_t from = a->hold_from;
    a->buried = false;
    a->hold_from = SIZE_MAX;
    if (a->status != JL_OK)
        return;
    const char *at = strstr(json + from, "\":{");
    const size_t brace = at ? (size_t)(at - json) + 2 : a->json.len;
    json_t *v = json_loadb(json + brace, a->json.len - brace, JSON_REJECT_DUPLICATES, NULL);
    bool move = v && misses_required(a, v);
    json_object_foreach(v, key, item)
        move = move && !was_seen(a, key);
    if (move) {
        jl_buf inner;
        jl_buf_init(&inner, a->json.max);
        jl_args_put(a, &inner, json + brace + 1, a->json.len - brace - 2);
        jl_buf_cut(&a->json, from);
        jl_buf_cut(&a->seen, a->buried_key);
        json_object_foreach(v, key, item)
            jl_args_put(a, &a->seen, key, strlen(key) + 1);
        if (a->frames[0].n_items > 1)
            jl_args_puts(a, &a->json, ",");
        jl_args_put(a, &a->json, jl_buf_str(&inner), inner.len);
        jl_buf_free(&inner);
        a->report(a->ctx, JL_REPAIR_ARGUMENTS_BURIED);
    }
    json_decref(v);
}

/* After a whole value. */
void jl_args_end_value(jl_args *a)
{
    a->state = S_AFTER;
    jl_buf_clear(&a->key);
    if (a->n_frames != 1)
        return;
    if (a->dropping) {
        jl_buf_cut(&a->json, a->hold_from);
        jl_args_top(a)->n_items--;
        a->dropping = false;
        a->hold_from = SIZE_MAX;
        a->report(a->ctx, JL_REPAIR_DUPLICATE_KEY);
    } else if (a->buried) {
        unbury(a);
    }
}

static void push_frame(jl_args *a, bool is_array)
{
    const json_t *schema = jl_args_value_schema(a);
    if (a->n_frames == JL_CHAT_MAX_DEPTH) {
        jl_args_begin_value(a, false);
        a->skip_depth = 1;
        a->skip_string = false;
        a->state = S_SKIP;
        return;
    }
    jl_args_begin_value(a, !is_array);
    if (a->buried && a->n_frames == 1)
        schema = a->schema; /* its members may turn out to be the arguments */
    a->frames[a->n_frames++] = (jl_arg_frame){.is_array = is_array, .schema = schema};
    jl_args_puts(a, &a->json, is_array ? "[" : "{");
    jl_buf_clear(&a->key);
    a->state = is_array ? S_VALUE : S_KEY_START;
}

void jl_args_pop(jl_args *a)
{
    jl_args_puts(a, &a->json, jl_args_top(a)->is_array ? "]" : "}");
    a->n_frames--;
    if (a->n_frames == 0) {
        a->state = S_TOP_DONE;
        a->complete = true;
    } else {
        jl_args_end_value(a);
    }
}

/* The call ends here: closes whatever is open. */
void jl_args_finish(jl_args *a, jl_symbol s)
{
    a->done = true;
    a->reopened = s.kind == JL_ARG_OPEN;
    if (a->state == S_KEY && a->key.len)
        a->report(a->ctx, JL_REPAIR_KEY_WITHOUT_VALUE);
    if (a->n_frames > 0)
        a->report(a->ctx, JL_REPAIR_BRACE_MISSING);
    while (a->n_frames > 0)
        jl_args_pop(a);
    if (s.kind != JL_ARG_CLOSE)
        a->report(a->ctx, JL_REPAIR_CALL_NOT_CLOSED);
}

void jl_args_hold(jl_args *a, char c)
{
    jl_args_put(a, &a->held, &c, 1);
}

/* ---- keys ------------------------------------------------------------------------------- */

/* A closing bracket where a key or a separator could stand. Returns true if it did not fit and is
 * to be handled again after a missing bracket was put in. */
static bool close_bracket(jl_args *a, char c)
{
    const bool array = c == ']';
    if (jl_args_top(a)->is_array == array) {
        jl_args_pop(a);
        return false;
    }
    bool open = false;
    for (int i = 0; i < a->n_frames; i++)
        open = open || a->frames[i].is_array == array;
    if (!open)
        return false;
    a->report(a->ctx, JL_REPAIR_BRACE_MISSING);
    jl_args_pop(a);
    return true;
}

static bool on_key_start(jl_args *a, jl_symbol s)
{
    jl_buf_clear(&a->key);
    if (is_blank(s) || is_byte(s, ',') || is_byte(s, '{') || is_byte(s, ':'))
        return false;
    if (is_final(s)) {
        jl_args_finish(a, s);
        return false;
    }
    if (is_byte(s, '}') || is_byte(s, ']'))
        return close_bracket(a, s.c);
    if (is_quote(s)) {
        a->report(a->ctx, JL_REPAIR_QUOTED_KEY);
        a->delim = s.c;
        a->n_escape = 0;
        a->state = S_KEY_QUOTED;
        return false;
    }
    a->state = S_KEY;
    return true;
}

static void trim_key(jl_args *a)
{
    while (a->key.len && is_space(a->key.ptr[a->key.len - 1]))
        jl_buf_cut(&a->key, a->key.len - 1);
}

static bool on_key(jl_args *a, jl_symbol s)
{
    if (is_byte(s, ':')) {
        trim_key(a);
        a->state = S_VALUE;
        return false;
    }
    if (is_final(s)) {
        jl_args_finish(a, s);
        return false;
    }
    if (s.kind == JL_ARG_QUOTE) {
        trim_key(a);
        a->report(a->ctx, JL_REPAIR_COMMA_MISSING);
        a->state = S_VALUE;
        return true;
    }
    if (s.c == ',' || s.c == '}') {
        a->report(a->ctx, JL_REPAIR_KEY_WITHOUT_VALUE);
        a->state = S_KEY_START;
        return true;
    }
    if (s.c) /* a NUL cannot be in a key */
        jl_args_put(a, &a->key, &s.c, 1);
    return false;
}

static bool on_key_quoted(jl_args *a, jl_symbol s)
{
    if (is_final(s)) {
        a->state = S_KEY;
        jl_args_finish(a, s);
        return false;
    }
    if (s.kind == JL_ARG_QUOTE || (a->delim && s.c == a->delim && !a->n_escape)) {
        a->state = S_COLON;
        return false;
    }
    if (a->delim && s.c == '\\' && !a->n_escape) {
        a->n_escape = 1;
        return false;
    }
    a->n_escape = 0;
    if (s.c)
        jl_args_put(a, &a->key, &s.c, 1);
    return false;
}

static bool on_colon(jl_args *a, jl_symbol s)
{
    if (is_blank(s))
        return false;
    if (is_byte(s, ':')) {
        a->state = S_VALUE;
        return false;
    }
    if (is_final(s) || is_byte(s, ',') || is_byte(s, '}')) {
        a->report(a->ctx, JL_REPAIR_KEY_WITHOUT_VALUE);
        jl_buf_clear(&a->key);
        a->state = S_KEY_START;
        return true;
    }
    a->report(a->ctx, JL_REPAIR_COMMA_MISSING);
    a->state = S_VALUE;
    return true;
}

/* ---- values ----------------------------------------------------------------------------- */

/* In the place of a value: a separator or bracket, that is, no value. */
static bool no_value(jl_args *a, jl_symbol s)
{
    if (!jl_args_top(a)->is_array) {
        a->report(a->ctx, JL_REPAIR_KEY_WITHOUT_VALUE);
        a->state = S_KEY_START;
        return true;
    }
    if (is_final(s)) {
        jl_args_finish(a, s);
        return false;
    }
    return s.c == ',' ? false : close_bracket(a, s.c);
}

static bool on_value(jl_args *a, jl_symbol s)
{
    if (is_blank(s))
        return false;
    if (is_final(s) || is_byte(s, ',') || is_byte(s, '}') || is_byte(s, ']'))
        return no_value(a, s);
    if (s.kind == JL_ARG_QUOTE) {
        jl_args_begin_string(a, 0);
        return false;
    }
    if (s.c == '{' || s.c == '[') {
        push_frame(a, s.c == '[');
        return false;
    }
    if (s.c == '"' || s.c == '\'') {
        a->report(a->ctx, JL_REPAIR_FOREIGN_QUOTES);
        jl_args_begin_string(a, s.c);
        return false;
    }
    jl_buf_clear(&a->text);
    jl_buf_clear(&a->held);
    a->state = S_BARE;
    return true;
}

/* ---- between values --------------------------------------------------------------------- */

static bool on_after(jl_args *a, jl_symbol s)
{
    if (is_blank(s))
        return false;
    if (is_final(s)) {
        jl_args_finish(a, s);
        return false;
    }
    const int next = jl_args_top(a)->is_array ? S_VALUE : S_KEY_START;
    if (is_byte(s, ',')) {
        a->state = next;
        return false;
    }
    if (is_byte(s, '}') || is_byte(s, ']'))
        return close_bracket(a, s.c);
    a->report(a->ctx, JL_REPAIR_COMMA_MISSING);
    a->state = next;
    return true;
}

static bool on_top_done(jl_args *a, jl_symbol s)
{
    if (is_final(s)) {
        if (a->trailing)
            a->report(a->ctx, JL_REPAIR_TEXT_AFTER_CALL);
        jl_args_finish(a, s);
    } else if (!is_blank(s)) {
        a->trailing = true;
    }
    return false;
}

/* A value below the deepest level: read over, null in its place. */
static bool on_skip(jl_args *a, jl_symbol s)
{
    if (is_final(s)) {
        jl_args_puts(a, &a->json, "null");
        a->report(a->ctx, JL_REPAIR_TOO_DEEP);
        jl_args_end_value(a);
        return true;
    }
    if (s.kind == JL_ARG_QUOTE) {
        a->skip_string = !a->skip_string;
    } else if (!a->skip_string) {
        a->skip_depth += (s.c == '{' || s.c == '[') - (s.c == '}' || s.c == ']');
        if (a->skip_depth == 0) {
            jl_args_puts(a, &a->json, "null");
            a->report(a->ctx, JL_REPAIR_TOO_DEEP);
            jl_args_end_value(a);
        }
    }
    return false;
}

/* ---- dispatch --------------------------------------------------------------------------- */

static bool step(jl_args *a, jl_symbol s)
{
    switch ((jl_arg_state)a->state) {
    case S_KEY_START: return on_key_start(a, s);
    case S_KEY: return on_key(a, s);
    case S_KEY_QUOTED: return on_key_quoted(a, s);
    case S_COLON: return on_colon(a, s);
    case S_VALUE: return on_value(a, s);
    case S_STRING: return jl_args_on_string(a, s);
    case S_STRING_END: return jl_args_on_string_end(a, s);
    case S_STRING_NEXT: return jl_args_on_string_next(a, s);
    case S_STRING_MARK: return jl_args_on_string_mark(a, s);
    case S_BARE: return jl_args_on_bare(a, s);
    case S_BARE_NEXT: return jl_args_on_bare_next(a, s);
    case S_BARE_TAIL: return jl_args_on_bare_tail(a, s);
    case S_AFTER: return on_after(a, s);
    case S_TOP_DONE: return on_top_done(a, s);
    case S_SKIP: return on_skip(a, s);
    }
    return false;
}

void jl_args_push(jl_args *a, jl_arg_kind kind, char c)
{
    const jl_symbol s = {kind, kind == JL_ARG_BYTE ? c : 0};
    if (kind == JL_ARG_CUT && !a->done) {
        if (a->state == S_STRING && a->streaming)
            jl_args_put_held(a);
        a->done = true;
    }
    while (!a->done && a->status == JL_OK && step(a, s)) {
    }
}

void jl_args_mark(jl_args *a, const char *text, size_t len)
{
    if (a->state == S_STRING || a->state == S_STRING_MARK || a->state == S_BARE) {
        for (size_t i = 0; i < len; i++)
            jl_args_push(a, JL_ARG_BYTE, text[i]);
        a->report(a->ctx, JL_REPAIR_MARK_INSIDE);
    } else {
        a->report(a->ctx, JL_REPAIR_STRAY_MARK);
    }
}
