/* Special tokens and tokenizer of a file against the published vocabulary. */
#include <stdio.h>
#include <string.h>

#include "synth/check.h"
#include "synth/vocab.h"
#include "tok/vocab.h"

enum { MAX_IDS = 64 };

/* Text and its ids in the published vocabulary, without the token put first. */
typedef struct {
    const char *text;
    int32_t ids[16];
    size_t n;
} vector;

static const vector gemma_vectors[] = {
    {"Hello world! Caf\xC3\xA9 d\xC3\xA9j\xC3\xA0 vu \xE2\x80\x94 123 \xF0\x9F\x98\x8A",
     {9259, 1902, 236888, 62367, 29234, 11042, 2192, 236743, 236770, 236778, 236800, 103453},
     12},
    {" Linus", {9684, 605}, 2},
    {"\n", {107}, 1},
};
static const vector llama3_vectors[] = {
    {"Hello, y'all! How are you", {9906, 11, 379, 65948, 0, 2650, 527, 499}, 8},
    {"Penguins are superbly adapted to aquatic life.",
     {47, 56458, 527, 33689, 398, 30464, 311, 72491, 2324, 13},
     10},
    {"\n", {198}, 1},
};
static const vector tekken_vectors[] = {
    {"Hello world. This is a test.", {22177, 4304, 1046, 2409, 1395, 1261, 2688, 1046}, 8},
    {"123", {1049, 1050, 1051}, 3},
    {"\n", {1010}, 1},
};

/* A word that tells the published vocabulary from others of its size. */
typedef struct {
    int32_t id;
    const char *piece;
} word;

typedef struct {
    uint32_t n_vocab;       /* of the published vocabulary; 0: ids are not known */
    uint32_t optional_from; /* other vocabularies need not have tokens from this id on */
    const jl_fixed_token *tokens;
    const size_t *n_tokens;
    const char *ends[4];    /* what ends an answer */
    const char *no_end;     /* what does not, although elsewhere it does; NULL: nothing */
    word words[2];
    const vector *vectors;
    size_t n_vectors;
    bool newline_runs;      /* runs of 1..31 newlines are one token each */
} family;

#define N(array) (sizeof(array) / sizeof *(array))

static const family gemma = {262144,
                             255999, /* images and sound */
                             jl_gemma_tokens,
                             &jl_n_gemma_tokens,
                             {"<eos>", "<turn|>", "<|tool_response>"},
                             "</s>",
                             {{9259, "Hello"}, {1902, "\xE2\x96\x81world"}},
                             gemma_vectors,
                             N(gemma_vectors),
                             true};
static const family llama3 = {128256,
                              0,
                              jl_llama3_tokens,
                              &jl_n_llama3_tokens,
                              {"<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"},
                              NULL,
                              {{9906, "Hello"}, {1917, "\xC4\xA0world"}},
                              llama3_vectors,
                              N(llama3_vectors),
                              false};
static const family tekken = {131072,
                              0,
                              jl_tekken_tokens,
                              &jl_n_tekken_tokens,
                              {"</s>"},
                              NULL,
                              {{22177, "Hello"}, {4304, "\xC4\xA0world"}},
                              tekken_vectors,
                              N(tekken_vectors),
                              false};
static const size_t n_spm_tokens = 3; /* <unk>, <s>, </s>, as Tekken has them */
static const family spm = {.tokens = jl_tekken_tokens, .n_tokens = &n_spm_tokens, .ends = {"</s>"}};

static bool text_is(const jl_gguf *g, const char *key, const char *want)
{
    jl_str s = {"", 0};

    return jl_gguf_get_str(g, key, &s) && s.len == strlen(want) && memcmp(s.ptr, want, s.len) == 0;
}

static const family *family_of(const jl_gguf *g)
{
    if (text_is(g, "tokenizer.ggml.model", "llama"))
        return &spm;
    if (!text_is(g, "tokenizer.ggml.model", "gpt2"))
        return &gemma;
    return text_is(g, "tokenizer.ggml.pre", "tekken") ? &tekken : &llama3;
}

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

static bool is_published(const jl_vocab *v, const family *f)
{
    return f->n_vectors && jl_vocab_size(v) == f->n_vocab &&
           piece_is(v, f->words[0].id, f->words[0].piece) &&
           piece_is(v, f->words[1].id, f->words[1].piece);
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

/* A special token against its place; true if it is there. */
static bool check_one(const jl_check *c, const jl_vocab *v, const jl_fixed_token *t, bool full)
{
    const int32_t id = jl_vocab_find(v, t->text, strlen(t->text));

    if (id < 0 && t->type != JL_TOKEN_NORMAL)
        jl_check_report(c, JL_CHECK_FAIL, "special tokens", "%s is missing", t->text);
    else if (full && id != (int32_t)t->id)
        jl_check_report(c, JL_CHECK_FAIL, "special tokens", "%s is token %d, published: %u",
                        t->text, id, t->id);
    else if (t->type != JL_TOKEN_NORMAL && !jl_vocab_is_special(v, id))
        jl_check_report(c, JL_CHECK_FAIL, "special tokens", "%s is an ordinary token", t->text);
    else
        return true;
    return false;
}

static void check_special(const jl_check *c, const jl_vocab *v, const family *f)
{
    const bool full = f->n_vocab == 0 || jl_vocab_size(v) == f->n_vocab;
    uint32_t n_ok = 0;

    for (size_t i = 0; i < *f->n_tokens; i++) {
        const jl_fixed_token *t = &f->tokens[i];
        const bool absent = jl_vocab_find(v, t->text, strlen(t->text)) < 0;
        if (!full && t->id >= f->optional_from && (absent || f->optional_from))
            continue;
        n_ok += check_one(c, v, t, full);
    }
    jl_check_report(c, JL_CHECK_PASS, "special tokens", "%u at their places%s", n_ok,
                    full ? "" : " (own ids: not the published vocabulary)");
}

static void check_ends(const jl_check *c, const jl_vocab *v, const family *f)
{
    char list[120] = "";
    size_t n = 0;
    bool ok = true;

    for (size_t i = 0; i < N(f->ends) && f->ends[i]; i++) {
        const int32_t id = jl_vocab_find(v, f->ends[i], strlen(f->ends[i]));
        if (id < 0 && f->optional_from == 0 && jl_vocab_size(v) != f->n_vocab)
            continue; /* a small vocabulary of the family */
        ok = ok && jl_vocab_is_eog(v, id);
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", f->ends[i]);
    }
    const int32_t other = f->no_end ? jl_vocab_find(v, f->no_end, strlen(f->no_end)) : -1;
    ok = ok && n > 0 && (other < 0 || !jl_vocab_is_eog(v, other));
    if (ok)
        jl_check_report(c, JL_CHECK_PASS, "end of generation", "%s end%s an answer%s%s%s", list,
                        strchr(list, ',') ? "" : "s", f->no_end ? ", " : "",
                        f->no_end ? f->no_end : "", f->no_end ? " does not" : "");
    else
        jl_check_report(c, JL_CHECK_FAIL, "end of generation",
                        "the tokens that end an answer are not the published ones");
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

static void check_vectors(const jl_check *c, const jl_vocab *v, const family *f)
{
    size_t n_ok = 0;

    if (!is_published(v, f)) {
        jl_check_report(c, JL_CHECK_NOTE, "tokenizer",
                        "not the published vocabulary: its test texts do not apply");
        return;
    }
    for (size_t i = 0; i < f->n_vectors; i++) {
        const char *text = f->vectors[i].text;
        if (matches(v, &f->vectors[i]))
            n_ok++;
        else
            jl_check_report(c, JL_CHECK_FAIL, "tokenizer", "\"%s\" is split in another way",
                            *text == '\n' ? "newline" : text);
    }
    if (f->newline_runs && !newline_runs(v))
        jl_check_report(c, JL_CHECK_FAIL, "tokenizer", "a run of newlines is not one token");
    else if (n_ok == f->n_vectors)
        jl_check_report(c, JL_CHECK_PASS, "tokenizer", "%zu texts%s split as published", n_ok,
                        f->newline_runs ? " and 31 runs of newlines" : "");
}

static void check_round_trips(const jl_check *c, const jl_vocab *v)
{
    const size_t n = N(round_trips);

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
    const family *f = family_of(c->g);
    check_special(c, v, f);
    check_ends(c, v, f);
    check_vectors(c, v, f);
    check_round_trips(c, v);
    jl_vocab_destroy(v);
}
