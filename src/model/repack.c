/* Weights in a type that multiplies faster: made once, mapped from then on. */
#include "model/repack.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/folder.h"
#include "base/mem.h"
#include "base/topology.h"
#include "quant/transcode.h"

/* Bytes that share a checksum, about: small enough to be spread over threads. */
enum { BLOCK_BYTES = 8 << 20, MAX_THREADS = 64 };

/* ---- the job ------------------------------------------------------------------------------- */

/* Whether a product reads the tensor: embeddings alone are read by rows, which no other layout
 * makes faster. */
static bool is_multiplied(const jl_gguf_tensor *t, const jl_tensor *views, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (jl_tensor_host(&views[i]) == t->data)
            return true;
    return false;
}

static void add_item(jl_repack_job *job, const jl_gguf_tensor *t)
{
    jl_repack_item *item = &job->items[job->n_items++];
    const jl_type type = jl_transcode_type(t->type);
    const uint64_t row_bytes = jl_row_bytes(type, t->ne[0]);

    *item = (jl_repack_item){.from = t,
                             .type = type,
                             .n_rows = t->n_elements / t->ne[0],
                             .row_bytes = row_bytes,
                             .block_rows = BLOCK_BYTES / row_bytes + 1,
                             .first_block = job->n_blocks};
    job->n_blocks += (size_t)((item->n_rows + item->block_rows - 1) / item->block_rows);
    job->bytes_from += t->n_bytes;
    job->bytes += item->n_rows * row_bytes;
    const uint64_t block = item->block_rows * row_bytes;
    job->block_bytes = block > job->block_bytes ? block : job->block_bytes;
}

static jl_status find_items(const jl_model *m, jl_repack_job *job, jl_error *err)
{
    const size_t n = jl_gguf_n_tensors(m->gguf);
    const size_t n_views = jl_model_weights(m, NULL, 0);
    jl_tensor *views = jl_calloc(n_views + 1, sizeof *views);

    job->items = jl_calloc(n + 1, sizeof *job->items);
    if (!views || !job->items) {
        jl_free(views);
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    }
    (void)jl_model_weights(m, views, n_views);
    for (size_t i = 0; i < n; i++) {
        const jl_gguf_tensor *t = jl_gguf_tensor_at(m->gguf, i);
        if (jl_transcode_type(t->type) != t->type && is_multiplied(t, views, n_views))
            add_item(job, t);
    }
    jl_free(views);
    return JL_OK;
}

char *jl_repack_join(const char *folder, const char *name)
{
    const size_t cap = strlen(folder) + strlen(name) + 2;
    char *path = jl_malloc(cap);

    if (path)
        snprintf(path, cap, "%s/%s", folder, name);
    return path;
}

jl_status jl_repack_job_make(const jl_model *m, const char *source, const jl_repack_params *params,
                             jl_repack_job *out, jl_error *err)
{
    char name[JL_REPACK_NAME_CAP];
    int n = params->n_threads ? (int)params->n_threads : jl_topology_threads();

    *out = (jl_repack_job){.params = params, .source = source};
    JL_TRY(find_items(m, out, err));
    if (out->n_items == 0)
        return JL_OK;
    jl_model_fingerprint(m, out->key);
    snprintf(name, sizeof name, "%016" PRIx64 "%016" PRIx64 "-v%d.gguf", out->key[1], out->key[0],
             JL_REPACK_VERSION);
    out->path = jl_repack_join(params->folder, name);
    if (!out->path)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    n = n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
    out->n_threads = n;
    return jl_pool_create(&(jl_pool_config){.n_threads = n}, &out->pool, err);
}

void jl_repack_job_free(jl_repack_job *job)
{
    jl_pool_destroy(job->pool);
    jl_free(job->items);
    jl_free(job->path);
}

/* ---- finding or making --------------------------------------------------------------------- */

static void report(const jl_repack_job *job, jl_repack_outcome outcome, double seconds,
                   const jl_error *why)
{
    const jl_repack_params *p = job->params;
    const jl_repack_item *first = &job->items[0];

    if (!p->report)
        return;
    p->report(p->ctx, &(jl_repack_report){.outcome = outcome,
                                          .n_tensors = (uint32_t)job->n_items,
                                          .from = jl_type_name(first->from->type),
                                          .to = jl_type_name(first->type),
                                          .bytes_from = job->bytes_from,
                                          .bytes = job->bytes,
                                          .seconds = seconds,
                                          .path = job->path,
                                          .why = why});
}

static double seconds_since(uint64_t start_ns)
{
    return (double)(jl_time_ns() - start_ns) * 1e-9;
}

/* All weights that are used then, and an eighth of it for the KV cache and work. */
static jl_status check_room(const jl_model *m, const jl_repack_job *job, jl_error *err)
{
    const uint64_t have = job->params->memory;
    const uint64_t need = jl_gguf_file_bytes(m->gguf) - job->bytes_from + job->bytes;

    if (have == 0 || need + need / 8 <= have)
        return JL_OK;
    return jl_fail(err, JL_NO_MEMORY,
                   "repacked, the weights would take %.2f GB; with an eighth for work that is more "
                   "than the %.2f GB of memory that are free",
                   (double)need / 1e9, (double)have / 1e9);
}

/* With the lock held: whatever is at the path now is replaced. */
static jl_status make(const jl_repack_job *job, jl_gguf **out, jl_error *err)
{
    const uint64_t start = jl_time_ns();

    jl_repack_tidy(job);
    JL_TRY(jl_repack_write(job, err));
    jl_folder_sync(job->params->folder);
    JL_TRY(jl_repack_open(job, false, out, err)); /* these very bytes were just summed */
    report(job, JL_REPACK_MADE, seconds_since(start), NULL);
    return JL_OK;
}

static jl_status find(const jl_repack_job *job, jl_gguf **out, jl_error *err)
{
    const uint64_t start = jl_time_ns();

    JL_TRY(jl_repack_open(job, true, out, err));
    report(job, JL_REPACK_USED, seconds_since(start), NULL);
    return JL_OK;
}

static jl_status find_or_make(const jl_repack_job *job, jl_gguf **out, jl_error *err)
{
    jl_error why = {0};
    jl_folder_lock *held = NULL;

    jl_status s = find(job, out, &why);
    if (s == JL_OK)
        return s;
    if (s == JL_CANCELLED || s == JL_NO_MEMORY)
        return jl_fail(err, s, "%s", why.text);
    if (s != JL_IO)
        report(job, JL_REPACK_DAMAGED, 0, &why);
    JL_TRY(jl_folder_make(job->params->folder, err));
    JL_TRY(jl_repack_lock(job->params->folder, &held, err));
    if (s != JL_IO)
        (void)jl_file_remove(job->path);
    s = find(job, out, &why); /* another program may have made it meanwhile */
    if (s == JL_CANCELLED)
        s = jl_fail(err, s, "%s", why.text);
    else if (s != JL_OK)
        s = make(job, out, err);
    jl_folder_lock_leave(held);
    return s;
}

/* ---- the model ----------------------------------------------------------------------------- */

static void attach(jl_model *m, const jl_repack_job *job, jl_gguf *g)
{
    const jl_file *f = jl_gguf_part_file(g, 0);

    m->repacked = g;
    m->repacked_part =
        (jl_buffer){.host = (uint8_t *)(uintptr_t)f->data, .n_bytes = f->n_bytes};
    for (size_t i = 0; i < job->n_items; i++) {
        const jl_gguf_tensor *from = job->items[i].from;
        const jl_gguf_tensor *t = jl_gguf_find_tensor(g, from->name);
        const jl_tensor with = {.buf = &m->repacked_part,
                                .offset = (uint64_t)(t->data - f->data),
                                .type = t->type,
                                .row_bytes = job->items[i].row_bytes};
        jl_model_override(m, from->data, &with);
        jl_file_release(from->data, from->n_bytes);
    }
}

jl_status jl_model_repack(jl_model *m, const char *source, const jl_repack_params *params,
                          jl_error *err)
{
    jl_error why = {0};
    jl_repack_job job;
    jl_gguf *g = NULL;

    jl_status s = jl_repack_job_make(m, source, params, &job, &why);
    if (s == JL_OK && job.n_items)
        s = check_room(m, &job, &why);
    if (s == JL_OK && job.n_items)
        s = find_or_make(&job, &g, &why);
    if (g)
        attach(m, &job, g);
    if (s != JL_OK && s != JL_CANCELLED && job.n_items)
        report(&job, JL_REPACK_NOT, 0, &why);
    jl_repack_job_free(&job);
    return s == JL_CANCELLED ? jl_fail(err, s, "%s", why.text) : JL_OK;
}

const jl_gguf_tensor *jl_model_in_use(const jl_model *m, const jl_gguf_tensor *t)
{
    const jl_gguf_tensor *r = m->repacked ? jl_gguf_find_tensor(m->repacked, t->name) : NULL;

    return r ? r : t;
}

uint64_t jl_model_weight_bytes(const jl_model *m)
{
    uint64_t sum = jl_gguf_file_bytes(m->gguf) + m->repacked_part.n_bytes;

    for (size_t i = 0; i < jl_gguf_n_tensors(m->gguf); i++) {
        const jl_gguf_tensor *t = jl_gguf_tensor_at(m->gguf, i);
        if (jl_model_in_use(m, t) != t)
            sum -= t->n_bytes;
    }
    return sum;
}
