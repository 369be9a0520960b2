/* Half-precision conversions, inline. The same bits as the F16C and NEON instructions. */
#ifndef JL_QUANT_FLOAT16_H
#define JL_QUANT_FLOAT16_H

#include <stdint.h>
#include <string.h>

static inline float jl_f32_from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t jl_f32_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* Exact. NaNs keep sign and payload and become quiet. */
static inline float jl_half_widen(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t rest = (uint32_t)(h & 0x7fffu) << 13;

    if (rest >= 0x0f800000u) /* infinity or NaN */
        return jl_f32_from_bits(sign | 0x70000000u | rest |
                                (rest > 0x0f800000u ? 0x00400000u : 0u));
    if (rest < 0x00800000u) { /* denormal or zero: a count of 2^-24 */
        const float tiny = (float)(int32_t)(h & 0x3ffu) * 0x1p-24f;
        return jl_f32_from_bits(sign | jl_f32_bits(tiny));
    }
    return jl_f32_from_bits(sign | (rest + 0x38000000u));
}

#endif
