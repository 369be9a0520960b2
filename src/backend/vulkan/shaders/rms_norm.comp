#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// y = x / rms(x) * w, or y += that, over rows. A work group takes a row: its 16 lanes of the sum of
// squares are 16 threads that read what all have brought into shared memory.
layout(local_size_x = 256) in;
layout(push_constant) uniform args {
    f32_ptr x, w, y;
    uint n, n_rows, x_stride, y_stride;
    float eps;
    uint has_w, add;
} a;

const uint TILE = 2048;
shared float tile[TILE];
shared float lanes[16];
shared float scale;

void sum_squares(uint row)
{
    const uint t = gl_LocalInvocationID.x;
    float sum = 0.0;

    for (uint first = 0; first < a.n; first += TILE) {
        const uint len = min(TILE, a.n - first);
        barrier();
        for (uint i = t; i < len; i += 256)
            tile[i] = a.x.v[row * a.x_stride + first + i];
        barrier();
        if (t < 16)
            for (uint i = t; i < len; i += 16)
                sum = f_fma(tile[i], tile[i], sum);
    }
    if (t < 16)
        lanes[t] = sum;
    barrier();
    if (t == 0) {
        [[unroll]] for (uint half_ = 8; half_ > 0; half_ /= 2)
            [[unroll]] for (uint l = 0; l < half_; l++)
                lanes[l] = f_add(lanes[l], lanes[l + half_]);
        scale = f_div(1.0, f_sqrt(f_add(f_div(lanes[0], float(a.n)), a.eps)));
    }
    barrier();
}

void main()
{
    for (uint row = gl_WorkGroupID.x; row < a.n_rows; row += gl_NumWorkGroups.x) {
        sum_squares(row);
        for (uint i = gl_LocalInvocationID.x; i < a.n; i += 256) {
            float v = f_mul(a.x.v[row * a.x_stride + i], scale);
            if (a.has_w != 0u)
                v = f_mul(v, a.w.v[i]);
            const uint to = row * a.y_stride + i;
            a.y.v[to] = a.add != 0u ? f_add(a.y.v[to], v) : v;
        }
        barrier();
    }
}
