#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// Slots (token, rank) sorted by expert, and the tiles of at most TILE of them that share an expert;
// tiles that are not needed get no columns. One work group. The order of the slots of an expert is
// any: every output has a place of its own.
layout(local_size_x = 256) in;
layout(push_constant) uniform args {
    i32_ptr ids;             // rows of n_used, ids_stride apart
    u32_ptr order;           // [n_slots]
    u32_ptr tiles;           // [n_tiles][3]: expert, first place in order, columns
    uint n_slots, n_used, ids_stride, n_expert, n_tiles;
} p;

#define TILE 64u
#define EXPERTS 4096u // JL_MAX_EXPERTS

shared uint place[EXPERTS];      // counts, then places in order
shared uint tiles_used;

uint expert_of(uint slot)
{
    return uint(p.ids.v[slot / p.n_used * p.ids_stride + slot % p.n_used]);
}

// Counts become places; the tiles of each expert are written.
void make_tiles()
{
    uint at = 0u;
    uint n_tiles = 0u;
    for (uint e = 0u; e < p.n_expert; e++) {
        const uint n = place[e];
        for (uint c = 0u; c < n; c += TILE) {
            p.tiles.v[3u * n_tiles] = e;
            p.tiles.v[3u * n_tiles + 1u] = at + c;
            p.tiles.v[3u * n_tiles + 2u] = min(n - c, TILE);
            n_tiles++;
        }
        place[e] = at;
        at += n;
    }
    tiles_used = n_tiles;
}

void main()
{
    const uint tid = gl_LocalInvocationID.x;

    for (uint e = tid; e < p.n_expert; e += 256u)
        place[e] = 0u;
    barrier();
    for (uint s = tid; s < p.n_slots; s += 256u)
        atomicAdd(place[expert_of(s)], 1u);
    barrier();
    if (tid == 0u)
        make_tiles();
    barrier();
    for (uint t = tiles_used + tid; t < p.n_tiles; t += 256u)
        p.tiles.v[3u * t + 2u] = 0u;
    for (uint s = tid; s < p.n_slots; s += 256u)
        p.order.v[atomicAdd(place[expert_of(s)], 1u)] = s;
}
