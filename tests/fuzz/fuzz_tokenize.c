/* Any vocabulary and any text: the ids agree with the rule applied literally, adjacent tokens stay
 * as they are when encoded alone, and the text comes back. */
#include "fuzz_vocab.h"

#include "joule/joule.h"

#define MARK "\xe2\x96\x81"

enum { TEXT_MAX = 12000, PLAIN_MAX = 64, PAIRS_MAX = 100 };

static char text[TEXT_MAX], back[4 * TEXT_MAX];
static int32_t ids[2 * TEXT_MAX + 2], again[TEXT_MAX + 1];

/* ---- the rule applied literally ---------------------------------------------------------- */

typedef struct {
    char s[256];
    size_t len;
    bool known;
} part;

static bool is_plain(const jl_vocab *v, const char *s, size_t len)
{
    const int32_t id = jl_vocab_find(v, s, len);
    const jl_str p = jl_vocab_piece(v, id);
    bool byte = p.len == 6 && memcmp(p.ptr, "<0x", 3) == 0 && p.ptr[5] == '>';
    for (int i = 3; byte && i < 5; i++)
        byte = strchr("0123456789ABCDEF", p.ptr[i]) && p.ptr[i];
    return id >= 0 && !byte && !jl_vocab_is_special(v, id);
}

/* Rank of the merge of two parts, SIZE_MAX if there is none. */
static size_t rank_of(const small_vocab *sv, const jl_vocab *v, const part *l, const part *r)
{
    char both[600];
    if (!l->known || !r->known || (l->s[0] == '\n') != (r->s[0] == '\n'))
        return SIZE_MAX;
    memcpy(both, l->s, l->len);
    memcpy(both + l->len, r->s, r->len);
    if (!is_plain(v, both, l->len + r->len))
        return SIZE_MAX;
    for (size_t i = 0; i < sv->n_merges; i++) {
        const jl_str m = sv->merges[i];
        const char *space = m.len > 1 ? memchr(m.ptr + 1, ' ', m.len - 1) : NULL;
        if (space && (size_t)(space - m.ptr) == l->len && m.len - l->len - 1 == r->len &&
            memcmp(m.ptr, l->s, l->len) == 0 && memcmp(space + 1, r->s, r->len) == 0)
            return i;
    }
    return SIZE_MAX;
}

static size_t split(const jl_vocab *v, size_t len, part *parts)
{
    size_t n = 0;
    for (size_t i = 0; i < len; n++) {
        const size_t n_bytes = jl_utf8_len(text + i, len - i);
        parts[n].len = n_bytes ? n_bytes : 1;
        memcpy(parts[n].s, text + i, parts[n].len);
        i += parts[n].len;
        if (parts[n].len == 1 && parts[n].s[0] == ' ') {
            memcpy(parts[n].s, MARK, 3);
            parts[n].len = 3;
        }
        parts[n].known = n_bytes && is_plain(v, parts[n].s, parts[n].len);
        /* A space without a mark in the vocabulary is the byte it is. */
        if (!parts[n].known && memcmp(parts[n].s, MARK, 3) == 0 && text[i - 1] == ' ') {
            parts[n].s[0] = ' ';
            parts[n].len = 1;
        }
    }
    return n;
}

static size_t merge_all(const small_vocab *sv, const jl_vocab *v, part *parts, size_t n)
{
    for (;;) {
        size_t best = SIZE_MAX, at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            const size_t rank = rank_of(sv, v, &parts[i], &parts[i + 1]);
            if (rank < best) {
                best = rank;
                at = i;
            }
        }
        if (best == SIZE_MAX)
            return n;
        memcpy(parts[at].s + parts[at].len, parts[at + 1].s, parts[at + 1].len);
        parts[at].len += parts[at + 1].len;
        memmove(&parts[at + 1], &parts[at + 2], (n - at - 2) * sizeof *parts);
        n--;
    }
}

/* Runs of newlines that are tokens as a whole are not followed here. */
static void check_plain(const small_vocab *sv, const jl_vocab *v, size_t len, size_t n_ids)
{
    static part parts[PLAIN_MAX];
    for (size_t i = 0; i + 1 < len; i++) {
        if (text[i] == '\n' && text[i + 1] == '\n')
            return;
    }
    const size_t n = merge_all(sv, v, parts, split(v, len, parts));
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].known) {
            fuzz_require(k < n_ids && ids[k] == jl_vocab_find(v, parts[i].s, parts[i].len));
            k++;
            continue;
        }
        for (size_t b = 0; b < parts[i].len; b++, k++) {
            char name[8];
            snprintf(name, sizeof name, "<0x%02X>", (unsigned char)parts[i].s[b]);
            fuzz_require(k < n_ids && ids[k] == jl_vocab_find(v, name, 6));
        }
    }
    fuzz_require(k == n_ids);
}

/* ---- properties of any encoding ---------------------------------------------------------- */

static void check_pairs(const jl_vocab *v, size_t n)
{
    for (size_t i = 0; i + 1 < n; i += 1 + n / PAIRS_MAX) {
        const jl_str l = jl_vocab_piece(v, ids[i]), r = jl_vocab_piece(v, ids[i + 1]);
        char both[600];
        int32_t pair[600];
        if (l.len + r.len > sizeof both || !is_plain(v, l.ptr, l.len) || !is_plain(v, r.ptr, r.len))
            continue;
        memcpy(both, l.ptr, l.len);
        memcpy(both + l.len, r.ptr, r.len);
        if (memchr(both, '\n', l.len + r.len))
            continue;
        fuzz_require(jl_vocab_encode(v, both, l.len + r.len, 0, pair, 600) == 2);
        fuzz_require(pair[0] == ids[i] && pair[1] == ids[i + 1]);
    }
}

static void check_round_trip(const small_vocab *sv, const jl_vocab *v, size_t len, size_t first,
                             size_t n)
{
    const bool marks = strcmp(sv->model, "gpt2") != 0;
    size_t n_back = 0, k = strcmp(sv->model, "llama") == 0 && len > 0; /* the space before */
    for (size_t i = first; i < n; i++)
        n_back += jl_vocab_decode(v, ids[i], true, back + n_back, sizeof back - n_back);
    for (size_t i = 0; i < len; k++) {
        const bool mark = marks && len - i >= 3 && memcmp(text + i, MARK, 3) == 0;
        fuzz_require(k < n_back);
        /* The mark itself comes back as its bytes where the vocabulary lacks it. */
        if (mark && back[k] == MARK[0]) {
            fuzz_require(k + 3 <= n_back && memcmp(back + k, MARK, 3) == 0);
            k += 2;
        } else {
            fuzz_require(back[k] == (mark ? ' ' : text[i]));
        }
        i += mark ? 3 : 1;
    }
    fuzz_require(k == n_back);
}

static void check_text(const small_vocab *sv, const jl_vocab *v, size_t len, unsigned flags)
{
    const size_t n = jl_vocab_encode(v, text, len, flags, ids, 2 * TEXT_MAX + 2);
    fuzz_require(n <= 2 * len + 2);
    fuzz_require(jl_vocab_encode(v, text, len, flags, NULL, 0) == n);
    fuzz_require(jl_vocab_encode(v, text, len, flags, again, n / 2) == n);
    fuzz_require(memcmp(ids, again, n / 2 * sizeof *ids) == 0);

    size_t first = 0;
    const bool byte_level = strcmp(sv->model, "gpt2") == 0;
    const bool prefix = strcmp(sv->model, "llama") == 0;
    bool all_bytes = true;
    for (int c = 0; c < 256 && !byte_level; c++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", c);
        const int32_t id = jl_vocab_find(v, name, 6);
        all_bytes = all_bytes && id >= 0 && !jl_vocab_is_special(v, id);
    }
    if ((flags & JL_TOKENIZE_BOS) && jl_vocab_bos(v) >= 0) {
        fuzz_require(n > 0 && ids[0] == jl_vocab_bos(v));
        /* Already in the text, or put before it. */
        const size_t bare = jl_vocab_encode(v, text, len, flags & JL_TOKENIZE_SPECIAL, NULL, 0);
        fuzz_require(n == bare || n == bare + 1);
        first = n - bare;
    }
    for (size_t i = 0; i < n; i++)
        fuzz_require(ids[i] >= 0 && (uint32_t)ids[i] < jl_vocab_size(v));
    if (!all_bytes)
        return;
    for (size_t i = first; i < n && !(flags & JL_TOKENIZE_SPECIAL); i++)
        fuzz_require(!jl_vocab_is_special(v, ids[i]));
    if (!prefix || !(flags & JL_TOKENIZE_SPECIAL))
        check_round_trip(sv, v, len, first, n);
    if (flags == 0 && !byte_level && !prefix) {
        check_pairs(v, n);
        if (len < PLAIN_MAX)
            check_plain(sv, v, len, n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    jl_error err = {JL_OK, 0, ""};
    jl_vocab *v = NULL;
    small_vocab *sv = take_vocab(&in);
    const uint8_t mode = take_byte(&in);
    if (sv_open(sv, &v, &err) != JL_OK) {
        fuzz_require(!v && err.text[0]);
        free(sv);
        return 0;
    }

    /* One in eight texts is the rest of the input over and over, longer than a block. */
    size_t len = in.left < TEXT_MAX ? in.left : TEXT_MAX;
    memcpy(text, in.data, len);
    if (mode / 4 % 8 == 7 && len > 0) {
        for (; len < TEXT_MAX / 2; len *= 2)
            memcpy(text + len, text, len);
    }
    check_text(sv, v, len, mode % 4);
    jl_vocab_destroy(v);
    free(sv);
    return 0;
}
