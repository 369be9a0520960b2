/* Reading every weight: values that are not numbers, tensors that are all zero. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "base/placement.h"
#include "base/pool.h"
#include "quant/quant.h"
#include "synth/check.h"

enum { CHUNK = 4096, SLICE_BYTES = 64 << 20 };

typedef struct {
    const jl_gguf_tensor *tensor;
    uint64_t row_bytes, first, n_rows; /* rows first .. first + n_rows - 1 are looked at */
    _Atomic uint64_t n_bad, n_nonzero;
} scan;

/* Values of one row that are not finite; *nonzero counts those that are not zero. */
static uint64_t scan_row(const jl_gguf_tensor *t, uint64_t row, uint64_t *nonzero)
{
    float values[CHUNK];
    uint64_t n_bad = 0;

    for (uint64_t at = 0; at < t->ne[0]; at += CHUNK) {
        const size_t n = t->ne[0] - at < CHUNK ? (size_t)(t->ne[0] - at) : CHUNK;
        jl_dequant_matrix_part(t->type, t->data, (size_t)row, (size_t)t->ne[0], (size_t)at, values,
                               n);
        for (size_t i = 0; i < n; i++) {
            n_bad += isfinite(values[i]) ? 0 : 1;
            *nonzero += values[i] != 0;
        }
    }
    return n_bad;
}

static void scan_part(void *ctx, int ith, int nth)
{
    scan *s = ctx;
    const jl_range rows = jl_split((size_t)s->n_rows, 1, ith, nth);
    uint64_t n_bad = 0;
    uint64_t nonzero = 0;

    for (size_t r = rows.begin; r < rows.end; r++)
        n_bad += scan_row(s->tensor, s->first + r, &nonzero);
    atomic_fetch_add(&s->n_bad, n_bad);
    atomic_fetch_add(&s->n_nonzero, nonzero);
}

typedef struct {
    const jl_check *c;
    jl_pool *pool;
    uint64_t done, total; /* bytes */
    uint32_t n_bad, n_zero;
} scanner;

static jl_status scan_tensor(scanner *z, const jl_gguf_tensor *t, jl_error *err)
{
    const jl_check_params *p = z->c->params;
    scan s = {.tensor = t, .row_bytes = jl_row_bytes(t->type, t->ne[0])};
    const uint64_t n_rows = t->n_elements / t->ne[0];
    const uint64_t at_once = s.row_bytes < SLICE_BYTES ? SLICE_BYTES / s.row_bytes : 1;

    for (s.first = 0; s.first < n_rows; s.first += at_once) {
        s.n_rows = n_rows - s.first < at_once ? n_rows - s.first : at_once;
        jl_pool_run(z->pool, scan_part, &s);
        z->done += s.n_rows * s.row_bytes;
        if (p->progress && !p->progress(p->ctx, (float)((double)z->done / (double)z->total)))
            return jl_fail(err, JL_CANCELLED, "stopped");
    }
    if (s.n_bad) {
        z->n_bad++;
        jl_check_report(z->c, JL_CHECK_FAIL, "weights",
                        "%s (%s) has %llu values that are not finite", t->name,
                        jl_type_name(t->type), (unsigned long long)s.n_bad);
    } else if (!s.n_nonzero) {
        z->n_zero++;
        jl_check_report(z->c, JL_CHECK_NOTE, "weights", "%s is all zero", t->name);
    }
    return JL_OK;
}

static jl_status scan_all(scanner *z, jl_error *err)
{
    const jl_gguf *g = z->c->g;

    for (size_t i = 0; i < jl_gguf_n_tensors(g); i++)
        z->total += jl_gguf_tensor_at(g, i)->n_bytes;
    for (size_t i = 0; i < jl_gguf_n_tensors(g); i++) {
        const jl_gguf_tensor *t = jl_gguf_tensor_at(g, i);
        if (jl_type_get(t->type)->is_weight && t->n_elements)
            JL_TRY(scan_tensor(z, t, err));
        else
            z->done += t->n_bytes;
    }
    return JL_OK;
}

jl_status jl_check_scan(const jl_check *c, jl_error *err)
{
    scanner z = {.c = c};
    const int n = c->params->n_threads ? (int)c->params->n_threads : jl_topology_threads();
    const jl_pool_config config = {.n_threads = n < 1 ? 1 : n};

    JL_TRY(jl_pool_create(&config, &z.pool, err));
    const jl_status status = scan_all(&z, err);
    jl_pool_destroy(z.pool);
    if (status == JL_OK && z.n_bad == 0)
        jl_check_report(c, JL_CHECK_PASS, "weights", "every value of %zu tensors is a number",
                        jl_gguf_n_tensors(c->g));
    return status;
}
