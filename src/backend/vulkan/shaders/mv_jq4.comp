#version 460
#extension GL_GOOGLE_include_directive : require
#define T_JQ4
#include "common.glsl"
#include "dot8.glsl"
#include "product.glsl"
#include "formats.glsl"

// JQ4 products with few columns: a work group has one group of 16 rows and one column. A thread takes
// every sixteenth block of its row; the integer sums of a segment of 1024 columns meet in shared
// memory, where one thread per row adds up the segments in ascending order.
layout(local_size_x = 256) in;
layout(constant_id = 2) const uint SLOTS = 0;

#define SEGMENTS 16u // at a time

shared int sums[SEGMENTS * 16u];

u32_ptr src;
uint src_word(uint i)
{
    return src.v[i];
}
#include "table.glsl"
#include "unpack.glsl"

// Blocks of segments first .. first + n - 1 into the sums.
void add_blocks(uint first, uint n, uint64_t q_at, uint at)
{
    const uint r = gl_LocalInvocationID.x & 15u;
    u128_ptr q = u128_ptr(q_at);

    for (uint s = 0u; s < n; s++) {
        const uint begin = (first + s) * ACT_BLOCKS;
        const uint end = min(begin + ACT_BLOCKS, p.n_in / 32u);
        int sum = 0;
        for (uint ib = begin + (gl_LocalInvocationID.x >> 4); ib < end; ib += 16u) {
            block32 b;
            unpack_jq4(at, r, p.n_in, ib, b);
            sum += dot16(b.w[0], q.v[2u * ib]) + dot16(b.w[1], q.v[2u * ib + 1u]);
        }
        atomicAdd(sums[s * 16u + r], sum);
    }
}

void main()
{
    const uint tid = gl_LocalInvocationID.x;
    const uint col = gl_WorkGroupID.y;
    const uint row = gl_WorkGroupID.x * 16u + tid;
    const uint x = SLOTS == 1u ? col / p.x_div : col;
    const uint n_segments = (p.n_in / 32u + ACT_BLOCKS - 1u) / ACT_BLOCKS;
    const uint64_t group =
        row_address(SLOTS == 1u ? slot_expert(col) : 0u, gl_WorkGroupID.x * 16u);
    const uint at = uint(group) & 3u;
    float acc = 0.0;

    src = u32_ptr(group & ~3ul);
    load_table();
    for (uint first = 0u; first < n_segments; first += SEGMENTS) {
        const uint n = min(n_segments - first, SEGMENTS);
        for (uint i = tid; i < n * 16u; i += 256u)
            sums[i] = 0;
        barrier();
        add_blocks(first, n, p.q + uint64_t(x) * p.n_in, at);
        barrier();
        if (tid < 16u)
            for (uint s = 0u; s < n; s++)
                acc = f_fma(float(sums[s * 16u + tid]), p.d.v[x * n_segments + first + s], acc);
        barrier();
    }
    if (tid < 16u && row < p.n_rows)
        put_y(col, row, f_mul(f16_to_f32(w16(at + 2u * tid)), acc));
}
