/* A loaded model: hyperparameters, weight views into the mapped file, vocabulary. Immutable after
 * open, shared by any number of sessions. */
#ifndef JL_MODEL_MODEL_H
#define JL_MODEL_MODEL_H

#include "backend/backend.h"
#include "gguf/gguf.h"
#include "joule/joule.h"
#include "tok/vocab.h"

/* Limits that files must keep; far above every published model. */
enum {
    JL_MAX_LAYERS = 1024,
    JL_MAX_EMBD = 1 << 17,
    JL_MAX_HEADS = 1024,
    JL_MAX_HEAD_DIM = 4096,
    JL_MAX_FF = 1 << 20,
    JL_MAX_EXPERTS = 4096,
    JL_MAX_CTX = 1 << 24,
};

typedef enum { JL_ROPE_NONE = 0, JL_ROPE_LINEAR, JL_ROPE_YARN } jl_rope_scaling;

typedef struct {
    float freq_base;
    uint32_t n_dims; /* rotated span of the head; equals the head size in Gemma 4 */
    jl_rope_scaling scaling;
    float factor; /* context extension; 1: none */
    uint32_t n_ctx_orig;
    float attn_factor, beta_fast, beta_slow; /* YaRN */
} jl_rope_params;

typedef struct {
    uint32_t n_layer, n_embd, n_head, n_vocab, n_ctx_train;
    uint32_t head_dim, head_dim_swa;
    uint32_t n_swa;       /* sliding window, tokens; 0: no layer has one */
    uint32_t n_kv_shared; /* last layers that read another layer's KV */
    uint32_t n_expert, n_expert_used, n_ff_expert;
    uint32_t n_embd_per_layer; /* PLE width, 0: none */
    float eps;
    float softcap; /* final logits, 0: none */
    jl_rope_params rope, rope_swa;
} jl_hparams;

/* Weights of a layer. Absent tensors have buf NULL. Names as in GGUF. */
typedef struct {
    bool is_swa;
    uint32_t n_head_kv, head_dim, n_ff;
    uint32_t kv_layer; /* whose cache this layer reads: itself or its donor */
    jl_tensor attn_norm, wq, wk, wv, wo, q_norm, k_norm, post_attention_norm;
    jl_tensor ffn_norm, gate, up, down, post_ffw_norm;
    jl_tensor router, router_scale, expert_scale, pre_ffw_norm_2, post_ffw_norm_1, post_ffw_norm_2;
    jl_tensor gate_up_exps, gate_exps, up_exps, down_exps;
    jl_tensor inp_gate, proj, post_norm; /* PLE */
    float out_scale;
} jl_layer;

/* An architecture: its value of general.architecture, how to load and how to run it. */
struct jl_graph;
typedef struct {
    const char *name;
    jl_status (*load)(jl_model *m, jl_error *err);
    jl_status (*forward)(const struct jl_graph *g, jl_error *err);
} jl_arch;

struct jl_model {
    const jl_arch *arch;
    jl_gguf *gguf;
    jl_vocab *vocab;
    jl_buffer *parts; /* [n_parts] the mapped file parts */
    jl_gguf *repacked; /* weights in another layout, repack.h; NULL: none */
    jl_buffer repacked_part;
    jl_hparams hp;
    jl_layer *layers; /* [n_layer] */
    jl_tensor token_embd, output, output_norm, rope_freqs;
    jl_tensor per_layer_token_embd, per_layer_model_proj, per_layer_proj_norm;
    char *architecture, *name, *chat_template;
};

/* Tensor `name` with the wanted shape (ne 1 for unused dimensions). Absent: JL_FORMAT with a
 * message, or an absent view when optional. */
typedef struct {
    const char *name;
    uint64_t ne[3];
    bool optional;
    bool f32; /* must be F32 */
} jl_want;
JL_MUST_CHECK jl_status jl_model_tensor(const jl_model *m, const jl_want *want, jl_tensor *out,
                                        jl_error *err);
/* The same for blk.<layer>.<want->name>. */
JL_MUST_CHECK jl_status jl_model_layer_tensor(const jl_model *m, uint32_t layer,
                                              const jl_want *want, jl_tensor *out, jl_error *err);

/* "<architecture>.<key>": fails with JL_FORMAT when missing (unless optional) or out of [min, max].
 * Arrays give item index; scalars serve every index. */
typedef struct {
    const char *key;
    uint32_t min, max;
    bool optional; /* then *out keeps its value */
} jl_want_u32;
JL_MUST_CHECK jl_status jl_model_u32(const jl_model *m, const jl_want_u32 *want, uint64_t index,
                                     uint32_t *out, jl_error *err);
JL_MUST_CHECK jl_status jl_model_f32(const jl_model *m, const char *key, bool optional, float *out,
                                     jl_error *err);

/* load.c: parts that loaders share. */
JL_MUST_CHECK jl_status jl_hparam_u32(const jl_model *m, const char *key, uint32_t min,
                                      uint32_t max, uint32_t *out, jl_error *err);
/* Keeps *out when the key is missing. */
JL_MUST_CHECK jl_status jl_hparam_optional_u32(const jl_model *m, const char *key, uint32_t max,
                                             uint32_t *out, jl_error *err);
/* rope.scaling.*: linear and YaRN; without the keys, none. */
JL_MUST_CHECK jl_status jl_load_rope_scaling(const jl_model *m, jl_rope_params *p, jl_error *err);

typedef struct {
    const char *name; /* behind blk.<layer>. */
    uint64_t ne[3];   /* 0: 1 */
    jl_tensor *out;
    unsigned flags;
} jl_load_entry;
enum { JL_LOAD_OPTIONAL = 1, JL_LOAD_NORM = 2 }; /* norms must be F32 */
JL_MUST_CHECK jl_status jl_load_entries(const jl_model *m, uint32_t il, const jl_load_entry *e,
                                        size_t n, jl_error *err);

/* override.c: points every view of the tensor whose data lies at `data` to with's buffer, offset,
 * type and row size; the shape stays. For measurements: no session may be computing. */
void jl_model_override(jl_model *m, const uint8_t *data, const jl_tensor *with);

/* Views of all weights that operations read (embeddings are read by rows, on the host): fills at
 * most cap, returns how many there are. A tensor may come twice. */
size_t jl_model_weights(const jl_model *m, jl_tensor *out, size_t cap);

/* repack.c: the tensor that is read in place of t, a tensor of the model's file: its repacked twin,
 * or t itself. */
const jl_gguf_tensor *jl_model_in_use(const jl_model *m, const jl_gguf_tensor *t);
/* Bytes of the mapped files, without the tensors that repacked ones stand in for. */
uint64_t jl_model_weight_bytes(const jl_model *m);

/* resident.c: brings the weights that are used into memory, or locks them there, as params ask. */
JL_MUST_CHECK jl_status jl_model_settle(const jl_model *m, const jl_model_params *params,
                                        jl_error *err);

/* gemma4_load.c, llama_load.c: hyperparameters and weights from the file. */
JL_MUST_CHECK jl_status jl_gemma4_load(jl_model *m, jl_error *err);
JL_MUST_CHECK jl_status jl_llama_load(jl_model *m, jl_error *err);

/* rope.c: inverse frequencies [n / 2] and the cos/sin factor of a head of n; divisors [n/2] or
 * NULL. */
void jl_rope_inv_freq(const jl_rope_params *p, uint32_t head_dim, const float *divisors,
                      float *inv_freq, float *mscale);

#endif
