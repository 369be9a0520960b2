/* Writing a synthetic file: plan, vocabulary, header, then the tensors, streamed in slices that the
 * threads fill together. */
#include "joule/synth.h"

#include <string.h>

#include "base/mem.h"
#include "base/placement.h"
#include "base/pool.h"
#include "quant/random.h"
#include "synth/fill.h"
#include "synth/meta.h"

enum { SLICE_BYTES = 16 << 20 };

typedef struct {
    const jl_synth_params *params;
    jl_plan plan;
    jl_gguf *from;
    jl_synth_vocab vocab;
    jl_gguf_writer *writer;
    jl_pool *pool;
    uint8_t *slice; /* [slice_bytes] */
    uint64_t slice_bytes;
    uint64_t done, total; /* bytes */
} synth;

static jl_status make_plan(const jl_synth_params *params, jl_plan *plan, jl_error *err)
{
    const jl_shape *shape = jl_shape_find(params->shape);

    if (!shape)
        return jl_fail(err, JL_INVALID, "no shape '%.60s': use gemma-4-26b-a4b, gemma-4-31b, ...",
                       params->shape);
    JL_TRY(jl_plan_create(shape, params->n_layer, plan, err));
    const jl_status status = jl_plan_apply_recipe(plan, params->type, err);
    if (status != JL_OK)
        jl_plan_destroy(plan);
    return status;
}

static void measure(const jl_plan *plan, jl_synth_size *out)
{
    *out = (jl_synth_size){.n_tensors = plan->n_tensors};
    for (uint32_t i = 0; i < plan->n_tensors; i++) {
        out->n_params += jl_plan_tensor_elements(&plan->tensors[i]);
        out->tensor_bytes += jl_plan_tensor_bytes(&plan->tensors[i]);
    }
}

jl_status jl_synth_measure(const jl_synth_params *params, jl_synth_size *out, jl_error *err)
{
    jl_plan plan = {0};

    JL_TRY(make_plan(params, &plan, err));
    measure(&plan, out);
    jl_plan_destroy(&plan);
    return JL_OK;
}

typedef struct {
    const jl_plan_tensor *tensor;
    uint64_t seed, first, n_rows, row_bytes;
    uint8_t *dst;
} fill_task;

static void fill_part(void *ctx, int ith, int nth)
{
    const fill_task *f = ctx;
    const jl_range rows = jl_split((size_t)f->n_rows, jl_type_get(f->tensor->type)->group_rows,
                                    ith, nth);

    if (rows.begin < rows.end)
        jl_synth_fill_rows(f->tensor, f->seed, f->first + rows.begin, rows.end - rows.begin,
                           f->dst + rows.begin * f->row_bytes);
}

static jl_status write_tensor(synth *s, uint32_t index, jl_error *err)
{
    const jl_synth_params *p = s->params;
    const jl_plan_tensor *t = &s->plan.tensors[index];
    const uint64_t n_rows = t->ne[1] * t->ne[2];
    const uint64_t row_bytes = jl_row_bytes(t->type, t->ne[0]);
    const uint64_t group = jl_type_get(t->type)->group_rows;
    const uint64_t at_once = s->slice_bytes / (row_bytes * group) * group;
    const uint64_t seed = jl_random_u64(p->seed, index);

    for (uint64_t first = 0; first < n_rows; first += at_once) {
        const uint64_t n = n_rows - first < at_once ? n_rows - first : at_once;
        fill_task task = {t, seed, first, n, row_bytes, s->slice};
        if (!p->sparse)
            jl_pool_run(s->pool, fill_part, &task);
        JL_TRY(jl_gguf_write_data(s->writer, s->slice, n * row_bytes, err));
        s->done += n * row_bytes;
        if (p->progress && !p->progress(p->progress_ctx, s->done, s->total))
            return jl_fail(err, JL_CANCELLED, "stopped; no file was written");
    }
    return JL_OK;
}

static jl_status declare(synth *s, jl_error *err)
{
    for (uint32_t i = 0; i < s->plan.n_tensors; i++) {
        const jl_plan_tensor *t = &s->plan.tensors[i];
        JL_TRY(jl_gguf_put_tensor(s->writer, t->name, t->type, t->ne, t->n_dims, err));
        const uint64_t least = jl_row_bytes(t->type, t->ne[0]) * jl_type_get(t->type)->group_rows;
        if (least > s->slice_bytes)
            s->slice_bytes = least;
    }
    return JL_OK;
}

static jl_status write_all(synth *s, const char *path, jl_error *err)
{
    const jl_synth_params *p = s->params;
    jl_synth_size size;
    const int n_threads = p->n_threads ? (int)p->n_threads : jl_topology_threads();

    measure(&s->plan, &size);
    s->total = size.tensor_bytes;
    if (p->vocab_path)
        JL_TRY(jl_gguf_open(p->vocab_path, &s->from, err));
    JL_TRY(jl_synth_vocab_create(s->plan.shape, s->from, p->seed, &s->vocab, err));
    JL_TRY(jl_gguf_writer_create(path, 0, &s->writer, err));
    if (p->sparse)
        jl_gguf_writer_make_sparse(s->writer);
    JL_TRY(jl_synth_write_meta(s->writer, &s->plan, p->type, &s->vocab, s->from, err));
    s->slice_bytes = SLICE_BYTES;
    JL_TRY(declare(s, err));
    s->slice = jl_malloc((size_t)s->slice_bytes);
    if (!s->slice)
        return jl_fail(err, JL_NO_MEMORY, "no memory for a buffer of %llu bytes",
                       (unsigned long long)s->slice_bytes);
    const jl_pool_config config = {.n_threads = n_threads < 1 ? 1 : n_threads};
    JL_TRY(jl_pool_create(&config, &s->pool, err));
    for (uint32_t i = 0; i < s->plan.n_tensors; i++)
        JL_TRY(write_tensor(s, i, err));
    jl_gguf_writer *w = s->writer;
    s->writer = NULL;
    return jl_gguf_writer_finish(w, err);
}

jl_status jl_synth_write(const jl_synth_params *params, const char *path, jl_error *err)
{
    synth s = {.params = params};

    JL_TRY(make_plan(params, &s.plan, err));
    const jl_status status = write_all(&s, path, err);
    if (s.writer)
        jl_gguf_writer_abort(s.writer);
    if (s.pool)
        jl_pool_destroy(s.pool);
    jl_free(s.slice);
    jl_synth_vocab_destroy(&s.vocab);
    jl_gguf_close(s.from);
    jl_plan_destroy(&s.plan);
    return status;
}
