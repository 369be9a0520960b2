/* Writing a quantised file: tensor by tensor, in slices of rows that the threads share. Every slice
 * is decoded, checked for values that are no numbers, and encoded; a row's bytes depend on the row
 * alone, so the file does not depend on the number of threads. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "base/placement.h"
#include "base/pool.h"
#include "convert/plan.h"
#include "quant/quant.h"

enum { SLICE_VALUES = 1 << 22, MAX_THREADS = 256, SAMPLE_ROWS = 5,
       MAX_GROUP = 16 /* rows stored together */ };

/* Ids of the experts that are gone, layer after layer, as many of each. */
#define DROPPED_KEY "joule.dropped_experts"

typedef struct {
    const jl_quant_plan *plan;
    const jl_quant_write_params *params;
    jl_gguf_writer *writer;
    jl_pool *pool;
    jl_quantizer *quantizers[JL_TYPE_MAX]; /* made when first needed */
    uint8_t *slice;                        /* [slice_bytes] encoded rows */
    float *rows;                           /* [n_threads][MAX_GROUP][longest row] */
    uint64_t longest, slice_bytes;
    uint64_t done, total; /* parameters */
    uint64_t resumed;     /* bytes */
} job;

/* ---- a slice of rows ------------------------------------------------------------------------ */

typedef struct {
    const job *job;
    const jl_quant_item *item;
    const jl_quantizer *quantizer; /* NULL: the bytes are copied */
    uint64_t first, n_rows;
    uint8_t *dst;
    atomic_ullong bad_row; /* lowest row with a value that is no number, UINT64_MAX: none */
} slice_task;

static bool all_finite(const float *x, uint64_t n)
{
    float sum = 0.0f; /* x - x is 0, or NaN where x is not finite */

    for (uint64_t i = 0; i < n; i++)
        sum += x[i] - x[i];
    return sum == 0.0f;
}

static void note_bad(slice_task *t, uint64_t row)
{
    unsigned long long seen = atomic_load(&t->bad_row);

    while (row < seen && !atomic_compare_exchange_weak(&t->bad_row, &seen, row))
        continue;
}

static void quantize_rows(void *ctx, int ith, int nth)
{
    slice_task *t = ctx;
    const jl_gguf_tensor *tensor = t->item->tensor;
    const uint64_t n_in = tensor->ne[0];
    const uint64_t from_bytes = jl_row_bytes((uint32_t)tensor->type, n_in);
    const uint64_t to_bytes = jl_row_bytes((uint32_t)t->item->type, n_in);
    const uint32_t group = jl_type_get((uint32_t)t->item->type)->group_rows;
    const jl_range part = jl_split((size_t)t->n_rows, group, ith, nth);
    float *x = t->job->rows + (uint64_t)ith * t->job->longest * MAX_GROUP;

    for (size_t r = part.begin; r < part.end; r += group) {
        const uint64_t row = jl_quant_source_row(t->item, t->first + r);
        const uint8_t *src = tensor->data + row * from_bytes;
        const float *importance =
            t->item->importance ? t->item->importance + row / tensor->ne[1] * n_in : NULL;
        for (uint32_t i = 0; i < group; i++) {
            float *to = x + i * n_in;
            jl_dequant_matrix_row(tensor->type, tensor->data, (size_t)row + i, to, (size_t)n_in);
            if (!all_finite(to, n_in))
                note_bad(t, t->first + r + i);
        }
        if (t->quantizer)
            jl_quantizer_rows(t->quantizer, x, importance, t->dst + r * to_bytes, (size_t)n_in,
                              group);
        else
            memcpy(t->dst + r * to_bytes, src, (size_t)to_bytes * group);
    }
}

static jl_status quantize_slice(job *j, const jl_quant_item *item, uint64_t first, uint64_t n_rows,
                                jl_error *err)
{
    slice_task t = {.job = j, .item = item, .first = first, .n_rows = n_rows, .dst = j->slice};

    if (item->type != item->tensor->type)
        t.quantizer = j->quantizers[item->type];
    atomic_init(&t.bad_row, UINT64_MAX);
    jl_pool_run(j->pool, quantize_rows, &t);
    const unsigned long long bad = atomic_load(&t.bad_row);
    if (bad == UINT64_MAX)
        return JL_OK;
    return jl_fail(err, JL_FORMAT,
                   "tensor %s holds a value that is not a finite number in row %llu of %llu; the "
                   "file is damaged, or its training was: no file was written",
                   item->tensor->name, bad,
                   (unsigned long long)(item->tensor->n_elements / item->tensor->ne[0]));
}

/* ---- a tensor ------------------------------------------------------------------------------- */

static jl_status report(job *j, uint64_t n_params, const char *name, jl_error *err)
{
    const jl_quant_write_params *p = j->params;

    j->done += n_params;
    if (!p->progress || p->progress(p->progress_ctx, j->done, j->total, name))
        return JL_OK;
    return jl_fail(err, JL_CANCELLED, "stopped");
}

/* Whether a sample of the rows comes out as the earlier run wrote it. */
static jl_status same_rows(job *j, const jl_quant_item *item, bool *same, jl_error *err)
{
    const uint64_t n_in = item->tensor->ne[0];
    const uint64_t n_rows = item->tensor->n_elements / n_in;
    const uint64_t to_bytes = jl_row_bytes((uint32_t)item->type, n_in);
    const uint64_t group = jl_type_get((uint32_t)item->type)->group_rows;
    uint8_t *old = jl_malloc((size_t)(to_bytes * group));

    *same = old != NULL;
    jl_status s = old ? JL_OK : jl_fail(err, JL_NO_MEMORY, "out of memory");
    for (uint64_t k = 0; s == JL_OK && *same && k < SAMPLE_ROWS; k++) {
        const uint64_t row = k * (n_rows - 1) / (SAMPLE_ROWS - 1) / group * group;
        s = quantize_slice(j, item, row, group, err);
        if (s == JL_OK)
            s = jl_gguf_peek(j->writer, row * to_bytes, old, (size_t)(to_bytes * group), err);
        *same = s == JL_OK && memcmp(old, j->slice, (size_t)(to_bytes * group)) == 0;
    }
    jl_free(old);
    return s;
}

static jl_status prepare_type(job *j, const jl_quant_item *item, jl_error *err)
{
    if (item->type == item->tensor->type || j->quantizers[item->type])
        return JL_OK;
    return jl_quantizer_create(item->type, &j->quantizers[item->type], err);
}

/* Takes the tensor over from an earlier run if it is there and right. */
static jl_status take_over(job *j, const jl_quant_item *item, bool *taken, jl_error *err)
{
    bool whole;

    JL_TRY(jl_gguf_left_over(j->writer, &whole, err));
    *taken = whole;
    if (whole)
        JL_TRY(same_rows(j, item, taken, err));
    JL_TRY(jl_gguf_skip(j->writer, *taken, err));
    if (*taken)
        j->resumed += jl_quant_bytes(item->tensor, item->type);
    return JL_OK;
}

/* Types without arithmetic (integers) are copied as bytes. */
static jl_status copy_plain(job *j, const jl_quant_item *item, jl_error *err)
{
    JL_TRY(jl_gguf_write_data(j->writer, item->tensor->data, item->tensor->n_bytes, err));
    return report(j, item->tensor->n_elements, item->tensor->name, err);
}

static jl_status write_tensor(job *j, const jl_quant_item *item, jl_error *err)
{
    const jl_gguf_tensor *t = item->tensor;
    const uint64_t n_rows = t->n_elements / t->ne[0];
    const uint64_t to_bytes = jl_row_bytes((uint32_t)item->type, t->ne[0]);
    const uint64_t group = jl_type_get((uint32_t)item->type)->group_rows;
    const uint64_t fit = j->slice_bytes / (to_bytes * group);
    const uint64_t want = SLICE_VALUES / (t->ne[0] * group) + 1;
    const uint64_t at_once = (fit < want ? fit : want) * group;
    bool taken;

    if (!jl_type_get((uint32_t)t->type)->is_weight)
        return copy_plain(j, item, err);
    JL_TRY(prepare_type(j, item, err));
    JL_TRY(take_over(j, item, &taken, err));
    if (taken)
        return report(j, t->n_elements, t->name, err);
    for (uint64_t first = 0; first < n_rows; first += at_once) {
        const uint64_t n = n_rows - first < at_once ? n_rows - first : at_once;
        JL_TRY(quantize_slice(j, item, first, n, err));
        JL_TRY(jl_gguf_write_data(j->writer, j->slice, n * to_bytes, err));
        JL_TRY(report(j, n * t->ne[0], t->name, err));
    }
    return JL_OK;
}

/* ---- the file ------------------------------------------------------------------------------- */

/* GGUF's general.file_type: llama.cpp's number of the mix whose type most parameters have. */
static uint32_t file_type(const jl_quant_plan *plan)
{
    static const struct {
        jl_type type;
        uint32_t number;
    } numbers[] = {{JL_TYPE_F32, 0},      {JL_TYPE_F16, 1},      {JL_TYPE_Q4_0, 2},
                   {JL_TYPE_Q4_1, 3},     {JL_TYPE_Q8_0, 7},     {JL_TYPE_Q5_0, 8},
                   {JL_TYPE_Q5_1, 9},     {JL_TYPE_Q2_K, 10},    {JL_TYPE_Q3_K, 12},
                   {JL_TYPE_Q4_K, 15},    {JL_TYPE_Q5_K, 17},    {JL_TYPE_Q6_K, 18},
                   {JL_TYPE_IQ2_XXS, 19}, {JL_TYPE_IQ2_XS, 20},  {JL_TYPE_IQ3_XXS, 23},
                   {JL_TYPE_IQ4_NL, 25},  {JL_TYPE_IQ3_S, 26},   {JL_TYPE_IQ2_S, 28},
                   {JL_TYPE_IQ4_XS, 30},  {JL_TYPE_BF16, 32}};
    uint64_t params[JL_TYPE_MAX] = {0};
    size_t most = 0;

    for (size_t i = 0; i < plan->n; i++)
        if (plan->items[i].matrix)
            params[plan->items[i].type] += plan->items[i].tensor->n_elements;
    for (size_t k = 1; k < sizeof numbers / sizeof *numbers; k++)
        most = params[numbers[k].type] > params[numbers[most].type] ? k : most;
    return numbers[most].number;
}

static bool is_own_key(const char *key)
{
    return strcmp(key, "general.file_type") == 0 ||
           strcmp(key, "general.quantization_version") == 0 || strncmp(key, "split.", 6) == 0;
}

static bool is_replaced_key(const jl_quant_plan *plan, const char *key)
{
    char count[JL_QUANT_KEY];

    if (!plan->n_drops)
        return false;
    jl_quant_arch_key(plan->gguf, "expert_count", count);
    return strcmp(key, count) == 0 || strcmp(key, DROPPED_KEY) == 0;
}

/* The number of experts, and which ones are gone: a run goes on only behind the same header, and
 * without their ids files that lost other experts would have the same one. */
static jl_status put_experts(job *j, jl_error *err)
{
    const jl_quant_plan *plan = j->plan;
    char key[JL_QUANT_KEY];

    if (!plan->n_drops)
        return JL_OK;
    jl_quant_arch_key(plan->gguf, "expert_count", key);
    JL_TRY(jl_gguf_put_scalar(j->writer, key, JL_GGUF_U32, &plan->n_expert, err));
    const size_t each = plan->drops[0].n;
    uint32_t *ids = jl_calloc(plan->n_drops * each, sizeof *ids);
    if (!ids)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < plan->n_drops; i++)
        memcpy(ids + i * each, plan->drops[i].dropped, each * sizeof *ids);
    const jl_status s = jl_gguf_put_array(j->writer, DROPPED_KEY, JL_GGUF_U32, ids,
                                          plan->n_drops * each, err);
    jl_free(ids);
    return s;
}

static jl_status put_header(job *j, jl_error *err)
{
    const jl_quant_plan *plan = j->plan;
    const uint32_t kind = file_type(plan);
    const uint32_t version = 2; /* of the block formats, unchanged since the K-quants */

    for (size_t i = 0; i < jl_gguf_n_kv(plan->gguf); i++)
        if (!is_own_key(jl_gguf_kv_at(plan->gguf, i)->key) &&
            !is_replaced_key(plan, jl_gguf_kv_at(plan->gguf, i)->key))
            JL_TRY(jl_gguf_put_kv(j->writer, jl_gguf_kv_at(plan->gguf, i), err));
    JL_TRY(put_experts(j, err));
    JL_TRY(jl_gguf_put_scalar(j->writer, "general.quantization_version", JL_GGUF_U32, &version,
                              err));
    JL_TRY(jl_gguf_put_scalar(j->writer, "general.file_type", JL_GGUF_U32, &kind, err));
    for (size_t i = 0; i < plan->n; i++) {
        const jl_quant_item *item = &plan->items[i];
        JL_TRY(jl_gguf_put_tensor(j->writer, item->tensor->name, item->type, item->tensor->ne,
                                  item->tensor->n_dims, err));
    }
    return JL_OK;
}

static jl_status check_plan(job *j, jl_error *err)
{
    for (size_t i = 0; i < j->plan->n; i++) {
        const jl_quant_item *item = &j->plan->items[i];
        const uint64_t row_bytes = jl_row_bytes((uint32_t)item->type, item->tensor->ne[0]);
        if (row_bytes == 0)
            return jl_fail(err, JL_INVALID, "tensor %s: rows of %llu do not fit the blocks of %s",
                           item->tensor->name, (unsigned long long)item->tensor->ne[0],
                           jl_type_name((uint32_t)item->type));
        j->longest = item->tensor->ne[0] > j->longest ? item->tensor->ne[0] : j->longest;
        const uint64_t least = row_bytes * jl_type_get((uint32_t)item->type)->group_rows;
        j->slice_bytes = least > j->slice_bytes ? least : j->slice_bytes;
        j->total += item->tensor->n_elements;
    }
    return JL_OK;
}

static jl_status prepare(job *j, const char *path, jl_error *err)
{
    int n_threads = j->params->n_threads ? (int)j->params->n_threads : jl_topology_threads();

    n_threads = n_threads < 1 ? 1 : n_threads > MAX_THREADS ? MAX_THREADS : n_threads;
    j->slice_bytes = SLICE_VALUES * sizeof(float);
    JL_TRY(check_plan(j, err));
    j->slice = jl_malloc((size_t)j->slice_bytes);
    j->rows = jl_calloc((size_t)n_threads * MAX_GROUP * j->longest, sizeof *j->rows);
    if (!j->slice || !j->rows)
        return jl_fail(err, JL_NO_MEMORY, "no memory for buffers of %.1f MiB",
                       (double)j->slice_bytes / 1048576.0);
    const jl_pool_config config = {.n_threads = n_threads};
    JL_TRY(jl_pool_create(&config, &j->pool, err));
    const uint32_t alignment = jl_gguf_alignment(j->plan->gguf);
    JL_TRY(j->params->fresh ? jl_gguf_writer_create(path, alignment, &j->writer, err)
                            : jl_gguf_writer_create_partial(path, alignment, &j->writer, err));
    return put_header(j, err);
}

static jl_status write_all(job *j, const char *path, jl_error *err)
{
    JL_TRY(prepare(j, path, err));
    for (size_t i = 0; i < j->plan->n; i++)
        JL_TRY(write_tensor(j, &j->plan->items[i], err));
    jl_gguf_writer *w = j->writer;
    j->writer = NULL;
    return jl_gguf_writer_finish(w, err);
}

jl_status jl_quantize_write(const jl_quant_plan *plan, const char *path,
                            const jl_quant_write_params *params, uint64_t *resumed, jl_error *err)
{
    job j = {.plan = plan, .params = params};

    const jl_status s = write_all(&j, path, err);
    if (s == JL_CANCELLED && j.writer) {
        const uint64_t kept = jl_gguf_writer_keep(j.writer);
        if (kept)
            jl_fail(err, JL_CANCELLED,
                    "stopped; %s.partial keeps %.3f GB, and the same command goes on from there",
                    path, (double)kept / 1e9);
    } else {
        jl_gguf_writer_abort(j.writer);
    }
    jl_pool_destroy(j.pool);
    jl_free(j.slice);
    jl_free(j.rows);
    for (size_t i = 0; i < JL_TYPE_MAX; i++)
        jl_quantizer_destroy(j.quantizers[i]);
    if (s == JL_OK && resumed)
        *resumed = j.resumed;
    return s;
}
