/* Cutting text into words by a pattern: a thin layer over PCRE2. */
#include "tok/pretok.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/mem.h"
#include "base/utf8.h"

struct jl_pretok {
    pcre2_general_context *general;
    pcre2_code *code;
};

struct jl_pretok_match {
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

static void *take(size_t n_bytes, void *ctx)
{
    (void)ctx;
    return jl_malloc(n_bytes);
}

static void give(void *p, void *ctx)
{
    (void)ctx;
    jl_free(p);
}

jl_status jl_pretok_create(const char *pattern, jl_pretok **out, jl_error *err)
{
    jl_pretok *p = jl_calloc(1, sizeof *p);
    if (!p)
        return jl_fail(err, JL_NO_MEMORY, "no memory for the pre-tokenizer");

    int code = 0;
    PCRE2_SIZE at = 0;
    p->general = pcre2_general_context_create(take, give, NULL);
    pcre2_compile_context *c = p->general ? pcre2_compile_context_create(p->general) : NULL;
    if (c)
        p->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &code, &at,
                                c);
    pcre2_compile_context_free(c);
    if (!p->code) {
        jl_pretok_destroy(p);
        return jl_fail(err, JL_NO_MEMORY, "no memory for the pre-tokenizer (pcre2: %d at %zu)",
                       code, (size_t)at);
    }
    /* Without just-in-time compiling the words are the same, only slower. */
    (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
    *out = p;
    return JL_OK;
}

void jl_pretok_destroy(jl_pretok *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    pcre2_general_context_free(p->general);
    jl_free(p);
}

/* No limit on backtracking: the patterns are ours, and none does more than walk once forth and back
 * over the word it finds, whatever its length; the default would cut words of 10 million bytes. */
jl_pretok_match *jl_pretok_match_create(const jl_pretok *p)
{
    jl_pretok_match *m = jl_calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->data = pcre2_match_data_create(1, p->general);
    m->limits = pcre2_match_context_create(p->general);
    if (!m->data || !m->limits) {
        jl_pretok_match_destroy(m);
        return NULL;
    }
    pcre2_set_match_limit(m->limits, UINT32_MAX);
    return m;
}

void jl_pretok_match_destroy(jl_pretok_match *m)
{
    if (!m)
        return;
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->limits);
    jl_free(m);
}

size_t jl_pretok_word(const jl_pretok *p, jl_pretok_match *m, const char *text, size_t len,
                      size_t pos)
{
    const int n = pcre2_match(p->code, (PCRE2_SPTR)text, len, pos,
                              PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK, m->data, m->limits);
    const PCRE2_SIZE *range = pcre2_get_ovector_pointer(m->data);
    if (n > 0 && range[1] > pos)
        return range[1] - pos;

    const size_t n_bytes = jl_utf8_len(text + pos, len - pos);
    return n_bytes ? n_bytes : 1;
}
