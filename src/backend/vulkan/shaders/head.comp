#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// One head of one token in place: RMS norm, then RoPE. MODE: 0 no RoPE, 1 pairs half a head apart,
// 2 adjacent pairs and all times scale.
layout(local_size_x = 128) in;
layout(constant_id = 0) const uint MODE = 0;
layout(push_constant) uniform args {
    f32_ptr x, w, rope; // rope: cos [head_dim / 2], sin [head_dim / 2] per token
    uint head_dim, n_head, n_tokens, x_stride;
    float eps, scale;
    uint norm, has_w;
} a;

shared float row[4096];
shared float lanes[16];
shared float norm_scale;

void norm()
{
    const uint t = gl_LocalInvocationID.x;

    if (t < 16) {
        float sum = 0.0;
        for (uint i = t; i < a.head_dim; i += 16)
            sum = f_fma(row[i], row[i], sum);
        lanes[t] = sum;
    }
    barrier();
    if (t == 0) {
        [[unroll]] for (uint half_ = 8; half_ > 0; half_ /= 2)
            [[unroll]] for (uint l = 0; l < half_; l++)
                lanes[l] = f_add(lanes[l], lanes[l + half_]);
        norm_scale = f_div(1.0, f_sqrt(f_add(f_div(lanes[0], float(a.head_dim)), a.eps)));
    }
    barrier();
    for (uint i = t; i < a.head_dim; i += 128) {
        const float v = f_mul(row[i], norm_scale);
        row[i] = a.has_w != 0u ? f_mul(v, a.w.v[i]) : v;
    }
    barrier();
}

void rotate(uint at, uint token)
{
    const uint half_ = a.head_dim / 2;

    for (uint i = gl_LocalInvocationID.x; i < half_; i += 128) {
        const uint ia = MODE == 2 ? 2 * i : i;
        const uint ib = MODE == 2 ? 2 * i + 1 : i + half_;
        const float c = a.rope.v[token * a.head_dim + i];
        const float s = a.rope.v[token * a.head_dim + i + half_];
        const float p = f_fma(row[ia], c, -f_mul(row[ib], s));
        const float q = f_fma(row[ia], s, f_mul(row[ib], c));
        a.x.v[at + ia] = MODE == 2 ? f_mul(p, a.scale) : p;
        a.x.v[at + ib] = MODE == 2 ? f_mul(q, a.scale) : q;
    }
}

void main()
{
    const uint head = gl_WorkGroupID.x;
    const uint t = gl_LocalInvocationID.x;

    for (uint token = gl_WorkGroupID.y; token < a.n_tokens; token += gl_NumWorkGroups.y) {
        const uint at = token * a.x_stride + head * a.head_dim;
        for (uint i = t; i < a.head_dim; i += 128)
            row[i] = a.x.v[at + i];
        barrier();
        if (a.norm != 0u)
            norm();
        if (MODE == 0)
            for (uint i = t; i < a.head_dim; i += 128)
                a.x.v[at + i] = row[i];
        else
            rotate(at, token);
        barrier();
    }
}
