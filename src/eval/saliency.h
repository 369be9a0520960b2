/* What an expert adds to a token. */
#ifndef JL_EVAL_SALIENCY_H
#define JL_EVAL_SALIENCY_H

#include <stddef.h>

/* Router weight times the norm of the expert's output, as Lasby et al. weigh experts (REAP,
 * arXiv 2510.13999): their mean over an expert's tokens is its saliency. */
double jl_expert_saliency(float weight, const float *y, size_t n);

#endif
