#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "mathf.glsl"

// Joins the (m, l, o) of the blocks of a wave in ascending order, for one query row. The state goes
// on from wave to wave; the last one divides.
layout(local_size_x = 256) in;
layout(push_constant) uniform args {
    f32_ptr partial; // [row][n_blocks][head_dim + 2]
    f32_ptr state;   // [row][head_dim + 2]
    f32_ptr y;
    i32_ptr pos;
    uint head_dim, n_head, n_blocks, first_block, y_stride;
    int window;
    uint n_rows; // tokens * heads
} a;

float new_m, new_l;

void join(uint row, uint chunk)
{
    const uint token = row / a.n_head;
    const uint size = a.head_dim + 2;
    const int pos = a.pos.v[token];
    const int first = max(pos - a.window + 1, 0) / 64 + int(a.first_block);
    const int n = min(pos / 64 - first + 1, int(a.n_blocks));
    const bool inside = chunk + gl_LocalInvocationID.x < a.head_dim;
    const uint e = inside ? chunk + gl_LocalInvocationID.x : 0;
    float m = -INF;
    float l = 0.0;
    float o = 0.0;

    if (a.first_block > 0) {
        m = a.state.v[row * size];
        l = a.state.v[row * size + 1];
        o = a.state.v[row * size + 2 + e];
    }
    for (int b = 0; b < n; b++) {
        const uint64_t at = uint64_t(a.partial) + (uint64_t(row) * a.n_blocks + uint(b)) * size * 4;
        const float m2 = f32_ptr(at).v[0];
        const float l2 = f32_ptr(at).v[1];
        const float o2 = f32_ptr(at).v[2 + e];
        if (m2 == -INF)
            continue;
        if (m == -INF) {
            m = m2;
            l = l2;
            o = o2;
            continue;
        }
        const float t = m2 > m ? m2 : m;
        const float was = m_exp(f_sub(m, t));
        const float now = m_exp(f_sub(m2, t));
        m = t;
        l = f_fma(l, was, f_mul(l2, now));
        o = f_fma(o, was, f_mul(o2, now));
    }
    new_m = m;
    new_l = l;
    if (!inside)
        return;
    a.state.v[row * size + 2 + e] = o;
    if (pos / 64 < first + int(a.n_blocks))
        a.y.v[token * a.y_stride + row % a.n_head * a.head_dim + e] = f_div(o, l);
}

void main()
{
    for (uint row = gl_WorkGroupID.x; row < a.n_rows; row += gl_NumWorkGroups.x) {
        for (uint chunk = 0; chunk < a.head_dim; chunk += 256)
            join(row, chunk);
        barrier(); // all have read the state
        if (gl_LocalInvocationID.x == 0) {
            a.state.v[row * (a.head_dim + 2)] = new_m;
            a.state.v[row * (a.head_dim + 2) + 1] = new_l;
        }
    }
}
