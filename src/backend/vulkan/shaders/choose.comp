#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "mathf.glsl"

// Softmax over the experts of a token, the n_used best by probability (ties: lower id) in ascending
// id, their weights renormalised and scaled.
layout(local_size_x = 256) in;
layout(push_constant) uniform args {
    f32_ptr logits; // [token][n]
    f32_ptr scale;  // [n]
    i32_ptr ids;
    f32_ptr weights;
    uint n, n_used, ids_stride, weights_stride;
    uint has_scale, n_tokens;
} a;

const uint MAX = 4096;
shared float p[MAX];
shared uint is_chosen[MAX / 32];
shared float tops[256];
shared float sum;

void largest()
{
    const uint t = gl_LocalInvocationID.x;
    float m = -INF;

    for (uint e = t; e < a.n; e += 256)
        m = p[e] > m ? p[e] : m;
    tops[t] = m;
    for (uint s = 128; s > 0; s /= 2) {
        barrier();
        if (t < s)
            tops[t] = tops[t + s] > tops[t] ? tops[t + s] : tops[t];
    }
    barrier();
}

// NaN counts as less than everything, so that exactly n_used are chosen in any case.
float order(float v)
{
    return (floatBitsToUint(v) & 0x7fffffffu) > 0x7f800000u ? -1.0 : v;
}

bool among_best(uint e)
{
    const float mine = order(p[e]);
    uint better = 0;

    for (uint f = 0; f < a.n; f++) {
        const float other = order(p[f]);
        better += uint(other > mine || (other == mine && f < e));
    }
    return better < a.n_used;
}

void write(uint token)
{
    uint k = 0;
    float chosen = 0.0;

    for (uint e = 0; e < a.n; e++)
        if ((is_chosen[e / 32] >> e % 32 & 1u) != 0u) {
            a.ids.v[token * a.ids_stride + k++] = int(e);
            chosen = f_add(chosen, p[e]);
        }
    for (k = 0; k < a.n_used; k++) {
        const uint e = uint(a.ids.v[token * a.ids_stride + k]);
        const float w = f_div(p[e], chosen);
        a.weights.v[token * a.weights_stride + k] =
            a.has_scale != 0u ? f_mul(w, a.scale.v[e]) : w;
    }
}

void main()
{
    const uint t = gl_LocalInvocationID.x;

    for (uint token = gl_WorkGroupID.x; token < a.n_tokens; token += gl_NumWorkGroups.x) {
        for (uint e = t; e < a.n; e += 256)
            p[e] = a.logits.v[token * a.n + e];
        for (uint i = t; i < MAX / 32; i += 256)
            is_chosen[i] = 0u;
        barrier();
        largest();
        for (uint e = t; e < a.n; e += 256)
            p[e] = m_exp(f_sub(p[e], tops[0]));
        barrier();
        if (t == 0) {
            float s = 0.0;
            for (uint e = 0; e < a.n; e++)
                s = f_add(s, p[e]);
            sum = s;
        }
        barrier();
        for (uint e = t; e < a.n; e += 256)
            p[e] = f_div(p[e], sum);
        barrier();
        for (uint e = t; e < a.n; e += 256)
            if (among_best(e))
                atomicOr(is_chosen[e / 32], 1u << e % 32);
        barrier();
        if (t == 0)
            write(token);
        barrier();
    }
}
