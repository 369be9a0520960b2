/* joule tokenize and joule detokenize. */
#include <stdio.h>
#include <string.h>

#include "joule/joule.h"
#include "joule/sys.h"
#include "json.h"
#include "load.h"
#include "opt.h"
#include "ui.h"

static void print_pieces(const jl_model *model, const token_list *tokens)
{
    for (size_t i = 0; i < tokens->n; i++) {
        size_t len;
        const char *s = jl_token_text(model, tokens->ids[i], &len);
        fprintf(stderr, "%7d  ", tokens->ids[i]);
        json_print_string(stderr, s, len);
        fputc('\n', stderr);
    }
}

static jl_status tokenize(const opts *o, jl_model *model, jl_error *err)
{
    const unsigned flags = (opt_on(o, OPT_NO_BOS) ? 0 : JL_TOKENIZE_BOS) |
                           (opt_on(o, OPT_SPECIAL) ? JL_TOKENIZE_SPECIAL : 0);
    token_list tokens = {0};

    const jl_status status = load_text_tokens(o, model, flags, &tokens, err);
    if (status == JL_OK) {
        putchar('[');
        for (size_t i = 0; i < tokens.n; i++)
            printf("%s%d", i ? "," : "", tokens.ids[i]);
        puts("]");
    }
    if (status == JL_OK && opt_on(o, OPT_VERBOSE))
        print_pieces(model, &tokens);
    jl_free(tokens.ids);
    return status;
}

static jl_status read_ids(const opts *o, const jl_model *model, token_list *tokens, jl_error *err)
{
    jl_model_info info;
    char *text = NULL;
    size_t len = 0;

    jl_model_get_info(model, &info);
    if (o->n_args)
        return load_ids(o->args[0], strlen(o->args[0]), info.n_vocab, tokens, err);
    jl_status status = load_text(o, &text, &len, err);
    if (status == JL_OK)
        status = load_ids(text, len, info.n_vocab, tokens, err);
    jl_free(text);
    return status;
}

static jl_status detokenize(const opts *o, jl_model *model, jl_error *err)
{
    token_list tokens = {0};
    jl_detok *detok = NULL;
    size_t len = 0;

    jl_status status = read_ids(o, model, &tokens, err);
    if (status == JL_OK)
        status = jl_detok_create(model, opt_on(o, OPT_SPECIAL), &detok, err);
    for (size_t i = 0; status == JL_OK && i < tokens.n; i++) {
        const char *s = jl_detok_push(detok, tokens.ids[i], &len);
        fwrite(s, 1, len, stdout);
    }
    if (status == JL_OK) {
        const char *s = jl_detok_flush(detok, &len);
        fwrite(s, 1, len, stdout);
    }
    jl_detok_destroy(detok);
    jl_free(tokens.ids);
    return status;
}

static int with_vocab(const opts *o, jl_status (*fn)(const opts *, jl_model *, jl_error *))
{
    jl_model *model = NULL;
    jl_error err = {0};

    jl_status status = load_model(o, NULL, LOAD_VOCAB, &model, &err);
    if (status == JL_OK)
        status = fn(o, model, &err);
    jl_model_close(model);
    return status == JL_OK ? EXIT_OK : ui_fail(o, &err);
}

int cmd_tokenize(const opts *o)
{
    return with_vocab(o, tokenize);
}

int cmd_detokenize(const opts *o)
{
    return with_vocab(o, detokenize);
}
