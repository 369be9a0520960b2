/* Searching the codebooks of IQ2 and IQ3: groups of 8 or 4 magnitudes that must be one of the
 * grid's points. */
#ifndef JL_QUANT_CODEBOOK_H
#define JL_QUANT_CODEBOOK_H

#include <stdint.h>

#include "quant/quantizer.h"

enum { JL_CODE_MAX_LEVELS = 8, JL_CODE_NEIGHBOURS = 48 };

struct jl_codebook {
    int dim;      /* magnitudes of a point: 8 or 4 */
    int n_points;
    int n_levels; /* magnitudes that occur, ascending in level */
    float level[JL_CODE_MAX_LEVELS];
    float *points;  /* [n_points][dim] */
    uint16_t *near; /* [n_levels ^ dim][JL_CODE_NEIGHBOURS] points nearest to the combination of
                     * levels, nearest first */
};

/* The point that makes sum w (v - point)^2 smallest among the neighbours of the levels nearest to
 * v. v may hold small negative values. */
int jl_codebook_search(const jl_codebook *c, const float *v, const float *w);

#endif
