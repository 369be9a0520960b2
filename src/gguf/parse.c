/* Header and metadata of one file. GGUF specification: ggml/docs/gguf.md, versions 2 and 3. */
#include <string.h>

#include "base/mem.h"
#include "gguf/internal.h"

static const struct {
    const char *name;
    size_t bytes;
} value_types[] = {
    [JL_GGUF_U8] = {"u8", 1},       [JL_GGUF_I8] = {"i8", 1},     [JL_GGUF_U16] = {"u16", 2},
    [JL_GGUF_I16] = {"i16", 2},     [JL_GGUF_U32] = {"u32", 4},   [JL_GGUF_I32] = {"i32", 4},
    [JL_GGUF_F32] = {"f32", 4},     [JL_GGUF_BOOL] = {"bool", 1}, [JL_GGUF_STRING] = {"string", 0},
    [JL_GGUF_ARRAY] = {"array", 0}, [JL_GGUF_U64] = {"u64", 8},   [JL_GGUF_I64] = {"i64", 8},
    [JL_GGUF_F64] = {"f64", 8},
};

enum { N_VALUE_TYPES = sizeof value_types / sizeof value_types[0] };

size_t jl_gguf_type_bytes(uint32_t type)
{
    return type < N_VALUE_TYPES ? value_types[type].bytes : 0;
}

const char *jl_gguf_type_name(uint32_t type)
{
    return type < N_VALUE_TYPES ? value_types[type].name : "unknown";
}

static jl_status read_magic(jl_cursor *c, uint32_t *version, jl_error *err)
{
    uint32_t magic = 0;
    if (c->n_bytes < 24)
        return jl_fail_at(err, JL_FORMAT, 0, "not a GGUF file: %llu bytes, the header alone is 24",
                          (unsigned long long)c->n_bytes);
    JL_TRY(jl_cursor_u32(c, "the header", &magic, err));
    JL_TRY(jl_cursor_u32(c, "the header", version, err));
    if (magic != GGUF_MAGIC)
        return jl_fail_at(err, JL_FORMAT, 0,
                          "not a GGUF file: it starts with 0x%08x, not with \"GGUF\"", magic);
    if (*version == 2 || *version == 3)
        return JL_OK;
    if ((*version & 0xffff) == 0 && *version >> 16)
        return jl_fail_at(
            err, JL_UNSUPPORTED, 4,
            "a big-endian GGUF file: joule reads little-endian files only, convert it "
            "with gguf-convert-endian");
    return jl_fail_at(err, JL_UNSUPPORTED, 4,
                      "GGUF version %u: joule reads versions 2 and 3, convert the model again",
                      *version);
}

/* A count from the header against its limit and against the bytes that so many entries need. */
static jl_status read_count(jl_cursor *c, const char *what, uint64_t limit, uint64_t min_bytes,
                            uint64_t *out, jl_error *err)
{
    const uint64_t at = c->pos;
    uint64_t n = 0;
    JL_TRY(jl_cursor_u64(c, what, &n, err));
    if (n > limit)
        return jl_fail_at(err, JL_TOO_LARGE, at, "%llu %s: the limit is %llu",
                          (unsigned long long)n, what, (unsigned long long)limit);
    if (n > (c->n_bytes - c->pos) / min_bytes)
        return jl_fail_at(err, JL_FORMAT, at,
                          "%llu %s do not fit into a file of %llu bytes: it is cut off or damaged",
                          (unsigned long long)n, what, (unsigned long long)c->n_bytes);
    *out = n;
    return JL_OK;
}

static jl_status check_bools(const jl_gguf_kv *kv, uint64_t pos, jl_error *err)
{
    for (uint64_t i = 0; i < kv->raw_bytes; i++) {
        if (kv->raw[i] > 1)
            return jl_fail_at(err, JL_FORMAT, pos + i, "%s: %u is not a bool (byte %llu)", kv->key,
                              kv->raw[i], (unsigned long long)(pos + i));
    }
    return JL_OK;
}

/* Items of kv->item_type from the cursor on; fills raw and raw_bytes. */
static jl_status read_items(jl_cursor *c, jl_gguf_kv *kv, jl_error *err)
{
    const uint64_t start = c->pos;
    if (kv->item_type == JL_GGUF_STRING) {
        jl_str s;
        for (uint64_t i = 0; i < kv->count; i++)
            JL_TRY(jl_cursor_str(c, kv->key, &s, err));
    } else {
        const uint8_t *p = NULL;
        uint64_t n_bytes;
        if (!jl_mul_u64(kv->count, jl_gguf_type_bytes(kv->item_type), &n_bytes))
            n_bytes = UINT64_MAX;
        JL_TRY(jl_cursor_take(c, n_bytes, kv->key, &p, err));
    }
    kv->raw = c->data + start;
    kv->raw_bytes = c->pos - start;
    return kv->item_type == JL_GGUF_BOOL ? check_bools(kv, start, err) : JL_OK;
}

static jl_status read_value(jl_cursor *c, jl_gguf_kv *kv, jl_error *err)
{
    uint64_t at = c->pos;
    uint32_t type = 0;
    JL_TRY(jl_cursor_u32(c, kv->key, &type, err));
    kv->type = (jl_gguf_type)type;
    kv->count = 1;
    if (type == JL_GGUF_ARRAY) {
        at = c->pos;
        JL_TRY(jl_cursor_u32(c, kv->key, &type, err));
        JL_TRY(jl_cursor_u64(c, kv->key, &kv->count, err));
        if (type == JL_GGUF_ARRAY)
            return jl_fail_at(err, JL_UNSUPPORTED, at,
                              "%s is an array of arrays (byte %llu), which joule does not read",
                              kv->key, (unsigned long long)at);
    }
    if (type >= N_VALUE_TYPES)
        return jl_fail_at(err, JL_FORMAT, at, "%s has the unknown value type %u (byte %llu)",
                          kv->key, type, (unsigned long long)at);
    kv->item_type = (jl_gguf_type)type;
    return read_items(c, kv, err);
}

static jl_status read_kv(jl_gguf *g, jl_gguf_part *part, jl_cursor *c, jl_error *err)
{
    const uint64_t at = c->pos;
    jl_str key;
    jl_gguf_kv *kv = &part->kv[part->n_kv];
    JL_TRY(jl_cursor_str(c, "a metadata key", &key, err));
    if (!jl_name_valid(key.ptr, key.len, GGUF_MAX_KEY))
        return jl_fail_at(err, JL_FORMAT, at,
                          "metadata entry %zu has a key that is empty, too long or not printable "
                          "(byte %llu): the file is damaged",
                          part->n_kv, (unsigned long long)at);
    kv->key = jl_names_copy(&g->names, key.ptr, key.len);
    if (!kv->key)
        return jl_fail(err, JL_NO_MEMORY, "out of memory while reading the metadata");
    if (jl_index_find(&part->kv_index, part->kv, sizeof *kv, kv->key) != SIZE_MAX)
        return jl_fail_at(err, JL_FORMAT, at, "the metadata key %s occurs twice (byte %llu)",
                          kv->key, (unsigned long long)at);
    JL_TRY(read_value(c, kv, err));
    if (!jl_index_add(&part->kv_index, part->kv, sizeof *kv, part->n_kv))
        return jl_fail(err, JL_NO_MEMORY, "out of memory while reading the metadata");
    part->n_kv++;
    return JL_OK;
}

static jl_status read_alignment(jl_gguf_part *part, jl_error *err)
{
    uint64_t alignment = GGUF_DEFAULT_ALIGNMENT;
    const jl_gguf_kv *kv = jl_gguf_part_find(part, "general.alignment");
    if (kv && !jl_gguf_kv_u64(kv, 0, &alignment))
        alignment = 0;
    if (alignment < 8 || alignment > GGUF_MAX_ALIGNMENT || (alignment & (alignment - 1)))
        return jl_fail(err, JL_FORMAT, "general.alignment must be a power of two from 8 to %d",
                       GGUF_MAX_ALIGNMENT);
    part->alignment = (uint32_t)alignment;
    return JL_OK;
}

jl_status jl_gguf_parse_part(jl_gguf *g, size_t i, jl_error *err)
{
    enum { MIN_KV_BYTES = 8 + 1 + 4 + 1, MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8 };
    jl_gguf_part *part = &g->parts[i];
    jl_cursor c = {part->file.data, part->file.n_bytes, 0};
    uint64_t n_kv = 0;
    JL_TRY(read_magic(&c, &part->version, err));
    JL_TRY(read_count(&c, "tensors", GGUF_MAX_TENSORS, MIN_TENSOR_BYTES, &part->n_tensors, err));
    JL_TRY(read_count(&c, "metadata entries", GGUF_MAX_KV, MIN_KV_BYTES, &n_kv, err));
    part->kv = jl_calloc((size_t)n_kv + 1, sizeof *part->kv);
    if (!part->kv)
        return jl_fail(err, JL_NO_MEMORY, "out of memory while reading the metadata");
    while (part->n_kv < n_kv)
        JL_TRY(read_kv(g, part, &c, err));
    JL_TRY(read_alignment(part, err));
    return jl_gguf_parse_tensors(g, i, c.pos, err);
}
