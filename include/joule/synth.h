/* Synthetic models: files with the tensors of a real model and seeded random weights, for speed and
 * memory measurements without a download. */
#ifndef JL_JOULE_SYNTH_H
#define JL_JOULE_SYNTH_H

#include <stdbool.h>

#include "joule/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t struct_size; /* sizeof(jl_synth_params) */
    const char *shape;    /* "gemma-4-26b-a4b", ... */
    const char *type;     /* a mixture ("UD-IQ4_XS") or one tensor type ("Q8_0") */
    uint32_t n_layer;     /* 0: all of the shape */
    uint32_t n_threads;   /* 0: one per physical core */
    uint64_t seed;
    bool sparse; /* no weights but holes, which read as zeros: for memory checks */
    const char
        *vocab_path; /* GGUF whose tokens, merges and template go into the vocabulary; NULL */
    /* Called with the bytes written and in all; return false to stop (JL_CANCELLED, no file left).
     */
    bool (*progress)(void *ctx, uint64_t done, uint64_t total);
    void *progress_ctx;
} jl_synth_params;

/* Size of the file's tensors before anything is written. */
typedef struct {
    uint32_t n_tensors;
    uint64_t n_params;
    uint64_t tensor_bytes;
} jl_synth_size;

JL_API JL_MUST_CHECK jl_status jl_synth_measure(const jl_synth_params *params, jl_synth_size *out,
                                                jl_error *err);
/* Writes the file; it appears at path when it is whole. JL_IO if the disk is too small, before any
 * weight is written. The same parameters give the same bytes everywhere. */
JL_API JL_MUST_CHECK jl_status jl_synth_write(const jl_synth_params *params, const char *path,
                                              jl_error *err);

#ifdef __cplusplus
}
#endif
#endif
