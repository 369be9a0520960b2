/* The merges of a file: lines "left right" in the order of their ranks. */
#include <string.h>

#include "base/mem.h"
#include "tok/vocab_impl.h"

/* First and last initial symbol of each piece, -1 if text never becomes that symbol. */
typedef struct {
    int32_t *first, *last;
} piece_ends;

static void find_ends(const jl_vocab *v, jl_symbol_fn *symbol_at, const piece_ends *ends)
{
    for (uint32_t id = 0; id < v->n; id++) {
        const jl_str p = jl_vocab_piece(v, (int32_t)id);
        ends->first[id] = ends->last[id] = -1;
        if (p.len == 0)
            continue;

        size_t n;
        ends->first[id] = symbol_at(v, p.ptr, p.len, &n);
        size_t last = p.len - 1;
        while (last > 0 && ((unsigned char)p.ptr[last] & 0xc0) == 0x80)
            last--;
        ends->last[id] = symbol_at(v, p.ptr + last, p.len - last, &n);
        if (last + n != p.len)
            ends->last[id] = -1;
    }
}

enum { LEFT, RIGHT, MERGED, N_PARTS };

typedef struct {
    char *text; /* [max_piece] left and right without the space */
    size_t start[N_PARTS], len[N_PARTS];
    uint64_t hash[N_PARTS];
    jl_bpe_merge merge;
} merge_line;

/* Merges are looked up together, so that the processor waits for many of them at once. */
enum { N_LINES = 32 };

/* "left right", cut at the first space that is not the first byte. */
static bool parse_line(const jl_vocab *v, jl_str m, merge_line *line)
{
    const char *space = m.len > 1 ? memchr(m.ptr + 1, ' ', m.len - 1) : NULL;
    if (!space || m.len - 1 > v->max_piece)
        return false;

    const size_t n_left = (size_t)(space - m.ptr);
    memcpy(line->text, m.ptr, n_left);
    memcpy(line->text + n_left, space + 1, m.len - n_left - 1);
    line->start[LEFT] = line->start[MERGED] = 0;
    line->start[RIGHT] = line->len[LEFT] = n_left;
    line->len[RIGHT] = m.len - n_left - 1;
    line->len[MERGED] = m.len - 1;
    for (int i = 0; i < N_PARTS; i++) {
        line->hash[i] = jl_vocab_hash(line->text + line->start[i], line->len[i]);
        jl_vocab_load_slot(v, line->hash[i]);
    }
    return line->len[RIGHT] > 0;
}

/* Merges with a part or a result that text cannot become are left out: they never apply, and text
 * must not merge into a special token. The order of the others, all that a rank says, stays. */
static bool find_line(const jl_vocab *v, const piece_ends *ends, merge_line *line)
{
    int32_t id[N_PARTS];
    for (int i = 0; i < N_PARTS; i++)
        id[i] = jl_vocab_find_plain_hashed(v, line->text + line->start[i], line->len[i],
                                           line->hash[i]);
    if (id[LEFT] < 0 || id[RIGHT] < 0 || id[MERGED] < 0)
        return false;

    line->merge = (jl_bpe_merge){id[LEFT], id[RIGHT], id[MERGED], ends->last[id[LEFT]],
                                 ends->first[id[RIGHT]]};
    jl_bpe_load(v->bpe, id[LEFT], id[RIGHT]);
    return line->merge.last_symbol >= 0 && line->merge.first_symbol >= 0;
}

static void add_lines(const jl_vocab *v, const piece_ends *ends, merge_line *lines, size_t n)
{
    bool found[N_LINES];
    for (size_t k = 0; k < n; k++) {
        for (int i = 0; i < N_PARTS; i++)
            jl_vocab_load_piece(v, lines[k].hash[i]);
    }
    for (size_t k = 0; k < n; k++)
        found[k] = find_line(v, ends, &lines[k]);
    for (size_t k = 0; k < n; k++) {
        if (found[k])
            jl_bpe_add(v->bpe, &lines[k].merge);
    }
}

static void add_merges(const jl_vocab *v, const jl_gguf_kv *kv, const piece_ends *ends, char *text)
{
    merge_line lines[N_LINES];
    for (size_t k = 0; k < N_LINES; k++)
        lines[k].text = text + k * v->max_piece;

    jl_gguf_iter it = {0, 0};
    jl_str merge;
    size_t n = 0;
    while (jl_gguf_next_str(kv, &it, &merge)) {
        n += parse_line(v, merge, &lines[n]);
        if (n == N_LINES) {
            add_lines(v, ends, lines, n);
            n = 0;
        }
    }
    add_lines(v, ends, lines, n);
}

jl_status jl_vocab_read_merges(jl_vocab *v, const jl_gguf *g, jl_symbol_fn *symbol_at,
                               jl_error *err)
{
    const jl_gguf_kv *kv = jl_gguf_find(g, "tokenizer.ggml.merges");
    if (!kv || kv->type != JL_GGUF_ARRAY || kv->item_type != JL_GGUF_STRING)
        return jl_fail(err, JL_FORMAT,
                       "tokenizer.ggml.merges is missing or not an array of strings; a %s "
                       "tokenizer needs it: convert the model again with a current converter",
                       v->kind->name);
    if (kv->count > JL_VOCAB_MAX_MERGES)
        return jl_fail(err, JL_TOO_LARGE, "%llu tokenizer merges, joule takes at most %d",
                       (unsigned long long)kv->count, JL_VOCAB_MAX_MERGES);

    JL_TRY(jl_bpe_create((size_t)kv->count, &v->bpe, err));
    piece_ends ends = {jl_malloc(v->n * sizeof *ends.first), jl_malloc(v->n * sizeof *ends.last)};
    char *text = jl_malloc(N_LINES * (size_t)v->max_piece + 1);
    const bool ok = ends.first && ends.last && text;
    if (ok) {
        find_ends(v, symbol_at, &ends);
        add_merges(v, kv, &ends, text);
    }
    jl_free(ends.first);
    jl_free(ends.last);
    jl_free(text);
    return ok ? JL_OK : jl_fail(err, JL_NO_MEMORY, "no memory for the tokenizer's merges");
}
