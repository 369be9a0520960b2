/* Opening single and split files, and lookup. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gguf/internal.h"

void jl_gguf_close(jl_gguf *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_parts; i++) {
        jl_file_unmap(&g->parts[i].file);
        jl_free(g->parts[i].kv);
        jl_index_free(&g->parts[i].kv_index);
    }
    jl_free(g->parts);
    jl_free(g->tensors);
    jl_index_free(&g->tensor_index);
    jl_names_free(&g->names);
    jl_free(g);
}

static jl_gguf *reader_new(size_t n_parts)
{
    jl_gguf *g = jl_calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->parts = jl_calloc(n_parts, sizeof *g->parts);
    if (!g->parts) {
        jl_free(g);
        return NULL;
    }
    return g;
}

/* A part's split.* number, 0 if absent: single files have none of them. */
static uint64_t split_field(const jl_gguf_part *part, const char *key)
{
    uint64_t value = 0;
    const jl_gguf_kv *kv = jl_gguf_part_find(part, key);
    return kv && jl_gguf_kv_u64(kv, 0, &value) ? value : 0;
}

enum { SUFFIX_LEN = 20 }; /* "-00001-of-00003.gguf" */

/* The path of part `i` (from 0) of `n`, made from that of any part; NULL if out of memory or if the
 * name does not end as that of a part. */
static char *part_path(const char *path, uint64_t i, uint64_t n)
{
    const size_t len = strlen(path);
    unsigned no;
    unsigned count;
    int end = 0;
    if (len < SUFFIX_LEN ||
        sscanf(path + len - SUFFIX_LEN, "-%5u-of-%5u.gguf%n", &no, &count, &end) != 2 ||
        end != SUFFIX_LEN)
        return NULL;
    char *name = jl_malloc(len + 32);
    if (name)
        snprintf(name, len + 32, "%.*s-%05u-of-%05u.gguf", (int)(len - SUFFIX_LEN), path,
                 (unsigned)i + 1, (unsigned)n);
    return name;
}

/* Maps and parses one more part. The message names the file. */
static jl_status add_part(jl_gguf *g, const char *path, jl_error *err)
{
    const size_t i = g->n_parts;
    jl_error detail = {JL_OK, UINT64_MAX, ""};
    JL_TRY(jl_file_map(path, &g->parts[i].file, err));
    g->n_parts++;
    const jl_status status = jl_gguf_parse_part(g, i, &detail);
    if (status != JL_OK)
        return jl_fail_at(err, status, detail.offset, "%s: %s", path, detail.text);
    return JL_OK;
}

static jl_status check_part(const jl_gguf_part *part, const char *path, uint64_t i, uint64_t n,
                            jl_error *err)
{
    const uint64_t no = split_field(part, "split.no");
    const uint64_t count = split_field(part, "split.count");
    if (no == i && count == n)
        return JL_OK;
    return jl_fail(err, JL_FORMAT,
                   "%s says it is part %llu of %llu, not part %llu of %llu: the parts are of "
                   "different models or were renamed",
                   path, (unsigned long long)no + 1, (unsigned long long)count,
                   (unsigned long long)i + 1, (unsigned long long)n);
}

static jl_status add_named_part(jl_gguf *g, const char *first_path, uint64_t i, uint64_t n,
                                jl_error *err)
{
    char *path = part_path(first_path, i, n);
    if (!path)
        return jl_fail(
            err, JL_INVALID,
            "%s is part 1 of %llu, but its name does not end in -00001-of-%05llu.gguf, so "
            "the others cannot be found: give the parts their original names",
            first_path, (unsigned long long)n, (unsigned long long)n);
    jl_status status = add_part(g, path, err);
    if (status == JL_OK)
        status = check_part(&g->parts[i], path, i, n, err);
    jl_free(path);
    return status;
}

static jl_status add_other_parts(jl_gguf *g, const char *path, jl_error *err)
{
    const uint64_t n = split_field(&g->parts[0], "split.count");
    const uint64_t no = split_field(&g->parts[0], "split.no");
    if (n <= 1)
        return JL_OK;
    if (no != 0)
        return jl_fail(err, JL_INVALID,
                       "%s is part %llu of %llu: give the first part (-00001-of-%05llu.gguf)", path,
                       (unsigned long long)no + 1, (unsigned long long)n, (unsigned long long)n);
    if (n > GGUF_MAX_PARTS)
        return jl_fail(err, JL_TOO_LARGE, "%s: split into %llu parts, the limit is %d", path,
                       (unsigned long long)n, GGUF_MAX_PARTS);
    jl_gguf_part *parts = jl_realloc(g->parts, (size_t)n * sizeof *parts);
    if (!parts)
        return jl_fail(err, JL_NO_MEMORY, "out of memory for %llu parts", (unsigned long long)n);
    memset(parts + 1, 0, ((size_t)n - 1) * sizeof *parts);
    g->parts = parts;
    for (uint64_t i = 1; i < n; i++)
        JL_TRY(add_named_part(g, path, i, n, err));
    const uint64_t expected = split_field(&g->parts[0], "split.tensors.count");
    if (expected != 0 && expected != g->n_tensors)
        return jl_fail(err, JL_FORMAT,
                       "%s: the %llu parts hold %zu tensors, split.tensors.count says %llu", path,
                       (unsigned long long)n, g->n_tensors, (unsigned long long)expected);
    return JL_OK;
}

jl_status jl_gguf_open(const char *path, jl_gguf **out, jl_error *err)
{
    jl_gguf *g = reader_new(1);
    if (!g)
        return jl_fail(err, JL_NO_MEMORY, "out of memory for opening %s", path);
    jl_status status = add_part(g, path, err);
    if (status == JL_OK)
        status = add_other_parts(g, path, err);
    if (status != JL_OK) {
        jl_gguf_close(g);
        return status;
    }
    *out = g;
    return JL_OK;
}

jl_status jl_gguf_open_memory(const void *data, size_t n_bytes, jl_gguf **out, jl_error *err)
{
    jl_gguf *g = reader_new(1);
    if (!g)
        return jl_fail(err, JL_NO_MEMORY, "out of memory for a GGUF reader");
    g->parts[0].file = (jl_file){data, n_bytes, false};
    g->n_parts = 1;
    jl_status status = jl_gguf_parse_part(g, 0, err);
    if (status == JL_OK && split_field(&g->parts[0], "split.count") > 1)
        status = jl_fail(err, JL_UNSUPPORTED, "a split model cannot be opened from memory");
    if (status != JL_OK) {
        jl_gguf_close(g);
        return status;
    }
    *out = g;
    return JL_OK;
}

uint32_t jl_gguf_version(const jl_gguf *g)
{
    return g->parts[0].version;
}

uint32_t jl_gguf_alignment(const jl_gguf *g)
{
    return g->parts[0].alignment;
}

uint64_t jl_gguf_file_bytes(const jl_gguf *g)
{
    uint64_t total = 0;
    for (size_t i = 0; i < g->n_parts; i++)
        total += g->parts[i].file.n_bytes;
    return total;
}

size_t jl_gguf_n_kv(const jl_gguf *g)
{
    return g->parts[0].n_kv;
}

const jl_gguf_kv *jl_gguf_kv_at(const jl_gguf *g, size_t i)
{
    return i < g->parts[0].n_kv ? &g->parts[0].kv[i] : NULL;
}

const jl_gguf_kv *jl_gguf_part_find(const jl_gguf_part *part, const char *key)
{
    const size_t i = jl_index_find(&part->kv_index, part->kv, sizeof *part->kv, key);
    return i == SIZE_MAX ? NULL : &part->kv[i];
}

const jl_gguf_kv *jl_gguf_find(const jl_gguf *g, const char *key)
{
    return jl_gguf_part_find(&g->parts[0], key);
}

size_t jl_gguf_n_tensors(const jl_gguf *g)
{
    return g->n_tensors;
}

const jl_gguf_tensor *jl_gguf_tensor_at(const jl_gguf *g, size_t i)
{
    return i < g->n_tensors ? &g->tensors[i] : NULL;
}

const jl_gguf_tensor *jl_gguf_find_tensor(const jl_gguf *g, const char *name)
{
    const size_t i = jl_index_find(&g->tensor_index, g->tensors, sizeof *g->tensors, name);
    return i == SIZE_MAX ? NULL : &g->tensors[i];
}

size_t jl_gguf_n_parts(const jl_gguf *g)
{
    return g->n_parts;
}

const jl_file *jl_gguf_part_file(const jl_gguf *g, size_t part)
{
    return part < g->n_parts ? &g->parts[part].file : NULL;
}
