#include "kernels.h"

#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "quant/random.h"
#include "test.h"

static const char *const bundle_names[] = {
    "scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512vbmi", "avx512bf16", "amx",
    "neon",   "dotprod", "i8mm", "sme",     "sme2",
};

size_t bundle_tables(jl_cpu_kernels *tables, size_t cap)
{
    const unsigned host = jl_cpu_features();
    unsigned last = 0;
    size_t n = 0;

    for (size_t i = 0; i < sizeof bundle_names / sizeof bundle_names[0] && n < cap; i++) {
        const unsigned features = jl_cpu_mask(host, bundle_names[i], NULL);
        if (n > 0 && (features == last || features == 0))
            continue;
        jl_cpu_kernels_init(&tables[n++], features);
        last = features;
    }
    return n;
}

enum { GUARD_BYTES = 256 };

static uint8_t guard_byte(size_t i)
{
    return (uint8_t)(0xa5 ^ i * 37);
}

guarded guard_new(size_t n_bytes, size_t misalign)
{
    const size_t total = (GUARD_BYTES + misalign + n_bytes + GUARD_BYTES + 63) / 64 * 64;
    guarded g = {.n = n_bytes, .block = aligned_alloc(64, total)};

    assert_non_null(g.block);
    for (size_t i = 0; i < total; i++)
        g.block[i] = guard_byte(i);
    g.at = g.block + GUARD_BYTES + misalign;
    return g;
}

bool guard_intact(const guarded *g)
{
    const size_t begin = (size_t)(g->at - g->block);

    for (size_t i = 0; i < begin; i++)
        if (g->block[i] != guard_byte(i))
            return false;
    for (size_t i = begin + g->n; i < begin + g->n + GUARD_BYTES; i++)
        if (g->block[i] != guard_byte(i))
            return false;
    return true;
}

void guard_free(guarded *g)
{
    free(g->block);
    *g = (guarded){0};
}

uint64_t rng_u64(rng *r)
{
    return jl_random_u64(r->seed, r->i++);
}

size_t rng_below(rng *r, size_t n)
{
    return (size_t)(rng_u64(r) % n);
}

float rng_unit(rng *r)
{
    return (float)((double)(rng_u64(r) >> 11) * 0x1p-52 - 1.0);
}

void expect_same_floats(const char *kernel, const char *what, const float *expected,
                        const float *got, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t a;
        uint32_t b;
        memcpy(&a, &expected[i], sizeof a);
        memcpy(&b, &got[i], sizeof b);
        if (a == b || (expected[i] != expected[i] && got[i] != got[i]))
            continue;
        fail_msg("%s %s: element %zu of %zu is %a, the definition gives %a", kernel, what, i, n,
                 (double)got[i], (double)expected[i]);
    }
}
