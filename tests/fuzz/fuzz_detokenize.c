/* Any vocabulary and any ids: the text is whole UTF-8 and the same as that of all bytes at once. */
#include "fuzz_vocab.h"

#include "tok/detok.h"

enum { IDS_MAX = 4096, RAW_MAX = IDS_MAX * 256 };

static char raw[RAW_MAX], whole[3 * RAW_MAX], pieces[3 * RAW_MAX];

/* Each maximal start of a sequence that does not go on becomes one U+FFFD. */
static size_t replace_bad(const char *s, size_t len, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        const size_t good = jl_utf8_len(s + i, len - i);
        if (good) {
            memcpy(out + n, s + i, good);
            n += good;
            i += good;
            continue;
        }
        size_t bad = 1;
        for (size_t k = 2; k <= 3 && k <= len - i; k++) {
            if (jl_utf8_incomplete(s + i, k) == k)
                bad = k;
        }
        memcpy(out + n, "\xef\xbf\xbd", 3);
        n += 3;
        i += bad;
    }
    return n;
}

static size_t append(const char *s, size_t len, size_t n)
{
    fuzz_require(s[len] == '\0' && n + len <= sizeof pieces);
    for (size_t i = 0; i < len;) {
        const size_t step = jl_utf8_len(s + i, len - i);
        fuzz_require(step > 0);
        i += step;
    }
    memcpy(pieces + n, s, len);
    return n + len;
}

static void check_ids(const jl_vocab *v, fuzz_input *in, bool show_special)
{
    jl_error err;
    jl_detok *d = NULL;
    size_t n_raw = 0, n = 0, len;
    const char *s;
    fuzz_require(jl_detok_open(v, show_special, &d, &err) == JL_OK);
    for (int i = 0; i < IDS_MAX && in->left; i++) {
        int32_t id = SV_BYTE0 + take_byte(in);
        if (id == SV_BYTE0 + 255)
            id = take_byte(in) * 3 - 9;
        n_raw += jl_vocab_decode(v, id, show_special, raw + n_raw, RAW_MAX - n_raw);
        fuzz_require(n_raw <= RAW_MAX);
        s = jl_detok_push(d, id, &len);
        n = append(s, len, n);
    }
    s = jl_detok_flush(d, &len);
    n = append(s, len, n);
    fuzz_require(n == replace_bad(raw, n_raw, whole) && memcmp(whole, pieces, n) == 0);
    jl_detok_destroy(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    jl_error err = {JL_OK, 0, ""};
    jl_vocab *v = NULL;
    small_vocab *sv = take_vocab(&in);
    if (sv_open(sv, &v, &err) == JL_OK)
        check_ids(v, &in, size % 2);
    else
        fuzz_require(!v && err.text[0]);
    jl_vocab_destroy(v);
    free(sv);
    return 0;
}
