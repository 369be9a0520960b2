// exp, tanh, GELU and SiLU: the operations of src/backend/cpu/mathf.h, one by one.
float m_exp(float x)
{
    const float hi = x > 88.0 ? 88.0 : x;
    const float c = hi < -87.0 ? -87.0 : hi;
    const float n = roundEven(f_mul(c, uintBitsToFloat(0x3fb8aa3bu)));
    float r = f_fma(n, -uintBitsToFloat(0x3f317200u), c);
    r = f_fma(n, -uintBitsToFloat(0x35bfbe8eu), r);
    float p = f_fma(uintBitsToFloat(0x39500d01u), r, uintBitsToFloat(0x3ab60b61u));
    p = f_fma(p, r, uintBitsToFloat(0x3c088889u));
    p = f_fma(p, r, uintBitsToFloat(0x3d2aaaabu));
    p = f_fma(p, r, uintBitsToFloat(0x3e2aaaabu));
    p = f_fma(p, r, 0.5);
    p = f_fma(p, r, 1.0);
    p = f_fma(p, r, 1.0);
    if (!(x >= -87.0))
        return (floatBitsToUint(x) & 0x7fffffffu) > 0x7f800000u ? x : 0.0;
    return f_mul(p, uintBitsToFloat(uint(int(n) + 127) << 23));
}

float m_tanh(float x)
{
    const float a = abs(x);
    const float s = f_mul(a, a);
    const float poly = f_fma(s, uintBitsToFloat(0x3e088889u), -uintBitsToFloat(0x3eaaaaabu));
    const float small = f_fma(f_mul(a, s), poly, a);
    const float e = m_exp(f_add(a, a));
    const float big = f_sub(1.0, f_div(2.0, f_add(e, 1.0)));
    const uint bits = floatBitsToUint(a < 0.015625 ? small : big);
    return uintBitsToFloat((bits & 0x7fffffffu) | (floatBitsToUint(x) & 0x80000000u));
}

float m_gelu(float x)
{
    const float s = f_mul(x, x);
    const float u = f_mul(0.79788456080286535588, f_fma(f_mul(0.044715, s), x, x));
    return f_mul(f_mul(0.5, x), f_add(1.0, m_tanh(u)));
}

float m_silu(float x)
{
    return f_div(x, f_add(1.0, m_exp(-x)));
}
