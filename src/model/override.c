/* All views of weights: to bring them to a device, and to try other weights by pointing every view
 * of a tensor elsewhere. */
#include <assert.h>

#include "model/model.h"

static_assert((offsetof(jl_layer, out_scale) - offsetof(jl_layer, attn_norm)) % sizeof(jl_tensor) ==
                  0,
              "from attn_norm to out_scale a layer holds tensors only");
enum { LAYER_TENSORS = (offsetof(jl_layer, out_scale) - offsetof(jl_layer, attn_norm)) /
                       sizeof(jl_tensor) };

static void replace(jl_tensor *t, const uint8_t *data, const jl_tensor *with)
{
    if (!t->buf || jl_tensor_host(t) != data)
        return;
    t->buf = with->buf;
    t->offset = with->offset;
    t->type = with->type;
    t->row_bytes = with->row_bytes;
}

void jl_model_override(jl_model *m, const uint8_t *data, const jl_tensor *with)
{
    jl_tensor *const singles[] = {&m->token_embd, &m->output, &m->per_layer_token_embd,
                                  &m->per_layer_model_proj};

    for (size_t i = 0; i < sizeof singles / sizeof *singles; i++)
        replace(singles[i], data, with);
    for (uint32_t il = 0; il < m->hp.n_layer; il++) {
        jl_tensor *t = &m->layers[il].attn_norm;
        for (size_t k = 0; k < LAYER_TENSORS; k++)
            replace(t + k, data, with);
    }
}

size_t jl_model_weights(const jl_model *m, jl_tensor *out, size_t cap)
{
    const jl_tensor *const singles[] = {&m->output, &m->output_norm, &m->per_layer_model_proj,
                                        &m->per_layer_proj_norm};
    size_t n = 0;

    for (size_t i = 0; i < sizeof singles / sizeof *singles; i++)
        if (singles[i]->buf && n++ < cap)
            out[n - 1] = *singles[i];
    for (uint32_t il = 0; il < m->hp.n_layer; il++) {
        const jl_tensor *t = &m->layers[il].attn_norm;
        for (size_t k = 0; k < LAYER_TENSORS; k++)
            if (t[k].buf && n++ < cap)
                out[n - 1] = t[k];
    }
    return n;
}
