/* The reply reader. The first byte chooses tools, state and finish, the second how the text is
 * cut. Bytes 0xf4 .. 0xff stand for marks, the rest is text. Read whole and in pieces the reply
 * must give the same events, and whole calls whole JSON objects. */
#include <string.h>

#include "chat/replay.h"
#include "fuzz.h"

static const char tools_json[] =
    "[{\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"properties\":{"
    "\"s\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"},\"b\":{\"type\":\"boolean\"},"
    "\"a\":{\"type\":\"array\",\"items\":{\"type\":\"number\"}},"
    "\"o\":{\"type\":\"object\",\"properties\":{\"s\":{\"type\":\"string\"}}},"
    "\"u\":{\"anyOf\":[{\"type\":\"null\"},{\"$ref\":\"#\"}]}},\"required\":[\"s\",\"n\"]}}}]";

static bool cut_by_bits(void *ctx, size_t i)
{
    return *(unsigned char *)ctx >> (i & 7) & 1;
}

/* Marks written out; returns the length. */
static size_t expand(const uint8_t *data, size_t n, char *text)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        if (data[i] < 0xf4) {
            text[len++] = (char)data[i];
            continue;
        }
        const char *mark = jl_mark_text((jl_mark)(JL_MARK_COUNT - 1 - (data[i] - 0xf4)));
        memcpy(text + len, mark, strlen(mark));
        len += strlen(mark);
    }
    return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static json_t *tools;
    static char text[4096 * 16];
    if (!tools)
        tools = json_loads(tools_json, 0, NULL);
    if (n < 2 || n > 4096)
        return 0;
    const replay_params params = {data[0] & 1 ? tools : NULL, data[0] >> 1 & 1,
                                  (jl_chat_finish)(data[0] >> 2 & 3)};
    unsigned char bits = data[1];
    const size_t len = expand(data + 2, n - 2, text);
    replay_log whole, pieces;
    replay(text, len, &params, NULL, NULL, &whole);
    replay(text, len, &params, cut_by_bits, &bits, &pieces);
    fuzz_require(!whole.broken && !pieces.broken);
    fuzz_require(whole.len == pieces.len && memcmp(whole.log, pieces.log, whole.len) == 0);
    replay_log_free(&whole);
    replay_log_free(&pieces);
    return 0;
}
