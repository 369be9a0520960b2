/* Importance files of llama.cpp. */
#include "convert/imatrix.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

struct jl_imatrix {
    jl_gguf *gguf;
};

jl_status jl_imatrix_open(const char *path, jl_imatrix **out, jl_error *err)
{
    jl_imatrix *m = jl_calloc(1, sizeof *m);
    jl_str type = {0};

    if (!m)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    jl_status s = jl_gguf_open(path, &m->gguf, err);
    if (s == JL_OK && (!jl_gguf_get_str(m->gguf, "general.type", &type) || type.len != 7 ||
                       memcmp(type.ptr, "imatrix", 7) != 0))
        s = jl_fail(err, JL_FORMAT,
                    "%s is no importance matrix: make one with joule imatrix or llama-imatrix",
                    path);
    if (s != JL_OK) {
        jl_imatrix_close(m);
        return s;
    }
    *out = m;
    return JL_OK;
}

void jl_imatrix_close(jl_imatrix *m)
{
    if (!m)
        return;
    jl_gguf_close(m->gguf);
    jl_free(m);
}

static const jl_gguf_tensor *find(const jl_imatrix *m, const char *name, const char *ending)
{
    char text[300];

    snprintf(text, sizeof text, "%s.%s", name, ending);
    return jl_gguf_find_tensor(m->gguf, text);
}

static float load(const jl_gguf_tensor *t, uint64_t i)
{
    float v;

    memcpy(&v, t->data + i * sizeof v, sizeof v);
    return v;
}

static jl_status fill(const jl_gguf_tensor *sums, const jl_gguf_tensor *counts, uint64_t n_in,
                      uint64_t n_mat, float *out, jl_error *err)
{
    for (uint64_t e = 0; e < n_mat; e++) {
        const float count = load(counts, e);
        for (uint64_t i = 0; i < n_in; i++) {
            const float v = count > 0.0f ? load(sums, e * n_in + i) / count : 1.0f;
            if (!(v >= 0.0f) || !isfinite(v))
                return jl_fail(err, JL_FORMAT, "importance matrix: %s holds %g, no usable number",
                               sums->name, (double)v);
            out[e * n_in + i] = v;
        }
    }
    return JL_OK;
}

jl_status jl_imatrix_values(const jl_imatrix *m, const jl_gguf_tensor *tensor, float **out,
                            jl_error *err)
{
    const jl_gguf_tensor *sums = find(m, tensor->name, "in_sum2");
    const jl_gguf_tensor *counts = find(m, tensor->name, "counts");

    *out = NULL;
    if (!sums || !counts)
        return JL_OK;
    if (sums->type != JL_TYPE_F32 || counts->type != JL_TYPE_F32 || sums->ne[0] != tensor->ne[0] ||
        sums->n_elements != tensor->ne[0] * tensor->ne[2] || counts->n_elements != tensor->ne[2])
        return jl_fail(err, JL_FORMAT,
                       "importance matrix: %s has %llu values, the tensor has %llu inputs and %llu "
                       "matrices; it was made for another model",
                       sums->name, (unsigned long long)sums->n_elements,
                       (unsigned long long)tensor->ne[0], (unsigned long long)tensor->ne[2]);
    float *values = jl_calloc((size_t)sums->n_elements, sizeof *values);
    if (!values)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    const jl_status s = fill(sums, counts, tensor->ne[0], tensor->ne[2], values, err);
    if (s != JL_OK) {
        jl_free(values);
        return s;
    }
    *out = values;
    return JL_OK;
}

static bool has_experts(const jl_gguf_tensor *t, const jl_gguf_tensor *down)
{
    return t && t->type == JL_TYPE_F32 && t->n_elements == down->ne[2];
}

jl_status jl_imatrix_experts(const jl_imatrix *m, const jl_gguf_tensor *down, jl_drop_by by,
                             double *out, jl_error *err)
{
    const jl_gguf_tensor *counts = find(m, down->name, "counts");
    const jl_gguf_tensor *sums = by == JL_DROP_BY_USE ? counts : find(m, down->name, "saliency");

    if (!has_experts(counts, down) || !has_experts(sums, down))
        return jl_fail(err, JL_FORMAT,
                       "importance matrix: nothing usable about the %llu experts of %s; it was "
                       "made for another model, or by another program: make it with joule imatrix",
                       (unsigned long long)down->ne[2], down->name);
    for (uint64_t e = 0; e < down->ne[2]; e++) {
        const double count = (double)load(counts, e);
        const double sum = (double)load(sums, e);
        if (!(count >= 0.0) || !(sum >= 0.0) || isinf(count) || isinf(sum))
            return jl_fail(err, JL_FORMAT, "importance matrix: %s holds %g, no usable number",
                           sums->name, count >= 0.0 && !isinf(count) ? sum : count);
        out[e] = count == 0.0 ? 0.0 : by == JL_DROP_BY_MEAN ? sum / count : sum;
    }
    return JL_OK;
}

static jl_status put_meta(jl_gguf_writer *w, const jl_imatrix_source *source, jl_error *err)
{
    JL_TRY(jl_gguf_put_str(w, "general.type", "imatrix", 7, err));
    const jl_str dataset = {source->dataset, source->dataset ? strlen(source->dataset) : 0};
    JL_TRY(jl_gguf_put_str_array(w, "imatrix.datasets", &dataset, source->dataset ? 1 : 0, err));
    JL_TRY(jl_gguf_put_scalar(w, "imatrix.chunk_count", JL_GGUF_U32, &source->n_chunks, err));
    return jl_gguf_put_scalar(w, "imatrix.chunk_size", JL_GGUF_U32, &source->chunk_tokens, err);
}

static jl_status put_entries(jl_gguf_writer *w, const jl_imatrix_entry *entries, size_t n,
                             jl_error *err)
{
    char name[300];

    for (size_t i = 0; i < n; i++) {
        const uint64_t sums_ne[2] = {entries[i].n_in, entries[i].n_mat};
        const uint64_t counts_ne[2] = {1, entries[i].n_mat};
        snprintf(name, sizeof name, "%s.in_sum2", entries[i].name);
        JL_TRY(jl_gguf_put_tensor(w, name, JL_TYPE_F32, sums_ne, 2, err));
        snprintf(name, sizeof name, "%s.counts", entries[i].name);
        JL_TRY(jl_gguf_put_tensor(w, name, JL_TYPE_F32, counts_ne, 2, err));
        snprintf(name, sizeof name, "%s.saliency", entries[i].name);
        if (entries[i].saliency)
            JL_TRY(jl_gguf_put_tensor(w, name, JL_TYPE_F32, counts_ne, 2, err));
    }
    for (size_t i = 0; i < n; i++) {
        const jl_imatrix_entry *e = &entries[i];
        JL_TRY(jl_gguf_write_data(w, e->sums, e->n_in * e->n_mat * sizeof *e->sums, err));
        JL_TRY(jl_gguf_write_data(w, e->counts, e->n_mat * sizeof *e->counts, err));
        if (e->saliency)
            JL_TRY(jl_gguf_write_data(w, e->saliency, e->n_mat * sizeof *e->saliency, err));
    }
    return JL_OK;
}

jl_status jl_imatrix_save(const char *path, const jl_imatrix_source *source,
                          const jl_imatrix_entry *entries, size_t n, jl_error *err)
{
    jl_gguf_writer *w = NULL;

    JL_TRY(jl_gguf_writer_create(path, 0, &w, err));
    jl_status s = put_meta(w, source, err);
    if (s == JL_OK)
        s = put_entries(w, entries, n, err);
    if (s == JL_OK)
        return jl_gguf_writer_finish(w, err);
    jl_gguf_writer_abort(w);
    return s;
}
