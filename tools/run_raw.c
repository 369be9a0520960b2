/* joule run --raw: continues a text without the chat template. */
#include <stdio.h>

#include "joule/sys.h"
#include "run.h"
#include "ui.h"

static bool print_token(void *ctx, int32_t token)
{
    size_t len;
    const char *s = jl_detok_push(ctx, token, &len);

    fwrite(s, 1, len, stdout);
    fflush(stdout);
    return !ferror(stdout);
}

static jl_status generate(gen *g, const token_list *prompt, gen_end *end, jl_error *err)
{
    jl_detok *detok = NULL;
    size_t len;

    jl_status status = jl_detok_create(g->model, false, &detok, err);
    if (status == JL_OK)
        status = gen_prefill(g, prompt->ids, prompt->n, err);
    if (status == JL_OK)
        status = gen_run(g, print_token, detok, end, err);
    if (status == JL_OK) {
        const char *rest = jl_detok_flush(detok, &len);
        fwrite(rest, 1, len, stdout);
        putchar('\n');
        fflush(stdout);
    }
    jl_detok_destroy(detok);
    return status;
}

jl_status run_raw(gen *g, const char *text, size_t len, gen_end *end, jl_error *err)
{
    token_list prompt = {0};

    jl_status status = load_tokenize(g->model, text, len, JL_TOKENIZE_BOS, &prompt, err);
    if (status == JL_OK && prompt.n == 0)
        status = tool_error(err, JL_INVALID, "the prompt is empty");
    if (status == JL_OK)
        status = generate(g, &prompt, end, err);
    jl_free(prompt.ids);
    return status;
}
