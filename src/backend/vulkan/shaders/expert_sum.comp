#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// y of a token = the outputs of its experts times their weights, added in ascending expert id.
layout(local_size_x = 256) in;
layout(push_constant) uniform args {
    uint64_t x;     // F32 [n_tokens][n_used][n]
    f32_ptr weights; // rows of n_used, weights_stride apart
    f32_ptr y;
    uint n, n_tokens, n_used, weights_stride, y_stride;
} p;

void main()
{
    const uint i = gl_GlobalInvocationID.x;
    if (i >= p.n)
        return;
    for (uint t = gl_WorkGroupID.y; t < p.n_tokens; t += gl_NumWorkGroups.y) {
        float f = 0.0;
        for (uint k = 0u; k < p.n_used; k++) {
            const uint64_t row = p.x + 4ul * p.n * (uint64_t(t) * p.n_used + k);
            f = f_fma(p.weights.v[t * p.weights_stride + k], f32_ptr(row).v[i], f);
        }
        p.y.v[t * p.y_stride + i] = f;
    }
}
