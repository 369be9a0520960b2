/* Inside the CPU backend: its state and the operations, one group per file. */
#ifndef JL_BACKEND_CPU_CPU_H
#define JL_BACKEND_CPU_CPU_H

#include "backend/backend.h"
#include "backend/cpu/kernels.h"
#include "base/mem.h"
#include "base/pool.h"
#include "quant/quant.h"

/* Quantised activation rows [n][n_in], in blocks of 32 or of JL_ACT_WIDE. */
typedef struct {
    int8_t *q;
    float *d;
    int16_t *sum;
} cpu_act;

/* What a product needs its activations as: bits of a set. */
typedef enum { CPU_ACT_NONE = 0, CPU_ACT_32 = 1, CPU_ACT_WIDE = 2 } cpu_act_kind;

/* Tokens of one sequence whose queries are computed together. */
typedef struct {
    uint32_t token, n_tokens;
} cpu_tile;

typedef struct {
    jl_backend base;
    jl_backend_limits limits;
    jl_cpu_kernels k;
    unsigned features;
    jl_pool *pool;
    bool measured; /* speeds of the plan's groups */
    int place; /* jl_core_kind or JL_USE_PLAN: where threads are bound to; JL_USE_KEEP: not bound */
    jl_queue queue;

    void *block; /* one mapping holds everything below */
    uint64_t block_bytes;
    cpu_act act;      /* [n_tokens][n_in] */
    cpu_act act_wide; /* the same in wide blocks */
    cpu_act act_h;    /* [n_tokens * n_used][n_ff_expert] */
    float *h;       /* the same as F32, for float experts */
    float *router;  /* [n_tokens][n_expert] logits, then probabilities */
    float *rope[2]; /* [n_tokens][head_dim]: cos, sin */
    uint32_t rope_dim[2];
    cpu_tile *tiles;        /* [n_tokens] */
    uint32_t *expert_start; /* [n_expert + 1] */
    uint32_t *expert_busy;  /* [n_expert] those with tokens, ascending */
    uint32_t n_busy;
    uint32_t *expert_token; /* [n_tokens * n_used] sorted by expert */
    float *expert_weight;   /* the same order */
    float *partial; /* split attention: (m, l, o) of a wave of blocks, then of the running state */
    uint64_t partial_bytes;
    uint8_t *thread_mem; /* thread i at i * thread_bytes */
    uint64_t thread_bytes;
    uint64_t mm_scratch_bytes, tmp_bytes,
        attn_bytes; /* parts of a thread's memory, in this order */
} cpu_backend;

static inline cpu_backend *cpu_of(jl_backend *be)
{
    return (cpu_backend *)be;
}
static inline void *cpu_mm_scratch(const cpu_backend *c, int ith)
{
    return c->thread_mem + (uint64_t)ith * c->thread_bytes;
}
static inline float *cpu_tmp(const cpu_backend *c, int ith)
{
    return (float *)(void *)(c->thread_mem + (uint64_t)ith * c->thread_bytes + c->mm_scratch_bytes);
}
static inline uint8_t *cpu_attn_mem(const cpu_backend *c, int ith)
{
    return c->thread_mem + (uint64_t)ith * c->thread_bytes + c->mm_scratch_bytes + c->tmp_bytes;
}
static inline bool cpu_type_is_float(jl_type type)
{
    return type == JL_TYPE_F32 || type == JL_TYPE_F16 || type == JL_TYPE_BF16;
}

/* How the rows of a product are handed out: in units of `unit` rows, at most `most` units at once,
 * and one of `lots` of a thread's share of what is left. Several columns share what a kernel
 * expands for a piece; one column reads long pieces of memory fastest; short ones at the end let
 * all threads finish together. */
typedef struct {
    uint32_t unit; /* rows */
    uint32_t lots;
    size_t most; /* units */
} cpu_split;

/* Rows that pieces are multiples of: of what kernels take side by side, and of what is quantised in
 * blocks when it is computed. */
enum { CPU_GRAIN = 16, CPU_GRAIN_BLOCK = 32 };

static inline cpu_split cpu_split_rows(const cpu_backend *c, size_t n_cols, uint32_t grain)
{
    const uint32_t rows = (uint32_t)c->k.mm_tile_rows;
    const size_t most = c->k.mm_tile_rows_1 / grain;
    const int planned = c->limits.plan.n_prefill; /* 0: no plan; with SME one for each unit */
    const int n = planned ? planned : (int)c->limits.n_threads;

    if (n_cols == 1)
        return (cpu_split){grain, 2, most ? most : 1};
    if (n <= 4)
        return (cpu_split){rows, 1, 1};
    /* many threads need more pieces than the tallest tiles leave them */
    return (cpu_split){grain, 1, (rows > 64 ? 64 : rows) / grain};
}
/* The next piece of n units. Threads of slower cores take smaller ones. */
static inline jl_range cpu_take_piece(cpu_backend *c, const cpu_split *s, size_t n, int ith,
                                      int nth)
{
    const int parts = c->place == JL_USE_PLAN && nth > 1
                          ? jl_thread_plan_parts(&c->limits.plan, ith, nth)
                          : nth;

    return jl_queue_take_piece(&c->queue, n, s->most, parts * (int)s->lots);
}
static inline size_t cpu_n_units(const cpu_split *s, size_t n_rows)
{
    return (n_rows + s->unit - 1) / s->unit;
}

static inline cpu_act_kind cpu_act_of(jl_type type)
{
    if (cpu_type_is_float(type))
        return CPU_ACT_NONE;
    return jl_type_get((uint32_t)type)->act_block == JL_ACT_WIDE ? CPU_ACT_WIDE : CPU_ACT_32;
}

/* Quantises the rows of x (F32 [n_in][n]) into c->act, c->act_wide or both, on all threads. kinds:
 * a set of cpu_act_kind. */
void jl_cpu_act_rows(cpu_backend *c, const jl_tensor *x, unsigned kinds);

/* Points the activations of a product with weights of the type at row `row` of rows of n_in. */
static inline void cpu_act_bind(const cpu_act *act, jl_type type, size_t n_in, size_t row,
                                jl_mm_args *mm)
{
    mm->q = act->q + row * n_in;
    mm->d = act->d + row * jl_act_blocks(type, n_in);
    mm->sum = act->sum + row * jl_act_sums(type, n_in);
}

/* The same for what jl_cpu_act_rows has quantised, from its first row on. */
static inline void cpu_act_bind_input(const cpu_backend *c, jl_type type, size_t n_in,
                                      jl_mm_args *mm)
{
    const bool wide = cpu_act_of(type) == CPU_ACT_WIDE;

    cpu_act_bind(wide ? &c->act_wide : &c->act, type, n_in, 0, mm);
}

/* Quantises n values in wide blocks as row `row` of act. */
static inline void cpu_act_row_wide(const cpu_backend *c, const float *x, size_t n,
                                    const cpu_act *act, size_t row)
{
    c->k.act_quantize_wide(x, n, act->q + row * n, act->d + row * jl_act_blocks(JL_TYPE_JQ4, n),
                           act->sum + row * jl_act_sums(JL_TYPE_JQ4, n));
}

/* ops_vec.c */
void jl_cpu_embed(jl_backend *be, const jl_tensor *w, const int32_t *ids, float scale,
                  const jl_tensor *y);
void jl_cpu_rms_norm(jl_backend *be, const jl_tensor *x, const jl_tensor *w, float eps,
                     const jl_tensor *y);
void jl_cpu_rms_norm_add(jl_backend *be, const jl_tensor *x, const jl_tensor *w, float eps,
                         const jl_tensor *y);
void jl_cpu_geglu(jl_backend *be, const jl_tensor *gate, const jl_tensor *up, const jl_tensor *y);
void jl_cpu_swiglu(jl_backend *be, const jl_tensor *gate, const jl_tensor *up, const jl_tensor *y);
void jl_cpu_add_scale(jl_backend *be, const jl_tensor *x, const jl_tensor *y, float scale);
void jl_cpu_mul_row(jl_backend *be, const jl_tensor *x, const jl_tensor *w, float scale,
                    const jl_tensor *y);
void jl_cpu_softcap(jl_backend *be, const jl_tensor *x, float cap);
void jl_cpu_gather_rows(jl_backend *be, const jl_tensor *x, const uint32_t *rows,
                        const jl_tensor *y);
/* ops_matmul.c */
void jl_cpu_matmul(jl_backend *be, const jl_tensor *x, const jl_matmul_out *outs, size_t n_outs);
/* ops_rope.c */
void jl_cpu_rope_prepare(jl_backend *be, int slot, const float *inv_freq, uint32_t head_dim,
                         float mscale, const int32_t *pos, uint32_t n_tokens);
void jl_cpu_head_norm_rope(jl_backend *be, const jl_tensor *x, const jl_tensor *w, float eps,
                           uint32_t head_dim, int slot);
void jl_cpu_rope_adjacent(jl_backend *be, const jl_tensor *x, uint32_t head_dim, int slot,
                          float scale);
/* ops_kv.c */
void jl_cpu_kv_store(jl_backend *be, const jl_tensor *k, const jl_tensor *v, const jl_kv_layer *kv,
                     const jl_kv_batch *batch);
/* ops_attn.c */
void jl_cpu_attention(jl_backend *be, const jl_tensor *q, const jl_kv_layer *kv,
                      const jl_kv_batch *batch, uint32_t n_head, const jl_tensor *y);
/* ops_moe.c */
void jl_cpu_router(jl_backend *be, const jl_router_args *a);
void jl_cpu_experts(jl_backend *be, const jl_experts_args *a);

void jl_cpu_bind_thread(void *backend, int ith, int nth); /* a task: to where c->place says */
/* Measures the groups of the plan, if threads are bound to several, and sets its shares. */
void jl_cpu_measure_groups(cpu_backend *c);

#endif
