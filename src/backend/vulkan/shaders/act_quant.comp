#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// Activations to 8 bits, docs/numerics.md section 1. BLOCK 32: a scale per 32 values, a sum per 16;
// BLOCK 1024: a scale per 1024 values, a sum per 256, the last of a row being shorter. A thread has
// PER values side by side, so that a work group holds whole blocks.
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint BLOCK = 32;
layout(push_constant) uniform args {
    f32_ptr x;
    i8_ptr q;
    f32_ptr d;
    i16_ptr sum;
    uint n, n_rows, x_stride;
} a;

const uint PER = BLOCK == 32 ? 1 : 4;
const uint SUMS = BLOCK == 32 ? 16 : 256; // values that share a sum
shared uint top[256];
shared int total[256];

// The thread's values are those from column col on; n is a multiple of 32, so all or none exist.
void quantise(uint row, uint col)
{
    const uint t = gl_LocalInvocationID.x;
    const uint block = BLOCK / PER; // threads
    const uint sums = SUMS / PER;
    const bool inside = col < a.n;
    float x[PER];

    top[t] = 0u;
    for (uint i = 0u; i < PER; i++) {
        x[i] = inside ? a.x.v[row * a.x_stride + col + i] : 0.0;
        top[t] = max(top[t], floatBitsToUint(x[i]) & 0x7fffffffu);
    }
    for (uint s = block / 2; s > 0; s /= 2) {
        barrier();
        if (t % block < s)
            top[t] = max(top[t], top[t + s]);
    }
    barrier();

    const uint bits = top[t / block * block];
    const float amax = uintBitsToFloat(bits);
    const float id = amax > 0.0 ? f_div(127.0, amax) : 0.0;
    const bool zero = bits >= 0x7f800000u || floatBitsToUint(id) >= 0x7f800000u || id == 0.0;

    total[t] = 0;
    for (uint i = 0u; i < PER; i++) {
        const int q = zero ? 0 : floatBitsToInt(f_add(f_mul(x[i], id), 12582912.0)) - 0x4b400000;
        total[t] += q;
        if (inside)
            a.q.v[row * a.n + col + i] = int8_t(q);
    }
    for (uint s = sums / 2; s > 0; s /= 2) {
        barrier();
        if (t % sums < s)
            total[t] += total[t + s];
    }
    if (!inside)
        return;
    if (t % block == 0)
        a.d.v[row * ((a.n + BLOCK - 1) / BLOCK) + col / BLOCK] =
            bits >= 0x7f800000u ? uintBitsToFloat(0x7fc00000u) : zero ? 0.0 : f_div(amax, 127.0);
    if (t % sums == 0)
        a.sum.v[row * ((a.n + SUMS - 1) / SUMS) + col / SUMS] = int16_t(total[t]);
}

void main()
{
    for (uint row = gl_WorkGroupID.y; row < a.n_rows; row += gl_NumWorkGroups.y) {
        quantise(row, gl_GlobalInvocationID.x * PER);
        barrier();
    }
}
