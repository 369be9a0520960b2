/* Checking a model file on the machine where it lies: what joule expects of a published file,
 * compared with what is there. */
#ifndef JL_JOULE_CHECK_H
#define JL_JOULE_CHECK_H

#include <stdbool.h>

#include "joule/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    JL_CHECK_PASS = 0,
    JL_CHECK_NOTE, /* not as published, but joule can run it */
    JL_CHECK_FAIL
} jl_check_result;

/* One finding. Texts are valid during the callback only. */
typedef struct {
    jl_check_result result;
    const char *what; /* "tensors", "special tokens", "tokenizer", ... */
    const char *text; /* one line */
} jl_check_finding;

typedef struct {
    uint32_t struct_size;                                  /* sizeof(jl_check_params) */
    uint32_t n_threads;                                    /* 0: one per physical core */
    void (*finding)(void *ctx, const jl_check_finding *f); /* required */
    /* Share of the weights scanned, 0..1; return false to stop (JL_CANCELLED). May be NULL. */
    bool (*progress)(void *ctx, float done);
    void *ctx;
} jl_check_params;

/* Reads every byte of the file once. Findings are reported as they are made; the status says only
 * whether the file could be read at all. */
JL_API JL_MUST_CHECK jl_status jl_check_file(const char *path, const jl_check_params *params,
                                             jl_error *err);

#ifdef __cplusplus
}
#endif
#endif
