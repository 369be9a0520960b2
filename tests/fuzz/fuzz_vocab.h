/* A vocabulary out of fuzz input, for the tokenizer targets. */
#ifndef JL_TESTS_FUZZ_VOCAB_H
#define JL_TESTS_FUZZ_VOCAB_H

#include "base/utf8.h"
#include "fuzz.h"

#define SV_MAX 1024
#define SV_TEXT (1 << 16)
#include "tok/small_vocab.h"

typedef struct {
    const uint8_t *data;
    size_t left;
} fuzz_input;

static inline uint8_t take_byte(fuzz_input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->data++;
}

static inline jl_str take_bytes(fuzz_input *in, size_t n)
{
    const jl_str s = {(const char *)in->data, n < in->left ? n : in->left};
    in->data += s.len;
    in->left -= s.len;
    return s;
}

/* Three quarters are two pieces joined, the others any bytes. */
static inline void take_merge(fuzz_input *in, small_vocab *s)
{
    const uint8_t kind = take_byte(in);
    if (kind % 4 == 3) {
        const jl_str m = take_bytes(in, kind / 4 % 16);
        s->merges[s->n_merges++] = sv_copy(s, m.ptr, m.len);
        return;
    }
    const jl_str l = s->pieces[take_byte(in) * 5u % s->n_pieces];
    const jl_str r = s->pieces[take_byte(in) * 5u % s->n_pieces];
    if (l.len + r.len > 200)
        return;
    sv_merge(s, l, r);
    if (kind % 4) {
        const jl_str both = sv_copy(s, l.ptr, l.len);
        sv_copy(s, r.ptr, r.len);
        sv_piece(s, both.ptr, l.len + r.len, JL_TOKEN_NORMAL);
    }
}

/* What byte-level kinds need: each byte as one printable character. */
static inline void add_bytes(small_vocab *s, bool tekken)
{
    uint32_t other = 0x100;
    s->model = "gpt2";
    s->pre = tekken ? "tekken" : "llama-bpe";
    for (uint32_t c = 0; c < 256; c++) {
        const bool prints = (c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c != 0xad);
        char text[4];
        const size_t n = jl_utf8_encode(prints ? c : other, text);
        other += !prints;
        sv_piece(s, text, n, JL_TOKEN_NORMAL);
    }
}

/* Some characters that text is likely to have, then whatever the input says. */
static inline small_vocab *take_vocab(fuzz_input *in)
{
    static const char *const chars[] = {
        "\xe2\x96\x81", "a", "b", "c", "\n", "<", "|", ">", "0", "x", "\xc3\xa9",
        "\xf0\x9f\x98\x8a",
    };
    small_vocab *s = sv_begin();
    const uint8_t shape = take_byte(in);
    if (shape & 1)
        s->n_pieces -= shape % 16u;
    for (size_t i = 0; i < sizeof chars / sizeof *chars; i++)
        sv_piece(s, chars[i], strlen(chars[i]), JL_TOKEN_NORMAL);
    if (shape >= 192)
        add_bytes(s, shape >= 224);
    for (int n = shape / 2 % 32; n > 0; n--) {
        const uint8_t head = take_byte(in);
        const jl_str p = take_bytes(in, head % 8);
        sv_piece(s, p.ptr, p.len, head / 8 % 9);
    }
    for (int n = take_byte(in) % 64; n > 0; n--)
        take_merge(in, s);
    const uint8_t ends = take_byte(in);
    s->bos = ends & 1 ? ends / 2 : 2;
    s->eos = ends & 2 ? ends / 4 : -1;
    s->no_merges_key = ends == 255;
    if (shape >= 160 && shape < 192) { /* merges from scores, some of them equal */
        s->model = "llama";
        s->has_scores = ends != 127;
        for (size_t i = 0; i < s->n_pieces; i++)
            s->scores[i] = -(float)(i * 37 % 64);
    }
    return s;
}

#endif
