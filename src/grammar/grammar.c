#include "grammar/grammar.h"

#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

void jl_grammar_free(jl_grammar *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_rules; i++)
        jl_free(g->rules[i].alts);
    for (size_t i = 0; i < g->n_marks; i++)
        jl_free(g->marks[i]);
    jl_free(g->rules);
    jl_free(g->marks);
    jl_free(g->els);
    jl_free(g);
}

jl_status jl_grammar_add_rule(jl_grammar *g, uint32_t *rule, jl_error *err)
{
    JL_TRY(jl_grow(&g->rules, &g->cap_rules, g->n_rules + 1, sizeof *g->rules, err));
    if (g->n_rules >= JL_GRAMMAR_MAX_ELS)
        return jl_fail(err, JL_TOO_LARGE, "grammar of more than %d rules", JL_GRAMMAR_MAX_ELS);
    g->rules[g->n_rules] = (jl_rule){0};
    *rule = (uint32_t)g->n_rules++;
    return JL_OK;
}

jl_status jl_grammar_add_alt(jl_grammar *g, uint32_t rule, const jl_el *els, size_t n,
                             jl_error *err)
{
    jl_rule *r = &g->rules[rule];
    if (n >= JL_GRAMMAR_MAX_ELS - g->n_els)
        return jl_fail(err, JL_TOO_LARGE, "grammar of more than %d elements", JL_GRAMMAR_MAX_ELS);
    JL_TRY(jl_grow(&r->alts, &r->cap, r->n_alts + 1, sizeof *r->alts, err));
    JL_TRY(jl_grow(&g->els, &g->cap_els, g->n_els + n + 1, sizeof *g->els, err));
    r->alts[r->n_alts++] = (uint32_t)g->n_els;
    r->defined = true;
    if (n)
        memcpy(g->els + g->n_els, els, n * sizeof *els);
    g->n_els += n;
    g->els[g->n_els++] = (jl_el){0};
    return JL_OK;
}

jl_status jl_grammar_add_mark(jl_grammar *g, const char *text, size_t len, uint32_t *mark,
                              jl_error *err)
{
    for (size_t i = 0; i < g->n_marks; i++)
        if (strlen(g->marks[i]) == len && memcmp(g->marks[i], text, len) == 0) {
            *mark = (uint32_t)i;
            return JL_OK;
        }
    JL_TRY(jl_grow(&g->marks, &g->cap_marks, g->n_marks + 1, sizeof *g->marks, err));
    char *copy = jl_strndup(text, len);
    if (!copy)
        return jl_fail(err, JL_NO_MEMORY, "no memory for a grammar");
    g->marks[g->n_marks] = copy;
    *mark = (uint32_t)g->n_marks++;
    return JL_OK;
}

/* ---- code points as bytes --------------------------------------------------------------- */

/* Adds lo..hi, both of n bytes: if they differ in the first byte only at full spans below, one
 * sequence of ranges, else split at the first byte that makes it so. */
static jl_status add_span(jl_grammar *g, uint32_t rule, uint32_t lo, uint32_t hi, jl_error *err)
{
    for (int i = 1; i < 4; i++) {
        const uint32_t low_bits = ((uint32_t)1 << (6 * i)) - 1;
        if ((lo & ~low_bits) == (hi & ~low_bits))
            continue;
        if (lo & low_bits) {
            JL_TRY(add_span(g, rule, lo, lo | low_bits, err));
            return add_span(g, rule, (lo | low_bits) + 1, hi, err);
        }
        if ((hi & low_bits) != low_bits) {
            JL_TRY(add_span(g, rule, lo, (hi & ~low_bits) - 1, err));
            return add_span(g, rule, hi & ~low_bits, hi, err);
        }
    }
    char a[4], b[4];
    jl_el els[4];
    const size_t n = jl_utf8_encode(lo, a);
    (void)jl_utf8_encode(hi, b);
    for (size_t i = 0; i < n; i++)
        els[i] = (jl_el){JL_EL_RANGE, (uint8_t)a[i], (uint8_t)b[i], 0};
    return jl_grammar_add_alt(g, rule, els, n, err);
}

jl_status jl_grammar_add_code_points(jl_grammar *g, uint32_t rule, uint32_t lo, uint32_t hi,
                                     jl_error *err)
{
    /* Spans whose encodings have the same length, without the surrogates. */
    static const uint32_t spans[][2] = {{0, 0x7f}, {0x80, 0x7ff}, {0x800, 0xd7ff},
                                        {0xe000, 0xffff}, {0x10000, 0x10ffff}};
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        const uint32_t from = lo > spans[i][0] ? lo : spans[i][0];
        const uint32_t to = hi < spans[i][1] ? hi : spans[i][1];
        if (from <= to)
            JL_TRY(add_span(g, rule, from, to, err));
    }
    return JL_OK;
}

/* ---- left recursion --------------------------------------------------------------------- */

/* Which rules may be empty: repeated until nothing changes. */
static void find_empty(const jl_grammar *g, bool *empty)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t r = 0; r < g->n_rules; r++)
            for (size_t a = 0; a < g->rules[r].n_alts && !empty[r]; a++) {
                const jl_el *e = g->els + g->rules[r].alts[a];
                while (e->kind == JL_EL_RULE && empty[e->ref])
                    e++;
                if (e->kind == JL_EL_END)
                    empty[r] = changed = true;
            }
    }
}

typedef struct { /* place in the depth-first search */
    uint32_t rule;
    uint32_t alt;
    uint32_t el; /* within the alternative */
} visit;

/* The next rule that can be called before a byte is read, or false when the rule is done. */
static bool next_left(const jl_grammar *g, const bool *empty, visit *v, uint32_t *callee)
{
    const jl_rule *r = &g->rules[v->rule];
    while (v->alt < r->n_alts) {
        const jl_el *e = g->els + r->alts[v->alt] + v->el;
        if (e->kind == JL_EL_RULE && (v->el == 0 || empty[e[-1].ref])) {
            v->el++;
            *callee = e->ref;
            return true;
        }
        v->alt++;
        v->el = 0;
    }
    return false;
}

static bool has_left_recursion(const jl_grammar *g, const bool *empty, uint8_t *color, visit *stack)
{
    enum { NEW, OPEN, DONE };
    for (size_t r = 0; r < g->n_rules; r++) {
        size_t n = 0;
        if (color[r] != NEW)
            continue;
        color[r] = OPEN;
        stack[n++] = (visit){(uint32_t)r, 0, 0};
        while (n > 0) {
            uint32_t callee;
            if (!next_left(g, empty, &stack[n - 1], &callee)) {
                color[stack[--n].rule] = DONE;
            } else if (color[callee] == OPEN) {
                return true;
            } else if (color[callee] == NEW) {
                color[callee] = OPEN;
                stack[n++] = (visit){callee, 0, 0};
            }
        }
    }
    return false;
}

jl_status jl_grammar_check(const jl_grammar *g, jl_error *err)
{
    bool *empty = jl_calloc(g->n_rules, sizeof *empty);
    uint8_t *color = jl_calloc(g->n_rules, sizeof *color);
    visit *stack = jl_calloc(g->n_rules, sizeof *stack);
    jl_status status = JL_OK;
    if (!empty || !color || !stack) {
        status = jl_fail(err, JL_NO_MEMORY, "no memory to check a grammar");
    } else {
        find_empty(g, empty);
        if (has_left_recursion(g, empty, color, stack))
            status = jl_fail(err, JL_INVALID, "the grammar has a rule that begins with itself, or "
                             "repeats something that may be empty");
    }
    jl_free(empty);
    jl_free(color);
    jl_free(stack);
    return status;
}
