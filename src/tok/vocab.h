/* Vocabulary and tokenizer of a model, built from GGUF metadata. Immutable and thread-safe. */
#ifndef JL_TOK_VOCAB_H
#define JL_TOK_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gguf/gguf.h"

typedef struct jl_vocab jl_vocab;

typedef enum { /* tokenizer.ggml.token_type, ids as in the file */
    JL_TOKEN_UNDEFINED = 0, JL_TOKEN_NORMAL, JL_TOKEN_UNKNOWN, JL_TOKEN_CONTROL,
    JL_TOKEN_USER_DEFINED, JL_TOKEN_UNUSED, JL_TOKEN_BYTE
} jl_token_type;

/* Reads tokenizer.ggml.*. Refuses tokenizers joule does not know by name. g may be closed later only
 * after the vocabulary (pieces point into the file). */
JL_MUST_CHECK jl_status jl_vocab_create(const jl_gguf *g, jl_vocab **out, jl_error *err);
void jl_vocab_destroy(jl_vocab *v);

uint32_t jl_vocab_size(const jl_vocab *v);
jl_str jl_vocab_piece(const jl_vocab *v, int32_t id);    /* as stored; {"",0} if out of range */
jl_token_type jl_vocab_type(const jl_vocab *v, int32_t id);
int32_t jl_vocab_find(const jl_vocab *v, const char *text, size_t len); /* -1: none */
int32_t jl_vocab_bos(const jl_vocab *v); /* -1: none */
int32_t jl_vocab_eos(const jl_vocab *v);
bool jl_vocab_is_eog(const jl_vocab *v, int32_t id);
bool jl_vocab_is_special(const jl_vocab *v, int32_t id); /* control or user-defined or unknown */
/* Ids whose logits are set to -inf (tokenizer.ggml.suppress_tokens and image/audio placeholders). */
const int32_t *jl_vocab_suppressed(const jl_vocab *v, size_t *n);

/* See jl_tokenize in joule/joule.h. Time is linear in the text up to a logarithm. */
size_t jl_vocab_encode(const jl_vocab *v, const char *text, size_t text_len, unsigned flags,
                       int32_t *tokens, size_t cap);

/* Raw bytes of a token as text (space mark resolved, byte tokens decoded); special tokens give "" unless
 * show_special. Writes at most cap bytes, returns the number of bytes. */
size_t jl_vocab_decode(const jl_vocab *v, int32_t id, bool show_special, char *out, size_t cap);

#endif
