/* Text as code points, for the kinds that start from them: symbols, reading, decoding. */
#include "tok/chars.h"

#include <string.h>

#include "base/utf8.h"

static const char mark[] = "\xe2\x96\x81"; /* U+2581, what a space is stored as */
enum { MARK_BYTES = 3 };

int32_t jl_chars_symbol(const jl_vocab *v, const char *s, size_t len, size_t *n)
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

jl_status jl_chars_create(jl_vocab *v, jl_error *err)
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
    return JL_OK;
}


/* Symbols from pos up to the next cut: the end of a run of newlines or of other characters, a
 * character without a symbol, or a boundary that no merge can remove. */
static size_t read_symbols(void *ctx, int32_t *symbols, size_t cap)
{
    jl_chars *r = ctx;
    size_t n = 0;
    while (n < cap && r->pos < r->len) {
        const char *s = r->text + r->pos;
        if (r->cut_newlines && (*s == '\n') != r->newlines)
            break;

        size_t n_bytes;
        const int32_t symbol = jl_chars_symbol(r->v, s, r->len - r->pos, &n_bytes);
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
    jl_chars *r = ctx;
    r->pos = r->start;
    r->last = -1;
}

/* The character at pos has no symbol: its bytes as byte tokens, or, where one of those is missing,
 * one unknown token for all such characters in a row. */
static void put_bytes(jl_chars *r, size_t n_bytes, jl_tok_out *out)
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

bool jl_chars_encode(jl_chars *r, jl_bpe_work *w, jl_tok_out *out)
{
    while (r->pos < r->len && (!r->cut_newlines || (r->text[r->pos] == '\n') == r->newlines)) {
        size_t n_bytes;
        if (jl_chars_symbol(r->v, r->text + r->pos, r->len - r->pos, &n_bytes) < 0) {
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

size_t jl_chars_decode(const jl_vocab *v, int32_t id, char *out, size_t cap)
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
