/* Vocabularies of synthetic models: the right size, the special tokens at their ids, and whatever a
 * given model file knows, so that real prompts can be split and sent. */
#ifndef JL_SYNTH_VOCAB_H
#define JL_SYNTH_VOCAB_H

#include "gguf/gguf.h"
#include "synth/shape.h"
#include "synth/strset.h"
#include "tok/vocab.h"

/* Special tokens of the published vocabularies (Gemma 4, Llama 3.1 to 3.3, Mistral's Tekken) and
 * their ids. */
typedef struct {
    uint32_t id;
    const char *text;
    jl_token_type type;
} jl_fixed_token;

extern const jl_fixed_token jl_gemma_tokens[];
extern const size_t jl_n_gemma_tokens;
extern const jl_fixed_token jl_llama3_tokens[];
extern const size_t jl_n_llama3_tokens;
extern const jl_fixed_token jl_tekken_tokens[];
extern const size_t jl_n_tekken_tokens;

typedef struct text_block text_block;

typedef struct {
    uint32_t n;
    jl_str *tokens; /* [n] */
    int32_t *types; /* [n] */
    float *scores;  /* [n], of no meaning, as in published files */
    jl_str *merges; /* [n_merges] "left right", best first */
    uint32_t n_merges, merges_cap;
    uint32_t cursor; /* ids below are taken */
    jl_strset ids, merge_set;
    text_block *text; /* owned bytes of tokens and merges */
} jl_synth_vocab;

/* Builds the vocabulary of a shape. from may be NULL; it must stay open as long as the vocabulary.
 */
JL_MUST_CHECK jl_status jl_synth_vocab_create(const jl_shape *shape, const jl_gguf *from,
                                              uint64_t seed, jl_synth_vocab *out, jl_error *err);
void jl_synth_vocab_destroy(jl_synth_vocab *v);

#endif
