/* Gemma: ids of special tokens, byte tokens, runs of newlines and spaces as in the published
 * vocabulary; then the tokens of a given file; the rest pairs of CJK characters, which leave the
 * splitting of other text alone. Llama: byte alphabet, letter groups, special tokens. */
#include "synth/vocab.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "quant/random.h"
#include "tok/vocab.h"

enum {
    TEXT_BLOCK = 1 << 20,
    GEMMA_FIRST_RUN = 107, /* "\n" x 1..31, then spaces x 2..31 */
    MAX_RUN = 31,
    GEMMA_FIRST_BYTE = 238, /* <0x00> */
    GEMMA_FIRST_NORMAL = 494,
    GEMMA_SPACE = 236743,
    CJK_FIRST = 0x4E00,
    CJK_COUNT = 20992,
};

struct text_block {
    text_block *next;
    size_t used;
    char bytes[TEXT_BLOCK];
};

#define SPACE_MARK "\xE2\x96\x81"

const jl_fixed_token jl_gemma_tokens[] = {
    {0, "<pad>", JL_TOKEN_CONTROL},
    {1, "<eos>", JL_TOKEN_CONTROL},
    {2, "<bos>", JL_TOKEN_CONTROL},
    {3, "<unk>", JL_TOKEN_UNKNOWN},
    {4, "<mask>", JL_TOKEN_CONTROL},
    {46, "<|tool>", JL_TOKEN_CONTROL},
    {47, "<tool|>", JL_TOKEN_CONTROL},
    {48, "<|tool_call>", JL_TOKEN_USER_DEFINED},
    {49, "<tool_call|>", JL_TOKEN_USER_DEFINED},
    {50, "<|tool_response>", JL_TOKEN_USER_DEFINED},
    {51, "<tool_response|>", JL_TOKEN_USER_DEFINED},
    {52, "<|\"|>", JL_TOKEN_USER_DEFINED},
    {98, "<|think|>", JL_TOKEN_CONTROL},
    {100, "<|channel>", JL_TOKEN_USER_DEFINED},
    {101, "<channel|>", JL_TOKEN_USER_DEFINED},
    {105, "<|turn>", JL_TOKEN_CONTROL},
    {106, "<turn|>", JL_TOKEN_CONTROL},
    {212, "</s>", JL_TOKEN_NORMAL},
    {GEMMA_SPACE, SPACE_MARK, JL_TOKEN_NORMAL},
    {255999, "<|image>", JL_TOKEN_CONTROL},
    {256000, "<|audio>", JL_TOKEN_CONTROL},
    {258880, "<|image|>", JL_TOKEN_CONTROL},
    {258881, "<|audio|>", JL_TOKEN_CONTROL},
    {258882, "<image|>", JL_TOKEN_CONTROL},
    {258883, "<audio|>", JL_TOKEN_CONTROL},
    {258884, "<|video|>", JL_TOKEN_CONTROL},
};

const size_t jl_n_gemma_tokens = sizeof jl_gemma_tokens / sizeof *jl_gemma_tokens;

const jl_fixed_token jl_llama3_tokens[] = {
    {128000, "<|begin_of_text|>", JL_TOKEN_CONTROL}, {128001, "<|end_of_text|>", JL_TOKEN_CONTROL},
    {128004, "<|finetune_right_pad_id|>", JL_TOKEN_CONTROL},
    {128006, "<|start_header_id|>", JL_TOKEN_CONTROL},
    {128007, "<|end_header_id|>", JL_TOKEN_CONTROL}, {128008, "<|eom_id|>", JL_TOKEN_CONTROL},
    {128009, "<|eot_id|>", JL_TOKEN_CONTROL},        {128010, "<|python_tag|>", JL_TOKEN_CONTROL},
};

const size_t jl_n_llama3_tokens = sizeof jl_llama3_tokens / sizeof *jl_llama3_tokens;

const jl_fixed_token jl_tekken_tokens[] = {
    {0, "<unk>", JL_TOKEN_UNKNOWN},
    {1, "<s>", JL_TOKEN_CONTROL},
    {2, "</s>", JL_TOKEN_CONTROL},
    {3, "[INST]", JL_TOKEN_CONTROL},
    {4, "[/INST]", JL_TOKEN_CONTROL},
    {5, "[AVAILABLE_TOOLS]", JL_TOKEN_CONTROL},
    {6, "[/AVAILABLE_TOOLS]", JL_TOKEN_CONTROL},
    {7, "[TOOL_RESULTS]", JL_TOKEN_CONTROL},
    {8, "[/TOOL_RESULTS]", JL_TOKEN_CONTROL},
    {9, "[TOOL_CALLS]", JL_TOKEN_CONTROL},
    {17, "[SYSTEM_PROMPT]", JL_TOKEN_CONTROL},
    {18, "[/SYSTEM_PROMPT]", JL_TOKEN_CONTROL},
};

const size_t jl_n_tekken_tokens = sizeof jl_tekken_tokens / sizeof *jl_tekken_tokens;

/* ---- pieces ------------------------------------------------------------------------------- */

static jl_str str(const char *s, size_t len)
{
    return (jl_str){s, len};
}

/* A copy that lives as long as the vocabulary; ptr is NULL when memory runs out. */
static jl_str keep(jl_synth_vocab *v, const char *s, size_t len)
{
    if (!v->text || TEXT_BLOCK - v->text->used < len) {
        text_block *b = jl_malloc(sizeof *b);
        if (!b)
            return str(NULL, 0);
        b->next = v->text;
        b->used = 0;
        v->text = b;
    }
    char *at = v->text->bytes + v->text->used;
    memcpy(at, s, len);
    v->text->used += len;
    return str(at, len);
}

/* Puts a token at an id, unless the id is out of range or taken, or the text has one already. */
static bool put_at(jl_synth_vocab *v, uint32_t id, const char *s, size_t len, jl_token_type type)
{
    if (id >= v->n || v->tokens[id].ptr || len > TEXT_BLOCK || len == 0 ||
        jl_strset_find(&v->ids, str(s, len), NULL))
        return false;
    const jl_str copy = keep(v, s, len);
    if (!copy.ptr)
        return false;
    v->tokens[id] = copy;
    v->types[id] = (int32_t)type;
    return jl_strset_add(&v->ids, copy, id);
}

static bool is_full(jl_synth_vocab *v)
{
    while (v->cursor < v->n && v->tokens[v->cursor].ptr)
        v->cursor++;
    return v->cursor == v->n;
}

static bool put_next(jl_synth_vocab *v, const char *s, size_t len, jl_token_type type)
{
    return !is_full(v) && put_at(v, v->cursor, s, len, type);
}

/* Adds the merge of two tokens; both and the result must be tokens. */
static void put_merge(jl_synth_vocab *v, jl_str left, jl_str right)
{
    char text[1024];
    const size_t len = left.len + 1 + right.len;

    if (v->n_merges == v->merges_cap || len > sizeof text)
        return;
    memcpy(text, left.ptr, left.len);
    memcpy(text + left.len, right.ptr, right.len);
    if (!jl_strset_find(&v->ids, left, NULL) || !jl_strset_find(&v->ids, right, NULL) ||
        !jl_strset_find(&v->ids, str(text, len - 1), NULL))
        return;
    memmove(text + left.len + 1, text + left.len, right.len);
    text[left.len] = ' ';
    if (jl_strset_find(&v->merge_set, str(text, len), NULL))
        return;
    const jl_str copy = keep(v, text, len);
    if (copy.ptr && jl_strset_add(&v->merge_set, copy, v->n_merges))
        v->merges[v->n_merges++] = copy;
}

static void put_fixed(jl_synth_vocab *v, const jl_fixed_token *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put_at(v, list[i].id, list[i].text, strlen(list[i].text), list[i].type);
}

static void fill_gaps(jl_synth_vocab *v, uint32_t first, uint32_t end, const char *format)
{
    char text[40];

    for (uint32_t id = first; id < end && id < v->n; id++) {
        const int len = snprintf(text, sizeof text, "%s%u>", format, id);
        put_at(v, id, text, (size_t)len, JL_TOKEN_UNUSED);
    }
}

/* ---- Gemma -------------------------------------------------------------------------------- */

/* count copies of unit in text (at most 31 * 3 bytes). */
static jl_str run_of(char *text, const char *unit, size_t count)
{
    const size_t len = strlen(unit);

    for (size_t i = 0; i < count; i++)
        memcpy(text + i * len, unit, len);
    return str(text, len * count);
}

static void put_runs(jl_synth_vocab *v)
{
    char text[128];
    uint32_t id = GEMMA_FIRST_RUN;

    for (size_t k = 1; k <= MAX_RUN; k++) {
        const jl_str s = run_of(text, "\n", k);
        put_at(v, id++, s.ptr, s.len, JL_TOKEN_NORMAL);
    }
    for (size_t k = 2; k <= MAX_RUN; k++) {
        const jl_str s = run_of(text, SPACE_MARK, k);
        put_at(v, id++, s.ptr, s.len, JL_TOKEN_NORMAL);
    }
}

static void merge_runs(jl_synth_vocab *v, const char *unit)
{
    char left[128];
    char right[128];

    for (size_t k = 2; k <= MAX_RUN; k++)
        for (size_t a = 1; a < k; a++)
            put_merge(v, run_of(left, unit, a), run_of(right, unit, k - a));
}

static void put_bytes(jl_synth_vocab *v)
{
    char text[16];

    for (uint32_t b = 0; b < 256; b++) {
        const int len = snprintf(text, sizeof text, "<0x%02X>", b);
        put_at(v, GEMMA_FIRST_BYTE + b, text, (size_t)len, JL_TOKEN_BYTE);
    }
}

static void put_characters(jl_synth_vocab *v, uint32_t first, uint32_t count)
{
    char text[4];

    for (uint32_t i = 0; i < count; i++) {
        const size_t len = jl_utf8_encode(first + i, text);
        put_next(v, text, len, JL_TOKEN_NORMAL);
    }
}

/* The ordinary tokens of another file. */
static void put_tokens_of(jl_synth_vocab *v, const jl_gguf *from)
{
    const jl_gguf_kv *tokens = jl_gguf_find(from, "tokenizer.ggml.tokens");
    jl_gguf_iter it = {0, 0};
    jl_str s;

    for (uint64_t i = 0; tokens && jl_gguf_next_str(tokens, &it, &s); i++) {
        int64_t type = JL_TOKEN_NORMAL;
        (void)jl_gguf_get_i64(from, "tokenizer.ggml.token_type", i, &type);
        if (type == JL_TOKEN_NORMAL)
            put_next(v, s.ptr, s.len, JL_TOKEN_NORMAL);
    }
}

static void put_merges_of(jl_synth_vocab *v, const jl_gguf *from)
{
    const jl_gguf_kv *merges = jl_gguf_find(from, "tokenizer.ggml.merges");
    jl_gguf_iter it = {0, 0};
    jl_str s;

    while (merges && jl_gguf_next_str(merges, &it, &s)) {
        const char *space = s.len > 2 ? memchr(s.ptr + 1, ' ', s.len - 1) : NULL;
        if (space)
            put_merge(v, str(s.ptr, (size_t)(space - s.ptr)),
                      str(space + 1, s.len - (size_t)(space - s.ptr) - 1));
    }
}

static void put_cjk_pairs(jl_synth_vocab *v, uint64_t seed)
{
    for (uint64_t i = 0; !is_full(v) && i < 4 * (uint64_t)v->n; i++) {
        const uint64_t z = jl_random_u64(seed, i);
        char text[8];
        const size_t a = jl_utf8_encode(CJK_FIRST + (uint32_t)(z % CJK_COUNT), text);
        const size_t b = jl_utf8_encode(CJK_FIRST + (uint32_t)((z >> 32) % CJK_COUNT), text + a);
        if (put_next(v, text, a + b, JL_TOKEN_NORMAL))
            put_merge(v, str(text, a), str(text + a, b));
    }
}

static void build_gemma(jl_synth_vocab *v, const jl_gguf *from, uint64_t seed)
{
    put_fixed(v, jl_gemma_tokens, jl_n_gemma_tokens);
    put_runs(v);
    put_bytes(v);
    v->cursor = GEMMA_FIRST_NORMAL;
    put_characters(v, '!', '~' - '!' + 1);
    if (from)
        put_tokens_of(v, from);
    put_characters(v, 0xA1, 0x250 - 0xA1);
    put_characters(v, CJK_FIRST, CJK_COUNT);
    fill_gaps(v, 0, GEMMA_FIRST_BYTE, "<unused");
    if (from)
        put_merges_of(v, from);
    merge_runs(v, "\n");
    merge_runs(v, SPACE_MARK);
    put_cjk_pairs(v, seed);
}

/* ---- Llama and Mistral -------------------------------------------------------------------- */

/* The character that stands for a byte in byte-level BPE: itself if printable, else 256 and up in
 * order. */
static uint32_t byte_character(uint32_t b)
{
    uint32_t skipped = 0;

    for (uint32_t i = 0; i <= b; i++) {
        const bool printable = (i >= 33 && i <= 126) || (i >= 161 && i != 173);
        if (i == b)
            return printable ? b : 256 + skipped;
        skipped += !printable;
    }
    return b;
}

static void put_byte_alphabet(jl_synth_vocab *v)
{
    char text[4];

    for (uint32_t b = 0; b < 256; b++) {
        const size_t len = jl_utf8_encode(byte_character(b), text);
        put_next(v, text, len, JL_TOKEN_NORMAL);
    }
}

/* Groups of letters, with and without the space in front (U+0120): every group of one size before
 * the next size, each made of a shorter group and a letter. */
static void put_letter_groups(jl_synth_vocab *v)
{
    for (uint32_t size = 1, count = 26; !is_full(v) && size < 6; size++, count *= 26)
        for (uint32_t i = 0; i < 2 * count && !is_full(v); i++) {
            char text[16] = "\xC4\xA0";
            size_t len = i < count ? 2 : 0;
            uint32_t rest = i % count;
            for (uint32_t k = 0; k < size; k++, rest /= 26)
                text[len + size - 1 - k] = (char)('a' + rest % 26);
            len += size;
            if (put_next(v, text, len, JL_TOKEN_NORMAL))
                put_merge(v, str(text, len - 1), str(text + len - 1, 1));
        }
}

static void build_llama(jl_synth_vocab *v)
{
    const bool mistral = v->n == 131072;

    if (mistral) {
        put_fixed(v, jl_tekken_tokens, jl_n_tekken_tokens);
        fill_gaps(v, 0, 1000, "<SPECIAL_");
    } else {
        put_fixed(v, jl_llama3_tokens, jl_n_llama3_tokens);
        fill_gaps(v, 128000, 128256, "<|reserved_special_token_");
    }
    put_byte_alphabet(v);
    put_letter_groups(v);
}

/* ---- life cycle --------------------------------------------------------------------------- */

void jl_synth_vocab_destroy(jl_synth_vocab *v)
{
    while (v->text) {
        text_block *next = v->text->next;
        jl_free(v->text);
        v->text = next;
    }
    jl_free(v->tokens);
    jl_free(v->types);
    jl_free(v->scores);
    jl_free(v->merges);
    jl_strset_destroy(&v->ids);
    jl_strset_destroy(&v->merge_set);
    *v = (jl_synth_vocab){0};
}

static bool allocate(jl_synth_vocab *v)
{
    v->merges_cap = 3 * v->n;
    v->tokens = jl_calloc(v->n, sizeof *v->tokens);
    v->types = jl_calloc(v->n, sizeof *v->types);
    v->scores = jl_calloc(v->n, sizeof *v->scores);
    v->merges = jl_calloc(v->merges_cap, sizeof *v->merges);
    return v->tokens && v->types && v->scores && v->merges && jl_strset_create(&v->ids, v->n + 1) &&
           jl_strset_create(&v->merge_set, v->merges_cap);
}

jl_status jl_synth_vocab_create(const jl_shape *shape, const jl_gguf *from, uint64_t seed,
                                jl_synth_vocab *out, jl_error *err)
{
    jl_synth_vocab v = {.n = shape->n_vocab};

    if (!allocate(&v)) {
        jl_synth_vocab_destroy(&v);
        return jl_fail(err, JL_NO_MEMORY, "no memory for a vocabulary of %u tokens",
                       shape->n_vocab);
    }
    if (jl_shape_is_gemma(shape))
        build_gemma(&v, from, seed);
    else
        build_llama(&v);
    for (uint32_t i = 0; i < v.n; i++)
        v.scores[i] = -1000.0f;
    if (!is_full(&v)) {
        const uint32_t id = v.cursor;
        jl_synth_vocab_destroy(&v);
        return jl_fail(err, JL_NO_MEMORY, "the vocabulary stops at token %u: no memory", id);
    }
    *out = v;
    return JL_OK;
}
