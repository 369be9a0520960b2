/* Reader of GBNF text. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "grammar/grammar.h"

typedef struct {
    const char *name; /* in the text */
    size_t len;
    uint32_t rule;
} named;

typedef struct { /* elements of the sequence being read */
    jl_el *els;
    size_t n, cap;
} seq;

typedef struct {
    const char *text, *p, *end;
    jl_grammar *g;
    named *names;
    size_t n_names, cap_names;
    int depth;
} reader;

enum { MAX_NESTING = 100, NO_LIMIT = -1 };

static jl_status bad(const reader *r, jl_error *err, const char *what)
{
    int line = 1;
    for (const char *p = r->text; p < r->p; p++)
        line += *p == '\n';
    return jl_fail_at(err, JL_INVALID, (uint64_t)(r->p - r->text), "grammar, line %d: %s", line,
                      what);
}

static bool at(const reader *r, char c)
{
    return r->p < r->end && *r->p == c;
}

/* Skips blanks and comments; line ends too when they do not end the rule. */
static void skip(reader *r, bool lines)
{
    while (r->p < r->end) {
        if (*r->p == '#')
            while (r->p < r->end && *r->p != '\n')
                r->p++;
        else if (*r->p == ' ' || *r->p == '\t' || (lines && (*r->p == '\n' || *r->p == '\r')))
            r->p++;
        else
            return;
    }
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static jl_status read_name(reader *r, uint32_t *rule, jl_error *err)
{
    const char *begin = r->p;
    while (r->p < r->end && is_name_char(*r->p))
        r->p++;
    const size_t len = (size_t)(r->p - begin);
    if (len == 0)
        return bad(r, err, "a rule name was expected");
    for (size_t i = 0; i < r->n_names; i++)
        if (r->names[i].len == len && memcmp(r->names[i].name, begin, len) == 0) {
            *rule = r->names[i].rule;
            return JL_OK;
        }
    JL_TRY(jl_grow(&r->names, &r->cap_names, r->n_names + 1, sizeof *r->names, err));
    JL_TRY(jl_grammar_add_rule(r->g, rule, err));
    r->names[r->n_names++] = (named){begin, len, *rule};
    return JL_OK;
}

static jl_status append(seq *s, const jl_el *els, size_t n, jl_error *err)
{
    if (n > JL_GRAMMAR_MAX_ELS - s->n)
        return jl_fail(err, JL_TOO_LARGE, "grammar of more than %d elements", JL_GRAMMAR_MAX_ELS);
    JL_TRY(jl_grow(&s->els, &s->cap, s->n + n, sizeof *s->els, err));
    memmove(s->els + s->n, els, n * sizeof *els);
    s->n += n;
    return JL_OK;
}

static jl_status append_rule(seq *s, uint32_t rule, jl_error *err)
{
    const jl_el e = {JL_EL_RULE, 0, 0, rule};
    return append(s, &e, 1, err);
}

/* ---- characters ------------------------------------------------------------------------- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    const char lower = (char)(c | 32);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* \n, \x41, \u00e9, \U0001f600 and the like behind the backslash. */
static jl_status read_escape(reader *r, uint32_t *cp, jl_error *err)
{
    static const char from[] = "nrt0\\\"'[]-^/.", to[] = "\n\r\t\0\\\"'[]-^/.";
    const char c = r->p < r->end ? *r->p++ : 0;
    int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    const char *known = c ? strchr(from, c) : NULL;
    if (known) {
        *cp = (unsigned char)to[known - from];
        return JL_OK;
    }
    if (digits == 0)
        return bad(r, err, "this escape is not known");
    for (*cp = 0; digits > 0; digits--, r->p++) {
        const int h = r->p < r->end ? hex_value(*r->p) : -1;
        if (h < 0 || *cp > 0x10ffff)
            return bad(r, err, "hexadecimal digits were expected");
        *cp = *cp * 16 + (uint32_t)h;
    }
    return *cp > 0x10ffff ? bad(r, err, "there is no such character") : JL_OK;
}

static jl_status read_char(reader *r, uint32_t *cp, jl_error *err)
{
    if (at(r, '\\')) {
        r->p++;
        return read_escape(r, cp, err);
    }
    const size_t n = jl_utf8_decode(r->p, (size_t)(r->end - r->p), cp);
    if (n == 0)
        return bad(r, err, r->p < r->end ? "the text is not UTF-8" : "the text ends too early");
    r->p += n;
    return JL_OK;
}

static jl_status read_literal(reader *r, seq *out, jl_error *err)
{
    r->p++;
    while (!at(r, '"')) {
        uint32_t cp;
        char bytes[4];
        JL_TRY(read_char(r, &cp, err));
        const size_t n = jl_utf8_encode(cp, bytes);
        for (size_t i = 0; i < n; i++) {
            const jl_el e = {JL_EL_RANGE, (uint8_t)bytes[i], (uint8_t)bytes[i], 0};
            JL_TRY(append(out, &e, 1, err));
        }
    }
    r->p++;
    return JL_OK;
}

static jl_status read_mark(reader *r, seq *out, jl_error *err)
{
    r->p++;
    if (!at(r, '"'))
        return bad(r, err, "a special token is written %\"...\"");
    seq text = {0};
    jl_status status = read_literal(r, &text, err);
    char name[64];
    uint32_t mark = 0;
    if (status == JL_OK && (text.n == 0 || text.n > sizeof name))
        status = bad(r, err, "the text of a special token has 1 to 64 bytes");
    for (size_t i = 0; status == JL_OK && i < text.n; i++)
        name[i] = (char)text.els[i].lo;
    if (status == JL_OK)
        status = jl_grammar_add_mark(r->g, name, text.n, &mark, err);
    jl_free(text.els);
    JL_TRY(status);
    const jl_el e = {JL_EL_MARK, 0, 0, mark};
    return append(out, &e, 1, err);
}

typedef struct {
    uint32_t lo, hi;
} span;

static int compare_spans(const void *a, const void *b)
{
    const span *x = a, *y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

static void sort_spans(span *s, size_t n)
{
    for (size_t i = 1; i < n; i++) /* few and mostly in order */
        for (size_t k = i; k > 0 && compare_spans(&s[k - 1], &s[k]) > 0; k--) {
            const span t = s[k];
            s[k] = s[k - 1];
            s[k - 1] = t;
        }
}

/* Adds the union of the spans, or what is outside of it, to rule. */
static jl_status add_spans(reader *r, uint32_t rule, span *s, size_t n, bool negated, jl_error *err)
{
    uint32_t next = 0; /* first code point not yet looked at */
    sort_spans(s, n);
    for (size_t i = 0; i < n; i++) {
        if (negated && s[i].lo > next)
            JL_TRY(jl_grammar_add_code_points(r->g, rule, next, s[i].lo - 1, err));
        const uint32_t lo = s[i].lo > next ? s[i].lo : next;
        if (!negated && lo <= s[i].hi)
            JL_TRY(jl_grammar_add_code_points(r->g, rule, lo, s[i].hi, err));
        if (s[i].hi + 1 > next)
            next = s[i].hi + 1;
    }
    if (negated && next <= 0x10ffff)
        JL_TRY(jl_grammar_add_code_points(r->g, rule, next, 0x10ffff, err));
    return JL_OK;
}

static jl_status read_class(reader *r, seq *out, jl_error *err)
{
    span *spans = NULL;
    size_t n = 0, cap = 0;
    uint32_t rule;
    jl_status status = JL_OK;
    r->p++;
    const bool negated = at(r, '^');
    r->p += negated;
    while (status == JL_OK && !at(r, ']')) {
        span s = {0, 0};
        status = read_char(r, &s.lo, err);
        s.hi = s.lo;
        if (status == JL_OK && at(r, '-') && r->p + 1 < r->end && r->p[1] != ']') {
            r->p++;
            status = read_char(r, &s.hi, err);
        }
        if (status == JL_OK && s.hi < s.lo)
            status = bad(r, err, "the range is the wrong way round");
        if (status == JL_OK)
            status = jl_grow(&spans, &cap, n + 1, sizeof *spans, err);
        if (status == JL_OK)
            spans[n++] = s;
    }
    r->p++;
    if (status == JL_OK)
        status = jl_grammar_add_rule(r->g, &rule, err);
    if (status == JL_OK)
        status = add_spans(r, rule, spans, n, negated, err);
    jl_free(spans);
    JL_TRY(status);
    if (r->g->rules[rule].n_alts == 0)
        return bad(r, err, "the class holds no character");
    return append_rule(out, rule, err);
}

/* ---- repetition ------------------------------------------------------------------------- */

/* Replaces the item out[from..] by min to max copies; max NO_LIMIT: any number. */
static jl_status repeat(reader *r, seq *out, size_t from, int min, int max, jl_error *err)
{
    const size_t n = out->n - from;
    uint32_t item, rest;
    JL_TRY(jl_grammar_add_rule(r->g, &item, err));
    JL_TRY(jl_grammar_add_alt(r->g, item, out->els + from, n, err));
    out->n = from;
    for (int i = 0; i < min; i++)
        JL_TRY(append_rule(out, item, err));
    if (max == NO_LIMIT) {
        JL_TRY(jl_grammar_add_rule(r->g, &rest, err));
        const jl_el again[] = {{JL_EL_RULE, 0, 0, item}, {JL_EL_RULE, 0, 0, rest}};
        JL_TRY(jl_grammar_add_alt(r->g, rest, again, 2, err));
        JL_TRY(jl_grammar_add_alt(r->g, rest, NULL, 0, err));
        return append_rule(out, rest, err);
    }
    for (int i = min; i < max; i++) { /* item (item (...)?)?, built from the inside */
        uint32_t outer;
        JL_TRY(jl_grammar_add_rule(r->g, &outer, err));
        const jl_el els[] = {{JL_EL_RULE, 0, 0, item}, {JL_EL_RULE, 0, 0, i > min ? rest : 0}};
        JL_TRY(jl_grammar_add_alt(r->g, outer, els, i > min ? 2 : 1, err));
        JL_TRY(jl_grammar_add_alt(r->g, outer, NULL, 0, err));
        rest = outer;
    }
    return max > min ? append_rule(out, rest, err) : JL_OK;
}

static jl_status read_count(reader *r, int *n, jl_error *err)
{
    const char *begin = r->p;
    for (*n = 0; r->p < r->end && *r->p >= '0' && *r->p <= '9'; r->p++) {
        *n = *n * 10 + (*r->p - '0');
        if (*n > JL_GRAMMAR_MAX_REPEAT)
            return bad(r, err, "more than 10000 repetitions");
    }
    return r->p == begin ? bad(r, err, "a number was expected") : JL_OK;
}

/* The operator behind an item, if there is one. */
static jl_status read_operator(reader *r, seq *out, size_t from, jl_error *err)
{
    int min, max;
    if (at(r, '*') || at(r, '+') || at(r, '?')) {
        const char c = *r->p++;
        return repeat(r, out, from, c == '+', c == '?' ? 1 : NO_LIMIT, err);
    }
    if (!at(r, '{'))
        return JL_OK;
    r->p++;
    skip(r, false);
    JL_TRY(read_count(r, &min, err));
    max = min;
    skip(r, false);
    if (at(r, ',')) {
        r->p++;
        skip(r, false);
        max = NO_LIMIT;
        if (!at(r, '}'))
            JL_TRY(read_count(r, &max, err));
        skip(r, false);
    }
    if (!at(r, '}') || (max != NO_LIMIT && max < min))
        return bad(r, err, "a repetition is written {m}, {m,} or {m,n}");
    r->p++;
    return repeat(r, out, from, min, max, err);
}

/* ---- rules ------------------------------------------------------------------------------ */

static jl_status read_alternatives(reader *r, uint32_t rule, bool in_group, jl_error *err);

static jl_status read_group(reader *r, seq *out, jl_error *err)
{
    uint32_t rule;
    if (++r->depth > MAX_NESTING)
        return bad(r, err, "groups nested too deeply");
    r->p++;
    JL_TRY(jl_grammar_add_rule(r->g, &rule, err));
    JL_TRY(read_alternatives(r, rule, true, err));
    if (!at(r, ')'))
        return bad(r, err, "a ) was expected");
    r->p++;
    r->depth--;
    return append_rule(out, rule, err);
}

static jl_status read_item(reader *r, seq *out, jl_error *err)
{
    uint32_t rule;
    switch (*r->p) {
    case '"': return read_literal(r, out, err);
    case '[': return read_class(r, out, err);
    case '%': return read_mark(r, out, err);
    case '(': return read_group(r, out, err);
    case '.':
        r->p++;
        JL_TRY(jl_grammar_add_rule(r->g, &rule, err));
        JL_TRY(jl_grammar_add_code_points(r->g, rule, 0, 0x10ffff, err));
        return append_rule(out, rule, err);
    default:
        JL_TRY(read_name(r, &rule, err));
        return append_rule(out, rule, err);
    }
}

static bool ends_sequence(const reader *r)
{
    return r->p >= r->end || *r->p == '|' || *r->p == ')' || *r->p == '\n' || *r->p == '\r';
}

static jl_status read_sequence(reader *r, seq *out, bool in_group, jl_error *err)
{
    out->n = 0;
    for (skip(r, in_group); !ends_sequence(r); skip(r, in_group)) {
        const size_t from = out->n;
        JL_TRY(read_item(r, out, err));
        JL_TRY(read_operator(r, out, from, err));
    }
    return JL_OK;
}

static jl_status read_alternatives(reader *r, uint32_t rule, bool in_group, jl_error *err)
{
    seq s = {0};
    jl_status status;
    for (;;) {
        status = read_sequence(r, &s, in_group, err);
        if (status == JL_OK)
            status = jl_grammar_add_alt(r->g, rule, s.els, s.n, err);
        if (status != JL_OK)
            break;
        const char *here = r->p;
        skip(r, true); /* an alternative may stand on the next line */
        if (!at(r, '|')) {
            r->p = in_group ? r->p : here;
            break;
        }
        r->p++;
        skip(r, true);
    }
    jl_free(s.els);
    return status;
}

static jl_status read_rule(reader *r, jl_error *err)
{
    uint32_t rule;
    JL_TRY(read_name(r, &rule, err));
    skip(r, false);
    if (r->end - r->p < 3 || memcmp(r->p, "::=", 3) != 0)
        return bad(r, err, "::= was expected");
    r->p += 3;
    skip(r, true);
    if (r->g->rules[rule].defined)
        return bad(r, err, "the rule is defined twice");
    JL_TRY(read_alternatives(r, rule, false, err));
    if (!ends_sequence(r) || at(r, ')'))
        return bad(r, err, "the rule should end here");
    return JL_OK;
}

static jl_status read_rules(reader *r, jl_error *err)
{
    uint32_t root;
    const named start = {"root", 4, 0};
    JL_TRY(jl_grow(&r->names, &r->cap_names, 1, sizeof *r->names, err));
    JL_TRY(jl_grammar_add_rule(r->g, &root, err));
    r->names[r->n_names++] = start;
    for (skip(r, true); r->p < r->end; skip(r, true))
        JL_TRY(read_rule(r, err));
    for (size_t i = 0; i < r->n_names; i++)
        if (!r->g->rules[r->names[i].rule].defined)
            return jl_fail(err, JL_INVALID, "grammar: the rule %.*s is not defined",
                           (int)(r->names[i].len < 80 ? r->names[i].len : 80), r->names[i].name);
    return jl_grammar_check(r->g, err);
}

jl_status jl_grammar_parse(const char *text, size_t len, jl_grammar **out, jl_error *err)
{
    reader r = {.text = text, .p = text, .end = text + len};
    r.g = jl_calloc(1, sizeof *r.g);
    if (!r.g)
        return jl_fail(err, JL_NO_MEMORY, "no memory for a grammar");
    const jl_status status = read_rules(&r, err);
    jl_free(r.names);
    if (status != JL_OK) {
        jl_grammar_free(r.g);
        return status;
    }
    *out = r.g;
    return JL_OK;
}
