#include "grammar/walk.h"

#include <stdio.h>
#include <string.h>

static const char *const pieces[] = {
    "\":", "\",", "\"}", "{\"", "[\"", "\"]", ",\"", "true", "false", "null", "tru", "e,", "call:",
    "123", "0.5", "e-", "{}", "[]", "[{", "}]", "}}", ": ", ", ", "é", "😊", "\xf0\x9f", "\x98",
    "\\n", "\\\"", "  ", "\n  ", "ab", "abc", "key", "a:", ":{", "name"};

const jl_special_token walk_specials[4] = {{WALK_END, NULL},
                                           {WALK_CALL_OPEN, "<|tool_call>"},
                                           {WALK_CALL_CLOSE, "<tool_call|>"},
                                           {WALK_QUOTE, "<|\"|>"}};

const char *walk_piece(int32_t token, size_t *len)
{
    static char bytes[256];
    if (token < 256) {
        bytes[token] = (char)token;
        *len = 1;
        return &bytes[token];
    }
    const char *s = "";
    if (token >= WALK_CALL_OPEN)
        s = walk_specials[token - WALK_END].text;
    else if ((size_t)token - 256 < sizeof pieces / sizeof *pieces)
        s = pieces[token - 256];
    *len = strlen(s);
    return s;
}

jl_trie *walk_trie(void)
{
    jl_trie_piece list[WALK_N_TOKENS] = {{0}};
    jl_trie *t = NULL;
    for (int32_t i = 0; i < WALK_END; i++)
        list[i].ptr = walk_piece(i, &list[i].len);
    return jl_trie_create(list, WALK_N_TOKENS, &t, NULL) == JL_OK ? t : NULL;
}

uint32_t walk_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static bool allowed(const uint32_t *mask, int32_t token)
{
    return mask[token / 32] >> (token % 32) & 1;
}

/* Tokens that lead towards the end, best first. */
static int32_t towards_end(const uint32_t *mask)
{
    static const int32_t order[] = {WALK_END, WALK_CALL_CLOSE, WALK_QUOTE, '"', '}', ']', ':', '0',
                                    '1', 't', 'r', 'u', 'f', 'a', 'l', 's', 'e', 'n', ','};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (allowed(mask, order[i]))
            return order[i];
    return -1;
}

static int32_t any_token(const uint32_t *mask, uint64_t *seed)
{
    int32_t list[WALK_N_TOKENS];
    size_t n = 0;
    for (int32_t i = 0; i < WALK_N_TOKENS; i++)
        if (allowed(mask, i))
            list[n++] = i;
    return n ? list[walk_random(seed) % n] : -1;
}

bool walk_random_text(jl_automaton *a, uint64_t *seed, jl_buf *out)
{
    uint32_t state = jl_automaton_start(a);
    for (int i = 0; i < 5000; i++) {
        const uint32_t *mask;
        size_t len;
        int32_t token = -1;
        if (jl_automaton_mask(a, state, &mask, NULL) != JL_OK)
            return false;
        if (i > 150 || walk_random(seed) % 8 == 0)
            token = towards_end(mask);
        if (token < 0)
            token = any_token(mask, seed);
        if (token < 0)
            return false;
        if (token == WALK_END)
            return jl_automaton_accepts(a, state);
        const char *s = walk_piece(token, &len);
        if (jl_automaton_step(a, state, token, s, len, &state, NULL) != JL_OK ||
            state == JL_STATE_DEAD || jl_buf_put(out, s, len, NULL) != JL_OK)
            return false;
    }
    return false;
}
