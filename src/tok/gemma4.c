/* Tokenizers of kind gemma4: rank BPE over Unicode code points, spaces as U+2581, no pre-split but
 * runs of newlines, unknown characters as their bytes. */
#include <string.h>

#include "base/utf8.h"
#include "tok/vocab_impl.h"

static const char mark[] = "\xe2\x96\x81"; /* U+2581, what a space is stored as */
enum { MARK_BYTES = 3 };

/* The initial symbol of the character at s and its length in bytes; -1 if the vocabulary has none
 * or the bytes there are not UTF-8 (then one byte long). */
static int32_t symbol_at(const jl_vocab *v, const char *s, size_t len, size_t *n)
{
    const unsigned char c = (unsigned char)*s;
    if (c < 0x80) {
        *n = 1;
        return v->ascii[c];
    }
    *n = jl_utf8_len(s, len);
    if (*n == 0) {
        *n = 1;
        return -1;
    }
    return jl_vocab_find_plain(v, s, *n);
}

/* ---- building --------------------------------------------------------------------------- */

static bool gemma4_matches(jl_str model, jl_str pre)
{
    /* Some converters write an older model and put the kind beside it. */
    return jl_str_is(model, "gemma4") || (jl_str_is(model, "llama") && jl_str_is(pre, "gemma4"));
}

static jl_status gemma4_create(jl_vocab *v, const jl_gguf *g, jl_error *err)
{
    for (int c = 0; c < 128; c++) {
        const char s = (char)c;
        v->ascii[c] = c == ' ' ? jl_vocab_find_plain(v, mark, MARK_BYTES)
                               : jl_vocab_find_plain(v, &s, 1);
    }
    for (int c = 0; c < 256; c++) {
        if (v->byte_id[c] < 0 && v->unk < 0)
            return jl_fail(err, JL_FORMAT,
                           "the tokenizer has neither the byte token <0x%02X> nor an unknown "
                           "token: characters outside its vocabulary could not be encoded", c);
    }
    return jl_vocab_read_merges(v, g, symbol_at, err);
}

/* ---- encoding --------------------------------------------------------------------------- */

typedef struct {
    const jl_vocab *v;
    const char *text;
    size_t len;
    size_t start;  /* of the segment */
    size_t pos;
    int32_t last;  /* symbol before pos in this segment, -1 at its start */
    bool newlines; /* within a run of newlines, else outside */
    bool in_unk;   /* the last token was the unknown token */
} reader;

/* Symbols from pos up to the next cut: the end of a run of newlines or of other characters, a
 * character without a symbol, or a boundary that no merge can remove. */
static size_t read_symbols(void *ctx, int32_t *symbols, size_t cap)
{
    reader *r = ctx;
    size_t n = 0;
    while (n < cap && r->pos < r->len) {
        const char *s = r->text + r->pos;
        if ((*s == '\n') != r->newlines)
            break;

        size_t n_bytes;
        const int32_t symbol = symbol_at(r->v, s, r->len - r->pos, &n_bytes);
        if (symbol < 0 || (r->last >= 0 && !jl_bpe_may_join(r->v->bpe, r->last, symbol)))
            break;

        symbols[n++] = symbol;
        r->last = symbol;
        r->pos += n_bytes;
    }
    return n;
}

static void rewind_symbols(void *ctx)
{
    reader *r = ctx;
    r->pos = r->start;
    r->last = -1;
}

/* The character at pos has no symbol: its bytes as byte tokens, or, where one of those is missing,
 * one unknown token for all such characters in a row. */
static void put_bytes(reader *r, size_t n_bytes, jl_tok_out *out)
{
    const unsigned char *s = (const unsigned char *)r->text + r->pos;
    r->pos += n_bytes;
    for (size_t i = 0; i < n_bytes; i++) {
        if (r->v->byte_id[s[i]] < 0) {
            if (!r->in_unk)
                jl_tok_put(out, r->v->unk);
            r->in_unk = true;
            return;
        }
    }
    r->in_unk = false;
    for (size_t i = 0; i < n_bytes; i++)
        jl_tok_put(out, r->v->byte_id[s[i]]);
}

/* Encodes the run of newlines or of other characters at pos. */
static bool encode_run(reader *r, jl_bpe_work *w, jl_tok_out *out)
{
    while (r->pos < r->len && (r->text[r->pos] == '\n') == r->newlines) {
        size_t n_bytes;
        if (symbol_at(r->v, r->text + r->pos, r->len - r->pos, &n_bytes) < 0) {
            put_bytes(r, n_bytes, out);
            continue;
        }
        r->start = r->pos;
        r->last = -1;
        r->in_unk = false;
        if (!jl_bpe_encode(r->v->bpe, w, &(jl_bpe_source){read_symbols, rewind_symbols, r}, out))
            return false;
    }
    return true;
}

/* A run of newlines that is a token as a whole is that token. */
static bool put_newline_token(reader *r, jl_tok_out *out)
{
    size_t n = 0;
    while (n < r->len - r->pos && n <= r->v->max_piece && r->text[r->pos + n] == '\n')
        n++;
    const int32_t id = n <= r->v->max_piece ? jl_vocab_find_plain(r->v, r->text + r->pos, n) : -1;
    if (id < 0)
        return false;

    jl_tok_put(out, id);
    r->pos += n;
    r->in_unk = false;
    return true;
}

static bool gemma4_encode(const jl_vocab *v, const char *text, size_t len, jl_tok_out *out)
{
    jl_bpe_work w;
    if (!jl_bpe_work_init(&w, len))
        return false;

    reader r = {.v = v, .text = text, .len = len, .last = -1};
    bool ok = true;
    while (ok && r.pos < len) {
        r.newlines = text[r.pos] == '\n';
        if (!r.newlines || !put_newline_token(&r, out))
            ok = encode_run(&r, &w, out);
    }
    jl_bpe_work_free(&w);
    return ok;
}

/* ---- decoding --------------------------------------------------------------------------- */

/* Marks become spaces; everything else stands for itself. */
static size_t gemma4_decode(const jl_vocab *v, int32_t id, char *out, size_t cap)
{
    const jl_str p = jl_vocab_piece(v, id);
    size_t n = 0;
    for (size_t i = 0; i < p.len; n++) {
        const bool space = p.len - i >= MARK_BYTES && memcmp(p.ptr + i, mark, MARK_BYTES) == 0;
        if (n < cap)
            out[n] = space ? ' ' : p.ptr[i];
        i += space ? MARK_BYTES : 1;
    }
    return n;
}

/* Texts as published with the model; ids differ between vocabularies. */
static const char *const gemma4_special[] = {
    "<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<|tool>", "<tool|>", "<|tool_call>",
    "<tool_call|>", "<|tool_response>", "<tool_response|>", "<|\"|>", "<|think|>", "<|channel>",
    "<channel|>", "<|turn>", "<turn|>", "<|image>", "<|audio>", "<|image|>", "<|audio|>",
    "<image|>", "<audio|>", "<|video|>", NULL,
};
static const char *const gemma4_eog[] = {"<eos>", "<turn|>", "<|tool_response>", NULL};
static const char *const gemma4_suppress[] = {
    "<|image>", "<|audio>", "<|image|>", "<|audio|>", "<image|>", "<audio|>", "<|video|>", NULL,
};

const jl_tok_kind jl_tok_gemma4 = {
    .name = "gemma4",
    .special = gemma4_special,
    .eog = gemma4_eog,
    .suppress = gemma4_suppress,
    .special_marks = true,
    .byte_tokens = true,
    .matches = gemma4_matches,
    .create = gemma4_create,
    .encode = gemma4_encode,
    .decode = gemma4_decode,
};
