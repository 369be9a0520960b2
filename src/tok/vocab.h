/* Vocabulary and tokenizer of a model, built from GGUF metadata. Immutable and thread-safe. */
#ifndef JL_TOK_VOCAB_H
#define JL_TOK_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gguf/gguf.h"
#include "joule/joule.h"

typedef struct jl_vocab jl_vocab;

enum { /* limits; the largest published vocabularies have 262144 tokens and 514906 merges */
    JL_VOCAB_MAX_TOKENS = 1 << 22,
    JL_VOCAB_MAX_MERGES = 1 << 24,
    JL_VOCAB_MAX_PIECE = 1 << 16, /* bytes */
    JL_VOCAB_MAX_SUPPRESSED = 1 << 12,
};

typedef enum { /* tokenizer.ggml.token_type, ids as in the file */
    JL_TOKEN_UNDEFINED = 0, JL_TOKEN_NORMAL, JL_TOKEN_UNKNOWN, JL_TOKEN_CONTROL,
    JL_TOKEN_USER_DEFINED, JL_TOKEN_UNUSED, JL_TOKEN_BYTE
} jl_token_type;

/* Reads tokenizer.ggml.*. Refuses tokenizers joule does not know by name. Keeps nothing of g. */
JL_MUST_CHECK jl_status jl_vocab_create(const jl_gguf *g, jl_vocab **out, jl_error *err);
void jl_vocab_destroy(jl_vocab *v);

uint32_t jl_vocab_size(const jl_vocab *v);
/* As stored, a NUL after the end; {"", 0} if out of range. Lives as long as the vocabulary. */
jl_str jl_vocab_piece(const jl_vocab *v, int32_t id);
jl_token_type jl_vocab_type(const jl_vocab *v, int32_t id);
int32_t jl_vocab_find(const jl_vocab *v, const char *text, size_t len); /* -1: none */
int32_t jl_vocab_bos(const jl_vocab *v); /* -1: none */
int32_t jl_vocab_eos(const jl_vocab *v);
bool jl_vocab_is_eog(const jl_vocab *v, int32_t id);
/* Control and unknown tokens, user-defined ones that look like <|x> or <x|>, and the texts the kind
 * of tokenizer reserves, whatever type the file gives them. */
bool jl_vocab_is_special(const jl_vocab *v, int32_t id);
/* Ids whose logits are set to -inf (tokenizer.ggml.suppress_tokens, image and audio markers). */
const int32_t *jl_vocab_suppressed(const jl_vocab *v, size_t *n);

/* See jl_tokenize in joule/joule.h. Time is linear in the text up to a logarithm. */
size_t jl_vocab_encode(const jl_vocab *v, const char *text, size_t text_len, unsigned flags,
                       int32_t *tokens, size_t cap);

/* Raw bytes of a token as text (space mark resolved, byte tokens decoded); special tokens give ""
 * unless show_special. Writes at most cap bytes, returns the number of bytes it has. */
size_t jl_vocab_decode(const jl_vocab *v, int32_t id, bool show_special, char *out, size_t cap);
size_t jl_vocab_max_bytes(const jl_vocab *v); /* bytes that jl_vocab_decode gives at most */

#endif
