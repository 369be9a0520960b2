/* Constraints over the vocabulary of a model. */
#include "joule/grammar.h"

#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "chat/text.h"
#include "grammar/automaton.h"
#include "grammar/schema_gbnf.h"
#include "model/model.h"

enum { MAX_GRAMMAR_BYTES = 64 << 20 };

struct jl_token_tree {
    const jl_model *model;
    jl_trie *trie;
    int32_t *ends; /* [n_ends], tokens that end a generation */
    size_t n_ends;
};

struct jl_constraint {
    const jl_token_tree *tree;
    jl_grammar *grammar;
    jl_automaton *automaton;
    uint32_t state;
};

/* ---- the vocabulary --------------------------------------------------------------------- */

/* Text of every token one behind the other, and where each begins. */
static jl_status read_pieces(const jl_vocab *v, jl_buf *text, jl_trie_piece *pieces, size_t *begins,
                             jl_error *err)
{
    const uint32_t n = jl_vocab_size(v);
    char piece[JL_TRIE_MAX_DEPTH + 4];
    for (uint32_t i = 0; i < n; i++) {
        size_t len = 0;
        if (!jl_vocab_is_special(v, (int32_t)i) && !jl_vocab_is_eog(v, (int32_t)i) &&
            jl_vocab_piece(v, (int32_t)i).len <= JL_TRIE_MAX_DEPTH)
            len = jl_vocab_decode(v, (int32_t)i, false, piece, sizeof piece);
        begins[i] = text->len;
        pieces[i].len = len;
        JL_TRY(jl_buf_put(text, piece, len, err));
    }
    for (uint32_t i = 0; i < n; i++)
        pieces[i].ptr = pieces[i].len ? text->ptr + begins[i] : NULL;
    return JL_OK;
}

static jl_status build(jl_token_tree *t, jl_error *err)
{
    const jl_vocab *v = t->model->vocab;
    const uint32_t n = jl_vocab_size(v);
    jl_trie_piece *pieces = jl_calloc((size_t)n + 1, sizeof *pieces);
    size_t *begins = jl_calloc((size_t)n + 1, sizeof *begins);
    t->ends = jl_calloc((size_t)n + 1, sizeof *t->ends);
    jl_buf text;
    jl_buf_init(&text, (size_t)1 << 31);
    jl_status status = JL_OK;
    if (!pieces || !begins || !t->ends)
        status = jl_fail(err, JL_NO_MEMORY, "no memory for a tree of %u tokens", n);
    if (status == JL_OK)
        status = read_pieces(v, &text, pieces, begins, err);
    if (status == JL_OK)
        status = jl_trie_create(pieces, n, &t->trie, err);
    for (uint32_t i = 0; status == JL_OK && i < n; i++)
        if (jl_vocab_is_eog(v, (int32_t)i))
            t->ends[t->n_ends++] = (int32_t)i;
    jl_buf_free(&text);
    jl_free(pieces);
    jl_free(begins);
    return status;
}

jl_status jl_token_tree_create(const jl_model *model, jl_token_tree **out, jl_error *err)
{
    jl_token_tree *t = jl_calloc(1, sizeof *t);
    if (!t)
        return jl_fail(err, JL_NO_MEMORY, "no memory for a token tree");
    t->model = model;
    const jl_status status = build(t, err);
    if (status != JL_OK) {
        jl_token_tree_destroy(t);
        return status;
    }
    *out = t;
    return JL_OK;
}

void jl_token_tree_destroy(jl_token_tree *tree)
{
    if (!tree)
        return;
    jl_trie_free(tree->trie);
    jl_free(tree->ends);
    jl_free(tree);
}

/* ---- constraints ------------------------------------------------------------------------ */

/* The tokens of the grammar's marks, then those that end a generation. */
static jl_status bind(jl_constraint *c, jl_error *err)
{
    const jl_token_tree *t = c->tree;
    const size_t n = c->grammar->n_marks + t->n_ends;
    jl_special_token *specials = jl_calloc(n + 1, sizeof *specials);
    size_t k = 0;
    if (!specials)
        return jl_fail(err, JL_NO_MEMORY, "no memory for a grammar");
    for (size_t i = 0; i < c->grammar->n_marks; i++) {
        const char *text = c->grammar->marks[i];
        const int32_t id = jl_vocab_find(t->model->vocab, text, strlen(text));
        if (id >= 0 && jl_vocab_is_special(t->model->vocab, id))
            specials[k++] = (jl_special_token){id, text};
    }
    for (size_t i = 0; i < t->n_ends; i++)
        specials[k++] = (jl_special_token){t->ends[i], NULL};
    const jl_status status =
        jl_automaton_create(c->grammar, t->trie, specials, k, &c->automaton, err);
    jl_free(specials);
    if (status == JL_OK)
        c->state = jl_automaton_start(c->automaton);
    return status;
}

jl_status jl_constraint_from_gbnf(const jl_token_tree *tree, const char *text, size_t len,
                                  jl_constraint **out, jl_error *err)
{
    jl_constraint *c = jl_calloc(1, sizeof *c);
    if (!c)
        return jl_fail(err, JL_NO_MEMORY, "no memory for a constraint");
    c->tree = tree;
    jl_status status = jl_grammar_parse(text, len, &c->grammar, err);
    if (status == JL_OK)
        status = bind(c, err);
    if (status != JL_OK) {
        jl_constraint_destroy(c);
        return status;
    }
    *out = c;
    return JL_OK;
}

static jl_status from_json(const jl_token_tree *tree, const json_t *v, bool tools, unsigned flags,
                           jl_constraint **out, jl_error *err)
{
    jl_buf text;
    jl_buf_init(&text, MAX_GRAMMAR_BYTES);
    jl_status status =
        tools ? jl_tools_to_gbnf(v, flags & JL_CALLS_MANY, flags & JL_CALLS_AFTER_MARK, &text, err)
              : jl_schema_to_gbnf(v, &text, err);
    if (status == JL_OK)
        status = jl_constraint_from_gbnf(tree, jl_buf_str(&text), text.len, out, err);
    jl_buf_free(&text);
    return status;
}

jl_status jl_constraint_from_schema(const jl_token_tree *tree, const char *json, size_t len,
                                    jl_constraint **out, jl_error *err)
{
    json_t *v = NULL;
    JL_TRY(jl_text_parse_json(json, len, "the schema", &v, err));
    const jl_status status = from_json(tree, v, false, 0, out, err);
    json_decref(v);
    return status;
}

jl_status jl_constraint_from_tools(const jl_token_tree *tree, const char *json, size_t len,
                                   unsigned flags, jl_constraint **out, jl_error *err)
{
    json_t *v = NULL;
    JL_TRY(jl_text_parse_json(json, len, "tools", &v, err));
    const jl_status status = from_json(tree, v, true, flags, out, err);
    json_decref(v);
    return status;
}

void jl_constraint_destroy(jl_constraint *constraint)
{
    if (!constraint)
        return;
    jl_automaton_free(constraint->automaton);
    jl_grammar_free(constraint->grammar);
    jl_free(constraint);
}

void jl_constraint_reset(jl_constraint *constraint)
{
    constraint->state = jl_automaton_start(constraint->automaton);
}

jl_status jl_constraint_mask(jl_constraint *constraint, const uint32_t **mask, jl_error *err)
{
    return jl_automaton_mask(constraint->automaton, constraint->state, mask, err);
}

jl_status jl_constraint_accept(jl_constraint *constraint, int32_t token, jl_error *err)
{
    const jl_vocab *v = constraint->tree->model->vocab;
    char piece[JL_TRIE_MAX_DEPTH + 4];
    uint32_t next;
    size_t len = 0;
    if (!jl_vocab_is_special(v, token) && jl_vocab_piece(v, token).len <= JL_TRIE_MAX_DEPTH)
        len = jl_vocab_decode(v, token, false, piece, sizeof piece);
    JL_TRY(
        jl_automaton_step(constraint->automaton, constraint->state, token, piece, len, &next, err));
    if (next == JL_STATE_DEAD)
        return jl_fail(err, JL_INVALID, "token %d is not allowed by the grammar here", (int)token);
    constraint->state = next;
    return JL_OK;
}

bool jl_constraint_can_end(const jl_constraint *constraint)
{
    return jl_automaton_accepts(constraint->automaton, constraint->state);
}
