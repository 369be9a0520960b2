#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "mathf.glsl"

// y = OP(x, z) value by value. OP: 0 gelu(x) * z, 1 silu(x) * z, 2 x * z * value with one row z for
// all, 3 value * tanh(x / value), 4 y = row rows[r] of x.
layout(local_size_x = 256) in;
layout(push_constant) uniform args {
    f32_ptr x, z, y;
    uint n, n_rows, x_stride, z_stride, y_stride;
    float value;
} a;

void main()
{
    const uint i = gl_GlobalInvocationID.x;
    if (i >= a.n)
        return;
    for (uint r = gl_WorkGroupID.y; r < a.n_rows; r += gl_NumWorkGroups.y) {
#if OP == 4
        const float v = a.x.v[u32_ptr(a.z).v[r] * a.x_stride + i];
#else
        const float x = a.x.v[r * a.x_stride + i];
#if OP == 0
        const float v = f_mul(m_gelu(x), a.z.v[r * a.z_stride + i]);
#elif OP == 1
        const float v = f_mul(m_silu(x), a.z.v[r * a.z_stride + i]);
#elif OP == 2
        const float v = f_mul(f_mul(x, a.z.v[i]), a.value);
#else
        const float v = f_mul(a.value, m_tanh(f_div(x, a.value)));
#endif
#endif
        a.y.v[r * a.y_stride + i] = v;
    }
}
