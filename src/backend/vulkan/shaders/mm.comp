#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "dot8.glsl"
#include "product.glsl"
#include "formats.glsl"

// Products with many columns: a work group computes 64 x 64 outputs, 4 x 4 per thread. Four blocks of
// 32 columns of the weights are unpacked to bytes in shared memory at a time. Every output has one
// accumulator that takes the blocks in ascending order, as in mv.comp.
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint GROUPED = 0; // 1: columns are slots sorted by expert

#define ROWS 64u
#define COLS 64u
#define STEP 4u      // blocks at a time
#define PITCH 65u    // of one half block of all rows or columns
#ifdef T_JQ4
#define JQ4 1
#else
#define JQ4 0
#endif

shared uvec4 ws[2u * STEP * PITCH];
shared uvec4 xs[2u * STEP * PITCH];
shared float w_scale[STEP * ROWS];
shared float x_scale[STEP * COLS];
#if HALVES
shared uint w_halves[STEP * ROWS]; // two I16
#endif
#if MINIMUM
shared float w_min[STEP * ROWS];
shared uint x_sum[STEP * COLS];
#ifdef T_Q2_K
shared uint w_min_halves[STEP * ROWS];
#endif
#endif
shared uint columns[COLS]; // slots

u32_ptr src;
uint src_word(uint i)
{
    return src.v[i];
}
#include "table.glsl"
#include "unpack.glsl"

struct tile {
    uint matrix, first, n;
};

tile my_tile()
{
    tile t = tile(0u, gl_WorkGroupID.y * COLS, 0u);
    t.n = min(COLS, p.n_cols - min(p.n_cols, t.first));
    if (GROUPED == 1u) {
        t.matrix = p.tiles.v[3u * gl_WorkGroupID.y];
        t.first = p.tiles.v[3u * gl_WorkGroupID.y + 1u];
        t.n = p.tiles.v[3u * gl_WorkGroupID.y + 2u];
    }
    return t;
}

uint pack16(int a, int b)
{
    return (uint(a) & 0xffffu) | uint(b) << 16;
}
int low16(uint v)
{
    return bitfieldExtract(int(v), 0, 16);
}
int high16(uint v)
{
    return int(v) >> 16;
}

// Points src at the row (JQ4: its group) and returns the byte it starts at.
uint open_row(uint matrix, uint row)
{
    const uint64_t at = row_address(matrix, JQ4 == 1 ? row / 16u * 16u : row);
    src = u32_ptr(at & ~3ul);
    return uint(at) & 3u;
}

void load_weights(uint matrix, uint row0, uint first)
{
    const uint r = gl_LocalInvocationID.x / STEP;
    const uint k = gl_LocalInvocationID.x % STEP;
    const uint ib = first + k;
    block32 b;

    if (row0 + r >= p.n_rows || ib * 32u >= p.n_in)
        return;
    const uint at = open_row(matrix, row0 + r);
#if JQ4
    unpack_jq4(at, (row0 + r) % 16u, p.n_in, ib, b);
#else
    unpack(at + ib / PER_BLOCK * BLOCK_BYTES, ib % PER_BLOCK, b);
#endif
    ws[2u * k * PITCH + r] = b.w[0];
    ws[(2u * k + 1u) * PITCH + r] = b.w[1];
    w_scale[k * ROWS + r] = b.dw;
#if HALVES
    w_halves[k * ROWS + r] = pack16(b.sc0, b.sc1);
#endif
#if MINIMUM
    w_min[k * ROWS + r] = b.mw;
#ifdef T_Q2_K
    w_min_halves[k * ROWS + r] = pack16(b.mn0, b.mn1);
#endif
#endif
}

void load_columns(uint n, uint first)
{
    const uint c = gl_LocalInvocationID.x / STEP;
    const uint k = gl_LocalInvocationID.x % STEP;
    const uint ib = first + k;

    if (c >= n || ib * 32u >= p.n_in)
        return;
    const uint row = columns[c] / p.x_div;
    u128_ptr q = u128_ptr(p.q + uint64_t(row) * p.n_in);
    xs[2u * k * PITCH + c] = q.v[2u * ib];
    xs[(2u * k + 1u) * PITCH + c] = q.v[2u * ib + 1u];
    const uint n_scales = (p.n_in / 32u + ACT_BLOCKS - 1u) / ACT_BLOCKS;
    x_scale[k * COLS + c] = p.d.v[row * n_scales + ib / ACT_BLOCKS];
#if MINIMUM
    x_sum[k * COLS + c] = p.sum.v[row * (p.n_in / 32u) + ib];
#endif
}

float acc[4][4];
int isum[4][4];

// Sums of products of one half block; thread (tx, ty) has rows ty + 16 i, columns tx + 16 j.
void add_half(uint half_block, uint tx, uint ty, int factor[4])
{
    uvec4 x[4];
    [[unroll]] for (uint j = 0u; j < 4u; j++)
        x[j] = xs[half_block * PITCH + tx + 16u * j];
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        const uvec4 w = ws[half_block * PITCH + ty + 16u * i];
        [[unroll]] for (uint j = 0u; j < 4u; j++)
#if HALVES
            isum[i][j] += factor[i] * dot16(w, x[j]);
#else
            isum[i][j] += dot16(w, x[j]);
#endif
    }
}

void add_block(uint k, uint tx, uint ty)
{
    int f0[4];
    int f1[4];
#if HALVES
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        f0[i] = low16(w_halves[k * ROWS + ty + 16u * i]);
        f1[i] = high16(w_halves[k * ROWS + ty + 16u * i]);
    }
#endif
    add_half(2u * k, tx, ty, f0);
    add_half(2u * k + 1u, tx, ty, f1);
}

#if MINIMUM
int min_sum(uint k, uint r, uint c)
{
    const uint sums = x_sum[k * COLS + c];
#ifdef T_Q2_K
    const uint mn = w_min_halves[k * ROWS + r];
    return low16(mn) * low16(sums) + high16(mn) * high16(sums);
#else
    return low16(sums) + high16(sums);
#endif
}
#endif

// The accumulators take the integer sums, which start again.
void flush(uint k, uint tx, uint ty)
{
    [[unroll]] for (uint i = 0u; i < 4u; i++)
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            const uint r = ty + 16u * i;
            const uint c = tx + 16u * j;
            const float da = x_scale[k * COLS + c];
            const float scale = JQ4 == 1 ? da : f_mul(w_scale[k * ROWS + r], da);
            acc[i][j] = f_fma(float(isum[i][j]), scale, acc[i][j]);
            isum[i][j] = 0;
#if MINIMUM
            acc[i][j] = f_fma(float(min_sum(k, r, c)), f_mul(w_min[k * ROWS + r], da), acc[i][j]);
#endif
        }
}

void put(uint matrix, uint row0, uint n, uint tx, uint ty)
{
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        const uint row = row0 + ty + 16u * i;
        if (row >= p.n_rows)
            return;
#if JQ4
        const float d = f16_to_f32(w16(open_row(matrix, row) + 2u * (row % 16u)));
#endif
        [[unroll]] for (uint j = 0u; j < 4u; j++)
            if (tx + 16u * j < n)
#if JQ4
                put_y(columns[tx + 16u * j], row, f_mul(d, acc[i][j]));
#else
                put_y(columns[tx + 16u * j], row, acc[i][j]);
#endif
    }
}

void main()
{
    const uint tid = gl_LocalInvocationID.x;
    const uint tx = tid & 15u;
    const uint ty = tid >> 4;
    const uint row0 = gl_WorkGroupID.x * ROWS;
    const uint n_blocks = p.n_in / 32u;
    const tile t = my_tile();

    if (t.n == 0u)
        return;
    [[unroll]] for (uint i = 0u; i < 16u; i++) {
        acc[i >> 2][i & 3u] = 0.0;
        isum[i >> 2][i & 3u] = 0;
    }
    load_table();
    if (tid < t.n)
        columns[tid] = GROUPED == 1u ? p.order.v[t.first + tid] : t.first + tid;
    barrier();
    for (uint first = 0u; first < n_blocks; first += STEP) {
        load_weights(t.matrix, row0, first);
        load_columns(t.n, first);
        barrier();
        [[unroll]] for (uint k = 0u; k < STEP; k++) {
            const uint ib = first + k;
            if (ib >= n_blocks)
                break;
            add_block(k, tx, ty);
            if (JQ4 == 0 || ib % ACT_BLOCKS == ACT_BLOCKS - 1u || ib + 1u == n_blocks)
                flush(k, tx, ty);
        }
        barrier();
    }
    put(t.matrix, row0, t.n, tx, ty);
}
