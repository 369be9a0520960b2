/* Vocabulary: reading it from GGUF metadata, looking pieces up, and splitting text at special
 * tokens before the kind's own encoder sees it. */
#include "tok/vocab.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"
#include "tok/vocab_impl.h"

bool jl_str_is(jl_str s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.ptr, text, s.len) == 0;
}

/* ---- queries ---------------------------------------------------------------------------- */

static bool has(const jl_vocab *v, int32_t id)
{
    return id >= 0 && (uint32_t)id < v->n;
}

uint32_t jl_vocab_size(const jl_vocab *v)
{
    return v->n;
}

jl_str jl_vocab_piece(const jl_vocab *v, int32_t id)
{
    if (!has(v, id))
        return (jl_str){"", 0};
    return (jl_str){v->text + v->start[id], (size_t)(v->start[id + 1] - v->start[id] - 1)};
}

jl_token_type jl_vocab_type(const jl_vocab *v, int32_t id)
{
    return has(v, id) ? (jl_token_type)v->types[id] : JL_TOKEN_UNDEFINED;
}

uint64_t jl_vocab_hash(const char *text, size_t len)
{
    return XXH3_64bits(text, len);
}

void jl_vocab_load_slot(const jl_vocab *v, uint64_t hash)
{
    __builtin_prefetch(&v->slots[(uint32_t)hash & v->slot_mask]);
}

void jl_vocab_load_piece(const jl_vocab *v, uint64_t hash)
{
    __builtin_prefetch(v->text + v->slots[(uint32_t)hash & v->slot_mask].start);
}

static int32_t find_hashed(const jl_vocab *v, const char *text, size_t len, uint64_t hash)
{
    for (uint32_t i = (uint32_t)hash & v->slot_mask;; i = (i + 1) & v->slot_mask) {
        const jl_vocab_slot *s = &v->slots[i];
        if (s->id1 == 0)
            return -1;
        if (s->hash == (uint32_t)(hash >> 32) && s->len == len &&
            memcmp(v->text + s->start, text, len) == 0)
            return (int32_t)(s->id1 - 1);
    }
}

int32_t jl_vocab_find(const jl_vocab *v, const char *text, size_t len)
{
    if (len == 0 || len > v->max_piece)
        return -1;
    return find_hashed(v, text, len, jl_vocab_hash(text, len));
}

int32_t jl_vocab_find_plain_hashed(const jl_vocab *v, const char *text, size_t len, uint64_t hash)
{
    const int32_t id = find_hashed(v, text, len, hash);
    return id >= 0 && !(v->flags[id] & (JL_VOCAB_SPECIAL | JL_VOCAB_BYTE)) ? id : -1;
}

int32_t jl_vocab_find_plain(const jl_vocab *v, const char *text, size_t len)
{
    if (len == 0 || len > v->max_piece)
        return -1;
    return jl_vocab_find_plain_hashed(v, text, len, jl_vocab_hash(text, len));
}

int32_t jl_vocab_bos(const jl_vocab *v)
{
    return v->bos;
}

int32_t jl_vocab_eos(const jl_vocab *v)
{
    return v->eos;
}

bool jl_vocab_is_eog(const jl_vocab *v, int32_t id)
{
    return has(v, id) && (v->flags[id] & JL_VOCAB_EOG);
}

bool jl_vocab_is_special(const jl_vocab *v, int32_t id)
{
    return has(v, id) && (v->flags[id] & JL_VOCAB_SPECIAL);
}

const int32_t *jl_vocab_suppressed(const jl_vocab *v, size_t *n)
{
    *n = v->n_suppressed;
    return v->suppressed;
}

size_t jl_vocab_max_bytes(const jl_vocab *v)
{
    return v->max_piece;
}

/* ---- reading ---------------------------------------------------------------------------- */

static const jl_tok_kind *const kinds[] = {&jl_tok_gemma4, &jl_tok_llama3, &jl_tok_tekken,
                                          &jl_tok_spm};

static jl_status pick_kind(const jl_gguf *g, const jl_tok_kind **out, jl_error *err)
{
    jl_str model = {"", 0}, pre = {"", 0};
    if (!jl_gguf_get_str(g, "tokenizer.ggml.model", &model))
        return jl_fail(err, JL_FORMAT,
                       "tokenizer.ggml.model is missing: the file has no tokenizer");
    (void)jl_gguf_get_str(g, "tokenizer.ggml.pre", &pre);

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i]->matches(model, pre)) {
            *out = kinds[i];
            return JL_OK;
        }
    }
    return jl_fail(err, JL_UNSUPPORTED,
                   "tokenizer \"%.*s\" (pre-tokenizer \"%.*s\") is unknown to joule, "
                   "which knows: gemma4, llama, gpt2 with llama-bpe or tekken",
                   (int)(model.len < 64 ? model.len : 64), model.ptr,
                   (int)(pre.len < 64 ? pre.len : 64), pre.ptr);
}

/* Puts the pieces one after the other, a NUL after each. */
static jl_status copy_pieces(jl_vocab *v, const jl_gguf_kv *kv, jl_error *err)
{
    jl_gguf_iter it = {0, 0};
    jl_str piece;
    uint32_t id = 0, end = 0;
    for (; id < v->n && jl_gguf_next_str(kv, &it, &piece); id++) {
        if (piece.len > JL_VOCAB_MAX_PIECE)
            return jl_fail(err, JL_TOO_LARGE, "token %u is %zu bytes long, joule takes at most %d",
                           id, piece.len, JL_VOCAB_MAX_PIECE);
        v->start[id] = end;
        if (piece.len)
            memcpy(v->text + end, piece.ptr, piece.len);
        v->text[end + piece.len] = '\0';
        end += (uint32_t)piece.len + 1;
        if (piece.len > v->max_piece)
            v->max_piece = (uint32_t)piece.len;
    }
    if (id != v->n)
        return jl_fail(err, JL_FORMAT, "tokenizer.ggml.tokens ends after %u of %u tokens", id,
                       v->n);
    v->start[id] = end;
    return JL_OK;
}

static jl_status read_pieces(jl_vocab *v, const jl_gguf *g, jl_error *err)
{
    const jl_gguf_kv *kv = jl_gguf_find(g, "tokenizer.ggml.tokens");
    if (!kv || kv->type != JL_GGUF_ARRAY || kv->item_type != JL_GGUF_STRING || kv->count == 0)
        return jl_fail(err, JL_FORMAT,
                       "tokenizer.ggml.tokens is missing, empty or not an array of strings");
    if (kv->count > JL_VOCAB_MAX_TOKENS)
        return jl_fail(err, JL_TOO_LARGE, "%llu tokens in the vocabulary, joule takes at most %d",
                       (unsigned long long)kv->count, JL_VOCAB_MAX_TOKENS);
    if (kv->raw_bytes > UINT32_MAX - JL_VOCAB_MAX_TOKENS)
        return jl_fail(err, JL_TOO_LARGE, "the vocabulary's text has %llu bytes, joule takes 4 GiB",
                       (unsigned long long)kv->raw_bytes);

    v->n = (uint32_t)kv->count;
    v->text = jl_malloc((size_t)kv->raw_bytes + v->n);
    v->start = jl_malloc(((size_t)v->n + 1) * sizeof *v->start);
    v->types = jl_malloc(v->n);
    v->flags = jl_calloc(v->n, 1);
    if (!v->text || !v->start || !v->types || !v->flags)
        return jl_fail(err, JL_NO_MEMORY, "no memory for a vocabulary of %u tokens", v->n);

    return copy_pieces(v, kv, err);
}

static jl_status read_types(jl_vocab *v, const jl_gguf *g, jl_error *err)
{
    const jl_gguf_kv *kv = jl_gguf_find(g, "tokenizer.ggml.token_type");
    memset(v->types, JL_TOKEN_NORMAL, v->n);
    if (!kv)
        return JL_OK;
    const bool int32 = kv->item_type == JL_GGUF_I32 || kv->item_type == JL_GGUF_U32;
    if (kv->type != JL_GGUF_ARRAY || !int32 || kv->count != v->n)
        return jl_fail(err, JL_FORMAT,
                       "tokenizer.ggml.token_type is not an array of 32-bit integers, one for each "
                       "of the %u tokens", v->n);

    for (uint32_t id = 0; id < v->n; id++) {
        uint32_t type;
        memcpy(&type, kv->raw + 4 * (size_t)id, sizeof type);
        v->types[id] = (uint8_t)(type <= JL_TOKEN_BYTE ? type : JL_TOKEN_UNDEFINED);
    }
    return JL_OK;
}

/* Of several tokens with one text, the first is found. Empty ones never are. */
static jl_status build_slots(jl_vocab *v, jl_error *err)
{
    uint32_t n_slots = 16;
    while (n_slots < 2 * v->n)
        n_slots *= 2;
    v->slot_mask = n_slots - 1;
    v->slots = jl_calloc(n_slots, sizeof *v->slots);
    if (!v->slots)
        return jl_fail(err, JL_NO_MEMORY, "no memory for a vocabulary of %u tokens", v->n);

    for (uint32_t id = 0; id < v->n; id++) {
        const jl_str p = jl_vocab_piece(v, (int32_t)id);
        const uint64_t hash = jl_vocab_hash(p.ptr, p.len);
        if (p.len == 0 || find_hashed(v, p.ptr, p.len, hash) >= 0)
            continue;
        uint32_t i = (uint32_t)hash & v->slot_mask;
        while (v->slots[i].id1)
            i = (i + 1) & v->slot_mask;
        v->slots[i] = (jl_vocab_slot){(uint32_t)(hash >> 32), id + 1, v->start[id],
                                      (uint32_t)p.len};
    }
    return JL_OK;
}

static jl_status read_id(const jl_vocab *v, const jl_gguf *g, const char *key, int32_t *out,
                         jl_error *err)
{
    uint64_t id;
    if (!jl_gguf_find(g, key))
        return JL_OK;
    if (!jl_gguf_get_u64(g, key, 0, &id) || id >= v->n)
        return jl_fail(err, JL_FORMAT, "%s is not a token of the vocabulary (0 to %u)", key,
                       v->n - 1);
    *out = (int32_t)id;
    return JL_OK;
}

/* The first token of that text, or fallback if there is none. */
static int32_t find_text(const jl_vocab *v, const char *text, int32_t fallback)
{
    const int32_t id = jl_vocab_find(v, text, strlen(text));
    return id >= 0 ? id : fallback;
}

static jl_status read_special_ids(jl_vocab *v, const jl_gguf *g, jl_error *err)
{
    v->bos = find_text(v, "<bos>", -1);
    v->eos = find_text(v, "<eos>", -1);
    v->unk = find_text(v, "<unk>", -1);
    JL_TRY(read_id(v, g, "tokenizer.ggml.bos_token_id", &v->bos, err));
    JL_TRY(read_id(v, g, "tokenizer.ggml.eos_token_id", &v->eos, err));
    JL_TRY(read_id(v, g, "tokenizer.ggml.unknown_token_id", &v->unk, err));
    return JL_OK;
}

static void find_bytes(jl_vocab *v)
{
    static const char hex[] = "0123456789ABCDEF";
    for (int c = 0; c < 256; c++) {
        const char text[] = {'<', '0', 'x', hex[c >> 4], hex[c & 15], '>'};
        v->byte_id[c] = v->kind->byte_tokens ? jl_vocab_find(v, text, sizeof text) : -1;
        if (v->byte_id[c] >= 0)
            v->flags[v->byte_id[c]] |= JL_VOCAB_BYTE;
    }
}

/* User-defined tokens may be plain text too, such as runs of spaces or HTML tags. */
static bool looks_special(jl_str p)
{
    return p.len > 3 && p.ptr[0] == '<' && p.ptr[p.len - 1] == '>' &&
           (p.ptr[1] == '|' || p.ptr[p.len - 2] == '|');
}

static void set_flag(jl_vocab *v, int32_t id, int flag)
{
    if (id >= 0)
        v->flags[id] |= (uint8_t)flag;
}

static void set_flags(jl_vocab *v)
{
    const jl_tok_kind *k = v->kind;
    for (uint32_t id = 0; id < v->n; id++) {
        const uint8_t type = v->types[id];
        if (type == JL_TOKEN_CONTROL || type == JL_TOKEN_UNKNOWN ||
            (type == JL_TOKEN_USER_DEFINED &&
             (!k->special_marks || looks_special(jl_vocab_piece(v, (int32_t)id)))))
            v->flags[id] |= JL_VOCAB_SPECIAL;
    }
    /* Known texts and ids count whatever their type: some files type <eos> as normal. */
    for (const char *const *text = k->special; *text; text++)
        set_flag(v, find_text(v, *text, -1), JL_VOCAB_SPECIAL);
    for (const char *const *text = k->eog; *text; text++)
        set_flag(v, find_text(v, *text, -1), JL_VOCAB_EOG);
    set_flag(v, v->bos, JL_VOCAB_SPECIAL);
    set_flag(v, v->eos, JL_VOCAB_SPECIAL | JL_VOCAB_EOG);
    set_flag(v, v->unk, JL_VOCAB_SPECIAL);
    const int32_t ordinary = k->ordinary ? find_text(v, k->ordinary, -1) : -1;
    if (ordinary >= 0)
        v->flags[ordinary] = 0;
    for (uint32_t id = 0; id < v->n; id++) {
        if (v->flags[id] & JL_VOCAB_SPECIAL)
            v->flags[id] &= (uint8_t)~JL_VOCAB_BYTE;
    }
    for (int c = 0; c < 256; c++) {
        if (v->byte_id[c] >= 0 && (v->flags[v->byte_id[c]] & JL_VOCAB_SPECIAL))
            v->byte_id[c] = -1;
    }
}

typedef struct {
    jl_str text;
    int32_t id;
} special;

static int compare_specials(const void *a, const void *b)
{
    const special *x = a, *y = b;
    const size_t n = x->text.len < y->text.len ? x->text.len : y->text.len;
    const int order = memcmp(x->text.ptr, y->text.ptr, n);
    if (order)
        return order;
    return x->text.len < y->text.len ? -1 : x->text.len > y->text.len;
}

static jl_status sort_specials(jl_vocab *v, jl_error *err)
{
    size_t n = 0;
    for (uint32_t id = 0; id < v->n; id++)
        n += (v->flags[id] & JL_VOCAB_SPECIAL) != 0;
    special *list = jl_malloc((n + 1) * sizeof *list);
    v->specials = jl_malloc((n + 1) * sizeof *v->specials);
    if (!list || !v->specials) {
        jl_free(list);
        return jl_fail(err, JL_NO_MEMORY, "no memory for %zu special tokens", n);
    }

    n = 0;
    for (uint32_t id = 0; id < v->n; id++) {
        const jl_str p = jl_vocab_piece(v, (int32_t)id);
        if ((v->flags[id] & JL_VOCAB_SPECIAL) && jl_vocab_find(v, p.ptr, p.len) == (int32_t)id)
            list[n++] = (special){p, (int32_t)id};
    }
    qsort(list, n, sizeof *list, compare_specials);
    for (size_t i = 0; i < n; i++)
        v->specials[i] = list[i].id;
    v->n_specials = n;
    jl_free(list);
    return JL_OK;
}

static void suppress(jl_vocab *v, int32_t id)
{
    for (size_t i = 0; i < v->n_suppressed; i++) {
        if (v->suppressed[i] == id)
            return;
    }
    if (has(v, id))
        v->suppressed[v->n_suppressed++] = id;
}

static jl_status read_suppressed(jl_vocab *v, const jl_gguf *g, jl_error *err)
{
    const char *const key = "tokenizer.ggml.suppress_tokens";
    const jl_gguf_kv *kv = jl_gguf_find(g, key);
    const uint64_t n_file = kv ? kv->count : 0;
    if (n_file > JL_VOCAB_MAX_SUPPRESSED)
        return jl_fail(err, JL_TOO_LARGE, "%s has %llu entries, joule takes at most %d", key,
                       (unsigned long long)n_file, JL_VOCAB_MAX_SUPPRESSED);

    size_t n = (size_t)n_file;
    for (const char *const *text = v->kind->suppress; *text; text++)
        n++;
    v->suppressed = jl_malloc((n + 1) * sizeof *v->suppressed);
    if (!v->suppressed)
        return jl_fail(err, JL_NO_MEMORY, "no memory for %zu suppressed tokens", n);

    for (uint64_t i = 0; i < n_file; i++) {
        int64_t id;
        if (jl_gguf_get_i64(g, key, i, &id) && id >= 0 && id < v->n)
            suppress(v, (int32_t)id);
    }
    for (const char *const *text = v->kind->suppress; *text; text++)
        suppress(v, find_text(v, *text, -1));
    return JL_OK;
}

static jl_status build(jl_vocab *v, const jl_gguf *g, jl_error *err)
{
    JL_TRY(pick_kind(g, &v->kind, err));
    JL_TRY(read_pieces(v, g, err));
    JL_TRY(read_types(v, g, err));
    JL_TRY(build_slots(v, err));
    JL_TRY(read_special_ids(v, g, err));
    find_bytes(v);
    set_flags(v);
    JL_TRY(sort_specials(v, err));
    JL_TRY(read_suppressed(v, g, err));
    return v->kind->create(v, g, err);
}

jl_status jl_vocab_create(const jl_gguf *g, jl_vocab **out, jl_error *err)
{
    jl_vocab *v = jl_calloc(1, sizeof *v);
    if (!v)
        return jl_fail(err, JL_NO_MEMORY, "no memory for the vocabulary");

    const jl_status status = build(v, g, err);
    if (status == JL_OK)
        *out = v;
    else
        jl_vocab_destroy(v);
    return status;
}

void jl_vocab_destroy(jl_vocab *v)
{
    if (!v)
        return;
    jl_bpe_destroy(v->bpe);
    jl_pretok_destroy(v->pretok);
    jl_free(v->text);
    jl_free(v->start);
    jl_free(v->types);
    jl_free(v->flags);
    jl_free(v->slots);
    jl_free(v->specials);
    jl_free(v->suppressed);
    jl_free(v);
}

/* ---- encoding --------------------------------------------------------------------------- */

/* Byte i of special k, -1 past its end. */
static int special_byte(const jl_vocab *v, size_t k, size_t i)
{
    const jl_str p = jl_vocab_piece(v, v->specials[k]);
    return i < p.len ? (unsigned char)p.ptr[i] : -1;
}

/* First of the specials [lo, hi), equal in the i bytes before, whose byte i is at least c. */
static size_t special_bound(const jl_vocab *v, size_t lo, size_t hi, size_t i, int c)
{
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (special_byte(v, mid, i) < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The longest special token that text starts with, -1 if none. */
static int32_t special_at(const jl_vocab *v, const char *text, size_t len, size_t *n_bytes)
{
    size_t lo = 0, hi = v->n_specials;
    int32_t found = -1;
    for (size_t i = 0; lo < hi; i++) {
        if (i > 0 && special_byte(v, lo, i) < 0) { /* shortest of the range: all of it matched */
            found = v->specials[lo];
            *n_bytes = i;
        }
        if (i == len)
            break;
        const int c = (unsigned char)text[i];
        lo = special_bound(v, lo, hi, i, c);
        hi = special_bound(v, lo, hi, i, c + 1);
    }
    return found;
}

static bool encode_parsed(const jl_vocab *v, const char *text, size_t len, jl_tok_out *out)
{
    size_t done = 0;
    for (size_t pos = 0; pos < len;) {
        size_t n_bytes = 0;
        const int32_t id = special_at(v, text + pos, len - pos, &n_bytes);
        if (id < 0) {
            pos++;
            continue;
        }
        if (pos > done && !v->kind->encode(v, text + done, pos - done, out))
            return false;
        jl_tok_put(out, id);
        pos += n_bytes;
        done = pos;
    }
    return done == len || v->kind->encode(v, text + done, len - done, out);
}

size_t jl_vocab_encode(const jl_vocab *v, const char *text, size_t text_len, unsigned flags,
                       int32_t *tokens, size_t cap)
{
    jl_tok_out out = {tokens, tokens ? cap : 0, 0};
    const bool parse = flags & JL_TOKENIZE_SPECIAL;

    if ((flags & JL_TOKENIZE_BOS) && v->bos >= 0) {
        size_t n_bytes;
        if (!parse || special_at(v, text, text_len, &n_bytes) != v->bos)
            jl_tok_put(&out, v->bos);
    }
    if (text_len == 0)
        return out.n;

    const bool ok = parse ? encode_parsed(v, text, text_len, &out)
                          : v->kind->encode(v, text, text_len, &out);
    return ok ? out.n : SIZE_MAX;
}

/* ---- decoding --------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    return c <= '9' ? c - '0' : c - 'A' + 10;
}

size_t jl_vocab_decode(const jl_vocab *v, int32_t id, bool show_special, char *out, size_t cap)
{
    if (!has(v, id))
        return 0;

    const jl_str p = jl_vocab_piece(v, id);
    if (v->flags[id] & JL_VOCAB_SPECIAL) {
        if (!show_special)
            return 0;
        if (p.len)
            memcpy(out, p.ptr, p.len < cap ? p.len : cap);
        return p.len;
    }
    if (v->flags[id] & JL_VOCAB_BYTE) {
        if (cap > 0)
            out[0] = (char)(hex_digit(p.ptr[3]) * 16 + hex_digit(p.ptr[4]));
        return 1;
    }
    return v->kind->decode(v, id, out, cap);
}
