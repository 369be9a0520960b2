/* Token ids against Hugging Face `tokenizers`: test_tok_golden VOCAB.gguf GOLDENS.bin [MB], files
 * of scripts/make-tok-goldens. Also: the text comes back, and MB (default 1) megabytes are encoded
 * quickly whatever they are. */
#include "test.h"

#include "base/file.h"
#include "small_vocab.h"

static jl_error err;
static const char *vocab_path, *golden_path;
static jl_vocab *vocab;
static size_t n_mb = 1;

static int open_all(void **state)
{
    jl_gguf *g = NULL;
    assert_ok(jl_gguf_open(vocab_path, &g, &err));
    const double start = jl_time_cpu();
    assert_ok(jl_vocab_create(g, &vocab, &err));
    print_message("# %u tokens read in %.0f ms\n", jl_vocab_size(vocab),
                  (jl_time_cpu() - start) * 1e3);
    jl_gguf_close(g);
    return 0;
}

static int close_all(void **state)
{
    jl_vocab_destroy(vocab);
    return 0;
}

typedef struct {
    const uint8_t *data;
    size_t n_bytes, pos;
} golden_reader;

static size_t read_varint(golden_reader *r)
{
    size_t x = 0;
    for (int shift = 0;; shift += 7) {
        assert_true(r->pos < r->n_bytes && shift < 35);
        const uint8_t b = r->data[r->pos++];
        x |= (size_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return x;
    }
}

static bool has_prefix(void)
{
    return strcmp(jl_vocab_piece(vocab, 1).ptr, "<s>") == 0 &&
           jl_vocab_find(vocab, "<0x00>", 6) >= 0;
}

/* Spaces come back as spaces; marks too, where spaces are stored as marks. Kind llama puts a space
 * before the text (and after each special token, which is left out here). */
static void check_round_trip(const char *text, size_t len, const int32_t *ids, size_t n)
{
    char *back = malloc(len + 2);
    const bool marks = jl_vocab_find(vocab, "<0x00>", 6) >= 0;
    size_t n_back = 0, k = has_prefix() && len > 0;
    for (size_t i = 0; i < n; i++)
        n_back += jl_vocab_decode(vocab, ids[i], true, back + n_back, len + 1 - n_back);
    for (size_t i = 0; i < len; k++) {
        const bool mark = marks && len - i >= 3 && memcmp(text + i, "\xe2\x96\x81", 3) == 0;
        assert_int_equal(back[k], mark ? ' ' : text[i]);
        i += mark ? 3 : 1;
    }
    assert_int_equal(n_back, k);
    free(back);
}

static void check_string(golden_reader *r, size_t index)
{
    const size_t mode = read_varint(r), len = read_varint(r);
    assert_true(len <= r->n_bytes - r->pos);
    const char *text = (const char *)r->data + r->pos;
    r->pos += len;
    const size_t n = read_varint(r);

    int32_t *ids = malloc((2 * len + 1) * sizeof *ids);
    const unsigned flags = mode ? JL_TOKENIZE_SPECIAL : 0;
    const size_t got = jl_vocab_encode(vocab, text, len, flags, ids, 2 * len + 1);
    for (size_t i = 0; i < n; i++) {
        const int32_t id = (int32_t)read_varint(r);
        if (i < got && ids[i] != id)
            fail_msg("string %zu (\"%.*s\"): token %zu is %d \"%s\", expected %d \"%s\"", index,
                     (int)(len < 200 ? len : 200), text, i, ids[i],
                     jl_vocab_piece(vocab, ids[i]).ptr, id, jl_vocab_piece(vocab, id).ptr);
    }
    if (got != n)
        fail_msg("string %zu (\"%.*s\"): %zu tokens, expected %zu", index,
                 (int)(len < 200 ? len : 200), text, got, n);
    if (!mode || !has_prefix())
        check_round_trip(text, len, ids, got);
    free(ids);
}

static void test_ids(void **state)
{
    jl_file file;
    assert_ok(jl_file_map(golden_path, &file, &err));
    golden_reader r = {file.data, (size_t)file.n_bytes, 4};
    assert_true(r.n_bytes > 4 && memcmp(r.data, "JTG1", 4) == 0);
    const size_t count = read_varint(&r);
    assert_true(count >= 1000);
    for (size_t i = 0; i < count; i++)
        check_string(&r, i);
    assert_int_equal(r.pos, r.n_bytes);
    print_message("# %zu strings\n", count);
    jl_file_unmap(&file);
}

/* The goldens' own texts as one line, one character over and over, newlines. */
static void test_speed(void **state)
{
    const size_t len = n_mb * 1000000;
    char *text = malloc(len);
    jl_file file;
    assert_ok(jl_file_map(golden_path, &file, &err));
    for (int kind = 0; kind < 5; kind++) {
        static const char *const names[] = {"mixed, no newline", "letter a", "spaces", "newlines",
                                            "less-than signs, specials parsed"};
        for (size_t i = 0; i < len; i++) {
            const char c = (char)file.data[i % file.n_bytes];
            text[i] = kind == 0 ? (c == '\n' ? ' ' : c) : "?a \n<"[kind];
        }
        const double start = jl_time_cpu();
        const unsigned flags = kind == 4 ? JL_TOKENIZE_SPECIAL : 0;
        const size_t n = jl_vocab_encode(vocab, text, len, flags, NULL, 0);
        const double seconds = jl_time_cpu() - start;
        assert_in_range(n, len / 100, len + 1);
        print_message("# %zu MB of %s: %zu tokens in %.2f s\n", n_mb, names[kind], n, seconds);
        assert_true(seconds < 6.0 * (double)n_mb); /* of CPU time, with room for sanitizers */
    }
    jl_file_unmap(&file);
    free(text);
}

int main(int argc, char **argv)
{
    if (argc == 4)
        n_mb = strtoul(argv[3], NULL, 10);
    if (argc < 3 || argc > 4 || n_mb < 1 || n_mb > 1000) {
        fprintf(stderr, "usage: %s VOCAB.gguf GOLDENS.bin [MB]\n", argv[0]);
        return 2;
    }
    vocab_path = argv[1];
    golden_path = argv[2];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_speed),
    };
    return cmocka_run_group_tests_name("tok_golden", tests, open_all, close_all);
}
