/* tokenizer.json and config.json: any JSON gives keys or a message. The input is the tokenizer, a
 * NUL and the configuration of the model. */
#include <string.h>

#include "convert/convert.h"
#include "fuzz.h"

static void convert(const json_t *tokenizer, const json_t *config)
{
    jl_checkpoint c;
    jl_gguf_writer *w = NULL;
    jl_error err = {0};
    float *freqs = NULL;
    uint64_t n = 0;

    if (jl_checkpoint_read(config, &c, &err) != JL_OK)
        return;
    if (
        jl_gguf_writer_create("fuzz-tokenizer.tmp", 0, &w, &err) != JL_OK)
        return;
    jl_keys k = {.w = w, .c = &c, .err = &err};
    jl_put_hparams(&k);
    jl_put_tokenizer_json(&k, tokenizer, config);
    fuzz_require(k.status == JL_OK || err.text[0]);
    if (jl_rope_divisors(&c, &freqs, &n, &err) == JL_OK && n)
        fuzz_require(freqs != NULL && freqs[n - 1] == freqs[n - 1]);
    jl_free(freqs);
    jl_gguf_writer_abort(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const uint8_t *cut = n ? memchr(data, 0, n) : NULL;

    if (!cut || n > 1 << 16)
        return 0;
    json_t *tokenizer = json_loadb((const char *)data, (size_t)(cut - data), 0, NULL);
    json_t *config = json_loadb((const char *)cut + 1, n - (size_t)(cut - data) - 1, 0, NULL);
    if (tokenizer && config)
        convert(tokenizer, config);
    json_decref(tokenizer);
    json_decref(config);
    return 0;
}
