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

/* Hands the hidden state to whoever asked for it; waits for the device then. */
JL_MUST_CHECK jl_status jl_graph_observe(const jl_graph *g, int layer, const jl_tensor *x,
                                         jl_error *err);

#endif
