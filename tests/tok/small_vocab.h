/* Hand-built vocabularies for tests: special and byte tokens, then what the test adds. */
#ifndef JL_TESTS_SMALL_VOCAB_H
#define JL_TESTS_SMALL_VOCAB_H

#include <stdio.h>

#include "vocab_image.h"
#include "tok/vocab.h"

#ifndef SV_MAX
#define SV_MAX 40000      /* pieces, and merges */
#define SV_TEXT (1 << 20) /* bytes of all of them */
#endif

typedef struct {
    jl_str pieces[SV_MAX];
    int32_t types[SV_MAX];
    float scores[SV_MAX];
    bool has_scores;
    size_t n_pieces;
    jl_str merges[SV_MAX];
    size_t n_merges;
    char text[SV_TEXT];
    size_t n_text;
    const char *model, *pre;
    int bos, eos; /* -1: no key */
    int no_merges_key;
    const int32_t *suppress;
    size_t n_suppress;
} small_vocab;

static inline jl_str sv_copy(small_vocab *s, const char *text, size_t len)
{
    if (s->n_text + len > SV_TEXT)
        abort();
    if (len)
        memcpy(s->text + s->n_text, text, len);
    s->n_text += len;
    return (jl_str){s->text + s->n_text - len, len};
}

static inline int32_t sv_piece(small_vocab *s, const char *text, size_t len, int32_t type)
{
    if (s->n_pieces == SV_MAX)
        abort();
    s->pieces[s->n_pieces] = sv_copy(s, text, len);
    s->types[s->n_pieces] = type;
    return (int32_t)s->n_pieces++;
}

/* The merge alone; its result must be a piece by itself. */
static inline void sv_merge(small_vocab *s, jl_str left, jl_str right)
{
    if (s->n_merges == SV_MAX)
        abort();
    const jl_str m = sv_copy(s, left.ptr, left.len);
    sv_copy(s, " ", 1);
    sv_copy(s, right.ptr, right.len);
    s->merges[s->n_merges++] = (jl_str){m.ptr, left.len + 1 + right.len};
}

static inline void sv_merge_text(small_vocab *s, const char *left, const char *right)
{
    sv_merge(s, (jl_str){left, strlen(left)}, (jl_str){right, strlen(right)});
}

/* Merge and the piece it makes. */
static inline int32_t sv_join(small_vocab *s, const char *left, const char *right)
{
    char both[256];
    snprintf(both, sizeof both, "%s%s", left, right);
    sv_merge_text(s, left, right);
    return sv_piece(s, both, strlen(both), JL_TOKEN_NORMAL);
}

enum { SV_BYTE0 = 14 }; /* id of <0x00> */

/* <pad> 0, <eos> 1, <bos> 2, <unk> 3, then markers, </s> 13, the byte tokens from SV_BYTE0. */
static inline small_vocab *sv_begin(void)
{
    static const struct {
        const char *text;
        int type;
    } first[] = {
        {"<pad>", JL_TOKEN_CONTROL}, {"<eos>", JL_TOKEN_NORMAL}, {"<bos>", JL_TOKEN_CONTROL},
        {"<unk>", JL_TOKEN_UNKNOWN}, {"<|turn>", JL_TOKEN_CONTROL}, {"<turn|>", JL_TOKEN_CONTROL},
        {"<|tool_response>", JL_TOKEN_USER_DEFINED}, {"<|\"|>", JL_TOKEN_USER_DEFINED},
        {"<|image>", JL_TOKEN_CONTROL}, {"<|image|>", JL_TOKEN_CONTROL},
        {"<image|>", JL_TOKEN_CONTROL}, {"<|tool_call>", JL_TOKEN_USER_DEFINED},
        {"<b>", JL_TOKEN_USER_DEFINED}, {"</s>", JL_TOKEN_NORMAL},
    };
    small_vocab *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    s->model = "gemma4";
    s->bos = 2;
    s->eos = 1;
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        sv_piece(s, first[i].text, strlen(first[i].text), first[i].type);
    for (int c = 0; c < 256; c++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", c);
        sv_piece(s, text, 6, JL_TOKEN_BYTE);
    }
    return s;
}

static inline vocab_image sv_image(const small_vocab *s)
{
    vocab_image m;
    vi_begin(&m);
    if (s->model)
        vi_str(&m, "tokenizer.ggml.model", s->model);
    if (s->pre)
        vi_str(&m, "tokenizer.ggml.pre", s->pre);
    vi_strs(&m, "tokenizer.ggml.tokens", s->pieces, s->n_pieces);
    vi_i32s(&m, "tokenizer.ggml.token_type", s->types, s->n_pieces);
    if (!s->no_merges_key)
        vi_strs(&m, "tokenizer.ggml.merges", s->merges, s->n_merges);
    if (s->has_scores)
        vi_f32s(&m, "tokenizer.ggml.scores", s->scores, s->n_pieces);
    if (s->bos >= 0)
        vi_scalar(&m, "tokenizer.ggml.bos_token_id", (uint32_t)s->bos);
    if (s->eos >= 0)
        vi_scalar(&m, "tokenizer.ggml.eos_token_id", (uint32_t)s->eos);
    if (s->n_suppress)
        vi_i32s(&m, "tokenizer.ggml.suppress_tokens", s->suppress, s->n_suppress);
    vi_end(&m);
    return m;
}

static inline jl_status sv_open(const small_vocab *s, jl_vocab **out, jl_error *err)
{
    vocab_image m = sv_image(s);
    jl_gguf *g = NULL;
    jl_status st = jl_gguf_open_memory(m.data, m.n_bytes, &g, err);
    if (st == JL_OK)
        st = jl_vocab_create(g, out, err);
    jl_gguf_close(g);
    free(m.data);
    return st;
}

#endif
