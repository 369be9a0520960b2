/* Tokenizers of kind llama: SentencePiece BPE. Any two tokens whose text together is a token merge,
 * the one of the highest score first. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "tok/chars.h"

/* Longer pieces are never merged to. The published vocabularies stay below 100 bytes; trying each
 * split of a piece takes time with the square of its length. */
enum { MERGED_MAX = 512 };

typedef struct {
    float score;
    uint32_t n_left, n_right; /* characters */
    jl_bpe_merge merge;
} scored_merge;

/* Best score first, then the longest left part, then the longest right one, then the older token:
 * the order that Hugging Face's conversion gives merges (generate_merges of transformers). */
static int compare_merges(const void *a, const void *b)
{
    const scored_merge *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    if (x->n_left != y->n_left)
        return x->n_left > y->n_left ? -1 : 1;
    if (x->n_right != y->n_right)
        return x->n_right > y->n_right ? -1 : 1;
    return x->merge.merged < y->merge.merged ? -1 : x->merge.merged > y->merge.merged;
}

/* Tries the splits of a piece; appends them to list unless it is NULL. Returns their number. */
static size_t split_piece(const jl_vocab *v, int32_t id, float score, scored_merge *list)
{
    const jl_str p = jl_vocab_piece(v, id);
    size_t n_chars = 0, n_found = 0;
    if (p.len > MERGED_MAX || jl_vocab_find_plain(v, p.ptr, p.len) != id)
        return 0;

    for (size_t i = 0, n; i < p.len; i += n, n_chars++) {
        n = jl_utf8_len(p.ptr + i, p.len - i);
        if (n == 0)
            return 0;
    }
    size_t before = 0; /* start of the last character of the left part */
    uint32_t n_left = 0;
    for (size_t i = 0; i < p.len; before = i, n_left++) {
        i += jl_utf8_len(p.ptr + i, p.len - i);
        const int32_t left = jl_vocab_find_plain(v, p.ptr, i);
        const int32_t right = jl_vocab_find_plain(v, p.ptr + i, p.len - i);
        size_t n;
        if (i == p.len || left < 0 || right < 0)
            continue;
        const int32_t last = jl_chars_symbol(v, p.ptr + before, i - before, &n);
        const int32_t first = jl_chars_symbol(v, p.ptr + i, p.len - i, &n);
        if (last < 0 || first < 0)
            continue;
        if (list)
            list[n_found] = (scored_merge){score, n_left + 1, (uint32_t)n_chars - n_left - 1,
                                           {left, right, id, last, first}};
        n_found++;
    }
    return n_found;
}

static jl_status build_merges(jl_vocab *v, const float *scores, jl_error *err)
{
    size_t n = 0;
    for (uint32_t id = 0; id < v->n; id++)
        n += split_piece(v, (int32_t)id, scores[id], NULL);
    if (n > JL_VOCAB_MAX_MERGES)
        return jl_fail(err, JL_TOO_LARGE, "%zu merges in the vocabulary, joule takes at most %d", n,
                       JL_VOCAB_MAX_MERGES);

    JL_TRY(jl_bpe_create(n, &v->bpe, err));
    scored_merge *list = jl_malloc((n + 1) * sizeof *list);
    if (!list)
        return jl_fail(err, JL_NO_MEMORY, "no memory for %zu merges of the tokenizer", n);
    n = 0;
    for (uint32_t id = 0; id < v->n; id++)
        n += split_piece(v, (int32_t)id, scores[id], list + n);
    qsort(list, n, sizeof *list, compare_merges);
    for (size_t i = 0; i < n; i++)
        jl_bpe_add(v->bpe, &list[i].merge);
    jl_free(list);
    return JL_OK;
}

static jl_status spm_create(jl_vocab *v, const jl_gguf *g, jl_error *err)
{
    JL_TRY(jl_chars_create(v, err));
    v->space_prefix = true;
    (void)jl_gguf_get_bool(g, "tokenizer.ggml.add_space_prefix", 0, &v->space_prefix);

    const jl_gguf_kv *kv = jl_gguf_find(g, "tokenizer.ggml.scores");
    if (!kv || kv->type != JL_GGUF_ARRAY || kv->item_type != JL_GGUF_F32 || kv->count != v->n)
        return jl_fail(err, JL_FORMAT,
                       "tokenizer.ggml.scores is not an array of 32-bit floats, one for each of "
                       "the %u tokens; a llama tokenizer needs it", v->n);

    float *scores = jl_malloc(v->n * sizeof *scores);
    if (!scores)
        return jl_fail(err, JL_NO_MEMORY, "no memory for %u scores of the tokenizer", v->n);
    memcpy(scores, kv->raw, v->n * sizeof *scores);
    jl_status status = JL_OK;
    for (uint32_t id = 0; id < v->n && status == JL_OK; id++) {
        if (isnan(scores[id]))
            status = jl_fail(err, JL_FORMAT, "the score of token %u is not a number", id);
    }
    if (status == JL_OK)
        status = build_merges(v, scores, err);
    jl_free(scores);
    return status;
}

/* A copy with a space before it: words look the same at the start as elsewhere. */
static bool encode_prefixed(const jl_vocab *v, jl_chars *r, jl_bpe_work *w, jl_tok_out *out)
{
    if (!v->space_prefix)
        return jl_chars_encode(r, w, out);

    char *text = jl_malloc(r->len + 1);
    if (!text)
        return false;
    text[0] = ' ';
    memcpy(text + 1, r->text, r->len);
    r->text = text;
    r->len++;
    const bool ok = jl_chars_encode(r, w, out);
    jl_free(text);
    return ok;
}

static bool spm_encode(const jl_vocab *v, const char *text, size_t len, jl_tok_out *out)
{
    jl_bpe_work w;
    if (!jl_bpe_work_init(&w, len + 1))
        return false;
    const bool ok = encode_prefixed(v, &(jl_chars){.v = v, .text = text, .len = len}, &w, out);
    jl_bpe_work_free(&w);
    return ok;
}

static bool spm_matches(jl_str model, jl_str pre)
{
    return jl_str_is(model, "llama") && (pre.len == 0 || jl_str_is(pre, "default"));
}

static const char *const none[] = {NULL};
static const char *const spm_eog[] = {"</s>", NULL};

const jl_tok_kind jl_tok_spm = {
    .name = "llama",
    .matches = spm_matches,
    .special = none,
    .eog = spm_eog,
    .suppress = none,
    .byte_tokens = true,
    .create = spm_create,
    .encode = spm_encode,
    .decode = jl_chars_decode,
};
