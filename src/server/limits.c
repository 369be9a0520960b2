/* What the next token may be. */
#include "server/limits.h"

#include <string.h>

#include "base/mem.h"

enum { START = 0, CONTENT, CALLS, FREE };

static jl_status init_content(jl_limits *l, const jl_token_tree *tree, jl_error *err)
{
    const char *text = l->p.form_text;

    if (l->p.form == JL_FORM_GBNF)
        return jl_constraint_from_gbnf(tree, text, strlen(text), &l->content, err);
    if (l->p.form == JL_FORM_SCHEMA)
        return jl_constraint_from_schema(tree, text, strlen(text), &l->content, err);
    return JL_OK;
}

static jl_status init_calls(jl_limits *l, const jl_token_tree *tree, jl_error *err)
{
    const unsigned flags =
        (l->p.one_call ? 0u : JL_CALLS_MANY) | (l->p.forced ? 0u : JL_CALLS_AFTER_MARK);

    if (!l->p.tools || l->call < 0)
        return JL_OK;
    const jl_status s =
        jl_constraint_from_tools(tree, l->p.tools, strlen(l->p.tools), flags, &l->calls, err);
    return l->p.forced ? s : JL_OK;
}

jl_status jl_limits_init(jl_limits *l, const jl_model *model, const jl_token_tree *tree,
                         const jl_limits_params *params, jl_error *err)
{
    jl_model_info info;

    jl_model_get_info(model, &info);
    *l = (jl_limits){.p = *params,
                     .in_thought = params->in_thought,
                     .thought_seen = params->in_thought,
                     .open = jl_token_find(model, "<|channel>"),
                     .close = jl_token_find(model, "<channel|>"),
                     .call = jl_token_find(model, "<|tool_call>"),
                     .n_words = (info.n_vocab + 31) / 32};
    l->mask = jl_calloc(l->n_words, sizeof *l->mask);
    if (!l->mask)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    JL_TRY(init_content(l, tree, err));
    return init_calls(l, tree, err);
}

void jl_limits_free(jl_limits *l)
{
    jl_constraint_destroy(l->content);
    jl_constraint_destroy(l->calls);
    jl_free(l->mask);
    l->content = l->calls = NULL;
    l->mask = NULL;
}

static void set_bit(jl_limits *l, int32_t token)
{
    if (token >= 0)
        l->mask[token / 32] |= 1u << (token % 32);
}

static const uint32_t *mask_of(jl_limits *l, jl_constraint *c)
{
    const uint32_t *mask = NULL;

    if (c && l->failed == JL_OK && jl_constraint_mask(c, &mask, &l->err) != JL_OK)
        l->failed = l->err.status;
    return l->failed == JL_OK ? mask : NULL;
}

/* The first token of the answer: of its form, or the mark of a thought or call before or instead.
 */
static const uint32_t *first_mask(jl_limits *l)
{
    const uint32_t *base = mask_of(l, l->p.forced ? l->calls : l->content);

    if (!base)
        return NULL;
    memcpy(l->mask, base, l->n_words * sizeof *l->mask);
    if (l->p.thinking && !l->thought_seen)
        set_bit(l, l->open);
    if (l->calls)
        set_bit(l, l->call);
    return l->mask;
}

const uint32_t *jl_limits_mask(jl_limits *l)
{
    if (l->in_thought) {
        if (l->n_thought < l->p.thought_max || l->close < 0)
            return NULL;
        memset(l->mask, 0, l->n_words * sizeof *l->mask);
        set_bit(l, l->close);
        return l->mask;
    }
    if (l->phase == START)
        return first_mask(l);
    if (l->phase == FREE)
        return NULL;
    return mask_of(l, l->phase == CALLS ? l->calls : l->content);
}

static void accept(jl_limits *l, jl_constraint *c, int32_t token)
{
    if (c && l->failed == JL_OK && jl_constraint_accept(c, token, &l->err) != JL_OK)
        l->failed = l->err.status;
}

void jl_limits_accept(jl_limits *l, int32_t token)
{
    const bool before = l->phase == START || l->phase == FREE;

    l->n_thought += l->in_thought;
    if (token >= 0 && token == l->open && before) {
        l->in_thought = l->thought_seen = true;
    } else if (token >= 0 && token == l->close && l->in_thought) {
        l->in_thought = false;
    } else if (token >= 0 && token == l->call && before && l->calls) {
        l->in_thought = false;
        l->phase = CALLS;
        if (l->p.forced)
            accept(l, l->calls, token);
    } else if (l->in_thought) {
        l->in_thought = token != l->call;
    } else if (l->phase == START) {
        l->phase = l->content ? CONTENT : FREE;
        accept(l, l->content, token);
    } else if (l->phase != FREE) {
        accept(l, l->phase == CALLS ? l->calls : l->content, token);
    }
}
