/* Any text as a grammar, a JSON schema or tool declarations (by the first byte): refused with a
 * message, or usable. What the mask allows can be taken, and the JSON of a whole document can be
 * read. */
#include <string.h>

#include "chat/text.h"
#include "fuzz.h"
#include "grammar/schema_gbnf.h"
#include "grammar/walk.h"

enum { GBNF, SCHEMA, TOOLS, N_KINDS };

static jl_trie *trie;

static void check_step(jl_automaton *a, uint64_t *seed)
{
    uint32_t state = jl_automaton_start(a), next;
    for (int i = 0; i < 20; i++) {
        const uint32_t *mask;
        size_t len;
        if (jl_automaton_mask(a, state, &mask, NULL) != JL_OK)
            return;
        const int32_t from = (int32_t)(walk_random(seed) % WALK_N_TOKENS);
        uint32_t kept = JL_STATE_DEAD;
        for (int32_t k = 0; k < WALK_N_TOKENS && kept == JL_STATE_DEAD; k++) {
            const int32_t t = (from + k) % WALK_N_TOKENS;
            const bool allowed = mask[t / 32] >> (t % 32) & 1;
            const char *s = walk_piece(t, &len);
            if (jl_automaton_step(a, state, t, s, len, &next, NULL) != JL_OK)
                return;
            fuzz_require(allowed == (next != JL_STATE_DEAD));
            kept = next;
        }
        if (kept == JL_STATE_DEAD)
            return;
        state = kept;
    }
}

static void use(const char *text, size_t len, int kind, uint64_t seed)
{
    jl_grammar *g = NULL;
    jl_automaton *a = NULL;
    jl_error err = {0};
    jl_status status = jl_grammar_parse(text, len, &g, &err);
    if (status == JL_OK)
        status = jl_automaton_create(g, trie, walk_specials, 4, &a, &err);
    fuzz_require(status == JL_OK || err.text[0]);
    if (status == JL_OK)
        check_step(a, &seed);
    jl_buf out;
    jl_buf_init(&out, 1 << 20);
    if (status == JL_OK && kind == SCHEMA && walk_random_text(a, &seed, &out)) {
        json_t *v = NULL;
        fuzz_require(jl_text_parse_json(jl_buf_str(&out), out.len, "", &v, NULL) == JL_OK);
        json_decref(v);
    }
    jl_buf_free(&out);
    jl_automaton_free(a);
    jl_grammar_free(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!trie)
        trie = walk_trie();
    if (n < 1 || n > 2000)
        return 0;
    const int kind = data[0] % N_KINDS;
    const char *text = (const char *)data + 1;
    if (kind == GBNF) {
        use(text, n - 1, kind, data[0]);
        return 0;
    }
    json_t *v = NULL;
    jl_error err = {0};
    jl_buf gbnf;
    jl_buf_init(&gbnf, 1 << 22);
    if (jl_text_parse_json(text, n - 1, "", &v, &err) == JL_OK) {
        const jl_status status = kind == SCHEMA ? jl_schema_to_gbnf(v, &gbnf, &err)
                                                : jl_tools_to_gbnf(v, true, false, &gbnf, &err);
        fuzz_require(status == JL_OK || err.text[0]);
        if (status == JL_OK)
            use(jl_buf_str(&gbnf), gbnf.len, kind, data[0]);
        json_decref(v);
    }
    jl_buf_free(&gbnf);
    return 0;
}
