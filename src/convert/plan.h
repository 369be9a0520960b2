/* Inside a quantisation plan. */
#ifndef JL_CONVERT_PLAN_H
#define JL_CONVERT_PLAN_H

#include "convert/imatrix.h"
#include "joule/quantize.h"
#include "quant/quantizer.h"

typedef struct {
    const jl_gguf_tensor *tensor;
    jl_type type;      /* as it will be written */
    bool matrix;       /* may be quantised */
    int32_t layer;     /* -1: of no layer */
    char kind[64];     /* the name without "blk.N." and ".weight" */
    char note[96];
    float *importance; /* [ne[2]][ne[0]] owned, or NULL */
    double sensitivity; /* KL of the output per relative error of the matrix; NAN: not measured */
    double damage;     /* NAN: not measured */
} jl_quant_item;

struct jl_quant_plan {
    jl_gguf *gguf;
    jl_imatrix *imatrix; /* NULL: none */
    jl_quant_item *items; /* [n] in file order */
    size_t n;
    uint32_t n_layer, n_expert, n_expert_used;
    bool tied; /* the token embedding is the LM head, too */
};

/* Bytes of a tensor in a type; 0 if its rows do not fit the blocks. */
uint64_t jl_quant_bytes(const jl_gguf_tensor *t, jl_type type);
/* Share of a tensor that is read for one token. */
double jl_quant_share(const jl_quant_plan *plan, const jl_quant_item *item);

/* recipe.c: the type of an item in a mix. JL_INVALID names the mixes. */
JL_MUST_CHECK jl_status jl_quant_apply_mix(jl_quant_plan *plan, const char *name, bool pure,
                                           jl_error *err);

/* sample.c: relative error sum w (x - y)^2 / sum w x^2 of a type on a sample of the tensor's rows,
 * spread over all of it. flat: rows are strung together, for types whose blocks do not fit them.
 * JL_FORMAT names the tensor if a value is not finite. */
JL_MUST_CHECK jl_status jl_quant_sample_error(const jl_quant_item *item, jl_type type, bool flat,
                                              double *out, jl_error *err);
/* The same with a quantiser that serves many tensors, without touching the heap. scratch:
 * [jl_quant_sample_floats] of this item, the calling thread's own. */
JL_MUST_CHECK jl_status jl_quant_sample(const jl_quant_item *item, const jl_quantizer *q,
                                        bool flat, float *scratch, double *out, jl_error *err);
size_t jl_quant_sample_floats(const jl_quant_item *item);

#endif
