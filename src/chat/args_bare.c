/* Values without quotes: numbers, true, false, null, and strings whose marks were left out. */
#include <stdint.h>

#include "chat/args_state.h"

static void end_bare(jl_args *a)
{
    const unsigned types = jl_args_value_types(a);
    jl_args_begin_value(a, false);
    jl_args_put_bare(a, types);
    jl_args_end_value(a);
}

static bool is_plain_literal(const jl_args *a)
{
    const jl_chat_text t = jl_text_strip((jl_chat_text){jl_buf_str(&a->text), a->text.len});
    return jl_args_literal(t.ptr, t.len) &&
           jl_args_value_types(a) != JL_SCHEMA_STRING;
}

/* A quote mark behind text without one: the opening mark was lost. */
static bool bare_quote(jl_args *a)
{
    if (is_plain_literal(a)) {
        a->report(a->ctx, JL_REPAIR_STRAY_MARK);
        end_bare(a);
        return false;
    }
    jl_buf text = a->text;
    jl_buf_init(&a->text, text.max);
    a->report(a->ctx, JL_REPAIR_QUOTE_UNOPENED);
    jl_args_begin_string(a, 0);
    jl_args_put_text(a, jl_buf_str(&text), text.len);
    jl_buf_free(&text);
    return true;
}

static bool bare_byte(jl_args *a, char c)
{
    const bool in_array = jl_args_top(a)->is_array;
    if (c == ',') {
        if (in_array || is_plain_literal(a)) {
            end_bare(a);
            return true;
        }
        jl_buf_clear(&a->held);
        jl_args_hold(a, c);
        a->candidate = SIZE_MAX;
        a->state = S_BARE_NEXT;
        return false;
    }
    if (c == '}' && a->n_frames == 1 && !is_plain_literal(a)) {
        jl_buf_clear(&a->held);
        jl_args_hold(a, c);
        a->state = S_BARE_TAIL;
        return false;
    }
    if (c == '}' || (c == ']' && in_array)) {
        end_bare(a);
        return true;
    }
    jl_args_put(a, &a->text, &c, 1);
    return false;
}

bool jl_args_on_bare(jl_args *a, jl_symbol s)
{
    if (s.kind == JL_ARG_BYTE)
        return bare_byte(a, s.c);
    if (s.kind == JL_ARG_QUOTE)
        return bare_quote(a);
    end_bare(a);
    return true;
}

static void keep_held_in_bare(jl_args *a)
{
    jl_args_put(a, &a->text, jl_buf_str(&a->held), a->held.len);
    jl_buf_clear(&a->held);
    a->state = S_BARE;
}

/* Behind a comma in unquoted text: the next key, or more text. */
bool jl_args_on_bare_next(jl_args *a, jl_symbol s)
{
    if (jl_args_extend_candidate(a, s))
        return false;
    const bool begun = a->candidate != SIZE_MAX;
    jl_buf name = {0};
    if (is_byte(s, ':') && jl_args_candidate(a, false, &name)) {
        end_bare(a);
        jl_args_next_key(a, &name);
        return false;
    }
    jl_buf_free(&name);
    if (!begun && (is_quote(s) || is_byte(s, '}'))) {
        end_bare(a);
        a->state = is_quote(s) ? S_KEY_START : S_AFTER;
        return true;
    }
    keep_held_in_bare(a);
    return true;
}

/* Behind a closing brace in unquoted text of the outermost object: the end if nothing follows. */
bool jl_args_on_bare_tail(jl_args *a, jl_symbol s)
{
    if (is_blank(s) || is_byte(s, '}')) {
        jl_args_hold(a, s.c);
        return false;
    }
    if (!is_final(s)) {
        keep_held_in_bare(a);
        return true;
    }
    size_t last = a->held.len;
    while (last > 0 && a->held.ptr[last - 1] != '}')
        last--;
    jl_args_put(a, &a->text, jl_buf_str(&a->held), last ? last - 1 : 0);
    jl_buf_clear(&a->held);
    end_bare(a);
    jl_args_pop(a);
    return true;
}
