/* Tables of JQ4 in pairs, for vectors longer than one table: one load, not two and a merge. */
#ifndef JL_BACKEND_CPU_ARM_JQ4_PAIRS_H
#define JL_BACKEND_CPU_ARM_JQ4_PAIRS_H

#include "quant/blocks.h"

/* Table a, then table b, at [a + 64 * b], as codes of 12 bits come in a file. 128 KiB; zeros before
 * jl_arm_jq4_pairs_fill, constant after it. */
extern int8_t jl_arm_jq4_pairs[JL_JQ4_TABLES * JL_JQ4_TABLES][32];

/* Any thread, any number of times. */
void jl_arm_jq4_pairs_fill(void);

#endif
