/* Text as code points, for the kinds that start from them: the space is stored as U+2581,
 * characters outside the vocabulary become byte tokens. */
#ifndef JL_TOK_CHARS_H
#define JL_TOK_CHARS_H

#include "tok/vocab_impl.h"

/* Fills v->ascii. Refuses a vocabulary that could not encode some character at all. */
JL_MUST_CHECK jl_status jl_chars_create(jl_vocab *v, jl_error *err);

/* The initial symbol of the character at s and its length in bytes; -1 if the vocabulary has none
 * or the bytes there are not UTF-8 (then one byte long). */
int32_t jl_chars_symbol(const jl_vocab *v, const char *s, size_t len, size_t *n);

/* A place in a text. Zero but for v, text, len and cut_newlines at first. */
typedef struct {
    const jl_vocab *v;
    const char *text;
    size_t len;
    size_t start;  /* of the segment */
    size_t pos;
    int32_t last;  /* symbol before pos in this segment, -1 at its start */
    bool cut_newlines; /* runs of newlines and of other characters are apart */
    bool newlines;     /* within a run of newlines, else outside */
    bool in_unk;       /* the last token was the unknown token */
} jl_chars;

/* Encodes from pos to the end, or of the run of newlines or of other characters at pos. */
JL_MUST_CHECK bool jl_chars_encode(jl_chars *r, jl_bpe_work *w, jl_tok_out *out);

/* Marks become spaces; everything else stands for itself. As jl_vocab_decode. */
size_t jl_chars_decode(const jl_vocab *v, int32_t id, char *out, size_t cap);

#endif
