#include "quant/float16.h"

#include "quant/quant.h"

float jl_f16_to_f32(uint16_t h)
{
    return jl_half_widen(h);
}

uint16_t jl_f32_to_f16(float f)
{
    const uint32_t bits = jl_f32_bits(f);
    const uint32_t sign = bits >> 16 & 0x8000u;
    const uint32_t a = bits & 0x7fffffffu;

    if (a > 0x7f800000u) /* NaN: top payload bits, quiet */
        return (uint16_t)(sign | 0x7e00u | (a >> 13 & 0x1ffu));
    if (a >= 0x477ff000u) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (a < 0x38800000u) { /* below 2^-14: adding 0.5 leaves the count of 2^-24 in the low bits */
        const float shifted = jl_f32_from_bits(a) + 0.5f;
        return (uint16_t)(sign | (jl_f32_bits(shifted) - 0x3f000000u));
    }
    const uint32_t odd = a >> 13 & 1u;
    return (uint16_t)(sign | (a - 0x38000000u + 0x0fffu + odd) >> 13);
}

float jl_bf16_to_f32(uint16_t h)
{
    return jl_f32_from_bits((uint32_t)h << 16);
}

uint16_t jl_f32_to_bf16(float f)
{
    const uint32_t bits = jl_f32_bits(f);

    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
