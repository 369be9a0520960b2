/* Does the device round as docs/numerics.md wants? Vulkan promises little: fma may round twice, a
 * quotient may be 2.5 units off. So it is tried, on numbers chosen to show the difference, before
 * anything else is computed. */
#include <math.h>
#include <string.h>

#include "backend/vulkan/vulkan.h"
#include "base/mem.h"

enum { N = 4096 };

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8 ^ *state << 11;
}

/* 24 random bits with an exponent near 1. */
static float number(uint32_t *state)
{
    const uint32_t r = next(state);
    const uint32_t bits = (r & 0x807fffffu) | (127u - 6u + r % 13u) << 23;
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

static void fill(float *x)
{
    uint32_t state = 20260929;

    for (size_t i = 0; i < N; i++) {
        const float a = number(&state);
        const float b = number(&state);
        x[3 * i] = a;
        x[3 * i + 1] = b;
        /* every other c nearly cancels the product, so that its low half decides */
        x[3 * i + 2] = i % 2 ? -(a * b) : number(&state);
    }
}

static bool same(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static bool is_exact(const float *x, const float *y)
{
    for (size_t i = 0; i < N; i++) {
        const float a = x[3 * i];
        const float b = x[3 * i + 1];
        const float c = x[3 * i + 2];
        const float ab = a * b;
        const float want[] = {fmaf(a, b, c), ab + c, a / b, sqrtf(fabsf(a))};
        for (int k = 0; k < 4; k++)
            if (!same(want[k], y[4 * i + k]))
                return false;
    }
    return true;
}

jl_status jl_vk_probe(jl_vk *v, bool *exact, jl_error *err)
{
    jl_vk_memory y;
    struct {
        VkDeviceAddress x, y;
        uint32_t n;
    } push = {.n = N};
    float *x = jl_malloc(3 * N * sizeof *x);

    if (!x)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    jl_status s = jl_vk_memory_alloc(v, 4 * N * sizeof(float), JL_VK_MEM_READBACK, &y, err);
    if (s != JL_OK) {
        jl_free(x);
        return s;
    }
    fill(x);
    push.x = jl_vk_ring_put(v, x, 3 * N * sizeof *x);
    push.y = y.address;
    if (push.x)
        jl_vk_dispatch(v, &(jl_vk_call){.shader = JL_VK_probe,
                                        .push = &push,
                                        .push_bytes = sizeof push,
                                        .groups = {vk_div_up(N, 64)}});
    s = jl_vk_wait(&v->base, err);
    if (s == JL_OK)
        *exact = is_exact(x, (const float *)(const void *)y.map);
    jl_vk_memory_free(v, &y);
    jl_free(x);
    return s;
}
