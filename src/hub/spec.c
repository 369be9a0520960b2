/* "hf:OWNER/REPO@REVISION:WHAT". */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hub/hub.h"

static const char word[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

bool jl_hub_is_spec(const char *text)
{
    return strncmp(text, "hf:", 3) == 0;
}

jl_status jl_hub_join(char *out, size_t cap, jl_error *err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    const int n = vsnprintf(out, cap, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= cap)
        return jl_fail(err, JL_TOO_LARGE, "a path is longer than %zu bytes: %.200s", cap - 1, out);
    return JL_OK;
}

bool jl_hub_is_hex(const char *s, size_t n)
{
    return strlen(s) == n && strspn(s, "0123456789abcdef") == n;
}

static bool put(char *out, size_t cap, const char *s, size_t n)
{
    if (n == 0 || n >= cap)
        return false;
    memcpy(out, s, n);
    out[n] = '\0';
    return true;
}

/* Two words with one slash, as the Hub allows them. */
static bool is_repo(const char *s)
{
    const size_t owner = strspn(s, word);

    return owner > 0 && s[owner] == '/' && s[owner + 1] && s[0] != '.' && s[owner + 1] != '.' &&
           strspn(s + owner + 1, word) == strlen(s + owner + 1) && !strstr(s, "..") &&
           !strstr(s, "--");
}

jl_status jl_hub_parse(const char *text, jl_hub_spec *out, jl_error *err)
{
    jl_hub_spec spec = {.rev = "main"};
    const char *repo = jl_hub_is_spec(text) ? text + 3 : text;
    const size_t n_repo = strcspn(repo, "@:");
    const char *rest = repo + n_repo;

    bool ok = put(spec.repo, sizeof spec.repo, repo, n_repo) && is_repo(spec.repo);
    if (ok && *rest == '@') {
        const size_t n = strcspn(rest + 1, ":");
        ok = put(spec.rev, sizeof spec.rev, rest + 1, n) && spec.rev[0] != '.' &&
             !strstr(spec.rev, "..") && strspn(spec.rev, word) == strlen(spec.rev);
        rest += 1 + n;
    }
    if (ok && *rest == ':')
        ok = put(spec.what, sizeof spec.what, rest + 1, strlen(rest + 1));
    if (!ok)
        return jl_fail(err, JL_INVALID,
                       "'%.200s' names no model: write hf:OWNER/REPO:QUANT, as in "
                       "hf:unsloth/gemma-4-26B-A4B-it-GGUF:UD-IQ4_XS",
                       text);
    *out = spec;
    return JL_OK;
}
