/* Collecting importance: the squares of everything that a matrix is multiplied with. The collector
 * stands between the graph and the backend: its table of operations is the backend's, but products
 * look at their input first. The input and the output of an expert's down projection never leave
 * the backend, so experts are computed a second time here, one by one. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "convert/imatrix.h"
#include "engine/session.h"
#include "eval/chunks.h"
#include "eval/saliency.h"
#include "joule/quantize.h"

typedef struct {
    const jl_gguf_tensor *tensor;
    double *sums;  /* [n_mat][n_in] */
    double *counts; /* [n_mat] */
    double *saliency; /* [n_mat] of an expert's down projection, else NULL */
} entry;

typedef struct {
    jl_backend_ops ops; /* first: the backend's table points here while collecting */
    const jl_backend_ops *base;
    const jl_model *m;
    entry *entries; /* [n_tensors] by tensor index; sums NULL: not a product's matrix so far */
    size_t n;
    /* rows of one expert */
    jl_buffer *rows; /* x, later the output; gate, up: [n_tokens] each */
    float *weights;  /* [n_tokens] the router's */
    uint32_t max_tokens;
    jl_status status;
    jl_error err;
} collector;

static collector *collector_of(const jl_backend *be)
{
    return (collector *)(uintptr_t)be->ops;
}

static const jl_gguf_tensor *tensor_of(const collector *c, const jl_tensor *w, size_t *index)
{
    const uint8_t *data = jl_tensor_host(w);

    for (size_t i = 0; i < c->n; i++) {
        *index = i;
        if (jl_model_in_use(c->m, jl_gguf_tensor_at(c->m->gguf, i))->data == data)
            return jl_gguf_tensor_at(c->m->gguf, i);
    }
    return NULL;
}

/* The sums of a matrix, made on first use. NULL if memory runs out or the tensor is not a
 * file's. */
static entry *entry_of(collector *c, const jl_tensor *w)
{
    size_t i;
    const jl_gguf_tensor *t = tensor_of(c, w, &i);

    if (!t)
        return NULL;
    entry *e = &c->entries[i];
    if (!e->sums) {
        e->tensor = t;
        e->sums = jl_calloc((size_t)(t->ne[0] * t->ne[2]), sizeof *e->sums);
        e->counts = jl_calloc((size_t)t->ne[2], sizeof *e->counts);
        if (!e->sums || !e->counts)
            c->status = jl_fail(&c->err, JL_NO_MEMORY, "out of memory");
    }
    return c->status == JL_OK ? e : NULL;
}

static void add_row(entry *e, uint64_t matrix, const float *x)
{
    double *sums = e->sums + matrix * e->tensor->ne[0];

    for (uint64_t i = 0; i < e->tensor->ne[0]; i++)
        sums[i] += (double)x[i] * (double)x[i];
    e->counts[matrix] += 1.0;
}

static void on_matmul(jl_backend *be, const jl_tensor *x, const jl_matmul_out *outs, size_t n_outs)
{
    collector *c = collector_of(be);

    for (size_t o = 0; o < n_outs; o++) {
        entry *e = entry_of(c, outs[o].w);
        for (uint32_t t = 0; e && t < x->ne[1]; t++)
            add_row(e, 0, jl_tensor_row(x, t));
    }
    c->base->matmul(be, x, outs, n_outs);
}

/* ---- experts -------------------------------------------------------------------------------- */

static jl_tensor rows_view(const collector *c, uint64_t offset, uint32_t n, uint32_t n_rows)
{
    return (jl_tensor){.buf = c->rows,
                       .offset = offset,
                       .type = JL_TYPE_F32,
                       .ne = {n, n_rows, 1},
                       .row_bytes = n * sizeof(float)};
}

static jl_tensor expert_of(const jl_tensor *w, uint32_t e)
{
    jl_tensor one = *w;

    one.offset += (uint64_t)e * w->ne[1] * w->row_bytes;
    one.ne[2] = 1;
    return one;
}

/* The rows of x that go to expert e, in order, into the first rows of the buffer; their weights. */
static uint32_t gather(const collector *c, const jl_experts_args *a, uint32_t e)
{
    const jl_tensor to = rows_view(c, 0, a->x->ne[0], c->max_tokens);
    uint32_t n = 0;

    for (uint32_t t = 0; t < a->x->ne[1]; t++) {
        const int32_t *ids = (const int32_t *)(const void *)jl_tensor_row(a->ids, t);
        for (uint32_t k = 0; k < a->ids->ne[0]; k++) {
            if (ids[k] != (int32_t)e)
                continue;
            c->weights[n] = jl_tensor_row(a->weights, t)[k];
            memcpy(jl_tensor_row(&to, n++), jl_tensor_row(a->x, t), a->x->ne[0] * sizeof(float));
        }
    }
    return n;
}

/* gelu(gate x) * (up x) of n gathered rows, in place of gate. */
static jl_tensor activate(collector *c, jl_backend *be, const jl_experts_args *a, uint32_t e,
                          uint32_t n)
{
    const uint64_t x_bytes = (uint64_t)c->max_tokens * a->x->ne[0] * sizeof(float);
    const jl_tensor x = rows_view(c, 0, a->x->ne[0], n);
    const bool fused = a->gate_up->buf != NULL;
    const uint32_t width = fused ? 2 * a->n_ff : a->n_ff;
    jl_tensor gate = rows_view(c, x_bytes, width, n);
    jl_tensor up = rows_view(c, x_bytes + (uint64_t)c->max_tokens * width * sizeof(float),
                             a->n_ff, n);
    const jl_tensor w = expert_of(fused ? a->gate_up : a->gate, e);

    c->base->matmul(be, &x, &(jl_matmul_out){.w = &w, .y = gate}, 1);
    if (!fused) {
        const jl_tensor w_up = expert_of(a->up, e);
        c->base->matmul(be, &x, &(jl_matmul_out){.w = &w_up, .y = up}, 1);
    } else {
        up = gate; /* the second half of each row */
        up.offset += a->n_ff * sizeof(float);
    }
    gate.ne[0] = up.ne[0] = a->n_ff;
    c->base->geglu(be, &gate, &up, &gate);
    for (uint32_t t = 1; fused && t < n; t++) /* without the gaps that up left */
        memmove(jl_tensor_row(&gate, 0) + (size_t)t * a->n_ff, jl_tensor_row(&gate, t),
                a->n_ff * sizeof(float));
    gate.row_bytes = a->n_ff * sizeof(float);
    return gate;
}

double jl_expert_saliency(float weight, const float *y, size_t n)
{
    double squares = 0.0;

    for (size_t i = 0; i < n; i++)
        squares += (double)y[i] * (double)y[i];
    return fabs((double)weight) * sqrt(squares);
}

/* Adds what expert e adds to each of its tokens; its output takes the place of its input. */
static void add_saliency(const collector *c, jl_backend *be, const jl_experts_args *a, uint32_t e,
                         const jl_tensor *h, double *sum)
{
    const jl_tensor y = rows_view(c, 0, a->x->ne[0], h->ne[1]);
    const jl_tensor down = expert_of(a->down, e);

    c->base->matmul(be, h, &(jl_matmul_out){.w = &down, .y = y}, 1);
    for (uint32_t t = 0; t < h->ne[1]; t++)
        *sum += jl_expert_saliency(c->weights[t], jl_tensor_row(&y, t), a->x->ne[0]);
}

static void on_experts(jl_backend *be, const jl_experts_args *a)
{
    collector *c = collector_of(be);
    entry *gate = entry_of(c, a->gate_up->buf ? a->gate_up : a->gate);
    entry *up = a->gate_up->buf ? NULL : entry_of(c, a->up);
    entry *down = entry_of(c, a->down);

    if (down && !down->saliency) {
        down->saliency = jl_calloc((size_t)down->tensor->ne[2], sizeof *down->saliency);
        if (!down->saliency)
            c->status = jl_fail(&c->err, JL_NO_MEMORY, "out of memory");
    }
    for (uint32_t e = 0; gate && down && down->saliency && e < (uint32_t)down->tensor->ne[2]; e++) {
        const uint32_t n = gather(c, a, e);
        const jl_tensor x = rows_view(c, 0, a->x->ne[0], n);
        if (n == 0)
            continue;
        for (uint32_t t = 0; t < n; t++) {
            add_row(gate, e, jl_tensor_row(&x, t));
            if (up)
                add_row(up, e, jl_tensor_row(&x, t));
        }
        const jl_tensor h = activate(c, be, a, e, n);
        for (uint32_t t = 0; t < n; t++)
            add_row(down, e, jl_tensor_row(&h, t));
        /* one addition per token, so that no batch changes the sum */
        add_saliency(c, be, a, e, &h, &down->saliency[e]);
    }
    c->base->experts(be, a);
}

/* ---- the run -------------------------------------------------------------------------------- */

static jl_status start(collector *c, jl_session *s, jl_error *err)
{
    const jl_hparams *hp = &s->m->hp;
    const uint64_t row = (uint64_t)hp->n_embd + 3 * (uint64_t)hp->n_ff_expert + 64;

    c->m = s->m;
    c->n = jl_gguf_n_tensors(s->m->gguf);
    c->max_tokens = s->params.n_ubatch;
    c->entries = jl_calloc(c->n, sizeof *c->entries);
    c->weights = jl_calloc(c->max_tokens, sizeof *c->weights);
    if (!c->entries || !c->weights)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    if (s->be->ops->device_bytes(s->be) > 0)
        return jl_fail(err, JL_UNSUPPORTED, "an importance matrix is gathered on the CPU");
    JL_TRY(s->be->ops->buffer_alloc(s->be, c->max_tokens * row * sizeof(float), &c->rows, err));
    c->base = s->be->ops;
    c->ops = *s->be->ops;
    c->ops.matmul = on_matmul;
    c->ops.experts = on_experts;
    s->be->ops = &c->ops;
    return JL_OK;
}

static void stop(collector *c, jl_session *s)
{
    if (c->base)
        s->be->ops = c->base;
    s->be->ops->buffer_free(c->rows);
    for (size_t i = 0; c->entries && i < c->n; i++) {
        jl_free(c->entries[i].sums);
        jl_free(c->entries[i].counts);
        jl_free(c->entries[i].saliency);
    }
    jl_free(c->entries);
    jl_free(c->weights);
}

static void ignore(void *ctx, size_t row, const float *logits)
{
    (void)ctx;
    (void)row;
    (void)logits;
}

static jl_status run_text(collector *c, jl_session *s, const jl_eval_text *text, jl_error *err)
{
    int32_t *tokens = jl_calloc(text->n_ctx, sizeof *tokens);
    jl_status status = tokens ? jl_chunks_progress(text, 0, NAN, err)
                              : jl_fail(err, JL_NO_MEMORY, "out of memory");

    for (size_t i = 0; status == JL_OK && i < text->n_chunks; i++) {
        status = jl_chunk_run(s, text, i, tokens, ignore, NULL, err);
        if (status == JL_OK && c->status != JL_OK)
            status = jl_fail(err, c->status, "%s", c->err.text);
        if (status == JL_OK)
            status = jl_chunks_progress(text, i + 1, NAN, err);
    }
    jl_free(tokens);
    return status;
}

static void warn_unseen(const collector *c, const jl_imatrix_params *p)
{
    for (size_t i = 0; i < c->n && p->unseen; i++) {
        const entry *e = &c->entries[i];
        uint32_t n = 0;
        for (uint64_t k = 0; e->sums && k < e->tensor->ne[2]; k++)
            n += e->counts[k] == 0.0;
        if (n)
            p->unseen(p->ctx, e->tensor->name, n, (uint32_t)e->tensor->ne[2]);
    }
}

/* Sums as F32, in the same memory: a double's place holds its float. */
static const float *narrow(double *v, uint64_t n)
{
    float *out = (float *)(void *)v;

    for (uint64_t i = 0; i < n; i++) {
        const float f = (float)v[i];
        memcpy(&out[i], &f, sizeof f);
    }
    return out;
}

static jl_status save(const collector *c, const jl_eval_text *text, const jl_imatrix_params *p,
                      const char *path, jl_error *err)
{
    const jl_imatrix_source source = {p->dataset, text->n_chunks, text->n_ctx};
    jl_imatrix_entry *list = jl_calloc(c->n ? c->n : 1, sizeof *list);
    size_t n = 0;

    if (!list)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < c->n; i++) {
        const entry *e = &c->entries[i];
        if (!e->sums)
            continue;
        const uint64_t n_in = e->tensor->ne[0];
        const uint64_t n_mat = e->tensor->ne[2];
        list[n++] = (jl_imatrix_entry){e->tensor->name, n_in, n_mat, narrow(e->sums, n_in * n_mat),
                                       narrow(e->counts, n_mat),
                                       e->saliency ? narrow(e->saliency, n_mat) : NULL};
    }
    const jl_status s = jl_imatrix_save(path, &source, list, n, err);
    jl_free(list);
    return s;
}

jl_status jl_imatrix_write(jl_session *session, const jl_imatrix_params *p, const char *path,
                           jl_error *err)
{
    const jl_eval_text given = {.tokens = p->tokens,
                                .n_tokens = p->n_tokens,
                                .n_ctx = p->n_ctx,
                                .n_chunks = p->n_chunks,
                                .progress = p->progress,
                                .progress_ctx = p->ctx};
    collector c = {0};
    jl_eval_text text;

    JL_TRY(jl_chunks_resolve(session, &given, &text, err));
    jl_status s = start(&c, session, err);
    if (s == JL_OK)
        s = run_text(&c, session, &text, err);
    if (s == JL_OK) {
        warn_unseen(&c, p);
        s = save(&c, &text, p, path, err);
    }
    stop(&c, session);
    return s;
}
