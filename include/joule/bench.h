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

typedef struct {
    uint32_t n_threads;
    double read_bytes_per_s; /* best of five passes over a buffer far larger than the caches */
    double int8_ops_per_s; /* multiply and add counted as two; 0 if the kernels have no peak loop */
    char kernels[32];      /* whose peak it is */
} jl_roofline;

/* Takes about two seconds. n_threads 0: one per physical core. */
JL_API JL_MUST_CHECK jl_status jl_roofline_measure(uint32_t n_threads, jl_roofline *out,
                                                   jl_error *err);

#ifdef __cplusplus
}
#endif
#endif
