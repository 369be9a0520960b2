/* Tokenizers of kind gemma4: rank BPE over Unicode code points, spaces as U+2581, no pre-split but
 * runs of newlines, unknown characters as their bytes. */
#include "tok/chars.h"

static bool gemma4_matches(jl_str model, jl_str pre)
{
    /* Some converters write an older model and put the kind beside it. */
    return jl_str_is(model, "gemma4") || (jl_str_is(model, "llama") && jl_str_is(pre, "gemma4"));
}

static jl_status gemma4_create(jl_vocab *v, const jl_gguf *g, jl_error *err)
{
    JL_TRY(jl_chars_create(v, err));
    return jl_vocab_read_merges(v, g, jl_chars_symbol, err);
}

/* A run of newlines that is a token as a whole is that token. */
static bool put_newline_token(jl_chars *r, jl_tok_out *out)
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

    jl_chars r = {.v = v, .text = text, .len = len, .cut_newlines = true};
    bool ok = true;
    while (ok && r.pos < len) {
        r.newlines = text[r.pos] == '\n';
        if (!r.newlines || !put_newline_token(&r, out))
            ok = jl_chars_encode(&r, &w, out);
    }
    jl_bpe_work_free(&w);
    return ok;
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
    .ordinary = "</s>",
    .special_marks = true,
    .byte_tokens = true,
    .matches = gemma4_matches,
    .create = gemma4_create,
    .encode = gemma4_encode,
    .decode = jl_chars_decode,
};
