/* The errors of all types on a matrix, types side by side on the threads. */
#include "base/mem.h"
#include "base/pool.h"
#include "convert/choose.h"

struct jl_meter {
    jl_pool *pool;
    jl_quantizer *quantizers[JL_TYPE_MAX]; /* NULL: not made yet */
    jl_queue queue;
    /* of the running measurement */
    const jl_quant_item *item;
    jl_choice_set *set;
    float *scratch; /* [n_threads][jl_quant_sample_floats] */
    jl_status statuses[JL_CHOICE_MAX];
    jl_error errors[JL_CHOICE_MAX];
};

jl_status jl_meter_create(int n_threads, jl_meter **out, jl_error *err)
{
    const jl_pool_config config = {.n_threads = n_threads};
    jl_meter *m = jl_calloc(1, sizeof *m);

    if (!m)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    const jl_status status = jl_pool_create(&config, &m->pool, err);
    if (status == JL_OK)
        *out = m;
    else
        jl_meter_destroy(m);
    return status;
}

void jl_meter_destroy(jl_meter *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < JL_TYPE_MAX; i++)
        jl_quantizer_destroy(m->quantizers[i]);
    jl_pool_destroy(m->pool);
    jl_free(m);
}

static void measure_types(void *ctx, int ith, int nth)
{
    jl_meter *m = ctx;
    float *scratch = m->scratch + (size_t)ith * jl_quant_sample_floats(m->item);
    (void)nth;

    for (size_t k; (k = jl_queue_take(&m->queue)) + 1 < m->set->n;) {
        jl_choice *c = &m->set->choices[k];
        m->statuses[k] = jl_quant_sample(m->item, m->quantizers[c->type], false, scratch,
                                         &c->damage, &m->errors[k]);
    }
}

jl_status jl_meter_errors(jl_meter *m, const jl_quant_item *item, jl_choice_set *set,
                          jl_error *err)
{
    const size_t n_threads = (size_t)jl_pool_n_threads(m->pool);

    for (size_t k = 0; k + 1 < set->n; k++) {
        const jl_type type = set->choices[k].type;
        if (!m->quantizers[type])
            JL_TRY(jl_quantizer_create(type, &m->quantizers[type], err));
    }
    m->item = item;
    m->set = set;
    m->scratch = jl_calloc(n_threads * jl_quant_sample_floats(item), sizeof *m->scratch);
    if (!m->scratch)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    jl_queue_reset(&m->queue);
    jl_pool_run(m->pool, measure_types, m);
    jl_free(m->scratch);
    for (size_t k = 0; k + 1 < set->n; k++) {
        if (m->statuses[k] == JL_OK)
            continue;
        if (err)
            *err = m->errors[k];
        return m->statuses[k];
    }
    return JL_OK;
}
