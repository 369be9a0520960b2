#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// x = (x + y) * scale; the y address may be 0. Row r of x at r * x_stride floats.
layout(local_size_x = 256) in;
layout(push_constant) uniform args {
    f32_ptr x, y;
    uint n, n_rows, x_stride, y_stride;
    float scale;
    uint has_y;
} a;

void main()
{
    const uint i = gl_GlobalInvocationID.x;
    if (i >= a.n)
        return;
    for (uint r = gl_WorkGroupID.y; r < a.n_rows; r += gl_NumWorkGroups.y) {
        float x = a.x.v[r * a.x_stride + i];
        if (a.has_y != 0u)
            x = f_add(x, a.y.v[r * a.y_stride + i]);
        a.x.v[r * a.x_stride + i] = a.scale == 1.0 ? x : f_mul(x, a.scale);
    }
}
