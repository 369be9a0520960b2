/* Shared by the kernel suites: feature bundles of this machine, buffers with guards, random data.
 */
#ifndef JL_TESTS_KERNELS_H
#define JL_TESTS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/cpu/kernels.h"

/* The kernel table of every bundle of this machine that adds something to the one before; the first
 * is scalar. Returns how many. */
size_t bundle_tables(jl_cpu_kernels *tables, size_t cap);

/* A buffer of n bytes at an address that is misalign bytes past a 64-byte boundary, between guard
 * zones that guard_check verifies. The process keeps it until guard_free. */
typedef struct {
    uint8_t *at;    /* n usable bytes */
    size_t n;
    uint8_t *block;
} guarded;

guarded guard_new(size_t n_bytes, size_t misalign);
bool guard_intact(const guarded *g);
void guard_free(guarded *g);

/* Uniform numbers from a seed; the stream continues with every call. */
typedef struct {
    uint64_t seed, i;
} rng;

uint64_t rng_u64(rng *r);
size_t rng_below(rng *r, size_t n);
float rng_unit(rng *r); /* -1 .. 1 */

/* Compares floats bit for bit; any NaN equals any NaN. Fails the test with the place. */
void expect_same_floats(const char *kernel, const char *what, const float *expected,
                        const float *got, size_t n);

#endif
