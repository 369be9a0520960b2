/* Grammars for constrained decoding: rules over bytes and special tokens, read from GBNF text. */
#ifndef JL_GRAMMAR_GRAMMAR_H
#define JL_GRAMMAR_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "chat/buf.h"

typedef enum {
    JL_EL_END = 0, /* of an alternative */
    JL_EL_RANGE,   /* one byte lo..hi */
    JL_EL_MARK,    /* the special token marks[ref] */
    JL_EL_RULE     /* rule ref */
} jl_el_kind;

typedef struct {
    uint8_t kind;
    uint8_t lo, hi;
    uint32_t ref;
} jl_el;

typedef struct {
    uint32_t *alts; /* [n_alts], where each alternative begins in els */
    size_t n_alts, cap;
    bool defined;
} jl_rule;

typedef struct {
    jl_el *els;
    size_t n_els, cap_els;
    jl_rule *rules; /* rule 0 is the root */
    size_t n_rules, cap_rules;
    char **marks;   /* texts of the special tokens the grammar names */
    size_t n_marks, cap_marks;
} jl_grammar;

/* Largest grammar, in elements; repetitions count as often as they are written out. */
enum { JL_GRAMMAR_MAX_ELS = 1 << 20, JL_GRAMMAR_MAX_REPEAT = 10000 };

/* Reads GBNF: rules `name ::= alternatives`, literals "...", classes [a-z] and [^...], any
 * character `.`, groups, ? * + {m} {m,} {m,n}, comments #. As an extension %"<|tool_call>" is a
 * special token. Starts at `root`. Refuses undefined rules, left recursion and repetitions of
 * something that may be empty, with the line. */
JL_MUST_CHECK jl_status jl_grammar_parse(const char *text, size_t len, jl_grammar **out,
                                         jl_error *err);
void jl_grammar_free(jl_grammar *g); /* NULL is fine */

/* Building blocks of the reader. */
JL_MUST_CHECK jl_status jl_grammar_add_rule(jl_grammar *g, uint32_t *rule, jl_error *err);
/* Adds an alternative: a copy of the elements and an end. */
JL_MUST_CHECK jl_status jl_grammar_add_alt(jl_grammar *g, uint32_t rule, const jl_el *els, size_t n,
                                           jl_error *err);
JL_MUST_CHECK jl_status jl_grammar_add_mark(jl_grammar *g, const char *text, size_t len,
                                            uint32_t *mark, jl_error *err);
/* Adds to rule the byte sequences of the code points lo..hi, surrogates left out. */
JL_MUST_CHECK jl_status jl_grammar_add_code_points(jl_grammar *g, uint32_t rule, uint32_t lo,
                                                   uint32_t hi, jl_error *err);
/* Refuses rules that can call themselves before a byte is read. */
JL_MUST_CHECK jl_status jl_grammar_check(const jl_grammar *g, jl_error *err);

#endif
