/* The tensor list of one file: every shape, size and place is checked before anybody uses it. */
#include <stdlib.h>

#include "base/mem.h"
#include "gguf/internal.h"

/* Elements and bytes from type and shape. */
static jl_status measure(jl_gguf_tensor *t, uint64_t at, jl_error *err)
{
    const jl_type_info *type = jl_type_get(t->type);
    if (!type->name)
        return jl_fail_at(err, JL_UNSUPPORTED, at,
                          "tensor %s has type %s (%u), which joule does not support: use a file of "
                          "another quantisation",
                          t->name, jl_type_name(t->type), (unsigned)t->type);
    if (t->ne[0] % type->block_len)
        return jl_fail_at(
            err, JL_FORMAT, at,
            "tensor %s has rows of %llu weights, not a multiple of %u as type %s needs", t->name,
            (unsigned long long)t->ne[0], type->block_len, type->name);
    if (t->ne[1] % type->group_rows)
        return jl_fail_at(
            err, JL_FORMAT, at,
            "tensor %s has %llu rows, not a multiple of %u as type %s needs", t->name,
            (unsigned long long)t->ne[1], type->group_rows, type->name);
    bool fits = true;
    t->n_elements = 1;
    for (int d = 0; d < 4; d++)
        fits = fits && jl_mul_u64(t->n_elements, t->ne[d], &t->n_elements);
    const uint64_t row_bytes = jl_row_bytes(t->type, t->ne[0]);
    fits = fits && row_bytes && jl_mul_u64(t->n_elements / t->ne[0], row_bytes, &t->n_bytes);
    if (!fits || t->n_elements > INT64_MAX)
        return jl_fail_at(err, JL_FORMAT, at,
                          "tensor %s has a shape that no file can hold: the file is damaged",
                          t->name);
    return JL_OK;
}

static jl_status read_shape(jl_cursor *c, jl_gguf_tensor *t, jl_error *err)
{
    const uint64_t at = c->pos;
    JL_TRY(jl_cursor_u32(c, t->name, &t->n_dims, err));
    if (t->n_dims < 1 || t->n_dims > 4)
        return jl_fail_at(err, JL_FORMAT, at, "tensor %s has %u dimensions, 1 to 4 are possible",
                          t->name, t->n_dims);
    for (uint32_t d = 0; d < 4; d++) {
        t->ne[d] = 1;
        if (d < t->n_dims)
            JL_TRY(jl_cursor_u64(c, t->name, &t->ne[d], err));
        if (t->ne[d] == 0)
            return jl_fail_at(err, JL_FORMAT, at, "tensor %s is empty: dimension %u is 0", t->name,
                              d);
    }
    return JL_OK;
}

static jl_status read_name(jl_gguf *g, jl_cursor *c, jl_gguf_tensor *t, jl_error *err)
{
    const uint64_t at = c->pos;
    jl_str name;
    JL_TRY(jl_cursor_str(c, "a tensor name", &name, err));
    if (!jl_name_valid(name.ptr, name.len, GGUF_MAX_NAME))
        return jl_fail_at(err, JL_FORMAT, at,
                          "tensor %zu has a name that is empty, too long or not printable (byte "
                          "%llu): the file is damaged",
                          g->n_tensors, (unsigned long long)at);
    t->name = jl_names_copy(&g->names, name.ptr, name.len);
    if (!t->name)
        return jl_fail(err, JL_NO_MEMORY, "out of memory while reading the tensor list");
    if (jl_index_find(&g->tensor_index, g->tensors, sizeof *t, t->name) != SIZE_MAX)
        return jl_fail_at(err, JL_FORMAT, at, "the tensor %s occurs twice (byte %llu)", t->name,
                          (unsigned long long)at);
    return JL_OK;
}

static jl_status read_tensor(jl_gguf *g, size_t part, jl_cursor *c, jl_error *err)
{
    jl_gguf_tensor *t = &g->tensors[g->n_tensors];
    uint32_t type = 0;
    JL_TRY(read_name(g, c, t, err));
    JL_TRY(read_shape(c, t, err));
    const uint64_t at = c->pos;
    JL_TRY(jl_cursor_u32(c, t->name, &type, err));
    t->type = (jl_type)type;
    JL_TRY(measure(t, at, err));
    JL_TRY(jl_cursor_u64(c, t->name, &t->offset, err));
    if (t->offset % g->parts[part].alignment)
        return jl_fail_at(err, JL_FORMAT, c->pos - 8,
                          "tensor %s lies at offset %llu, not a multiple of the alignment %u",
                          t->name, (unsigned long long)t->offset, g->parts[part].alignment);
    t->part = (uint32_t)part;
    if (!jl_index_add(&g->tensor_index, g->tensors, sizeof *t, g->n_tensors))
        return jl_fail(err, JL_NO_MEMORY, "out of memory while reading the tensor list");
    g->n_tensors++;
    return JL_OK;
}

/* Turns offsets into the data section into places in the file; the data must end inside it. */
static jl_status place_tensor(const jl_gguf_part *part, jl_gguf_tensor *t, jl_error *err)
{
    uint64_t begin;
    uint64_t end;
    if (!jl_add_u64(part->data_pos, t->offset, &begin) || !jl_add_u64(begin, t->n_bytes, &end) ||
        end > part->file.n_bytes)
        return jl_fail_at(
            err, JL_FORMAT, t->offset,
            "tensor %s (%llu bytes at offset %llu of the data) reaches past the end of "
            "the file (%llu bytes): it is cut off or damaged, download it again",
            t->name, (unsigned long long)t->n_bytes, (unsigned long long)t->offset,
            (unsigned long long)part->file.n_bytes);
    t->offset = begin;
    t->data = part->file.data + begin;
    return JL_OK;
}

static int by_offset(const void *a, const void *b)
{
    const jl_gguf_tensor *const *x = a;
    const jl_gguf_tensor *const *y = b;
    return ((*x)->offset > (*y)->offset) - ((*x)->offset < (*y)->offset);
}

static jl_status check_overlap(const jl_gguf_tensor *tensors, size_t n, jl_error *err)
{
    bool ascending = true;
    for (size_t i = 1; i < n; i++)
        ascending =
            ascending && tensors[i].offset >= tensors[i - 1].offset + tensors[i - 1].n_bytes;
    if (ascending)
        return JL_OK; /* as every usual file */

    const jl_gguf_tensor **order = jl_calloc(n, sizeof *order);
    if (!order)
        return jl_fail(err, JL_NO_MEMORY, "out of memory while reading the tensor list");
    for (size_t i = 0; i < n; i++)
        order[i] = &tensors[i];
    qsort(order, n, sizeof *order, by_offset);
    jl_status status = JL_OK;
    for (size_t i = 1; i < n && status == JL_OK; i++) {
        if (order[i]->offset < order[i - 1]->offset + order[i - 1]->n_bytes)
            status = jl_fail_at(err, JL_FORMAT, order[i]->offset,
                                "tensors %s and %s overlap at byte %llu: the file is damaged",
                                order[i - 1]->name, order[i]->name,
                                (unsigned long long)order[i]->offset);
    }
    jl_free(order);
    return status;
}

static jl_status make_room(jl_gguf *g, uint64_t n, jl_error *err)
{
    if (g->n_tensors + n > GGUF_MAX_TENSORS)
        return jl_fail(err, JL_TOO_LARGE, "more than %d tensors in all parts", GGUF_MAX_TENSORS);
    jl_gguf_tensor *tensors =
        jl_realloc(g->tensors, (g->n_tensors + (size_t)n + 1) * sizeof *tensors);
    if (!tensors)
        return jl_fail(err, JL_NO_MEMORY, "out of memory while reading the tensor list");
    g->tensors = tensors;
    return JL_OK;
}

jl_status jl_gguf_parse_tensors(jl_gguf *g, size_t i, uint64_t pos, jl_error *err)
{
    jl_gguf_part *part = &g->parts[i];
    const size_t first = g->n_tensors;
    const size_t last = first + (size_t)part->n_tensors;
    jl_cursor c = {part->file.data, part->file.n_bytes, pos};
    JL_TRY(make_room(g, part->n_tensors, err));
    while (g->n_tensors < last)
        JL_TRY(read_tensor(g, i, &c, err));
    const uint64_t mask = part->alignment - 1;
    part->data_pos = (c.pos + mask) & ~mask; /* pos is at most the file size: no overflow */
    for (size_t t = first; t < last; t++)
        JL_TRY(place_tensor(part, &g->tensors[t], err));
    return check_overlap(g->tensors + first, last - first, err);
}
