/* The same weights in a type that multiplies faster. Nothing is rounded: the dequantised values are
 * those of the source to the bit, and so are its products (docs/numerics.md), so that a model
 * repacked this way says the same tokens.
 *
 * IQ3_S -> IQ3_S4. A weight of IQ3_S is d * (1 + 2 s) * v with v odd, -15 .. 15. Its magnitudes
 * come from a grid of 512 points and its signs from elsewhere, 3.4375 bits per weight, and fetching
 * them takes longer than reading them. IQ3_S4 stores v as a code of 4 bits in the block of IQ4_XS
 * (4.25 bits per weight): v = 2 * code - 15, and the scale ls - 32 = 1 + 2 s. */
#ifndef JL_QUANT_TRANSCODE_H
#define JL_QUANT_TRANSCODE_H

#include <stddef.h>

#include "quant/types.h"

/* The type that rows of `type` become, or `type` itself if there is no better one; any value. The
 * result stores rows singly, has blocks as long as those of `type`, and takes the same
 * activations. */
jl_type jl_transcode_type(jl_type type);

/* dst[n_rows][jl_row_bytes(jl_transcode_type(from), n)] = the rows src[n_rows][jl_row_bytes(from,
 * n)]. `from` is a type that becomes another one (an assertion), n a multiple of its block; both
 * sides at even addresses, and they do not overlap. Every bit pattern of a source row is valid:
 * this cannot fail. Thread-safe; rows may be split over threads at will. */
void jl_transcode_rows(jl_type from, const void *src, void *dst, size_t n, size_t n_rows);

#endif
