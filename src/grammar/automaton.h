/* A grammar run over tokens. Its states are sets of stacks (every way the text so far can be
 * read); stacks share their tails and equal ones are one, so texts that can go on in the same
 * ways have the same state, whose steps and token mask are computed once. */
#ifndef JL_GRAMMAR_AUTOMATON_H
#define JL_GRAMMAR_AUTOMATON_H

#include <stdbool.h>

#include "grammar/grammar.h"
#include "grammar/trie.h"

typedef struct jl_automaton jl_automaton;

/* Tokens that are no text. */
typedef struct {
    int32_t token;
    const char *text; /* NULL: ends the generation */
} jl_special_token;

/* States are numbers; this one can be left by no token. */
enum { JL_STATE_DEAD = 0 };

/* The grammar and the tree must outlive the automaton, specials are copied. Fails with JL_INVALID
 * if the grammar names a special token that is not among them. */
JL_MUST_CHECK jl_status jl_automaton_create(const jl_grammar *g, const jl_trie *trie,
                                            const jl_special_token *specials, size_t n_specials,
                                            jl_automaton **out, jl_error *err);
void jl_automaton_free(jl_automaton *a); /* NULL is fine */
uint32_t jl_automaton_start(const jl_automaton *a);
/* The state after a token. JL_STATE_DEAD if the token is not allowed; an end-of-generation token
 * leaves an accepting state unchanged. JL_TOO_LARGE if the grammar needs too many states. */
JL_MUST_CHECK jl_status jl_automaton_step(jl_automaton *a, uint32_t state, int32_t token,
                                          const char *piece, size_t len, uint32_t *next,
                                          jl_error *err);
/* Tokens allowed in a state: bit t of word t / 32. The automaton's, valid until the next call. End
 * tokens are allowed where the text may end. */
JL_MUST_CHECK jl_status jl_automaton_mask(jl_automaton *a, uint32_t state, const uint32_t **mask,
                                          jl_error *err);
bool jl_automaton_accepts(const jl_automaton *a, uint32_t state);
/* States and masks held now, for tests and figures. */
size_t jl_automaton_n_states(const jl_automaton *a);
size_t jl_automaton_n_masks(const jl_automaton *a);

#endif
