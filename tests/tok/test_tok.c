/* Vocabulary and encoder over small hand-built vocabularies. */
#include "test.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "small_vocab.h"

#define MARK "\xe2\x96\x81"

static jl_error err;

static jl_vocab *open_vocab(small_vocab *s)
{
    jl_vocab *v = NULL;
    assert_ok(sv_open(s, &v, &err));
    free(s);
    return v;
}

/* A little of everything: letters, a word, spaces, newlines, a pair of equal ranks. */
static small_vocab *demo(void)
{
    small_vocab *s = sv_begin();
    static const char *const chars[] = {
        MARK, "h", "e", "l", "o", "a", "b", "c", "\n", "<", ">", "s", "/", "|", "t", "u", "r", "n",
        "\t", "\r", "\xc3\xa9",
    };
    for (size_t i = 0; i < sizeof chars / sizeof *chars; i++)
        sv_piece(s, chars[i], strlen(chars[i]), JL_TOKEN_NORMAL);
    sv_join(s, "l", "l");
    sv_join(s, "h", "e");
    sv_join(s, "he", "ll");
    sv_join(s, "hell", "o");
    sv_join(s, MARK, "hello");
    sv_join(s, MARK, MARK);
    sv_join(s, "a", "a");
    sv_join(s, "b", "c");
    sv_join(s, "a", "b");
    sv_join(s, "\n", "\n");
    sv_piece(s, "\n\n\n\n\n", 5, JL_TOKEN_NORMAL); /* not the result of any merge */
    return s;
}

/* Text of the tokens, joined by spaces, unknown ids as "?". */
static const char *pieces_of(const jl_vocab *v, const char *text, size_t len, unsigned flags)
{
    static char line[4096];
    int32_t ids[256];
    const size_t n = jl_vocab_encode(v, text, len, flags, ids, 256);
    size_t used = 0;
    line[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        const jl_str p = jl_vocab_piece(v, ids[i]);
        used += (size_t)snprintf(line + used, sizeof line - used, "%s%.*s", i ? " " : "",
                                 (int)p.len, p.ptr);
    }
    return line;
}

#define assert_pieces(v, text, flags, expected) \
    assert_string_equal(pieces_of(v, text, sizeof(text) - 1, flags), expected)

static void test_merges(void **state)
{
    jl_vocab *v = open_vocab(demo());
    assert_pieces(v, "hello", 0, "hello");
    assert_pieces(v, "hello hello", 0, "hello " MARK "hello");
    assert_pieces(v, "hellhello", 0, "hell hello");
    assert_pieces(v, "  hello", 0, MARK " " MARK "hello"); /* the word's merges come first */
    assert_pieces(v, "   a", 0, MARK MARK " " MARK " a");
    assert_pieces(v, "aaa", 0, "aa a"); /* the leftmost of equal rank */
    assert_pieces(v, "aaaaa", 0, "aa aa a");
    assert_pieces(v, "abc", 0, "a bc"); /* the lower rank first */
    assert_pieces(v, "\xc3\xa9", 0, "\xc3\xa9");
    assert_pieces(v, MARK "hello", 0, MARK "hello"); /* a mark in the text is a space */
    jl_vocab_destroy(v);
}

static void test_newlines(void **state)
{
    jl_vocab *v = open_vocab(demo());
    assert_pieces(v, "\n", 0, "\n");
    assert_pieces(v, "\n\n\n", 0, "\n\n \n");
    assert_pieces(v, "\n\n\n\n\n", 0, "\n\n\n\n\n"); /* a whole run that is a token */
    assert_pieces(v, "\n\n\n\n\n\n", 0, "\n\n \n\n \n\n");
    assert_pieces(v, "a\n\n\n\n\na", 0, "a \n\n\n\n\n a");
    assert_pieces(v, "\r\n\t", 0, "\r \n \t");
    jl_vocab_destroy(v);
}

static void test_newline_is_cut(void **state)
{
    small_vocab *s = demo();
    sv_join(s, "a", "\n");
    jl_vocab *v = open_vocab(s);
    assert_pieces(v, "a\n", 0, "a \n");
    jl_vocab_destroy(v);
}

static void test_bytes(void **state)
{
    jl_vocab *v = open_vocab(demo());
    assert_pieces(v, "\xe5\x9b\xae", 0, "<0xE5> <0x9B> <0xAE>"); /* not in the vocabulary */
    assert_pieces(v, "a\xff" "b", 0, "a <0xFF> b");
    assert_pieces(v, "\xe2\x96", 0, "<0xE2> <0x96>");   /* cut off */
    assert_pieces(v, "\xc0\xaf", 0, "<0xC0> <0xAF>");   /* overlong */
    assert_pieces(v, "\xed\xa0\x80", 0, "<0xED> <0xA0> <0x80>"); /* surrogate */
    assert_pieces(v, "a\0b", 0, "a <0x00> b");
    assert_pieces(v, "<0xFF>", 0, "< <0x30> <0x78> <0x46> <0x46> >"); /* text is text */
    jl_vocab_destroy(v);
}

static void test_unknown_token(void **state)
{
    small_vocab *s = demo();
    s->pieces[SV_BYTE0 + 0x9b].ptr = "<0x9b>"; /* no longer a byte token */
    jl_vocab *v = open_vocab(s);
    assert_pieces(v, "a\xe5\x9b\xae\xe5\x9b\xae" "b\xe5\x9b\xaf\xff", 0, "a <unk> b <unk> <0xFF>");
    jl_vocab_destroy(v);

    s = demo();
    s->pieces[SV_BYTE0 + 0x9b].ptr = "<0x9b>";
    s->pieces[3].ptr = "<not>";
    s->types[3] = JL_TOKEN_NORMAL;
    assert_fails(sv_open(s, &v, &err), JL_FORMAT, "<0x9B>");
    free(s);
}

static void test_specials(void **state)
{
    jl_vocab *v = open_vocab(demo());
    const unsigned parse = JL_TOKENIZE_SPECIAL;
    assert_pieces(v, "<|turn>a<turn|>", 0,
                  "< | t u r n > a < t u r n | >"); /* user text is never parsed */
    assert_pieces(v, "<|turn>a<turn|>", parse, "<|turn> a <turn|>");
    assert_pieces(v, "<|image>b", parse, "<|image> b");
    assert_pieces(v, "<|image|>b", parse, "<|image|> b"); /* the longest */
    assert_pieces(v, "<|<|turn>", parse, "< | <|turn>");
    assert_pieces(v, "<<bos>", parse, "< <bos>");
    assert_pieces(v, "<eos><eos>", parse, "<eos> <eos>"); /* special though typed normal */
    assert_pieces(v, "<|turn", parse, "< | t u r n");
    assert_pieces(v, "a <bos> a", parse, "a " MARK " <bos> " MARK " a");
    assert_pieces(v, "</s>", parse, "< / s >"); /* ordinary text without merges for it */
    assert_true(jl_vocab_is_special(v, 1));
    assert_true(jl_vocab_is_special(v, 6));
    assert_false(jl_vocab_is_special(v, 12)); /* <b>: user-defined, but plain text */
    assert_false(jl_vocab_is_special(v, 13));
    assert_false(jl_vocab_is_special(v, -1));
    assert_false(jl_vocab_is_special(v, 1 << 20));
    jl_vocab_destroy(v);
}

static void test_text_never_merges_to_special(void **state)
{
    small_vocab *s = demo();
    sv_join(s, "<", "|");
    sv_join(s, "t", "u");
    sv_join(s, "tu", "r");
    sv_join(s, "tur", "n");
    sv_join(s, "turn", ">");
    sv_merge_text(s, "<|", "turn>");
    jl_vocab *v = open_vocab(s);
    assert_pieces(v, "<|turn>", 0, "<| turn>");
    jl_vocab_destroy(v);
}

static void test_bos(void **state)
{
    jl_vocab *v = open_vocab(demo());
    const unsigned both = JL_TOKENIZE_BOS | JL_TOKENIZE_SPECIAL;
    assert_int_equal(jl_vocab_bos(v), 2);
    assert_pieces(v, "", JL_TOKENIZE_BOS, "<bos>");
    assert_pieces(v, "a", JL_TOKENIZE_BOS, "<bos> a");
    assert_pieces(v, "<bos>a", both, "<bos> a");
    assert_pieces(v, "a<bos>", both, "<bos> a <bos>");
    assert_pieces(v, "<b", JL_TOKENIZE_BOS, "<bos> < b");
    jl_vocab_destroy(v);
}

static void test_ends(void **state)
{
    small_vocab *s = demo();
    s->eos = 5;
    jl_vocab *v = open_vocab(s);
    assert_int_equal(jl_vocab_eos(v), 5);
    for (int32_t id = -2; id < (int32_t)jl_vocab_size(v) + 2; id++)
        assert_int_equal(jl_vocab_is_eog(v, id), id == 1 || id == 5 || id == 6);
    jl_vocab_destroy(v);

    s = demo();
    s->eos = 13;
    s->types[13] = JL_TOKEN_CONTROL;
    v = open_vocab(s); /* </s> is text in this family, even if the file says otherwise */
    assert_false(jl_vocab_is_eog(v, 13));
    assert_pieces(v, "</s>", JL_TOKENIZE_SPECIAL, "< / s >");
    jl_vocab_destroy(v);
}

static void test_suppressed(void **state)
{
    static const int32_t list[] = {7, 9, 7, -1, 999999};
    small_vocab *s = demo();
    s->suppress = list;
    s->n_suppress = 5;
    jl_vocab *v = open_vocab(s);
    size_t n;
    const int32_t *ids = jl_vocab_suppressed(v, &n);
    assert_int_equal(n, 4);
    assert_int_equal(ids[0], 7);
    assert_int_equal(ids[1], 9);
    assert_int_equal(ids[2], 8);
    assert_int_equal(ids[3], 10);
    jl_vocab_destroy(v);
}

static void test_queries(void **state)
{
    jl_vocab *v = open_vocab(demo());
    assert_int_equal(jl_vocab_find(v, "<bos>", 5), 2);
    assert_int_equal(jl_vocab_find(v, "", 0), -1);
    assert_int_equal(jl_vocab_find(v, "nothing", 7), -1);
    assert_string_equal(jl_vocab_piece(v, 2).ptr, "<bos>");
    assert_int_equal(jl_vocab_piece(v, -1).len, 0);
    assert_int_equal(jl_vocab_piece(v, (int32_t)jl_vocab_size(v)).len, 0);
    assert_int_equal(jl_vocab_type(v, SV_BYTE0), JL_TOKEN_BYTE);
    assert_int_equal(jl_vocab_type(v, -5), JL_TOKEN_UNDEFINED);

    int32_t ids[2] = {-7, -7};
    assert_int_equal(jl_vocab_encode(v, "hello hello hello", 17, 0, ids, 1), 3);
    assert_int_equal(ids[0], jl_vocab_find(v, "hello", 5));
    assert_int_equal(ids[1], -7);
    assert_int_equal(jl_vocab_encode(v, "hello", 5, 0, NULL, 0), 1);

    char text[8];
    assert_int_equal(jl_vocab_decode(v, jl_vocab_find(v, MARK "hello", 8), false, text, 8), 6);
    assert_memory_equal(text, " hello", 6);
    assert_int_equal(jl_vocab_decode(v, SV_BYTE0 + 0xfe, false, text, 8), 1);
    assert_int_equal((unsigned char)text[0], 0xfe);
    assert_int_equal(jl_vocab_decode(v, 2, false, text, 8), 0);
    assert_int_equal(jl_vocab_decode(v, 2, true, text, 2), 5);
    assert_int_equal(jl_vocab_decode(v, 99999, true, text, 8), 0);
    assert_int_equal(jl_vocab_decode(v, -1, true, text, 8), 0);
    jl_vocab_destroy(v);
}

static void test_kinds(void **state)
{
    jl_vocab *v = NULL;
    small_vocab *s = demo();
    s->model = "llama";
    s->pre = "gemma4";
    assert_ok(sv_open(s, &v, &err));
    jl_vocab_destroy(v);
    s->pre = NULL;
    assert_fails(sv_open(s, &v, &err), JL_FORMAT, "tokenizer.ggml.scores");
    s->pre = "strange";
    assert_fails(sv_open(s, &v, &err), JL_UNSUPPORTED, "strange");
    s->model = "martian";
    s->pre = "valley";
    assert_fails(sv_open(s, &v, &err), JL_UNSUPPORTED, "valley");
    s->model = NULL;
    assert_fails(sv_open(s, &v, &err), JL_FORMAT, "tokenizer.ggml.model");
    s->model = "gemma4";
    s->no_merges_key = 1;
    assert_fails(sv_open(s, &v, &err), JL_FORMAT, "tokenizer.ggml.merges");
    s->no_merges_key = 0;
    s->bos = 1 << 20;
    assert_fails(sv_open(s, &v, &err), JL_FORMAT, "bos_token_id");
    free(s);

    s = sv_begin();
    s->n_pieces = 0;
    assert_fails(sv_open(s, &v, &err), JL_FORMAT, "tokenizer.ggml.tokens");
    char *big = calloc(1, JL_VOCAB_MAX_PIECE + 1);
    memset(big, 'x', JL_VOCAB_MAX_PIECE + 1);
    sv_piece(s, big, JL_VOCAB_MAX_PIECE + 1, JL_TOKEN_NORMAL);
    assert_fails(sv_open(s, &v, &err), JL_TOO_LARGE, "token 0");
    free(big);
    free(s);
}

/* Odd merges are left out; the others keep their order. */
static void test_bad_merges(void **state)
{
    small_vocab *s = demo();
    s->merges[s->n_merges++] = sv_copy(s, "", 0);
    s->merges[s->n_merges++] = sv_copy(s, " ", 1);
    s->merges[s->n_merges++] = sv_copy(s, "ab", 2);
    s->merges[s->n_merges++] = sv_copy(s, "a zz", 4);
    s->merges[s->n_merges++] = sv_copy(s, "zz a", 4);
    s->merges[s->n_merges++] = sv_copy(s, "a c", 3); /* "ac" is no piece */
    s->merges[s->n_merges++] = sv_copy(s, "a a", 3); /* twice: the first rank counts */
    sv_join(s, "c", "c");
    jl_vocab *v = open_vocab(s);
    assert_pieces(v, "aac", 0, "aa c");
    assert_pieces(v, "accc", 0, "a cc c");
    assert_pieces(v, "aab", 0, "aa b");
    jl_vocab_destroy(v);
}

/* ---- against the plain algorithm -------------------------------------------------------- */

static uint64_t rng_state = 88172645463325252ull;

static uint32_t rnd(uint32_t n)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return (uint32_t)((rng_state >> 20) % n);
}

enum { N_LETTERS = 8, N_GROWN = 220, N_ALL = N_LETTERS + N_GROWN };

/* A random vocabulary over a few letters, and the rank and result of each pair. */
typedef struct {
    char text[N_ALL][48];
    uint32_t rank[N_ALL][N_ALL];
    int merged[N_ALL][N_ALL];
    int n;
} plain_vocab;

static int plain_find(const plain_vocab *p, const char *text)
{
    for (int i = 0; i < p->n; i++) {
        if (strcmp(p->text[i], text) == 0)
            return i;
    }
    return -1;
}

static small_vocab *random_vocab(plain_vocab *p)
{
    small_vocab *s = sv_begin();
    memset(p, 0, sizeof *p);
    memset(p->rank, 0xff, sizeof p->rank);
    for (; p->n < N_LETTERS; p->n++) {
        snprintf(p->text[p->n], sizeof p->text[0], "%c", 'a' + p->n);
        sv_piece(s, p->text[p->n], 1, JL_TOKEN_NORMAL);
    }
    for (uint32_t rank = 0; p->n < N_ALL; rank++) {
        const int l = (int)rnd((uint32_t)p->n), r = (int)rnd((uint32_t)p->n);
        char both[96];
        snprintf(both, sizeof both, "%s%s", p->text[l], p->text[r]);
        if (strlen(both) > 20 || p->rank[l][r] != UINT32_MAX)
            continue;
        int id = plain_find(p, both);
        if (id < 0) {
            id = p->n++;
            memcpy(p->text[id], both, strlen(both) + 1);
            sv_piece(s, both, strlen(both), JL_TOKEN_NORMAL);
        }
        sv_merge_text(s, p->text[l], p->text[r]);
        p->rank[l][r] = rank;
        p->merged[l][r] = id;
    }
    return s;
}

/* The rule as it is written down: search the best pair, merge it, start over. */
static size_t plain_encode(const plain_vocab *p, const char *text, size_t n, int *ids)
{
    for (size_t i = 0; i < n; i++)
        ids[i] = text[i] - 'a';
    for (;;) {
        uint32_t best = UINT32_MAX;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            if (p->rank[ids[i]][ids[i + 1]] < best) {
                best = p->rank[ids[i]][ids[i + 1]];
                at = i;
            }
        }
        if (best == UINT32_MAX)
            return n;
        ids[at] = p->merged[ids[at]][ids[at + 1]];
        memmove(ids + at + 1, ids + at + 2, (n - at - 2) * sizeof *ids);
        n--;
    }
}

static void check_plain(const jl_vocab *v, const plain_vocab *p, const char *text, size_t len)
{
    int *expected = malloc((len + 1) * sizeof *expected);
    int32_t *got = malloc((len + 1) * sizeof *got);
    const size_t n = plain_encode(p, text, len, expected);
    assert_int_equal(jl_vocab_encode(v, text, len, 0, got, len), n);
    for (size_t i = 0; i < n; i++) {
        const jl_str piece = jl_vocab_piece(v, got[i]);
        if (strcmp(piece.ptr, p->text[expected[i]]) != 0)
            fail_msg("token %zu of %zu is %s, expected %s", i, n, piece.ptr, p->text[expected[i]]);
    }
    free(expected);
    free(got);
}

/* Random text; of two or three letters only or of one piece over and over too, since long runs are
 * where blocks could be joined wrongly. */
static void random_text(const plain_vocab *p, char *text, size_t len)
{
    const uint32_t kind = rnd(4), letters = 1 + rnd(N_LETTERS), piece = rnd((uint32_t)p->n);
    for (size_t i = 0; i < len;) {
        const char *s = p->text[kind == 0 ? rnd((uint32_t)p->n) : kind == 1 ? piece : rnd(letters)];
        for (; *s && i < len; s++)
            text[i++] = *s;
    }
}

static void test_plain_short(void **state)
{
    static plain_vocab p;
    static char text[400];
    for (int round = 0; round < 40; round++) {
        jl_vocab *v = open_vocab(random_vocab(&p));
        for (int i = 0; i < 100; i++) {
            const size_t len = 1 + rnd(i % 4 ? 40 : 399);
            random_text(&p, text, len);
            check_plain(v, &p, text, len);
        }
        jl_vocab_destroy(v);
    }
}

static void test_plain_long(void **state)
{
    static plain_vocab p;
    static char text[20000];
    for (int round = 0; round < 24; round++) {
        jl_vocab *v = open_vocab(random_vocab(&p));
        const size_t len = 4000 + rnd(16000);
        random_text(&p, text, len);
        check_plain(v, &p, text, len);
        jl_vocab_destroy(v);
    }
}

/* Pairs that must merge from right to left through the whole text: what a block's tokens are
 * depends on where the text ends, however far away: blocks cannot be joined and must grow. */
static void test_right_to_left(void **state)
{
    enum { N = 19001 };
    static char text[4 * N];
    static size_t start[N + 1];
    small_vocab *s = sv_begin();
    for (int i = 0; i < N; i++) {
        start[i + 1] = start[i] + jl_utf8_encode(0x4e00 + (uint32_t)i, text + start[i]);
        sv_piece(s, text + start[i], start[i + 1] - start[i], JL_TOKEN_NORMAL);
    }
    for (int i = N - 2; i >= 0; i--) {
        const jl_str l = {text + start[i], start[i + 1] - start[i]};
        const jl_str r = {text + start[i + 1], start[i + 2] - start[i + 1]};
        sv_merge(s, l, r);
        sv_piece(s, l.ptr, l.len + r.len, JL_TOKEN_NORMAL);
    }
    jl_vocab *v = open_vocab(s);
    static int32_t ids[N];
    const size_t n = jl_vocab_encode(v, text, start[N], 0, ids, N);
    assert_int_equal(n, (N + 1) / 2);
    assert_int_equal(jl_vocab_piece(v, ids[0]).len, start[1]); /* the first is left over */
    for (size_t i = 1; i < n; i++)
        assert_memory_equal(jl_vocab_piece(v, ids[i]).ptr, text + start[2 * i - 1],
                            start[2 * i + 1] - start[2 * i - 1]);
    jl_vocab_destroy(v);
}

/* Heap calls do not grow with the text, only when blocks must grow. */
static void test_memory(void **state)
{
    jl_vocab *v = open_vocab(demo());
    const size_t len = 300000;
    char *text = malloc(len);
    memset(text, 'a', len);
    const size_t before = jl_mem_calls();
    assert_int_equal(jl_vocab_encode(v, text, len, 0, NULL, 0), len / 2);
    assert_in_range(jl_mem_calls() - before, 1, 4);
    free(text);
    jl_vocab_destroy(v);
}

/* Any bytes come back, spaces and marks as spaces. */
static void test_round_trip(void **state)
{
    jl_vocab *v = open_vocab(demo());
    for (int round = 0; round < 3000; round++) {
        char text[64], back[256];
        int32_t ids[200];
        const size_t len = rnd(sizeof text);
        for (size_t i = 0; i < len; i++)
            text[i] = rnd(3) ? "hello abc\n\xe2\x96\x81\xc3\xa9"[rnd(15)] : (char)rnd(256);
        const size_t n = jl_vocab_encode(v, text, len, 0, ids, 200);
        size_t n_back = 0;
        for (size_t i = 0; i < n; i++)
            n_back += jl_vocab_decode(v, ids[i], true, back + n_back, sizeof back - n_back);
        size_t k = 0;
        for (size_t i = 0; i < len; k++) {
            const bool mark = len - i >= 3 && memcmp(text + i, MARK, 3) == 0;
            assert_int_equal(back[k], mark ? ' ' : text[i]);
            i += mark ? 3 : 1;
        }
        assert_int_equal(n_back, k);
    }
    jl_vocab_destroy(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merges),
        cmocka_unit_test(test_newlines),
        cmocka_unit_test(test_newline_is_cut),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_unknown_token),
        cmocka_unit_test(test_specials),
        cmocka_unit_test(test_text_never_merges_to_special),
        cmocka_unit_test(test_bos),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_suppressed),
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_bad_merges),
        cmocka_unit_test(test_plain_short),
        cmocka_unit_test(test_plain_long),
        cmocka_unit_test(test_right_to_left),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests_name("tok", tests, NULL, NULL);
}
