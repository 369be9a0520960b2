/* Importance files of llama.cpp: GGUF with two tensors for each matrix,
 *   NAME.in_sum2  F32 [n_in][n_mat]  sums of squared inputs
 *   NAME.counts   F32 [1][n_mat]     tokens they were summed over
 * and, of down projections of experts, joule's own, which other readers pass over,
 *   NAME.saliency F32 [1][n_mat]     sums of router weight times norm of the expert's output
 * and general.type = "imatrix", imatrix.datasets, imatrix.chunk_count, imatrix.chunk_size. */
#ifndef JL_CONVERT_IMATRIX_H
#define JL_CONVERT_IMATRIX_H

#include "gguf/gguf.h"
#include "joule/quantize.h"

typedef struct jl_imatrix jl_imatrix;

JL_MUST_CHECK jl_status jl_imatrix_open(const char *path, jl_imatrix **out, jl_error *err);
void jl_imatrix_close(jl_imatrix *m); /* NULL is fine */
/* Mean squares [n_mat][n_in] of a tensor; NULL if the file has none. A matrix that no token reached
 * has 1 everywhere. JL_FORMAT if the shapes do not match or a number is none. */
JL_MUST_CHECK jl_status jl_imatrix_values(const jl_imatrix *m, const jl_gguf_tensor *tensor,
                                          float **out, jl_error *err);

/* How much each expert of a down projection matters; 0 where no token was routed to it. out:
 * [ne[2]].
 * JL_FORMAT says what to do if the file does not have it. */
JL_MUST_CHECK jl_status jl_imatrix_experts(const jl_imatrix *m, const jl_gguf_tensor *down,
                                           jl_drop_by by, double *out, jl_error *err);

typedef struct {
    const char *name;
    uint64_t n_in, n_mat;
    const float *sums;   /* [n_mat][n_in] */
    const float *counts; /* [n_mat] */
    const float *saliency; /* [n_mat], or NULL: no experts' outputs */
} jl_imatrix_entry;

typedef struct {
    const char *dataset; /* NULL: none */
    uint32_t n_chunks, chunk_tokens;
} jl_imatrix_source;

JL_MUST_CHECK jl_status jl_imatrix_save(const char *path, const jl_imatrix_source *source,
                                        const jl_imatrix_entry *entries, size_t n, jl_error *err);

#endif
