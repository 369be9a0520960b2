/* Incremental detokeniser: bytes of tokens in, whole UTF-8 sequences out. */
#include "tok/detok.h"

#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

enum { PENDING_MAX = 3 }; /* bytes of a sequence that lacks at least one */

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
enum { REPLACEMENT_BYTES = 3 };

struct jl_detok {
    const jl_vocab *vocab;
    bool show_special;
    size_t n_pending; /* bytes at the start of raw, the beginning of a sequence */
    size_t raw_cap;
    char *raw;        /* [raw_cap] pending bytes, then those of the token */
    char *text;       /* [REPLACEMENT_BYTES * raw_cap + 1] */
};

jl_status jl_detok_open(const jl_vocab *v, bool show_special, jl_detok **out, jl_error *err)
{
    const size_t raw_cap = PENDING_MAX + jl_vocab_max_bytes(v);
    jl_detok *d = jl_calloc(1, sizeof *d + raw_cap + REPLACEMENT_BYTES * raw_cap + 1);
    if (!d)
        return jl_fail(err, JL_NO_MEMORY, "no memory for a detokeniser");

    d->vocab = v;
    d->show_special = show_special;
    d->raw_cap = raw_cap;
    d->raw = (char *)(d + 1);
    d->text = d->raw + raw_cap;
    *out = d;
    return JL_OK;
}

void jl_detok_destroy(jl_detok *detok)
{
    jl_free(detok);
}

/* Length of the ill-formed bytes at s that one U+FFFD stands for: the longest start of a valid
 * sequence, at least one byte (Unicode 15, section 3.9, substitution of maximal subparts). */
static size_t bad_len(const char *s, size_t len)
{
    for (size_t n = len < PENDING_MAX ? len : PENDING_MAX; n > 1; n--) {
        if (jl_utf8_incomplete(s, n) == n)
            return n;
    }
    return 1;
}

/* Turns the n raw bytes into text, but keeps an unfinished sequence at their end as pending. */
static size_t take_complete(jl_detok *d, size_t n)
{
    size_t len = 0, i = 0;
    while (i < n) {
        size_t step = jl_utf8_len(d->raw + i, n - i);
        if (step) {
            memcpy(d->text + len, d->raw + i, step);
            len += step;
        } else if (n - i <= PENDING_MAX && jl_utf8_incomplete(d->raw + i, n - i) == n - i) {
            break;
        } else {
            step = bad_len(d->raw + i, n - i);
            memcpy(d->text + len, replacement, REPLACEMENT_BYTES);
            len += REPLACEMENT_BYTES;
        }
        i += step;
    }
    d->n_pending = n - i;
    memmove(d->raw, d->raw + i, d->n_pending);
    return len;
}

const char *jl_detok_push(jl_detok *detok, int32_t token, size_t *len)
{
    const size_t n = jl_vocab_decode(detok->vocab, token, detok->show_special,
                                     detok->raw + detok->n_pending,
                                     detok->raw_cap - detok->n_pending);
    *len = take_complete(detok, detok->n_pending + n);
    detok->text[*len] = '\0';
    return detok->text;
}

const char *jl_detok_flush(jl_detok *detok, size_t *len)
{
    *len = detok->n_pending ? REPLACEMENT_BYTES : 0;
    memcpy(detok->text, replacement, *len);
    detok->text[*len] = '\0';
    detok->n_pending = 0;
    return detok->text;
}
