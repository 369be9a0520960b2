/* Inside of a vocabulary, shared by the files of src/tok: pieces, flags, the kind's functions. */
#ifndef JL_TOK_VOCAB_IMPL_H
#define JL_TOK_VOCAB_IMPL_H

#include "tok/bpe.h"
#include "tok/pretok.h"
#include "tok/vocab.h"

enum { /* jl_vocab.flags */
    JL_VOCAB_SPECIAL = 1, /* found only where special tokens are parsed; hidden in output */
    JL_VOCAB_EOG = 2,     /* ends a generation */
    JL_VOCAB_BYTE = 4,    /* "<0xHH>": stands for one byte */
};

/* One family of tokenizers. A new family is a new file with one of these, entered in vocab.c. */
typedef struct {
    const char *name;
    bool (*matches)(jl_str model, jl_str pre); /* tokenizer.ggml.model and .pre, "" if absent */
    const char *const *special;  /* texts that are special whatever their type, NULL at the end */
    const char *const *eog;      /* texts that end a generation */
    const char *const *suppress; /* texts that are never generated */
    const char *ordinary;        /* a text that looks special but is not, whatever the file says */
    bool special_marks;          /* user-defined tokens are special only if they look like <|x> */
    bool byte_tokens;            /* "<0xHH>" stands for a byte */
    /* Builds the family's tables; the pieces, flags and byte tokens are there already. */
    jl_status (*create)(jl_vocab *v, const jl_gguf *g, jl_error *err);
    /* Appends the tokens of text without special tokens. false: out of memory. */
    bool (*encode)(const jl_vocab *v, const char *text, size_t len, jl_tok_out *out);
    /* The bytes a token that is not special stands for, at most cap; returns how many it has. */
    size_t (*decode)(const jl_vocab *v, int32_t id, char *out, size_t cap);
} jl_tok_kind;

extern const jl_tok_kind jl_tok_gemma4, jl_tok_llama3, jl_tok_tekken, jl_tok_spm;

typedef struct {
    uint32_t hash;       /* upper half of the hash of the piece */
    uint32_t id1;        /* id + 1, 0: empty */
    uint32_t start, len; /* of the piece in text, so that a look-up touches no further array */
} jl_vocab_slot;

struct jl_vocab {
    const jl_tok_kind *kind;
    uint32_t n;
    char *text;         /* all pieces, a NUL after each */
    uint32_t *start;    /* [n + 1] where each piece starts in text */
    uint8_t *types;     /* [n] jl_token_type */
    uint8_t *flags;     /* [n] JL_VOCAB_* */
    jl_vocab_slot *slots;
    uint32_t slot_mask;
    uint32_t max_piece; /* bytes of the longest piece */
    int32_t bos, eos, unk;
    int32_t byte_id[256]; /* -1: none */
    int32_t *specials;    /* [n_specials] sorted by text */
    size_t n_specials;
    int32_t *suppressed;  /* [n_suppressed] */
    size_t n_suppressed;
    int32_t ascii[128];   /* initial symbols of kinds that start from code points, -1: none */
    jl_bpe *bpe;
    jl_pretok *pretok;    /* kinds that cut text by a pattern first, else NULL */
    bool space_prefix;    /* a space goes before text (kind spm) */
    int32_t byte_symbol[256]; /* initial symbols of kinds that start from bytes */
};

bool jl_str_is(jl_str s, const char *text);

/* As jl_vocab_find, but finds no special and no byte token: what ordinary text may become. */
int32_t jl_vocab_find_plain(const jl_vocab *v, const char *text, size_t len);

/* The same in steps, for many look-ups at once whose cache misses then overlap: hash, load the
 * slot, load the piece, find. */
uint64_t jl_vocab_hash(const char *text, size_t len);
void jl_vocab_load_slot(const jl_vocab *v, uint64_t hash);
void jl_vocab_load_piece(const jl_vocab *v, uint64_t hash);
int32_t jl_vocab_find_plain_hashed(const jl_vocab *v, const char *text, size_t len, uint64_t hash);

/* The initial symbol at s, -1 if text never becomes it; *n is the bytes it takes. */
typedef int32_t jl_symbol_fn(const jl_vocab *v, const char *s, size_t len, size_t *n);

/* Reads tokenizer.ggml.merges into v->bpe. symbol_at reads the pieces as they are stored. */
JL_MUST_CHECK jl_status jl_vocab_read_merges(jl_vocab *v, const jl_gguf *g,
                                             jl_symbol_fn *symbol_at, jl_error *err);

#endif
