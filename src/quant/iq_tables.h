/* Codebooks of the IQ formats. Written by scripts/make-iq-tables. Byte j of an entry (from the low
 * end) is the magnitude of weight j; the entries of jl_iq1_grid are signed bytes -1, 0, 1. */
#ifndef JL_QUANT_IQ_TABLES_H
#define JL_QUANT_IQ_TABLES_H

#include <stdint.h>

extern const uint64_t jl_iq2xxs_grid[256];
extern const uint64_t jl_iq2xs_grid[512];
extern const uint64_t jl_iq2s_grid[1024];
extern const uint32_t jl_iq3xxs_grid[256];
extern const uint32_t jl_iq3s_grid[512];
extern const uint64_t jl_iq1_grid[2048];

/* Signs of 8 weights (bit j set: weight j is negative) for the 7-bit sign codes of IQ2_XXS, IQ2_XS
 * and IQ3_XXS: the code itself, with bit 7 making the number of set bits even. */
extern const uint8_t jl_iq_signs[128];

#endif
