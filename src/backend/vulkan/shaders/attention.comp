#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "mathf.glsl"

// Attention of the query rows of a tile (tokens of one sequence, heads that share a KV head) over
// blocks of 64 keys in ascending order, docs/numerics.md section 4. SPLIT 0: a work group walks all
// blocks of its tile and writes y. SPLIT 1: a work group takes one block and writes its (m, l, o)
// for attn_merge.comp; the tile's rows are of one token then.
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint HD = 256;   // head size
layout(constant_id = 1) const uint RPT = 1;    // rows per thread while scoring
layout(constant_id = 2) const uint TYPE_K = 0; // 0 F16, 1 F32, 2 Q8_0
layout(constant_id = 3) const uint TYPE_V = 0;
layout(constant_id = 4) const uint SPLIT = 0;
layout(constant_id = 5) const uint HD2 = 256;  // HD rounded up to a power of two, at most 256
layout(push_constant) uniform args {
    f32_ptr q, y;
    uint64_t cells; // page 0
    f32_ptr partial;
    u32_ptr tiles; // [tile][2]: first row, rows; a row is token * group + head in the group
    i32_ptr pos;
    u32_ptr table;
    i32_ptr pages;
    uint64_t page_bytes;
    uint v_offset, k_head_bytes, v_head_bytes;
    uint group, q_stride, y_stride;
    int window;
    uint first_block, n_blocks; // SPLIT: of the wave
    uint n_head_kv;
} a;

const uint R = 4 * RPT;               // rows of a work group
const uint GROUPS = 256 / HD2;        // thread groups that share the rows of o
const uint RPO = (R + GROUPS - 1) / GROUPS;
const uint EPT = (HD + 255) / 256;    // elements of o per thread

shared float qs[R * HD];
shared float ps[R * 64];
shared float part[R * 16];
shared float top[R], sum[R], old_scale[R], new_scale[R], run_m[R], run_l[R];
shared int row_pos[R];

float k_at(uint64_t page, uint e, uint j)
{
    const uint i = e * 64 + j;
    if (TYPE_K == 1)
        return f32_ptr(page).v[i];
    if (TYPE_K == 0)
        return f16_to_f32(uint(u16_ptr(page).v[i]));
    const float d = f16_to_f32(uint(u16_ptr(page + HD * 64).v[e / 32 * 64 + j]));
    return f_mul(float(int(i8_ptr(page).v[i])), d);
}

float v_at(uint64_t page, uint j, uint e)
{
    const uint i = j * HD + e;
    if (TYPE_V == 1)
        return f32_ptr(page).v[i];
    if (TYPE_V == 0)
        return f16_to_f32(uint(u16_ptr(page).v[i]));
    const float d = f16_to_f32(uint(u16_ptr(page + HD * 64).v[j * (HD / 32) + e / 32]));
    return f_mul(float(int(i8_ptr(page).v[i])), d);
}

bool sees(uint r, uint n_rows, int key)
{
    return r < n_rows && key <= row_pos[r] && row_pos[r] - key < a.window;
}

// ps[r][j] = score, top[r] = the largest of the visible ones, -INF without any.
void scores(uint64_t page, uint n_rows, int first)
{
    const uint t = gl_LocalInvocationID.x;
    const uint j = t % 64;
    const uint r0 = t / 64;
    float s[RPT];
    bool any = false;

    [[unroll]] for (uint i = 0; i < RPT; i++) {
        s[i] = 0.0;
        any = any || sees(r0 + 4 * i, n_rows, first + int(j));
    }
    if (any)
        for (uint e = 0; e < HD; e++) {
            const float k = k_at(page, e, j);
            [[unroll]] for (uint i = 0; i < RPT; i++)
                s[i] = f_fma(qs[(r0 + 4 * i) * HD + e], k, s[i]);
        }
    [[unroll]] for (uint i = 0; i < RPT; i++)
        ps[(r0 + 4 * i) * 64 + j] = s[i];
    barrier();

    for (uint i = t; i < R * 16; i += 256) {
        const uint r = i / 16;
        float m = -INF;
        for (uint c = i % 16; c < 64; c += 16)
            if (sees(r, n_rows, first + int(c)) && ps[r * 64 + c] > m)
                m = ps[r * 64 + c];
        part[i] = m;
    }
    barrier();
    if (t < R) {
        float m = -INF;
        for (uint c = 0; c < 16; c++)
            m = part[t * 16 + c] > m ? part[t * 16 + c] : m;
        top[t] = m;
    }
    barrier();
}

// ps[r][j] = probability, sum[r] = their sum in 16 lanes.
void probabilities(uint n_rows, int first)
{
    const uint t = gl_LocalInvocationID.x;

    for (uint i = t; i < R * 64; i += 256) {
        const uint r = i / 64;
        const bool seen = sees(r, n_rows, first + int(i % 64)) && top[r] != -INF;
        ps[i] = seen ? m_exp(f_sub(ps[i], top[r])) : 0.0;
    }
    barrier();
    for (uint i = t; i < R * 16; i += 256) {
        const uint at = i / 16 * 64 + i % 16;
        part[i] = f_add(f_add(f_add(f_add(0.0, ps[at]), ps[at + 16]), ps[at + 32]), ps[at + 48]);
    }
    barrier();
    if (t < R) {
        [[unroll]] for (uint half_ = 8; half_ > 0; half_ /= 2)
            [[unroll]] for (uint l = 0; l < half_; l++)
                part[t * 16 + l] = f_add(part[t * 16 + l], part[t * 16 + l + half_]);
        sum[t] = part[t * 16];
    }
}

// How the block's (top, sum) joins the running state: factors for o, and the state itself.
void merge_scalars()
{
    const uint t = gl_LocalInvocationID.x;

    if (t >= R)
        return;
    if (top[t] == -INF) {
        old_scale[t] = 1.0;
        new_scale[t] = -1.0; // nothing to add
    } else if (run_m[t] == -INF) {
        old_scale[t] = -1.0; // the block's o as it is
        new_scale[t] = 1.0;
        run_m[t] = top[t];
        run_l[t] = sum[t];
    } else {
        const float m = top[t] > run_m[t] ? top[t] : run_m[t];
        old_scale[t] = m_exp(f_sub(run_m[t], m));
        new_scale[t] = m_exp(f_sub(top[t], m));
        run_m[t] = m;
        run_l[t] = f_fma(run_l[t], old_scale[t], f_mul(sum[t], new_scale[t]));
    }
}

float o_run[EPT * RPO];

// o of the block for this thread's elements and rows, merged into o_run.
void values(uint64_t page, uint j_first, uint j_last)
{
    const uint t = gl_LocalInvocationID.x;
    const uint r0 = t / HD2;

    [[unroll]] for (uint c = 0; c < EPT; c++) {
        const uint e = t % HD2 + c * 256;
        float o[RPO];
        [[unroll]] for (uint i = 0; i < RPO; i++)
            o[i] = 0.0;
        if (e >= HD)
            continue;
        for (uint j = j_first; j <= j_last; j++) {
            const float v = v_at(page, j, e);
            [[unroll]] for (uint i = 0; i < RPO; i++)
                o[i] = f_fma(ps[min(r0 + GROUPS * i, R - 1) * 64 + j], v, o[i]);
        }
        [[unroll]] for (uint i = 0; i < RPO; i++) {
            const uint r = min(r0 + GROUPS * i, R - 1);
            const float run = o_run[c * RPO + i];
            const float was = old_scale[r];
            const float now = new_scale[r];
            o_run[c * RPO + i] = now < 0.0   ? run
                                 : was < 0.0 ? o[i]
                                             : f_fma(run, was, f_mul(o[i], now));
        }
    }
}

void write(uint tile_row, uint n_rows, uint head0, uint block)
{
    const uint t = gl_LocalInvocationID.x;
    const uint r0 = t / HD2;

    [[unroll]] for (uint c = 0; c < EPT; c++)
        [[unroll]] for (uint i = 0; i < RPO; i++) {
            const uint e = t % HD2 + c * 256;
            const uint r = r0 + GROUPS * i;
            if (e >= HD || r >= n_rows)
                continue;
            const uint token = (tile_row + r) / a.group;
            const uint head = head0 + (tile_row + r) % a.group;
            const float o = o_run[c * RPO + i];
            if (SPLIT == 0) {
                a.y.v[token * a.y_stride + head * HD + e] = f_div(o, run_l[r]);
                continue;
            }
            const uint row = token * a.group * a.n_head_kv + head;
            const uint64_t at =
                (uint64_t(row) * a.n_blocks + block) * (HD + 2) * 4 + uint64_t(a.partial);
            f32_ptr(at).v[2 + e] = o;
            if (e == 0) {
                f32_ptr(at).v[0] = run_m[r];
                f32_ptr(at).v[1] = run_l[r];
            }
        }
}

void load_rows(uint tile_row, uint n_rows, uint head0)
{
    const uint t = gl_LocalInvocationID.x;

    for (uint i = t; i < R * HD; i += 256) {
        const uint r = i / HD;
        const uint token = (tile_row + r) / a.group;
        const uint head = head0 + (tile_row + r) % a.group;
        qs[i] = r < n_rows ? a.q.v[token * a.q_stride + head * HD + i % HD] : 0.0;
    }
    if (t < R) {
        row_pos[t] = t < n_rows ? a.pos.v[(tile_row + t) / a.group] : 0;
        run_m[t] = -INF;
        run_l[t] = 0.0;
    }
    [[unroll]] for (uint i = 0; i < EPT * RPO; i++)
        o_run[i] = 0.0;
    barrier();
}

void main()
{
    const uint tile_row = a.tiles.v[2 * gl_WorkGroupID.x];
    const uint n_rows = a.tiles.v[2 * gl_WorkGroupID.x + 1];
    const uint kv_head = gl_WorkGroupID.y;
    const uint token = tile_row / a.group;

    load_rows(tile_row, n_rows, kv_head * a.group);
    const int first_pos = row_pos[0];
    const int last_pos = row_pos[n_rows - 1];
    const int oldest = max(first_pos - a.window + 1, 0); // window INT_MAX: no overflow, pos >= 0
    int b = oldest / 64;
    int last = last_pos / 64;
    if (SPLIT == 1) {
        b += int(a.first_block + gl_WorkGroupID.z);
        if (b > last)
            return;
        last = b;
    }
    for (; b <= last; b++) {
        const uint64_t page =
            a.cells + uint64_t(a.pages.v[a.table.v[token] + uint(b)]) * a.page_bytes;
        const int first = b * 64;
        scores(page + kv_head * a.k_head_bytes, n_rows, first);
        probabilities(n_rows, first);
        merge_scalars();
        barrier();
        values(page + a.v_offset + kv_head * a.v_head_bytes, uint(max(oldest - first, 0)),
               uint(min(last_pos - first, 63)));
        barrier();
    }
    write(tile_row, n_rows, kv_head * a.group, gl_WorkGroupID.z);
}
