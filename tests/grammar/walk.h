/* A small vocabulary and random texts that a grammar allows. */
#ifndef JL_TESTS_GRAMMAR_WALK_H
#define JL_TESTS_GRAMMAR_WALK_H

#include <stdint.h>

#include "chat/buf.h"
#include "grammar/automaton.h"

/* 256 bytes, then pieces of several bytes, then special tokens. */
enum { WALK_END = 300, WALK_CALL_OPEN, WALK_CALL_CLOSE, WALK_QUOTE, WALK_N_TOKENS };

extern const jl_special_token walk_specials[4];
jl_trie *walk_trie(void);
/* Text of a token, specials written out. */
const char *walk_piece(int32_t token, size_t *len);

uint32_t walk_random(uint64_t *seed);
/* Picks allowed tokens at random until the end token, and soon tries to come to an end. False if it
 * gets stuck, does not end, or a mask and a step disagree. */
bool walk_random_text(jl_automaton *a, uint64_t *seed, jl_buf *out);

#endif
