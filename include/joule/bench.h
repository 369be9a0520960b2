/* Measuring speed: prefill and decode at given sizes and depths, and what the machine could do. */
#ifndef JL_JOULE_BENCH_H
#define JL_JOULE_BENCH_H

#include "joule/joule.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct jl_bench jl_bench;

typedef struct {
    uint32_t struct_size; /* sizeof(jl_bench_params) */
    uint32_t n_max;       /* most tokens any test runs behind its depth */
    uint32_t depth_max;   /* deepest context, tokens */
    jl_session_params
        session; /* threads, micro-batch, cache types; the context is set from the above */
} jl_bench_params;

/* One repetition. */
typedef struct {
    double seconds;     /* wall clock */
    double cpu_seconds; /* of all threads of the process */
} jl_bench_time;

/* A session whose sequence 0 holds the depth and whose tests run on forks of it. */
JL_API JL_MUST_CHECK jl_status jl_bench_create(jl_model *model, const jl_bench_params *params,
                                               jl_bench **out, jl_error *err);
JL_API void jl_bench_destroy(jl_bench *bench);
/* Fills the context to `depth` tokens, unless it is there already. */
JL_API JL_MUST_CHECK jl_status jl_bench_set_depth(jl_bench *bench, uint32_t depth, jl_error *err);
/* Times n tokens behind the depth: as one prompt (prefill), or one by one (decode). Tokens are
 * pseudo-random; the time covers the logits of the last token, without sampling. */
JL_API JL_MUST_CHECK jl_status jl_bench_prefill(jl_bench *bench, uint32_t n, jl_bench_time *out,
                                                jl_error *err);
JL_API JL_MUST_CHECK jl_status jl_bench_decode(jl_bench *bench, uint32_t n, jl_bench_time *out,
                                               jl_error *err);
JL_API jl_session *jl_bench_session(jl_bench *bench);

/* What a test needs at least, per token: the mean of its n tokens behind the depth that was set. */
typedef struct {
    double bytes;    /* read from memory: weights, and the keys and values seen (decode only) */
    double int8_ops; /* of products with weights; multiply and add are two; the LM head once per
                      * test in prefill, once per token in decode */
    double f32_ops;  /* of attention */
} jl_bench_work;

JL_API void jl_bench_get_work(const jl_bench *bench, bool decode, uint32_t n, jl_bench_work *out);

/* ---- the machine */

enum { JL_PEAKS_MAX = 8 };

typedef struct {
    char name[16];    /* instruction set: "avx2", "avx512vnni", "amx" */
    double ops_per_s; /* of all threads; multiply and add are two */
} jl_peak;

typedef struct {
    uint32_t struct_size;  /* sizeof(jl_roofline_params) */
    uint32_t n_threads;    /* 0: one per physical core of the placement's */
    const char *cpu_mask;  /* as in jl_session_params; JL_INVALID if unknown */
    jl_placement placement; /* threads go where a session's would */
} jl_roofline_params;

typedef struct {
    uint32_t n_threads;
    double read_bytes_per_s; /* the fastest of many ways to read a buffer */
    char read_how[96];       /* that way: "avx512, 4 streams per thread, huge pages" */
    uint64_t buffer_bytes;   /* that was read */
    uint64_t cache_bytes;    /* last-level caches together; 0: unknown */
    uint32_t n_int8;         /* instruction sets whose products the mask leaves, narrowest first */
    jl_peak int8[JL_PEAKS_MAX];
    double int8_ops_per_s; /* the best of them; 0 if there is none */
    char kernels[16];      /* its name, "none" */
    double f32_ops_per_s;  /* fused multiply-add, which attention is made of; 0: not known */
} jl_roofline;

/* Takes some three seconds and a buffer of eight times the last-level caches (1 to 4 GiB, a quarter
 * of the free memory at most). params may be NULL. */
JL_API JL_MUST_CHECK jl_status jl_roofline_measure(const jl_roofline_params *params,
                                                   jl_roofline *out, jl_error *err);

#ifdef __cplusplus
}
#endif
#endif
