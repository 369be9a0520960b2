#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// Router logits: dot of F32, F16 or BF16 rows with F32 activations in 16 lanes (docs/numerics.md,
// section 3). A work group takes 16 rows of one token; a thread is a lane of a row.
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint TYPE = 0; // 0 F32, 1 F16, 30 BF16
layout(push_constant) uniform args {
    uint64_t w;
    f32_ptr x, y;
    uint64_t row_bytes;
    uint n, n_rows, n_tokens, x_stride, y_stride;
} a;

const uint AHEAD = 8; // loads before their use
shared float lanes[256];

float w_at(uint64_t row, uint i)
{
    if (TYPE == 0)
        return f32_ptr(row).v[i];
    const uint h = uint(u16_ptr(row).v[i]);
    return TYPE == 1 ? f16_to_f32(h) : uintBitsToFloat(h << 16);
}

float lane_sum(uint64_t row, uint x_at, uint lane)
{
    float sum = 0.0;
    uint i = lane;

    for (; i + 16 * (AHEAD - 1) < a.n; i += 16 * AHEAD) {
        float w[AHEAD];
        float x[AHEAD];
        [[unroll]] for (uint k = 0; k < AHEAD; k++) {
            w[k] = w_at(row, i + 16 * k);
            x[k] = a.x.v[x_at + i + 16 * k];
        }
        [[unroll]] for (uint k = 0; k < AHEAD; k++)
            sum = f_fma(w[k], x[k], sum);
    }
    for (; i < a.n; i += 16)
        sum = f_fma(w_at(row, i), a.x.v[x_at + i], sum);
    return sum;
}

void main()
{
    const uint t = gl_LocalInvocationID.x;
    const uint r = gl_WorkGroupID.x * 16 + t / 16;

    for (uint token = gl_WorkGroupID.y; token < a.n_tokens; token += gl_NumWorkGroups.y) {
        lanes[t] = r < a.n_rows ? lane_sum(a.w + r * a.row_bytes, token * a.x_stride, t % 16) : 0.0;
        barrier();
        if (t % 16 == 0 && r < a.n_rows) {
            [[unroll]] for (uint half_ = 8; half_ > 0; half_ /= 2)
                [[unroll]] for (uint l = 0; l < half_; l++)
                    lanes[t + l] = f_add(lanes[t + l], lanes[t + l + half_]);
            a.y.v[token * a.y_stride + r] = lanes[t];
        }
        barrier();
    }
}
