/* Public token functions over the vocabulary. */
#include "joule/joule.h"
#include "model/model.h"
#include "tok/detok.h"

size_t jl_tokenize(const jl_model *m, const char *text, size_t text_len, unsigned flags,
                   int32_t *tokens, size_t cap)
{
    return jl_vocab_encode(m->vocab, text, text_len, flags, tokens, cap);
}

jl_status jl_detok_create(const jl_model *m, bool show_special, jl_detok **out, jl_error *err)
{
    return jl_detok_open(m->vocab, show_special, out, err);
}

const char *jl_token_text(const jl_model *m, int32_t token, size_t *len)
{
    const jl_str piece = jl_vocab_piece(m->vocab, token);

    *len = piece.len;
    return piece.ptr ? piece.ptr : "";
}

int32_t jl_token_find(const jl_model *m, const char *text)
{
    const char *end = text;

    while (*end)
        end++;
    return jl_vocab_find(m->vocab, text, (size_t)(end - text));
}

bool jl_token_is_eog(const jl_model *m, int32_t token)
{
    return jl_vocab_is_eog(m->vocab, token);
}

bool jl_token_is_special(const jl_model *m, int32_t token)
{
    return jl_vocab_is_special(m->vocab, token);
}
