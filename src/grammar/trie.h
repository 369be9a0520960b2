/* The pieces of a vocabulary as one tree, so that an automaton can walk all tokens at once. */
#ifndef JL_GRAMMAR_TRIE_H
#define JL_GRAMMAR_TRIE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Longest piece that takes part; longer ones are never allowed. Bytes. */
enum { JL_TRIE_MAX_DEPTH = 256 };

typedef struct {
    uint32_t skip;  /* first node behind the subtree */
    int32_t token;  /* first token that ends here, -1: none */
    uint16_t depth; /* bytes before this one */
    uint8_t byte;
} jl_trie_node;

typedef struct { /* nodes in depth-first order */
    jl_trie_node *nodes;
    size_t n_nodes;
    int32_t *same;   /* [n_tokens], the next token with the same bytes, -1: none */
    uint32_t n_tokens;
} jl_trie;

typedef struct {
    const char *ptr; /* NULL or len 0: the token has no text of its own */
    size_t len;
} jl_trie_piece;

/* Builds the tree of pieces[n_tokens], which are not needed afterwards. */
JL_MUST_CHECK jl_status jl_trie_create(const jl_trie_piece *pieces, uint32_t n_tokens,
                                       jl_trie **out,
                                       jl_error *err);
void jl_trie_free(jl_trie *t); /* NULL is fine */

#endif
