/* The same problem on the scalar CPU backend and on the Vulkan device. Operations follow
 * docs/numerics.md on both, so results are compared bit by bit. */
#ifndef JL_TESTS_VULKAN_PAIR_H
#define JL_TESTS_VULKAN_PAIR_H

#include "backend/backend.h"
#include "test.h"

typedef struct {
    jl_backend *cpu, *gpu;
    uint32_t seed;
} pair;

/* A tensor on both. */
typedef struct {
    jl_tensor cpu, gpu;
} both;

/* Opens both for at most these limits; ends the test as skipped, with the reason, where there is no
 * driver. JOULE_VULKAN_TEST=1 in the environment makes that a failure. */
void pair_open(pair *p, const jl_backend_limits *limits);
void pair_close(pair *p);
/* Limits that suit small problems. */
jl_backend_limits pair_limits(void);

uint32_t pair_random(pair *p, uint32_t below);
float pair_unit(pair *p); /* -1 .. 1 */

/* F32 [n][n_rows], rows n + pad floats apart, random values; free with pair_free. */
both pair_f32(pair *p, uint32_t n, uint32_t n_rows, uint32_t pad);
/* The same with these values [n_rows][n]. */
both pair_values(pair *p, const void *values, uint32_t n, uint32_t n_rows);
void pair_free(both *t);
/* Weights: ne[1] * ne[2] rows of the type, random; the device has a copy (of this tensor alone, the
 * last one made, unless pair_weights names more). Free with pair_free_weight. */
jl_tensor pair_weight(pair *p, jl_type type, uint32_t n, uint32_t n_rows, uint32_t n_mats);
void pair_weights(pair *p, const jl_tensor *weights, size_t n);
void pair_free_weight(jl_tensor *w);

/* Fails unless both hold the same bits, NaN of any kind being equal. */
void pair_same(pair *p, const char *what, const both *t);

#endif
