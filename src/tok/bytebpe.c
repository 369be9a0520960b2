/* Tokenizers of kind gpt2: a pattern cuts text into words, then rank BPE merges the bytes of each.
 * Pieces are stored with each byte as one printable character. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "tok/vocab_impl.h"

/* Bytes that print as themselves stand for themselves, the others for U+0100, U+0101, ... in order
 * (GPT-2's bytes_to_unicode). */
static bool prints(unsigned c)
{
    return (c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff);
}

/* The character a byte is stored as. */
static uint32_t stored_char(unsigned byte)
{
    if (prints(byte))
        return byte;
    uint32_t c = 0x100;
    for (unsigned i = 0; i < byte; i++)
        c += !prints(i);
    return c;
}

/* The byte a stored character stands for, -1 if none. */
static int stored_byte(uint32_t c)
{
    if (c < 0x100)
        return prints(c) ? (int)c : -1;
    for (unsigned i = 0; i < 256; i++) {
        if (!prints(i) && c-- == 0x100)
            return (int)i;
    }
    return -1;
}

static int32_t symbol_at(const jl_vocab *v, const char *s, size_t len, size_t *n)
{
    uint32_t c;
    *n = jl_utf8_decode(s, len, &c);
    if (*n == 0) {
        *n = 1;
        return -1;
    }
    const int byte = stored_byte(c);
    return byte < 0 ? -1 : v->byte_symbol[byte];
}

static jl_status bytebpe_create(jl_vocab *v, const jl_gguf *g, const char *pattern, jl_error *err)
{
    for (unsigned c = 0; c < 256; c++) {
        char s[4];
        const size_t n = jl_utf8_encode(stored_char(c), s);
        v->byte_symbol[c] = jl_vocab_find_plain(v, s, n);
        if (v->byte_symbol[c] < 0)
            return jl_fail(err, JL_FORMAT, "the tokenizer has no token for the byte 0x%02X", c);
    }
    JL_TRY(jl_pretok_create(pattern, &v->pretok, err));
    return jl_vocab_read_merges(v, g, symbol_at, err);
}

/* ---- encoding --------------------------------------------------------------------------- */

typedef struct {
    const jl_vocab *v;
    const unsigned char *word;
    size_t len, pos;
    char *stored; /* [2 * max_piece] */
    jl_bpe_work work;
    jl_pretok_match *match;
} encoder;

static size_t read_symbols(void *ctx, int32_t *symbols, size_t cap)
{
    encoder *e = ctx;
    size_t n = 0;
    while (n < cap && e->pos < e->len)
        symbols[n++] = e->v->byte_symbol[e->word[e->pos++]];
    return n;
}

static void rewind_symbols(void *ctx)
{
    encoder *e = ctx;
    e->pos = 0;
}

/* A word that is a token as a whole is that token, whether or not merges lead there
 * (ignore_merges of the published tokenizers). */
static int32_t whole_word(const encoder *e)
{
    if (e->len > e->v->max_piece)
        return -1;
    size_t n = 0;
    for (size_t i = 0; i < e->len; i++) {
        /* The stored character is that of the byte's own token. */
        const jl_str s = jl_vocab_piece(e->v, e->v->byte_symbol[e->word[i]]);
        memcpy(e->stored + n, s.ptr, s.len);
        n += s.len;
    }
    return jl_vocab_find_plain(e->v, e->stored, n);
}

static bool encode_word(encoder *e, const char *word, size_t len, jl_tok_out *out)
{
    e->word = (const unsigned char *)word;
    e->len = len;
    e->pos = 0;
    const int32_t id = whole_word(e);
    if (id >= 0) {
        jl_tok_put(out, id);
        return true;
    }
    return jl_bpe_encode(e->v->bpe, &e->work,
                         &(jl_bpe_source){read_symbols, rewind_symbols, e}, out);
}

/* Words never reach over a byte that is not UTF-8; such a byte is a word of its own. */
static bool encode_all(encoder *e, const char *text, size_t len, jl_tok_out *out)
{
    for (size_t start = 0; start < len;) {
        size_t end = start, n;
        while (end < len && (n = jl_utf8_len(text + end, len - end)) > 0)
            end += n;
        while (start < end) {
            n = jl_pretok_word(e->v->pretok, e->match, text, end, start);
            if (!encode_word(e, text + start, n, out))
                return false;
            start += n;
        }
        if (start < len) {
            jl_tok_put(out, e->v->byte_symbol[(unsigned char)text[start]]);
            start++;
        }
    }
    return true;
}

static bool bytebpe_encode(const jl_vocab *v, const char *text, size_t len, jl_tok_out *out)
{
    encoder e = {.v = v};
    e.stored = jl_malloc(2 * (size_t)v->max_piece);
    e.match = jl_pretok_match_create(v->pretok);
    const bool ok = e.stored && e.match && jl_bpe_work_init(&e.work, len) &&
                    encode_all(&e, text, len, out);
    jl_free(e.stored);
    jl_pretok_match_destroy(e.match);
    jl_bpe_work_free(&e.work);
    return ok;
}

static size_t bytebpe_decode(const jl_vocab *v, int32_t id, char *out, size_t cap)
{
    const jl_str p = jl_vocab_piece(v, id);
    size_t n = 0;
    for (size_t i = 0; i < p.len;) {
        uint32_t c;
        const size_t n_char = jl_utf8_decode(p.ptr + i, p.len - i, &c);
        const int byte = n_char ? stored_byte(c) : -1;
        if (n < cap)
            out[n] = byte < 0 ? p.ptr[i] : (char)byte;
        n++;
        i += byte < 0 ? 1 : n_char;
    }
    return n;
}

/* ---- families --------------------------------------------------------------------------- */

/* White space as Unicode has it; PCRE2's own \s would add U+180E. */
#define WS "\\x09-\\x0d\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}" \
           "\\x{205f}\\x{3000}"
#define SPACES "[" WS "]*[\\r\\n]+|[" WS "]+(?![^" WS "])|[" WS "]+"
#define UPPER "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}"
#define LOWER "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}"
#define LEAD "[^\\r\\n\\p{L}\\p{N}]?"

/* The patterns of the published tokenizer.json files. */
static const char llama3_pattern[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|" LEAD "\\p{L}+|\\p{N}{1,3}|"
    " ?[^" WS "\\p{L}\\p{N}]+[\\r\\n]*|" SPACES;
static const char tekken_pattern[] =
    LEAD "[" UPPER "]*[" LOWER "]+|" LEAD "[" UPPER "]+[" LOWER "]*|\\p{N}|"
    " ?[^" WS "\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES;

static const char *const none[] = {NULL};

static bool llama3_matches(jl_str model, jl_str pre)
{
    return jl_str_is(model, "gpt2") && (jl_str_is(pre, "llama-bpe") || jl_str_is(pre, "llama3") ||
                                        jl_str_is(pre, "llama-v3"));
}

static jl_status llama3_create(jl_vocab *v, const jl_gguf *g, jl_error *err)
{
    return bytebpe_create(v, g, llama3_pattern, err);
}

static const char *const llama3_eog[] = {"<|eot_id|>", "<|end_of_text|>", "<|eom_id|>", NULL};

const jl_tok_kind jl_tok_llama3 = {
    .name = "llama-bpe",
    .matches = llama3_matches,
    .special = none,
    .eog = llama3_eog,
    .suppress = none,
    .create = llama3_create,
    .encode = bytebpe_encode,
    .decode = bytebpe_decode,
};

static bool tekken_matches(jl_str model, jl_str pre)
{
    return jl_str_is(model, "gpt2") && jl_str_is(pre, "tekken");
}

static jl_status tekken_create(jl_vocab *v, const jl_gguf *g, jl_error *err)
{
    return bytebpe_create(v, g, tekken_pattern, err);
}

static const char *const tekken_eog[] = {"</s>", NULL};

const jl_tok_kind jl_tok_tekken = {
    .name = "tekken",
    .matches = tekken_matches,
    .special = none,
    .eog = tekken_eog,
    .suppress = none,
    .create = tekken_create,
    .encode = bytebpe_encode,
    .decode = bytebpe_decode,
};
