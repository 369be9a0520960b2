/* Published model shapes and the tensor table that follows from each. Used to write synthetic files
 * and to check real ones. */
#ifndef JL_SYNTH_SHAPE_H
#define JL_SYNTH_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "quant/types.h"

typedef struct {
    const char *name;  /* "gemma-4-26b-a4b" */
    const char *arch;  /* "gemma4" or "llama" */
    const char *label; /* "26B-A4B" */
    uint32_t n_layer, n_embd;
    uint32_t n_head;
    uint32_t n_head_kv;        /* of local layers */
    uint32_t n_head_kv_global; /* of global layers */
    uint32_t head_dim, head_dim_global;
    uint32_t global_every;      /* layer i is global iff (i + 1) % global_every == 0; 1: all */
    bool k_is_v;                /* global layers have no V projection */
    uint32_t window;            /* tokens */
    uint32_t n_shared_kv;       /* last layers that use the keys and values of earlier ones */
    uint32_t n_ff, n_ff_shared; /* n_ff_shared: of the shared-KV layers, 0: n_ff */
    uint32_t n_expert, n_expert_used, n_ff_expert;
    uint32_t n_ple; /* per-layer embedding width */
    uint32_t n_vocab, n_ctx;
    float rope_base;
} jl_shape;

const jl_shape *jl_shape_find(const char *name); /* NULL: unknown */
const jl_shape *jl_shape_at(uint32_t i);         /* NULL at the end */
bool jl_shape_is_global(const jl_shape *s, uint32_t layer);
bool jl_shape_is_gemma(const jl_shape *s);

typedef enum {
    JL_ROLE_TOKEN_EMBD,
    JL_ROLE_OUTPUT,
    JL_ROLE_Q,
    JL_ROLE_K,
    JL_ROLE_V,
    JL_ROLE_O,
    JL_ROLE_GATE,
    JL_ROLE_UP,
    JL_ROLE_DOWN,
    JL_ROLE_GATE_UP_EXPS,
    JL_ROLE_DOWN_EXPS,
    JL_ROLE_PLE_EMBD,
    JL_ROLE_PLE_MODEL_PROJ,
    JL_ROLE_PLE_GATE,
    JL_ROLE_PLE_OUT,
    JL_ROLE_ROUTER,    /* the first that recipes leave alone: F32 */
    JL_ROLE_VECTOR,    /* F32: value, jittered by 10 % */
    JL_ROLE_SIGNS,     /* F32: value with random signs */
    JL_ROLE_SCALAR,    /* F32: value exactly */
    JL_ROLE_ROPE_FREQS /* F32: frequency divisors */
} jl_tensor_role;

typedef struct {
    char name[64];
    jl_tensor_role role;
    uint32_t n_dims;
    uint64_t ne[3]; /* ne[0] innermost; unused ones are 1 */
    int32_t layer;  /* -1: none */
    bool optional;  /* some published files lack it */
    jl_type type;   /* set by a recipe; F32 of vectors and the router */
    float value;    /* of vectors; standard deviation of matrices */
} jl_plan_tensor;

typedef struct {
    const jl_shape *shape;
    uint32_t n_layer;
    jl_plan_tensor *tensors; /* owned */
    uint32_t n_tensors;
} jl_plan;

/* The tensors of the first n_layer layers of a shape (0: all), in file order. Matrices are F32
 * until a recipe is applied. */
JL_MUST_CHECK jl_status jl_plan_create(const jl_shape *shape, uint32_t n_layer, jl_plan *out,
                                       jl_error *err);
void jl_plan_destroy(jl_plan *plan);

/* Gives every matrix its type by the name of a mixture or type. */
JL_MUST_CHECK jl_status jl_plan_apply_recipe(jl_plan *plan, const char *name, jl_error *err);

uint64_t jl_plan_tensor_elements(const jl_plan_tensor *t);
uint64_t jl_plan_tensor_bytes(const jl_plan_tensor *t);

#endif
