#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// y[i] = fma, product, quotient and root of numbers whose results show how the device rounds.
layout(local_size_x = 64) in;
layout(push_constant) uniform args {
    f32_ptr x, y; // [n][3], [n][4]
    uint n;
} p;

void main()
{
    const uint i = gl_GlobalInvocationID.x;
    if (i >= p.n)
        return;
    const float a = p.x.v[3u * i];
    const float b = p.x.v[3u * i + 1u];
    const float c = p.x.v[3u * i + 2u];
    p.y.v[4u * i] = f_fma(a, b, c);
    p.y.v[4u * i + 1u] = f_add(f_mul(a, b), c);
    p.y.v[4u * i + 2u] = f_div(a, b);
    p.y.v[4u * i + 3u] = f_sqrt(abs(a));
}
