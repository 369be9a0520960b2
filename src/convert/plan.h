/* Inside a quantisation plan. */
#ifndef JL_CONVERT_PLAN_H
#define JL_CONVERT_PLAN_H

#include "convert/imatrix.h"
#include "joule/quantize.h"
#include "quant/quantizer.h"

typedef struct {
    const jl_gguf_tensor *tensor; /* as it will be written, but for the type */
    jl_type type;      /* as it will be written */
    bool matrix;       /* may be quantised */
    int32_t layer;     /* -1: of no layer */
    char kind[64];     /* the name without "blk.N." and ".weight" */
    char note[96];
    float *importance; /* [ne[2]][ne[0]] owned, or NULL */
    double sensitivity; /* KL of the output per relative error of the matrix; NAN: not measured */
    double damage;     /* NAN: not measured */
    /* if experts are dropped: experts.c */
    const uint32_t *kept; /* data holds all experts; these are written: [ne[2]]. NULL: all */
    jl_gguf_tensor own;   /* what `tensor` points to */
    uint8_t *gathered;    /* owned data of small tensors, or NULL */
} jl_quant_item;

/* A layer that loses experts. */
typedef struct {
    int32_t layer;
    uint32_t n;        /* dropped */
    uint32_t *dropped; /* [n] ascending */
    uint32_t *kept;    /* [n_expert - n] ascending */
    double share;      /* of the layer's whole that they had; NAN: not known */
} jl_quant_drop;

struct jl_quant_plan {
    jl_gguf *gguf;
    jl_imatrix *imatrix; /* NULL: none */
    jl_quant_item *items; /* [n] in file order */
    size_t n;
    uint32_t n_layer, n_expert, n_expert_used; /* n_expert: as written */
    jl_quant_drop *drops; /* [n_drops] in order of layers; NULL: every expert stays */
    size_t n_drops;
    bool dropped; /* the items are those of the smaller model */
    bool tied; /* the token embedding is the LM head, too */
};

/* Bytes of a tensor in a type; 0 if its rows do not fit the blocks. */
uint64_t jl_quant_bytes(const jl_gguf_tensor *t, jl_type type);
/* Row of the tensor's data that its row `row` is: with dropped experts not the same. */
static inline uint64_t jl_quant_source_row(const jl_quant_item *item, uint64_t row)
{
    const uint64_t n = item->tensor->ne[1];

    return item->kept ? item->kept[row / n] * n + row % n : row;
}
/* "ARCH.name" of the file's architecture. */
enum { JL_QUANT_KEY = 160 };
void jl_quant_arch_key(const jl_gguf *g, const char *name, char out[JL_QUANT_KEY]);
/* Share of a tensor that is read for one token. */
double jl_quant_share(const jl_quant_plan *plan, const jl_quant_item *item);

/* recipe.c: the type of an item in a mix. JL_INVALID names the mixes. */
JL_MUST_CHECK jl_status jl_quant_apply_mix(jl_quant_plan *plan, const char *name, bool pure,
                                           jl_error *err);

/* experts.c. The n of least score, ascending; of equal ones the last. */
void jl_experts_least(const double *score, uint32_t n_expert, uint32_t n, uint32_t *out);
/* "drop blk.N 1,5,7", comment cut off, into the plan; then, after the last line, all of them. */
bool jl_quant_is_drop(const char *line);
JL_MUST_CHECK jl_status jl_quant_read_drop(jl_quant_plan *plan, const char *line, size_t number,
                                           jl_error *err);
JL_MUST_CHECK jl_status jl_quant_apply_drops(jl_quant_plan *plan, jl_error *err);
void jl_quant_free_drops(jl_quant_plan *plan);
/* The line of a layer, without line end, in text of JL_QUANT_DROP_LINE bytes. */
enum { JL_QUANT_DROP_LINE = 8192 };
void jl_quant_drop_line(const jl_quant_drop *d, char out[JL_QUANT_DROP_LINE]);

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
