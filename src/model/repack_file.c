/* Reading and writing a file of repacked weights. */
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/file.h"
#include "base/mem.h"
#include "model/repack.h"
#include "quant/transcode.h"

enum {
    ALIGNMENT = 4096,
    MAX_BATCH = 16,                /* blocks in memory at once */
    SYNC_BYTES = 256 << 20,        /* written between two waits for the disk */
    CHECK_BYTES = 512 << 20        /* checked between two looks at progress */
};

#define KEY_VERSION     "joule.repack.version"
#define KEY_FINGERPRINT "joule.repack.fingerprint"

/* A block is some rows of one item. */
typedef struct {
    const jl_repack_item *item;
    uint64_t row, n_rows;
} block;

static block block_at(const jl_repack_job *job, size_t i)
{
    const jl_repack_item *item = job->items + job->n_items - 1;

    while (item->first_block > i)
        item--;
    const uint64_t row = (i - item->first_block) * item->block_rows;
    const uint64_t left = item->n_rows - row;
    return (block){item, row, left < item->block_rows ? left : item->block_rows};
}

static uint64_t block_bytes(const block *b)
{
    return b->n_rows * b->item->row_bytes;
}

static bool go_on(const jl_repack_job *job, const char *what, uint64_t done)
{
    const jl_repack_params *p = job->params;

    return !p->progress || p->progress(p->ctx, what, done, job->bytes);
}

/* ---- writing ------------------------------------------------------------------------------- */

typedef struct {
    const jl_repack_job *job;
    size_t first, n; /* the batch */
    uint8_t *data;   /* [n][job->block_bytes] */
    uint64_t *sums;  /* [job->n_blocks] */
} batch;

static void fill_blocks(void *ctx, int ith, int nth)
{
    const batch *w = ctx;
    const jl_range part = jl_split(w->n, 1, ith, nth);

    for (size_t i = part.begin; i < part.end; i++) {
        const block b = block_at(w->job, w->first + i);
        const jl_gguf_tensor *t = b.item->from;
        const uint64_t from = jl_row_bytes(t->type, t->ne[0]) * b.row;
        uint8_t *out = w->data + i * w->job->block_bytes;

        jl_transcode_rows(t->type, t->data + from, out, (size_t)t->ne[0], (size_t)b.n_rows);
        w->sums[w->first + i] = XXH3_64bits(out, (size_t)block_bytes(&b));
    }
}

static jl_status write_batch(const batch *w, jl_gguf_writer *out, uint64_t *done, jl_error *err)
{
    for (size_t i = 0; i < w->n; i++) {
        const block b = block_at(w->job, w->first + i);
        const jl_gguf_tensor *t = b.item->from;
        const uint64_t from = jl_row_bytes(t->type, t->ne[0]);

        JL_TRY(jl_gguf_write_data(out, w->data + i * w->job->block_bytes, block_bytes(&b), err));
        jl_file_release(t->data + from * b.row, from * b.n_rows);
        *done += block_bytes(&b);
    }
    return JL_OK;
}

static jl_status write_blocks(batch *w, jl_gguf_writer *out, jl_error *err)
{
    const jl_repack_job *job = w->job;
    uint64_t done = 0;
    uint64_t synced = 0;

    while (w->first < job->n_blocks) {
        const size_t left = job->n_blocks - w->first;
        const size_t most = job->n_threads < MAX_BATCH ? (size_t)job->n_threads : MAX_BATCH;
        w->n = left < most ? left : most;
        jl_pool_run(job->pool, fill_blocks, w);
        JL_TRY(write_batch(w, out, &done, err));
        w->first += w->n;
        if (done - synced >= SYNC_BYTES) {
            JL_TRY(jl_gguf_writer_sync(out, err));
            synced = done;
        }
        if (!go_on(job, "repacking", done))
            return jl_fail(err, JL_CANCELLED, "repacking was stopped; nothing is left of it");
    }
    return jl_gguf_write_data(out, w->sums, job->n_blocks * sizeof *w->sums, err);
}

static jl_status put_header(const jl_repack_job *job, jl_gguf_writer *out, jl_error *err)
{
    const uint32_t version = JL_REPACK_VERSION;
    const uint64_t n_blocks = job->n_blocks;
    char real[PATH_MAX];
    const char *source = realpath(job->source, real) ? real : job->source;

    JL_TRY(jl_gguf_put_str(out, "general.architecture", JL_REPACK_ARCH, strlen(JL_REPACK_ARCH),
                           err));
    JL_TRY(jl_gguf_put_scalar(out, KEY_VERSION, JL_GGUF_U32, &version, err));
    JL_TRY(jl_gguf_put_array(out, KEY_FINGERPRINT, JL_GGUF_U64, job->key, 2, err));
    JL_TRY(jl_gguf_put_str(out, JL_REPACK_KEY_SOURCE, source, strlen(source), err));
    for (size_t i = 0; i < job->n_items; i++) {
        const jl_gguf_tensor *t = job->items[i].from;
        JL_TRY(jl_gguf_put_tensor(out, t->name, job->items[i].type, t->ne, t->n_dims, err));
    }
    return jl_gguf_put_tensor(out, JL_REPACK_SUMS, JL_TYPE_I64, &n_blocks, 1, err);
}

static jl_status write_all(const jl_repack_job *job, batch *w, jl_error *err)
{
    jl_gguf_writer *out = NULL;

    if (!w->data || !w->sums)
        return jl_fail(err, JL_NO_MEMORY, "out of memory for repacking");
    JL_TRY(jl_gguf_writer_create(job->path, ALIGNMENT, &out, err));
    jl_status s = put_header(job, out, err);
    if (s == JL_OK)
        s = write_blocks(w, out, err);
    if (s == JL_OK)
        return jl_gguf_writer_finish(out, err);
    jl_gguf_writer_abort(out);
    return s;
}

jl_status jl_repack_write(const jl_repack_job *job, jl_error *err)
{
    batch w = {.job = job};

    w.data = jl_malloc((size_t)job->block_bytes * MAX_BATCH);
    w.sums = jl_calloc(job->n_blocks, sizeof *w.sums);
    const jl_status s = write_all(job, &w, err);
    jl_free(w.data);
    jl_free(w.sums);
    return s;
}

/* ---- reading ------------------------------------------------------------------------------- */

static jl_status check_keys(const jl_repack_job *job, const jl_gguf *g, jl_error *err)
{
    uint64_t version = 0;
    uint64_t key[2] = {0};
    jl_str arch;

    if (!jl_gguf_get_str(g, "general.architecture", &arch) ||
        arch.len != strlen(JL_REPACK_ARCH) || memcmp(arch.ptr, JL_REPACK_ARCH, arch.len) != 0)
        return jl_fail(err, JL_FORMAT, "%s holds no repacked weights", job->path);
    if (!jl_gguf_get_u64(g, KEY_VERSION, 0, &version) || version != JL_REPACK_VERSION)
        return jl_fail(err, JL_FORMAT, "%s has version %" PRIu64 ", not %d", job->path, version,
                       JL_REPACK_VERSION);
    for (size_t i = 0; i < 2; i++)
        if (!jl_gguf_get_u64(g, KEY_FINGERPRINT, i, &key[i]) || key[i] != job->key[i])
            return jl_fail(err, JL_FORMAT, "%s was made of another model", job->path);
    return JL_OK;
}

static jl_status check_tensors(const jl_repack_job *job, const jl_gguf *g, jl_error *err)
{
    const jl_gguf_tensor *sums = jl_gguf_find_tensor(g, JL_REPACK_SUMS);

    if (jl_gguf_n_parts(g) != 1 || jl_gguf_n_tensors(g) != job->n_items + 1)
        return jl_fail(err, JL_FORMAT, "%s holds %zu tensors, not %zu", job->path,
                       jl_gguf_n_tensors(g), job->n_items + 1);
    if (!sums || sums->type != JL_TYPE_I64 || sums->n_elements != job->n_blocks)
        return jl_fail(err, JL_FORMAT, "%s has no checksums, or too few", job->path);
    for (size_t i = 0; i < job->n_items; i++) {
        const jl_gguf_tensor *want = job->items[i].from;
        const jl_gguf_tensor *t = jl_gguf_find_tensor(g, want->name);
        if (!t || t->type != job->items[i].type || memcmp(t->ne, want->ne, sizeof t->ne) != 0)
            return jl_fail(err, JL_FORMAT, "%s: tensor %s is missing, or of another type or shape",
                           job->path, want->name);
    }
    return JL_OK;
}

typedef struct {
    const jl_repack_job *job;
    const jl_gguf *g;
    const uint8_t *sums; /* of the file */
    size_t end;          /* blocks below are checked in this region */
    jl_queue next;
    atomic_size_t bad; /* a block that is damaged, or SIZE_MAX */
} check;

static void check_blocks(void *ctx, int ith, int nth)
{
    check *c = ctx;

    (void)ith;
    (void)nth;
    for (size_t i; (i = jl_queue_take(&c->next)) < c->end;) {
        const block b = block_at(c->job, i);
        const jl_gguf_tensor *t = jl_gguf_find_tensor(c->g, b.item->from->name);
        uint64_t sum;

        memcpy(&sum, c->sums + i * sizeof sum, sizeof sum);
        if (XXH3_64bits(t->data + b.row * b.item->row_bytes, (size_t)block_bytes(&b)) != sum)
            atomic_store(&c->bad, i);
    }
}

static jl_status check_sums(const jl_repack_job *job, const jl_gguf *g, jl_error *err)
{
    const size_t step = (size_t)(CHECK_BYTES / job->block_bytes) + 1;
    check c = {.job = job, .g = g, .sums = jl_gguf_find_tensor(g, JL_REPACK_SUMS)->data};

    atomic_init(&c.bad, SIZE_MAX);
    for (size_t begin = 0; begin < job->n_blocks; begin = c.end) {
        c.end = job->n_blocks - begin < step ? job->n_blocks : begin + step;
        atomic_store(&c.next.next, begin);
        jl_pool_run(job->pool, check_blocks, &c);
        const size_t bad = atomic_load(&c.bad);
        if (bad != SIZE_MAX)
            return jl_fail(err, JL_FORMAT, "%s is damaged: checksum of tensor %s is wrong",
                           job->path, block_at(job, bad).item->from->name);
        if (!go_on(job, "checking repacked weights", c.end * job->block_bytes))
            return jl_fail(err, JL_CANCELLED, "loading was cancelled");
    }
    return JL_OK;
}

jl_status jl_repack_open(const jl_repack_job *job, bool sums, jl_gguf **out, jl_error *err)
{
    jl_gguf *g = NULL;

    JL_TRY(jl_gguf_open(job->path, &g, err));
    jl_status s = check_keys(job, g, err);
    if (s == JL_OK)
        s = check_tensors(job, g, err);
    if (s == JL_OK && sums)
        s = check_sums(job, g, err);
    if (s != JL_OK) {
        jl_gguf_close(g);
        return s;
    }
    *out = g;
    return JL_OK;
}
