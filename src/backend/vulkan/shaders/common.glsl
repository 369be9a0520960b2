// What every shader starts with: memory by address and arithmetic that rounds as docs/numerics.md
// says. Each shader is compiled twice: JL_F64 0 for devices whose fma is fused, JL_F64 1 for those
// that need 64-bit floats for it. Never write a * b + c, a / b or sqrt(a) here: use the functions,
// whose results no compiler may contract.
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int32 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_EXT_shader_8bit_storage : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_spirv_intrinsics : require
#extension GL_EXT_control_flow_attributes : require
#if JL_F64
#extension GL_EXT_shader_explicit_arithmetic_types_float64 : require
#endif

// Denormals, infinities and NaN are kept; pipeline.c takes these out where a device lacks them.
spirv_execution_mode(capabilities = [4464], 4459, 32);
spirv_execution_mode(capabilities = [4466], 4461, 32);

layout(buffer_reference, scalar, buffer_reference_align = 4) buffer f32_ptr { float v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer i32_ptr { int v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer u32_ptr { uint v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 2) buffer u16_ptr { uint16_t v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 2) buffer i16_ptr { int16_t v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 1) buffer i8_ptr { int8_t v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 1) buffer u8_ptr { uint8_t v[]; };

#define INF uintBitsToFloat(0x7f800000u)

float f_mul(float a, float b)
{
    precise float r = a * b;
    return r;
}
float f_add(float a, float b)
{
    precise float r = a + b;
    return r;
}
float f_sub(float a, float b)
{
    precise float r = a - b;
    return r;
}

#if JL_F64
// The product is exact in 64 bits. The sum is rounded to odd (an inexact one gets an odd last bit),
// so that rounding it again to 32 bits is right.
float f_fma(float a, float b, float c)
{
    precise double p = double(a) * double(b);
    precise double z = double(c);
    precise double s = p + z;
    precise double t = s - p;
    precise double e = (p - (s - t)) + (z - t);
    uvec2 bits = unpackDouble2x32(s);
    if (e != 0.0 && (bits.x & 1u) == 0u && (bits.y & 0x7ff00000u) != 0x7ff00000u) {
        bool away = (e > 0.0) == (s > 0.0);
        if (!away && bits.x == 0u)
            bits.y -= 1u;
        bits.x = away ? bits.x + 1u : bits.x - 1u;
    }
    return float(packDouble2x32(bits));
}
// A quotient or root of 24-bit numbers lies so far from the middle of two neighbours that the
// 64-bit result rounds the same way.
float f_div(float a, float b)
{
    precise double q = double(a) / double(b);
    return float(q);
}
float f_sqrt(float a)
{
    precise double r = sqrt(double(a));
    return float(r);
}
#else
float f_fma(float a, float b, float c)
{
    precise float r = fma(a, b, c);
    return r;
}
// The device's quotient is at most a few units off; of it and its neighbours the one with the
// smallest remainder, which fma gives exactly, is the right one.
float f_div(float a, float b)
{
    precise float q = a / b;
    const uint top = floatBitsToUint(q) & 0x7fffffffu;
    const uint bb = floatBitsToUint(b) & 0x7fffffffu;
    if (top >= 0x7f000000u || top < 0x01000000u || bb >= 0x7e000000u || bb < 0x01000000u ||
        (floatBitsToUint(a) & 0x7fffffffu) < 0x0d000000u)
        return q;
    float best = q;
    float least = abs(f_fma(-q, b, a));
    [[unroll]] for (int i = 0; i < 4; i++) {
        const int step = i < 2 ? i - 2 : i - 1;
        const float near = uintBitsToFloat(floatBitsToUint(q) + uint(step));
        const float rest = abs(f_fma(-near, b, a));
        best = rest < least ? near : best;
        least = min(rest, least);
    }
    return best;
}
// Of the device's root and its neighbours the largest r with r (r - ulp) < a: the rounding border
// below r is r - ulp / 2, whose square lies between r (r - ulp) and the next number.
float f_sqrt(float a)
{
    precise float r = sqrt(a);
    const uint bits = floatBitsToUint(r);
    if (bits >= 0x7f000000u || bits < 0x10000000u)
        return r;
    float best = uintBitsToFloat(bits - 2u);
    [[unroll]] for (int i = -1; i <= 2; i++) {
        const float near = uintBitsToFloat(bits + uint(i));
        const float below = uintBitsToFloat(bits + uint(i - 1));
        best = f_fma(near, below, -a) < 0.0 ? near : best;
    }
    return best;
}
#endif

float f16_to_f32(uint h)
{
    const uint m = h & 0x7fffu;
    const uint sign = (h & 0x8000u) << 16;
    if (m < 0x400u)
        return uintBitsToFloat(floatBitsToUint(f_mul(float(m), 5.9604644775390625e-8)) | sign);
    return uintBitsToFloat((m < 0x7c00u ? (m << 13) + 0x38000000u : (m << 13) | 0x7f800000u) | sign);
}

// Round to nearest even, overflow to infinity.
uint f32_to_f16(float f)
{
    const uint bits = floatBitsToUint(f);
    const uint sign = (bits >> 16) & 0x8000u;
    const uint m = bits & 0x7fffffffu;
    if (m > 0x7f800000u)
        return sign | 0x7e00u;
    if (m >= 0x47800000u)
        return sign | 0x7c00u;
    if (m < 0x33000000u)
        return sign;
    if (m < 0x38800000u) {
        const uint shift = 126u - (m >> 23);
        const uint full = (m & 0x7fffffu) | 0x800000u;
        const uint kept = full >> shift;
        const uint rest = full & ((1u << shift) - 1u);
        const uint middle = 1u << (shift - 1u);
        return sign | (kept + uint(rest > middle || (rest == middle && (kept & 1u) == 1u)));
    }
    const uint rounded = m + 0xfffu + ((m >> 13) & 1u);
    return sign | ((rounded - 0x38000000u) >> 13);
}
