/* The interface between model graphs and the machine that computes them: buffers, tensor views and
 * one typed operation per step of the forward pass. Every backend fills every slot. Operations run
 * in order; errors that appear while computing surface at wait. */
#ifndef JL_BACKEND_BACKEND_H
#define JL_BACKEND_BACKEND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/placement.h"
#include "base/status.h"
#include "quant/types.h"

typedef struct jl_backend jl_backend;

/* Memory the backend can compute on. host is the CPU address, NULL if it has none. */
typedef struct jl_buffer {
    jl_backend *be;
    uint8_t *host;
    uint64_t n_bytes;
    void *impl;
} jl_buffer;

/* A view; owns nothing. ne counts elements, innermost first: ne[0] per row, ne[1] rows, ne[2]
 * matrices (experts). Rows follow each other every row_bytes. buf NULL: the tensor is absent. */
typedef struct {
    jl_buffer *buf;
    uint64_t offset; /* bytes */
    jl_type type;
    uint32_t ne[3];
    uint64_t row_bytes;
} jl_tensor;

/* Beside jl_core_kind, for `use`: processors as they are; as the session's plan has them. */
enum { JL_USE_KEEP = -1, JL_USE_PLAN = 100 };

/* Limits of one session, known before anything is allocated; they size the scratch memory. */
typedef struct {
    uint32_t n_threads;
    jl_thread_plan plan; /* where they go; all 0: anywhere */
    const char *cpu_mask;
    uint32_t n_tokens; /* most tokens computed together */
    uint32_t n_in;     /* widest matmul input */
    uint32_t n_head, n_head_kv_min;
    uint32_t head_dim; /* largest */
    uint32_t n_ctx;    /* longest sequence, tokens */
    uint32_t n_expert, n_expert_used, n_ff_expert, n_embd;
    const char *shader_cache; /* folder for compiled shaders; NULL: none */
    int32_t device; /* number of the device, where there are several; -1: the best */
} jl_backend_limits;

static inline uint64_t jl_tensor_bytes(const jl_tensor *t)
{
    return t->row_bytes * t->ne[1] * t->ne[2];
}

/* KV cells of one layer: pages of 64 tokens. A page holds the K part of every KV head, then V. */
typedef struct {
    jl_buffer *buf;
    uint64_t offset;     /* of page 0 */
    uint64_t page_bytes; /* from page to page */
    uint64_t v_offset;   /* of the V part in a page */
    uint64_t k_head_bytes, v_head_bytes;
    uint32_t n_head_kv, head_dim;
    uint32_t type_k, type_v; /* jl_kv_type */
    int32_t window;          /* keys seen, own included; INT32_MAX: all */
} jl_kv_layer;

/* Where each token of a batch stands. */
typedef struct {
    uint32_t n_tokens;
    const int32_t *pos;          /* [n_tokens] */
    const int32_t *const *pages; /* [n_tokens] page table of the token's sequence, by pos / 64;
                                  * tokens of one sequence stand together, positions ascending */
} jl_kv_batch;

typedef struct {
    const jl_tensor *w; /* [n_in][n_out] */
    jl_tensor y;        /* [n_out][n_tokens] */
} jl_matmul_out;

typedef struct {
    const jl_tensor *gate_up, *gate, *up; /* fused [n_embd][2 n_ff][n_expert], or gate and up */
    const jl_tensor *down;                /* [n_ff][n_embd][n_expert] */
    const jl_tensor *ids;                 /* I32 [n_used][n_tokens], ascending in each row */
    const jl_tensor *weights;             /* F32 [n_used][n_tokens] */
    const jl_tensor *x;                   /* F32 [n_embd][n_tokens] */
    const jl_tensor *y;                   /* F32 [n_embd][n_tokens], written */
    uint32_t n_ff;
} jl_experts_args;

typedef struct {
    const jl_tensor *w;     /* router [n_embd][n_expert] */
    const jl_tensor *x;     /* F32 [n_embd][n_tokens], already scaled */
    const jl_tensor *scale; /* F32 [n_expert] per-expert scale, or absent */
    jl_tensor ids, weights; /* outputs, as in jl_experts_args */
} jl_router_args;

/* Weights that operations will read, views into the mapped file; the same one may come twice. */
typedef struct {
    const jl_tensor *tensors; /* [n] */
    size_t n;
    /* Called with the share done, 0..1; false stops with JL_CANCELLED. NULL: nobody asks. */
    bool (*progress)(void *ctx, float done);
    void *progress_ctx;
} jl_weights_args;

typedef struct {
    const char *name;
    jl_status (*open)(const jl_backend_limits *limits, jl_backend **out, jl_error *err);
    void (*close)(jl_backend *be);
    uint64_t (*scratch_bytes)(const jl_backend_limits *limits); /* what open will allocate */
    /* Memory of the device, if it has its own; 0: it computes in the host's. */
    uint64_t (*device_bytes)(const jl_backend *be);
    jl_status (*buffer_alloc)(jl_backend *be, uint64_t n_bytes, jl_buffer **out, jl_error *err);
    void (*buffer_free)(jl_buffer *buf);
    /* Brings weights to where they are computed on: before the first operation that reads them.
     * Those that only embed reads need not be named. */
    jl_status (*weights)(jl_backend *be, const jl_weights_args *a, jl_error *err);
    jl_status (*wait)(jl_backend *be, jl_error *err);
    /* Copies rows of ne[0] floats to the host, packed (waits). */
    jl_status (*download)(jl_backend *be, const jl_tensor *t, float *dst, jl_error *err);
    /* Bytes of a buffer to the host and back (waits). */
    jl_status (*read)(jl_buffer *buf, uint64_t offset, void *dst, uint64_t n_bytes, jl_error *err);
    jl_status (*write)(jl_buffer *buf, uint64_t offset, const void *src, uint64_t n_bytes,
                       jl_error *err);
    /* Copies within a buffer; the ranges do not overlap. */
    void (*copy)(jl_buffer *buf, uint64_t dst, uint64_t src, uint64_t n_bytes);

    /* y[t] = row ids[t] of w, times scale. w lies in host memory. */
    void (*embed)(jl_backend *be, const jl_tensor *w, const int32_t *ids, float scale,
                  const jl_tensor *y);
    /* y = x / rms(x) * w over rows of ne[0]; w may be absent; y may be x. */
    void (*rms_norm)(jl_backend *be, const jl_tensor *x, const jl_tensor *w, float eps,
                     const jl_tensor *y);
    /* y += x / rms(x) * w */
    void (*rms_norm_add)(jl_backend *be, const jl_tensor *x, const jl_tensor *w, float eps,
                         const jl_tensor *y);
    /* For each out: y = w x. All share x. */
    void (*matmul)(jl_backend *be, const jl_tensor *x, const jl_matmul_out *outs, size_t n_outs);
    /* Fills RoPE table slot (0 or 1) for the positions of the coming tokens: angle = pos *
     * inv_freq, cos and sin times mscale. inv_freq is the host's [head_dim / 2]. */
    void (*rope_prepare)(jl_backend *be, int slot, const float *inv_freq, uint32_t head_dim,
                         float mscale, const int32_t *pos, uint32_t n_tokens);
    /* x: F32 [n_head * head_dim][n_tokens], in place. Per head: RMS norm with w [head_dim] (w NULL:
     * no norm; w->buf NULL: norm without weight), then RoPE with the table of slot (-1: none). */
    void (*head_norm_rope)(jl_backend *be, const jl_tensor *x, const jl_tensor *w, float eps,
                           uint32_t head_dim, int slot);
    /* x as above: RoPE on adjacent pairs with the table of slot, then times scale. */
    void (*rope_adjacent)(jl_backend *be, const jl_tensor *x, uint32_t head_dim, int slot,
                          float scale);
    void (*kv_store)(jl_backend *be, const jl_tensor *k, const jl_tensor *v, const jl_kv_layer *kv,
                     const jl_kv_batch *batch);
    /* q, y: F32 [n_head * head_dim][n_tokens]; scores are plain products (scale 1). */
    void (*attention)(jl_backend *be, const jl_tensor *q, const jl_kv_layer *kv,
                      const jl_kv_batch *batch, uint32_t n_head, const jl_tensor *y);
    /* y = gelu(gate) * up, row by row */
    void (*geglu)(jl_backend *be, const jl_tensor *gate, const jl_tensor *up, const jl_tensor *y);
    /* y = silu(gate) * up, row by row */
    void (*swiglu)(jl_backend *be, const jl_tensor *gate, const jl_tensor *up, const jl_tensor *y);
    void (*router)(jl_backend *be, const jl_router_args *a);
    void (*experts)(jl_backend *be, const jl_experts_args *a);
    /* x = (x + y) * scale; y may be absent */
    void (*add_scale)(jl_backend *be, const jl_tensor *x, const jl_tensor *y, float scale);
    /* y = x * w * scale, w one row for all */
    void (*mul_row)(jl_backend *be, const jl_tensor *x, const jl_tensor *w, float scale,
                    const jl_tensor *y);
    void (*softcap)(jl_backend *be, const jl_tensor *x, float cap);
    /* y row i = x row rows[i] */
    void (*gather_rows)(jl_backend *be, const jl_tensor *x, const uint32_t *rows,
                        const jl_tensor *y);
    /* The next operations use n threads, at most limits.n_threads, on processors of a kind; 0 and
     * JL_USE_KEEP leave these as they are. Results do not depend on it. The calling thread is one
     * of them. */
    void (*use)(jl_backend *be, uint32_t n_threads, int kind); /* jl_core_kind, JL_USE_... */
    /* One line about the device and the kernels chosen. */
    size_t (*describe)(const jl_backend *be, char *text, size_t cap);
} jl_backend_ops;

struct jl_backend {
    const jl_backend_ops *ops;
};

extern const jl_backend_ops jl_backend_cpu;
#ifdef JL_HAVE_VULKAN
extern const jl_backend_ops jl_backend_vulkan;
#endif

static inline uint8_t *jl_tensor_host(const jl_tensor *t)
{
    return t->buf->host + t->offset;
}
static inline float *jl_tensor_f32(const jl_tensor *t)
{
    return (float *)(void *)jl_tensor_host(t);
}
/* Row r as floats, rows row_bytes apart. */
static inline float *jl_tensor_row(const jl_tensor *t, size_t r)
{
    return (float *)(void *)(jl_tensor_host(t) + r * t->row_bytes);
}

#endif
