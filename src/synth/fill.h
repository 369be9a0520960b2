/* Random values of the tensors of a plan. */
#ifndef JL_SYNTH_FILL_H
#define JL_SYNTH_FILL_H

#include "synth/shape.h"

/* Writes rows first .. first + n_rows - 1 of a tensor to dst. Rows are independent and depend on
 * the seed and the row number alone. */
void jl_synth_fill_rows(const jl_plan_tensor *t, uint64_t seed, uint64_t first, uint64_t n_rows,
                        uint8_t *dst);

#endif
