/* Special tokens and tokenizer of a file against the published vocabulary. */
#include <string.h>

#include "synth/check.h"
#include "synth/vocab.h"
#include "tok/vocab.h"

enum { PUBLISHED_VOCAB = 262144, MAX_IDS = 64, HELLO = 9259, WORLD = 1902 };

/* Text and its ids in the published vocabulary, <bos> left out. */
typedef struct {
    const char *text;
    int32_t ids[16];
    size_t n;
} vector;

static const vector vectors[] = {
    {"Hello world! Caf\xC3\xA9 d\xC3\xA9j\xC3\xA0 vu \xE2\x80\x94 123 \xF0\x9F\x98\x8A",
     {9259, 1902, 236888, 62367, 29234, 11042, 2192, 236743, 236770, 236778, 236800, 103453},
     12},
    {" Linus", {9684, 605}, 2},
    {"\n", {107}, 1},
};

/* Texts that must come back byte for byte. */
static const char *const round_trips[] = {
    "\xE5\x9B\xAE \xE8\xBA\x99 \xE7\x8B\xA2 \xE5\x9C\x80",
    ("\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7 "
     "\xF0\x9F\x87\xA9\xF0\x9F\x87\xAA"),
    "a  b   c\t\td\r\n\r\n\n\n\n  <bos> </s> <|turn>",
    "\x01\x7F\xC2\x85\xEF\xBB\xBF",
};

static size_t encode(const jl_vocab *v, const char *text, int32_t *ids, size_t cap)
{
    return jl_vocab_encode(v, text, strlen(text), 0, ids, cap);
}

static bool matches(const jl_vocab *v, const vector *want)
{
    int32_t ids[MAX_IDS];

    return encode(v, want->text, ids, MAX_IDS) == want->n &&
           memcmp(ids, want->ids, want->n * sizeof *ids) == 0;
}

static bool piece_is(const jl_vocab *v, int32_t id, const char *text)
{
    const jl_str s = jl_vocab_piece(v, id);

    return s.len == strlen(text) && memcmp(s.ptr, text, s.len) == 0;
}

static bool is_published(const jl_vocab *v)
{
    return jl_vocab_size(v) == PUBLISHED_VOCAB && piece_is(v, HELLO, "Hello") &&
           piece_is(v, WORLD, "\xE2\x96\x81world");
}

static bool comes_back(const jl_vocab *v, const char *text)
{
    int32_t ids[256];
    char back[256];
    char piece[256];
    size_t len = 0;
    const size_t n = encode(v, text, ids, 256);

    for (size_t i = 0; i < n && i < 256; i++) {
        const size_t bytes = jl_vocab_decode(v, ids[i], true, piece, sizeof piece);
        if (bytes > sizeof piece || len + bytes > sizeof back)
            return false;
        memcpy(back + len, piece, bytes);
        len += bytes;
    }
    return n <= 256 && len == strlen(text) && memcmp(back, text, len) == 0;
}

static void check_special(const jl_check *c, const jl_vocab *v)
{
    const bool full = jl_vocab_size(v) == PUBLISHED_VOCAB;
    uint32_t n_ok = 0;

    for (size_t i = 0; i < jl_n_gemma_tokens; i++) {
        const jl_fixed_token *t = &jl_gemma_tokens[i];
        const int32_t id = jl_vocab_find(v, t->text, strlen(t->text));
        if (!full && t->id >= 255999) /* images and sound: small vocabularies have none */
            continue;
        if (id < 0 && t->type != JL_TOKEN_NORMAL)
            jl_check_report(c, JL_CHECK_FAIL, "special tokens", "%s is missing", t->text);
        else if (full && id != (int32_t)t->id)
            jl_check_report(c, JL_CHECK_FAIL, "special tokens", "%s is token %d, published: %u",
                            t->text, id, t->id);
        else if (t->type != JL_TOKEN_NORMAL && !jl_vocab_is_special(v, id))
            jl_check_report(c, JL_CHECK_FAIL, "special tokens", "%s is an ordinary token", t->text);
        else
            n_ok++;
    }
    jl_check_report(c, JL_CHECK_PASS, "special tokens", "%u at their places%s", n_ok,
                    full ? "" : " (own ids: not the published vocabulary)");
}

static void check_ends(const jl_check *c, const jl_vocab *v)
{
    static const char *const ends[] = {"<eos>", "<turn|>", "<|tool_response>"};
    bool ok = true;

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        ok = ok && jl_vocab_is_eog(v, jl_vocab_find(v, ends[i], strlen(ends[i])));
    const int32_t html = jl_vocab_find(v, "</s>", 4);
    ok = ok && (html < 0 || !jl_vocab_is_eog(v, html));
    jl_check_report(c, ok ? JL_CHECK_PASS : JL_CHECK_FAIL, "end of generation",
                    ok ? "<eos>, <turn|> and <|tool_response> end an answer, </s> does not"
                       : "the tokens that end an answer are not the published ones");
}

/* Runs of 1..31 newlines are one token each. */
static bool newline_runs(const jl_vocab *v)
{
    char text[32];
    int32_t ids[MAX_IDS];

    for (size_t n = 1; n < sizeof text; n++) {
        memset(text, '\n', n);
        text[n] = 0;
        if (encode(v, text, ids, MAX_IDS) != 1)
            return false;
    }
    return true;
}

static void check_vectors(const jl_check *c, const jl_vocab *v)
{
    const size_t n = sizeof vectors / sizeof *vectors;
    size_t n_ok = 0;

    if (!is_published(v)) {
        jl_check_report(c, JL_CHECK_NOTE, "tokenizer",
                        "not the published vocabulary: its test texts do not apply");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (matches(v, &vectors[i]))
            n_ok++;
        else
            jl_check_report(c, JL_CHECK_FAIL, "tokenizer", "\"%s\" is split in another way",
                            i == 2 ? "newline" : vectors[i].text);
    }
    if (!newline_runs(v))
        jl_check_report(c, JL_CHECK_FAIL, "tokenizer", "a run of newlines is not one token");
    else if (n_ok == n)
        jl_check_report(c, JL_CHECK_PASS, "tokenizer",
                        "%zu texts and 31 runs of newlines split as published", n);
}

static void check_round_trips(const jl_check *c, const jl_vocab *v)
{
    const size_t n = sizeof round_trips / sizeof *round_trips;

    for (size_t i = 0; i < n; i++)
        if (!comes_back(v, round_trips[i])) {
            jl_check_report(c, JL_CHECK_FAIL, "tokenizer",
                            "text %zu does not come back from its "
                            "tokens",
                            i + 1);
            return;
        }
    jl_check_report(c, JL_CHECK_PASS, "tokenizer", "%zu texts come back from their tokens", n);
}

void jl_check_tokens(const jl_check *c)
{
    jl_vocab *v = NULL;
    jl_error err;
    jl_str model = {"", 0};

    if (jl_vocab_create(c->g, &v, &err) != JL_OK) {
        jl_check_report(c, JL_CHECK_FAIL, "tokenizer", "%s", err.text);
        return;
    }
    (void)jl_gguf_get_str(c->g, "tokenizer.ggml.model", &model);
    jl_check_report(c, JL_CHECK_PASS, "vocabulary", "%u tokens, type %.*s, bos %d, eos %d",
                    jl_vocab_size(v), (int)(model.len < 40 ? model.len : 40), model.ptr,
                    jl_vocab_bos(v), jl_vocab_eos(v));
    check_special(c, v);
    check_ends(c, v);
    check_vectors(c, v);
    check_round_trips(c, v);
    jl_vocab_destroy(v);
}
