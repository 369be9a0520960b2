/* What the rows of a tensor hold, by its role. */
#include "synth/fill.h"

#include <string.h>

#include "quant/random.h"

/* Frequency divisors of proportional RoPE: the first quarter of the pairs rotates, the rest does
 * not. */
static float rope_divisor(uint64_t i, uint64_t n)
{
    return i >= n / 4 ? 1e30f : 1.0f;
}

static float vector_value(const jl_plan_tensor *t, uint64_t seed, uint64_t i)
{
    const uint64_t z = jl_random_u64(seed, i);
    const float u = (float)(z >> 40) * (1.0f / 16777216.0f); /* 0..1 */

    switch (t->role) {
    case JL_ROLE_VECTOR:
        return t->value * (0.9f + 0.2f * u);
    case JL_ROLE_SIGNS:
        return z & 1 ? t->value : -t->value;
    case JL_ROLE_ROPE_FREQS:
        return rope_divisor(i, t->ne[0]);
    default:
        return t->value;
    }
}

void jl_synth_fill_rows(const jl_plan_tensor *t, uint64_t seed, uint64_t first, uint64_t n_rows,
                        uint8_t *dst)
{
    if (t->n_dims == 1) {
        for (uint64_t i = 0; i < t->ne[0]; i++) {
            const float v = vector_value(t, seed, i);
            memcpy(dst + i * sizeof v, &v, sizeof v);
        }
        return;
    }
    jl_fill_random_rows(t->type, seed, first, t->value, dst, (size_t)t->ne[0], (size_t)n_rows);
}
