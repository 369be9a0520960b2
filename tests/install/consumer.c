/* What somebody who embeds joule writes: built against the installed files only, through
 * pkg-config. */
#include <joule/joule.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    jl_model_params params;
    jl_model *model = NULL;
    jl_error err;
    int32_t tokens[16];
    if (argc != 2)
        return 2;
    memset(&params, 0, sizeof params);
    params.struct_size = sizeof params;
    params.vocab_only = true;
    if (jl_model_open(argv[1], &params, &model, &err) != JL_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    const size_t n = jl_tokenize(model, "Hello world", 11, JL_TOKENIZE_BOS, tokens, 16);
    printf("joule %s: %d tokens\n", JL_VERSION_STRING, (int)n);
    jl_model_close(model);
    if (n < 2 || n > 16) /* <bos> and at least one more */
        return 1;
    /* A file that is not a model is refused with a message. */
    return jl_model_open(argv[0], NULL, &model, &err) == JL_FORMAT && err.text[0] ? 0 : 1;
}
