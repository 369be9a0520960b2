/* The error of a type on a sample of a tensor. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "convert/plan.h"
#include "quant/quant.h"

enum { SAMPLE_VALUES = 1 << 15, MIN_ROWS = 8, MAX_GROUP = 16 };

typedef struct {
    const jl_quantizer *quantizer;
    float *x, *w, *y; /* [n] */
    uint8_t *bytes;
    double energy, error;
} sampling;

/* Quantises rows of n values and adds up the error. Weights are those of the first row: rows that
 * are quantised together have the same. */
static void add_error(sampling *s, size_t n, size_t n_rows, bool weighted)
{
    jl_quantizer_rows(s->quantizer, s->x, weighted ? s->w : NULL, s->bytes, n, n_rows);
    for (size_t r = 0; r < n_rows; r++)
        jl_dequant_matrix_row(s->quantizer->type, s->bytes, r, s->y + r * n, n);
    for (size_t i = 0; i < n * n_rows; i++) {
        const double w = weighted ? (double)s->w[i % n] : 1.0;
        const double e = (double)s->x[i] - (double)s->y[i];
        s->energy += w * (double)s->x[i] * (double)s->x[i];
        s->error += w * e * e;
    }
}

static jl_status take_row(const jl_quant_item *item, uint64_t row, float *x, float *w,
                          jl_error *err)
{
    const jl_gguf_tensor *t = item->tensor;
    const uint64_t source = jl_quant_source_row(item, row);

    jl_dequant_matrix_row(t->type, t->data, (size_t)source, x, (size_t)t->ne[0]);
    for (uint64_t i = 0; i < t->ne[0]; i++)
        if (!isfinite(x[i]))
            return jl_fail(err, JL_FORMAT,
                           "tensor %s, row %llu, column %llu is not a finite number", t->name,
                           (unsigned long long)row, (unsigned long long)i);
    if (item->importance)
        memcpy(w, item->importance + source / t->ne[1] * t->ne[0], (size_t)t->ne[0] * sizeof *w);
    return JL_OK;
}

/* Rows of the sample stand for equal shares of the tensor; flat: as long rows of `cap` values. */
static jl_status run(sampling *s, const jl_quant_item *item, bool flat, size_t cap, jl_error *err)
{
    const uint64_t n_in = item->tensor->ne[0];
    const uint64_t group = jl_type_get((uint32_t)s->quantizer->type)->group_rows;
    const uint64_t n_rows = item->tensor->n_elements / n_in;
    const size_t block = s->quantizer->block_len;
    uint64_t want = SAMPLE_VALUES / n_in;
    size_t used = 0;

    want = want < MIN_ROWS ? MIN_ROWS : want;
    want = want > n_rows ? n_rows : want;
    for (uint64_t k = 0; group > 1 && k < want; k += group) {
        const uint64_t row = (2 * k + 1) * n_rows / (2 * want) / group * group;
        for (uint64_t i = 0; i < group; i++)
            JL_TRY(take_row(item, row + i, s->x + i * n_in, s->w, err));
        add_error(s, (size_t)n_in, (size_t)group, item->importance != NULL);
    }
    for (uint64_t k = 0; group == 1 && k < want; k++) {
        const uint64_t row = (2 * k + 1) * n_rows / (2 * want); /* in the middle of each share */
        JL_TRY(take_row(item, row, s->x + used, s->w + used, err));
        used += (size_t)n_in;
        if (flat && used + n_in <= cap && k + 1 < want)
            continue;
        add_error(s, used / block * block, 1, item->importance != NULL);
        used = 0;
    }
    return JL_OK;
}

static size_t values_at_once(const jl_quant_item *item)
{
    const size_t group = (size_t)item->tensor->ne[0] * MAX_GROUP;

    return group > SAMPLE_VALUES ? group : SAMPLE_VALUES;
}

size_t jl_quant_sample_floats(const jl_quant_item *item)
{
    return 4 * values_at_once(item);
}

jl_status jl_quant_sample(const jl_quant_item *item, const jl_quantizer *q, bool flat,
                          float *scratch, double *out, jl_error *err)
{
    const size_t cap = values_at_once(item);
    sampling s = {.quantizer = q,
                  .x = scratch,
                  .w = scratch + cap,
                  .y = scratch + 2 * cap,
                  .bytes = (uint8_t *)(scratch + 3 * cap)};

    JL_TRY(run(&s, item, flat, cap, err));
    *out = s.energy > 0.0 ? s.error / s.energy : 0.0;
    return JL_OK;
}

jl_status jl_quant_sample_error(const jl_quant_item *item, jl_type type, bool flat, double *out,
                                jl_error *err)
{
    jl_quantizer *q = NULL;

    JL_TRY(jl_quantizer_create(type, &q, err));
    float *scratch = jl_calloc(jl_quant_sample_floats(item), sizeof *scratch);
    const jl_status status = scratch ? jl_quant_sample(item, q, flat, scratch, out, err)
                                     : jl_fail(err, JL_NO_MEMORY, "out of memory");
    jl_free(scratch);
    jl_quantizer_destroy(q);
    return status;
}
