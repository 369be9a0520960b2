/* Conversations from request bodies. The first byte holds the options. Both formats must render
 * what loads, or refuse it with a message. */
#include <string.h>

#include "fuzz.h"
#include "joule/chat.h"

static void render(const jl_conversation *conv, jl_chat_format format, unsigned bits)
{
    const jl_chat_options options = {.thinking = bits & 1, .no_generation_prompt = bits >> 1 & 1,
                                     .preserve_thinking = bits >> 2 & 1};
    jl_error err = {0};
    char *text = NULL;
    size_t len = 0;
    const jl_status status = jl_chat_render_text(format, conv, &options, &text, &len, &err);
    if (status == JL_OK)
        fuzz_require(len >= 5 && memcmp(text, "<bos>", 5) == 0 && text[len] == 0);
    else
        fuzz_require(err.text[0]);
    jl_chat_text_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    jl_conversation *conv;
    jl_error err = {0};
    if (n < 1 || jl_conversation_create((size_t)1 << 20, &conv, NULL) != JL_OK)
        return 0;
    const jl_status status = jl_conversation_load(conv, (const char *)data + 1, n - 1, &err);
    fuzz_require(status == JL_OK || (err.text[0] && jl_conversation_length(conv) == 0));
    if (status == JL_OK) {
        render(conv, JL_CHAT_GEMMA4_LARGE, data[0]);
        render(conv, JL_CHAT_GEMMA4_SMALL, data[0]);
    }
    jl_conversation_destroy(conv);
    jl_chat_identity id;
    jl_chat_identify((const char *)data, n, &id);
    fuzz_require(id.text[0]);
    return 0;
}
