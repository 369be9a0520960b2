/* Rows of random weights of every type, for tests and synthetic models. */
#ifndef JL_QUANT_RANDOM_H
#define JL_QUANT_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include "quant/types.h"

/* Number i of the stream of a seed, uniform over 64 bits (SplitMix64, a pure function). */
uint64_t jl_random_u64(uint64_t seed, uint64_t i);

/* Fills a row of n weights (n a multiple of the type's block) with random valid blocks whose values
 * have mean 0 and standard deviation std. The same arguments give the same bytes everywhere. Weight
 * types that store rows singly only. std is limited by the F16 scales of the formats: 1e-4 .. 10 is
 * safe for all. */
void jl_fill_random_row(jl_type type, uint64_t seed, float std, void *dst, size_t n);

/* Rows first .. first + n_rows - 1 of a matrix of random rows, row r from seed jl_random_u64(seed,
 * r). Types that store rows together too: first and n_rows are multiples of the group then. */
void jl_fill_random_rows(jl_type type, uint64_t seed, uint64_t first, float std, void *dst,
                         size_t n, size_t n_rows);

#endif
