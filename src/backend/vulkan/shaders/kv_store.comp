#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// Keys and values of a token into its cell: K transposed inside the page ([head_dim][64]), V not
// ([64][head_dim]). Types: 0 F16, 1 F32, 2 Q8_0 (int8, then the F16 scales of blocks of 32).
layout(local_size_x = 64) in;
layout(constant_id = 0) const uint TYPE_K = 0;
layout(constant_id = 1) const uint TYPE_V = 0;
layout(push_constant) uniform args {
    f32_ptr k, v;
    uint64_t cells; // page 0
    i32_ptr pos;
    u32_ptr table;
    i32_ptr pages;
    uint64_t page_bytes;
    uint v_offset, k_head_bytes, v_head_bytes;
    uint head_dim, n_tokens, k_stride, v_stride;
} a;

void store_plain(uint type, uint64_t page, uint first, uint step_, f32_ptr x, uint at)
{
    for (uint e = gl_LocalInvocationID.x; e < a.head_dim; e += 64) {
        const uint to = first + e * step_;
        if (type == 1)
            f32_ptr(page).v[to] = x.v[at + e];
        else
            u16_ptr(page).v[to] = uint16_t(f32_to_f16(x.v[at + e]));
    }
}

bool is_nan(float x)
{
    return (floatBitsToUint(x) & 0x7fffffffu) > 0x7f800000u;
}

void store_q8(uint64_t page, uint first, uint step_, uint d_first, uint d_step, f32_ptr x, uint at)
{
    for (uint b = gl_LocalInvocationID.x; b < a.head_dim / 32; b += 64) {
        float amax = 0.0;
        for (uint i = 0; i < 32; i++) {
            const float v = abs(x.v[at + b * 32 + i]);
            amax = !is_nan(v) && v > amax ? v : amax;
        }
        const uint d16 = f32_to_f16(f_div(amax, 127.0));
        const float d = f16_to_f32(d16);
        const float inv = d > 0.0 && d16 < 0x7c00u ? f_div(1.0, d) : 0.0;
        u16_ptr(page + a.head_dim * 64).v[d_first + b * d_step] = uint16_t(d16);
        for (uint i = 0; i < 32; i++) {
            const float r = roundEven(f_mul(x.v[at + b * 32 + i], inv));
            const float lim = is_nan(r) ? 0.0 : r > 127.0 ? 127.0 : r < -127.0 ? -127.0 : r;
            i8_ptr(page).v[first + (b * 32 + i) * step_] = int8_t(int(lim));
        }
    }
}

void main()
{
    const uint head = gl_WorkGroupID.x;
    const uint d = a.head_dim;

    for (uint t = gl_WorkGroupID.y; t < a.n_tokens; t += gl_NumWorkGroups.y) {
        const uint pos = uint(a.pos.v[t]);
        const uint cell = pos % 64;
        const uint64_t page = a.cells + uint64_t(a.pages.v[a.table.v[t] + pos / 64]) * a.page_bytes;
        const uint64_t kp = page + head * a.k_head_bytes;
        const uint64_t vp = page + a.v_offset + head * a.v_head_bytes;
        const uint k_at = t * a.k_stride + head * d;
        const uint v_at = t * a.v_stride + head * d;

        if (TYPE_K == 2)
            store_q8(kp, cell, 64, cell, 64, a.k, k_at);
        else
            store_plain(TYPE_K, kp, cell, 64, a.k, k_at);
        if (TYPE_V == 2)
            store_q8(vp, cell * d, 1, cell * (d / 32), 1, a.v, v_at);
        else
            store_plain(TYPE_V, vp, cell * d, 1, a.v, v_at);
    }
}
