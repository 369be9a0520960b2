/* Divergence of a model from given log probabilities, row by row. */
#ifndef JL_EVAL_KL_H
#define JL_EVAL_KL_H

#include "eval/stats.h"

typedef struct {
    float *kl;      /* [cap], owned */
    float *delta_p; /* [cap], owned */
    size_t n, cap;
    jl_series nll, nll_reference, log_ratio, kl_sum, top1, delta, delta_squares;
} jl_kl_rows;

JL_MUST_CHECK jl_status jl_kl_rows_create(size_t cap, jl_kl_rows *out, jl_error *err);
void jl_kl_rows_destroy(jl_kl_rows *rows);
/* Adds a row: reference [n_vocab] log probabilities, logits [n_vocab] of the model, the token that
 * follows. Tokens that the model may not produce (-inf) are left out. */
void jl_kl_rows_add(jl_kl_rows *rows, const float *reference, const float *logits, uint32_t n_vocab,
                    int32_t target);
/* KL(reference || model) of one row, nats. */
double jl_kl_row(const float *reference, const float *logits, uint32_t n_vocab);
/* Sorts the rows. n >= 1. */
void jl_kl_rows_result(jl_kl_rows *rows, jl_kl_result *out);

#endif
