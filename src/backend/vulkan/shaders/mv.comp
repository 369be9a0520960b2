#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "dot8.glsl"
#include "product.glsl"
#include "formats.glsl"

// Products with few columns: every weight is read once. A work group has 8 RG rows; 32 threads share
// a row, one block of 32 weights each. The blocks' integer sums go to shared memory, where one thread
// per output adds them up in ascending order: the order of docs/numerics.md, section 2.
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint RG = 1;
layout(constant_id = 1) const uint NC = 1;   // columns of a work group
layout(constant_id = 2) const uint SLOTS = 0; // 1: columns are slots, NC is 1

#define CHUNK_BYTES (32u / PER_BLOCK * BLOCK_BYTES)
#define ROW_16 ((CHUNK_BYTES + 15u) / 16u + 2u)
#define ROWS (8u * RG)

shared uvec4 stage[ROWS * ROW_16];
shared vec2 part[ROWS * NC * 33u];
#if MINIMUM
shared vec2 part_min[ROWS * NC * 33u];
#endif

uint src_word(uint i)
{
    return stage[i >> 2][i & 3u];
}
#include "table.glsl"
#include "unpack.glsl"

uint matrix;

// The bytes of a row from a chunk on, aligned down to 16.
uint64_t chunk_address(uint row, uint chunk)
{
    return row_address(matrix, row) + chunk * CHUNK_BYTES;
}

void load_rows(uint row0, uint chunk, uint n_bytes)
{
    const uint lane = gl_LocalInvocationID.x & 31u;
    const uint group = gl_LocalInvocationID.x >> 5;

    [[unroll]] for (uint k = 0u; k < RG; k++) {
        const uint r = 8u * k + group;
        if (row0 + r >= p.n_rows)
            break;
        const uint64_t at = chunk_address(row0 + r, chunk);
        const uint skew = uint(at) & 15u;
        u128_ptr from = u128_ptr(at - skew);
        for (uint i = lane; i < (skew + n_bytes + 15u) / 16u; i += 32u)
            stage[r * ROW_16 + i] = from.v[i];
    }
}

struct act32 {
    uvec4 q[2];
    float d;
    uint sum;
};

act32 load_act(uint row, uint block)
{
    act32 a;
    u128_ptr q = u128_ptr(p.q + uint64_t(row) * p.n_in);
    a.q[0] = q.v[2u * block];
    a.q[1] = q.v[2u * block + 1u];
    a.d = p.d.v[row * (p.n_in / 32u) + block];
    a.sum = p.sum.v[row * (p.n_in / 32u) + block];
    return a;
}

void put_part(uint at, const block32 b, const act32 a)
{
    const int s0 = dot16(b.w[0], a.q[0]);
    const int s1 = dot16(b.w[1], a.q[1]);
    const int isum = HALVES == 1 ? b.sc0 * s0 + b.sc1 * s1 : s0 + s1;
    part[at] = vec2(float(isum), f_mul(b.dw, a.d));
#if MINIMUM
    const int sum0 = bitfieldExtract(int(a.sum), 0, 16);
    const int sum1 = int(a.sum) >> 16;
    part_min[at] = vec2(float(b.mn0 * sum0 + b.mn1 * sum1), f_mul(b.mw, a.d));
#endif
}

float add_parts(float acc, uint at, uint n)
{
    for (uint i = 0u; i < n; i++) {
        acc = f_fma(part[at + i].x, part[at + i].y, acc);
#if MINIMUM
        acc = f_fma(part_min[at + i].x, part_min[at + i].y, acc);
#endif
    }
    return acc;
}

void main()
{
    const uint tid = gl_LocalInvocationID.x;
    const uint lane = tid & 31u;
    const uint row0 = gl_WorkGroupID.x * ROWS;
    const uint col0 = gl_WorkGroupID.y * NC;
    const uint n_blocks = p.n_in / 32u;
    const uint act0 = SLOTS == 1u ? col0 / p.x_div : col0;
    float acc = 0.0;

    matrix = SLOTS == 1u ? slot_expert(col0) : 0u;
    load_table();
    for (uint first = 0u; first < n_blocks; first += 32u) {
        const uint n = min(n_blocks - first, 32u);
        load_rows(row0, first / 32u, n / PER_BLOCK * BLOCK_BYTES);
        act32 a[NC];
        if (lane < n)
            [[unroll]] for (uint c = 0u; c < NC; c++)
                a[c] = load_act(min(act0 + c, p.n_cols - 1u), first + lane);
        barrier();
        if (lane < n)
            [[unroll]] for (uint k = 0u; k < RG; k++) {
                const uint r = 8u * k + (tid >> 5);
                if (row0 + r >= p.n_rows)
                    break;
                const uint skew = uint(chunk_address(row0 + r, first / 32u)) & 15u;
                block32 b;
                unpack(r * ROW_16 * 16u + skew + lane / PER_BLOCK * BLOCK_BYTES, lane % PER_BLOCK,
                       b);
                [[unroll]] for (uint c = 0u; c < NC; c++)
                    put_part((c * ROWS + r) * 33u + lane, b, a[c]);
            }
        barrier();
        if (tid < ROWS * NC)
            acc = add_parts(acc, tid * 33u, n);
    }
    const uint row = row0 + tid % ROWS;
    const uint col = col0 + tid / ROWS;
    if (tid < ROWS * NC && row < p.n_rows && col < p.n_cols)
        put_y(col, row, acc);
}
