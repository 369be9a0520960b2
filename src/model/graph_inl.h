/* What every forward pass needs: views of activations and the observer. */
#ifndef JL_MODEL_GRAPH_INL_H
#define JL_MODEL_GRAPH_INL_H

#include "model/graph.h"

/* The first n_rows rows and n columns of an activation, repacked to n floats a row. */
static inline jl_tensor view(const jl_tensor *t, uint32_t n, uint32_t n_rows)
{
    jl_tensor v = *t;

    v.ne[0] = n;
    v.ne[1] = n_rows;
    v.row_bytes = n * sizeof(float);
    return v;
}

static inline void observe(const jl_graph *g, int layer, const jl_tensor *x)
{
    if (g->observe)
        g->observe(g->observe_ctx, layer, jl_tensor_f32(x), x->ne[1]);
}

#endif
