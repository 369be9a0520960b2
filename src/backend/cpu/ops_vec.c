/* Row-wise operations. Rows are independent, so any number of threads gives the same bits. */
#include <string.h>

#include "backend/cpu/cpu.h"
#include "quant/quant.h"

typedef struct {
    cpu_backend *c;
    const jl_tensor *x, *w, *y;
    const int32_t *ids;
    const uint32_t *rows;
    float value; /* eps, scale or cap */
} row_args;

/* Starting a region costs more than a few small rows. */
static void run_rows(cpu_backend *c, jl_task_fn *fn, row_args *a, uint64_t n_values)
{
    a->c = c;
    if (n_values < 16384)
        fn(a, 0, 1);
    else
        jl_pool_run(c->pool, fn, a);
}

static uint64_t n_values(const jl_tensor *x)
{
    return (uint64_t)x->ne[0] * x->ne[1];
}

static void embed_rows(void *ctx, int ith, int nth)
{
    const row_args *a = ctx;
    const jl_range rows = jl_split(a->y->ne[1], 1, ith, nth);

    for (size_t t = rows.begin; t < rows.end; t++) {
        float *y = jl_tensor_row(a->y, t);

        jl_dequant_matrix_row(a->w->type, jl_tensor_host(a->w), (size_t)a->ids[t], y, a->y->ne[0]);
        for (size_t i = 0; i < a->y->ne[0]; i++)
            y[i] *= a->value;
    }
}

void jl_cpu_embed(jl_backend *be, const jl_tensor *w, const int32_t *ids, float scale,
                  const jl_tensor *y)
{
    run_rows(cpu_of(be), embed_rows, &(row_args){.w = w, .ids = ids, .value = scale, .y = y},
             n_values(y));
}

static const float *weight_row(const jl_tensor *w)
{
    return w && w->buf ? jl_tensor_f32(w) : NULL;
}

static void rms_norm_rows(void *ctx, int ith, int nth)
{
    const row_args *a = ctx;
    const jl_range rows = jl_split(a->x->ne[1], 1, ith, nth);

    for (size_t t = rows.begin; t < rows.end; t++)
        a->c->k.rms_norm(jl_tensor_row(a->x, t), weight_row(a->w), jl_tensor_row(a->y, t),
                         a->x->ne[0], a->value);
}

void jl_cpu_rms_norm(jl_backend *be, const jl_tensor *x, const jl_tensor *w, float eps,
                     const jl_tensor *y)
{
    run_rows(cpu_of(be), rms_norm_rows, &(row_args){.x = x, .w = w, .value = eps, .y = y},
             n_values(x));
}

static void rms_norm_add_rows(void *ctx, int ith, int nth)
{
    const row_args *a = ctx;
    const jl_range rows = jl_split(a->x->ne[1], 1, ith, nth);

    for (size_t t = rows.begin; t < rows.end; t++)
        a->c->k.rms_norm_add(jl_tensor_row(a->x, t), weight_row(a->w), jl_tensor_row(a->y, t),
                             a->x->ne[0], a->value);
}

void jl_cpu_rms_norm_add(jl_backend *be, const jl_tensor *x, const jl_tensor *w, float eps,
                         const jl_tensor *y)
{
    run_rows(cpu_of(be), rms_norm_add_rows, &(row_args){.x = x, .w = w, .value = eps, .y = y},
             n_values(x));
}

static void geglu_rows(void *ctx, int ith, int nth)
{
    const row_args *a = ctx;
    const jl_range rows = jl_split(a->x->ne[1], 1, ith, nth);

    for (size_t t = rows.begin; t < rows.end; t++)
        a->c->k.geglu(jl_tensor_row(a->x, t), jl_tensor_row(a->w, t), jl_tensor_row(a->y, t),
                      a->x->ne[0]);
}

void jl_cpu_geglu(jl_backend *be, const jl_tensor *gate, const jl_tensor *up, const jl_tensor *y)
{
    run_rows(cpu_of(be), geglu_rows, &(row_args){.x = gate, .w = up, .y = y}, n_values(gate));
}

static void swiglu_rows(void *ctx, int ith, int nth)
{
    const row_args *a = ctx;
    const jl_range rows = jl_split(a->x->ne[1], 1, ith, nth);

    for (size_t t = rows.begin; t < rows.end; t++)
        a->c->k.swiglu(jl_tensor_row(a->x, t), jl_tensor_row(a->w, t), jl_tensor_row(a->y, t),
                       a->x->ne[0]);
}

void jl_cpu_swiglu(jl_backend *be, const jl_tensor *gate, const jl_tensor *up, const jl_tensor *y)
{
    run_rows(cpu_of(be), swiglu_rows, &(row_args){.x = gate, .w = up, .y = y}, n_values(gate));
}

static void add_scale_rows(void *ctx, int ith, int nth)
{
    const row_args *a = ctx;
    const jl_range rows = jl_split(a->x->ne[1], 1, ith, nth);
    const size_t n = a->x->ne[0];

    for (size_t t = rows.begin; t < rows.end; t++) {
        float *x = jl_tensor_row(a->x, t);
        if (a->y) {
            const float *y = jl_tensor_row(a->y, t);
            for (size_t i = 0; i < n; i++)
                x[i] += y[i];
        }
        if (a->value != 1.0f)
            for (size_t i = 0; i < n; i++)
                x[i] *= a->value;
    }
}

void jl_cpu_add_scale(jl_backend *be, const jl_tensor *x, const jl_tensor *y, float scale)
{
    if (!y && scale == 1.0f)
        return;
    run_rows(cpu_of(be), add_scale_rows, &(row_args){.x = x, .y = y, .value = scale}, n_values(x));
}

static void mul_row_rows(void *ctx, int ith, int nth)
{
    const row_args *a = ctx;
    const jl_range rows = jl_split(a->x->ne[1], 1, ith, nth);
    const float *w = jl_tensor_f32(a->w);

    for (size_t t = rows.begin; t < rows.end; t++) {
        const float *x = jl_tensor_row(a->x, t);
        float *y = jl_tensor_row(a->y, t);
        for (size_t i = 0; i < a->x->ne[0]; i++)
            y[i] = x[i] * w[i] * a->value;
    }
}

void jl_cpu_mul_row(jl_backend *be, const jl_tensor *x, const jl_tensor *w, float scale,
                    const jl_tensor *y)
{
    run_rows(cpu_of(be), mul_row_rows, &(row_args){.x = x, .w = w, .y = y, .value = scale},
             n_values(x));
}

static void softcap_rows(void *ctx, int ith, int nth)
{
    const row_args *a = ctx;

    for (size_t t = 0; t < a->x->ne[1]; t++) {
        const jl_range part = jl_split(a->x->ne[0], 64, ith, nth);
        a->c->k.softcap(jl_tensor_row(a->x, t) + part.begin, part.end - part.begin, a->value);
    }
}

void jl_cpu_softcap(jl_backend *be, const jl_tensor *x, float cap)
{
    run_rows(cpu_of(be), softcap_rows, &(row_args){.x = x, .value = cap}, n_values(x));
}

void jl_cpu_gather_rows(jl_backend *be, const jl_tensor *x, const uint32_t *rows,
                        const jl_tensor *y)
{
    (void)be;
    for (uint32_t r = 0; r < y->ne[1]; r++)
        memcpy(jl_tensor_row(y, r), jl_tensor_row(x, rows[r]), y->ne[0] * sizeof(float));
}
