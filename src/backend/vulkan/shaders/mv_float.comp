#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "product.glsl"

// Products with F32, F16 and BF16 weights, as docs/numerics.md, section 3 says: element i goes to
// lane i % 16, ascending, and the lanes are added as a tree. A thread is one lane of one row; a work
// group has 16 rows and NC columns.
layout(local_size_x = 256) in;
layout(constant_id = 1) const uint NC = 1;
layout(constant_id = 2) const uint SLOTS = 0;

shared float lanes[256];

#if defined T_F32
#define WEIGHT_BYTES 4u
float weight(uint64_t row, uint i)
{
    return f32_ptr(row).v[i];
}
#elif defined T_F16
#define WEIGHT_BYTES 2u
float weight(uint64_t row, uint i)
{
    return f16_to_f32(uint(u16_ptr(row).v[i]));
}
#else
float weight(uint64_t row, uint i)
{
    return uintBitsToFloat(uint(u16_ptr(row).v[i]) << 16);
}
#endif

void main()
{
    const uint tid = gl_LocalInvocationID.x;
    const uint lane = tid & 15u;
    const uint row = gl_WorkGroupID.x * 16u + (tid >> 4);
    const uint col0 = gl_WorkGroupID.y * NC;
    const uint matrix = SLOTS == 1u ? slot_expert(col0) : 0u;
    const uint64_t w = row_address(matrix, min(row, p.n_rows - 1u));
    uint64_t x[NC];
    float acc[NC];

    [[unroll]] for (uint c = 0u; c < NC; c++) {
        const uint col = min(col0 + c, p.n_cols - 1u);
        x[c] = p.q + uint64_t(SLOTS == 1u ? col / p.x_div : col) * p.x_stride * 4u;
        acc[c] = 0.0;
    }
    for (uint i = lane; i < p.n_in; i += 16u) {
        const float v = weight(w, i);
        [[unroll]] for (uint c = 0u; c < NC; c++)
            acc[c] = f_fma(v, f32_ptr(x[c]).v[i], acc[c]);
    }
    [[unroll]] for (uint c = 0u; c < NC; c++) {
        lanes[tid] = acc[c];
        barrier();
        for (uint step = 8u; step > 0u; step /= 2u) {
            if (lane < step)
                lanes[tid] = f_add(lanes[tid], lanes[tid + step]);
            barrier();
        }
        if (lane == 0u && row < p.n_rows && col0 + c < p.n_cols)
            put_y(col0 + c, row, lanes[tid]);
        barrier();
    }
}
