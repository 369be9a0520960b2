/* Tokenizers of kind gemma4: rank BPE over Unicode code points, spaces as U+2581, no pre-split but
 * runs of newlines, unknown characters as their bytes. */
#include <string.h>

#include "base/mem.h"
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

/* First and last initial symbol of each piece, -1 if text never becomes that symbol. */
typedef struct {
    int32_t *first, *last;
} piece_ends;

static void find_ends(const jl_vocab *v, const piece_ends *ends)
{
    for (uint32_t id = 0; id < v->n; id++) {
        const jl_str p = jl_vocab_piece(v, (int32_t)id);
        ends->first[id] = ends->last[id] = -1;
        if (p.len == 0)
            continue;

        size_t n;
        ends->first[id] = symbol_at(v, p.ptr, p.len, &n);
        size_t last = p.len - 1;
        while (last > 0 && ((unsigned char)p.ptr[last] & 0xc0) == 0x80)
            last--;
        ends->last[id] = symbol_at(v, p.ptr + last, p.len - last, &n);
        if (last + n != p.len)
            ends->last[id] = -1;
    }
}

enum { LEFT, RIGHT, MERGED, N_PARTS };

typedef struct {
    char *text; /* [max_piece] left and right without the space */
    size_t start[N_PARTS], len[N_PARTS];
    uint64_t hash[N_PARTS];
    jl_bpe_merge merge;
} merge_line;

/* Merges are looked up together, so that the processor waits for many of them at once. */
enum { N_LINES = 32 };

/* "left right", cut at the first space that is not the first byte. */
static bool parse_line(const jl_vocab *v, jl_str m, merge_line *line)
{
    const char *space = m.len > 1 ? memchr(m.ptr + 1, ' ', m.len - 1) : NULL;
    if (!space || m.len - 1 > v->max_piece)
        return false;

    const size_t n_left = (size_t)(space - m.ptr);
    memcpy(line->text, m.ptr, n_left);
    memcpy(line->text + n_left, space + 1, m.len - n_left - 1);
    line->start[LEFT] = line->start[MERGED] = 0;
    line->start[RIGHT] = line->len[LEFT] = n_left;
    line->len[RIGHT] = m.len - n_left - 1;
    line->len[MERGED] = m.len - 1;
    for (int i = 0; i < N_PARTS; i++) {
        line->hash[i] = jl_vocab_hash(line->text + line->start[i], line->len[i]);
        jl_vocab_load_slot(v, line->hash[i]);
    }
    return line->len[RIGHT] > 0;
}

/* Merges with a part or a result that text cannot become are left out: they never apply, and text
 * must not merge into a special token. The order of the others, all that a rank says, stays. */
static bool find_line(const jl_vocab *v, const piece_ends *ends, merge_line *line)
{
    int32_t id[N_PARTS];
    for (int i = 0; i < N_PARTS; i++)
        id[i] = jl_vocab_find_plain_hashed(v, line->text + line->start[i], line->len[i],
                                           line->hash[i]);
    if (id[LEFT] < 0 || id[RIGHT] < 0 || id[MERGED] < 0)
        return false;

    line->merge = (jl_bpe_merge){id[LEFT], id[RIGHT], id[MERGED], ends->last[id[LEFT]],
                                 ends->first[id[RIGHT]]};
    jl_bpe_load(v->bpe, id[LEFT], id[RIGHT]);
    return line->merge.last_symbol >= 0 && line->merge.first_symbol >= 0;
}

static void add_lines(const jl_vocab *v, const piece_ends *ends, merge_line *lines, size_t n)
{
    bool found[N_LINES];
    for (size_t k = 0; k < n; k++) {
        for (int i = 0; i < N_PARTS; i++)
            jl_vocab_load_piece(v, lines[k].hash[i]);
    }
    for (size_t k = 0; k < n; k++)
        found[k] = find_line(v, ends, &lines[k]);
    for (size_t k = 0; k < n; k++) {
        if (found[k])
            jl_bpe_add(v->bpe, &lines[k].merge);
    }
}

static void add_merges(const jl_vocab *v, const jl_gguf_kv *kv, const piece_ends *ends, char *text)
{
    merge_line lines[N_LINES];
    for (size_t k = 0; k < N_LINES; k++)
        lines[k].text = text + k * v->max_piece;

    jl_gguf_iter it = {0, 0};
    jl_str merge;
    size_t n = 0;
    while (jl_gguf_next_str(kv, &it, &merge)) {
        n += parse_line(v, merge, &lines[n]);
        if (n == N_LINES) {
            add_lines(v, ends, lines, n);
            n = 0;
        }
    }
    add_lines(v, ends, lines, n);
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

    const jl_gguf_kv *kv = jl_gguf_find(g, "tokenizer.ggml.merges");
    if (!kv || kv->type != JL_GGUF_ARRAY || kv->item_type != JL_GGUF_STRING)
        return jl_fail(err, JL_FORMAT,
                       "tokenizer.ggml.merges is missing or not an array of strings; a gemma4 "
                       "tokenizer needs it: convert the model again with a current converter");
    if (kv->count > JL_VOCAB_MAX_MERGES)
        return jl_fail(err, JL_TOO_LARGE, "%llu tokenizer merges, joule takes at most %d",
                       (unsigned long long)kv->count, JL_VOCAB_MAX_MERGES);

    JL_TRY(jl_bpe_create((size_t)kv->count, &v->bpe, err));
    piece_ends ends = {jl_malloc(v->n * sizeof *ends.first), jl_malloc(v->n * sizeof *ends.last)};
    char *text = jl_malloc(N_LINES * (size_t)v->max_piece + 1);
    const bool ok = ends.first && ends.last && text;
    if (ok) {
        find_ends(v, &ends);
        add_merges(v, kv, &ends, text);
    }
    jl_free(ends.first);
    jl_free(ends.last);
    jl_free(text);
    return ok ? JL_OK : jl_fail(err, JL_NO_MEMORY, "no memory for the tokenizer's merges");
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
    .create = gemma4_create,
    .encode = gemma4_encode,
    .decode = gemma4_decode,
};
