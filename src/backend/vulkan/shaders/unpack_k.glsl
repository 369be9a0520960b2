// Super-blocks of 256 with quantised scales: src/quant/k_quants.c.

#if defined T_Q2_K
void unpack(uint at, uint ib, out block32 b)
{
    const uint qs = at + 16u + 32u * (ib >> 2);
    const uint shift = 2u * (ib & 3u);
    const uint sc = w16(at + 2u * ib);

    b.w[0] = (w128(qs) >> shift) & 0x03030303u;
    b.w[1] = (w128(qs + 16u) >> shift) & 0x03030303u;
    b.sc0 = int(sc & 15u);
    b.sc1 = int((sc >> 8) & 15u);
    b.mn0 = int((sc >> 4) & 15u);
    b.mn1 = int(sc >> 12);
    b.dw = half_at(at + 80u);
    b.mw = -half_at(at + 82u);
}
#elif defined T_Q3_K
int q3_scale(uint at, uint k)
{
    const uint low = (w8(at + (k & 7u)) >> (4u * (k >> 3))) & 15u;
    const uint high = (w8(at + 8u + (k & 3u)) >> (2u * (k >> 2))) & 3u;
    return int(low | high << 4) - 32;
}

void unpack(uint at, uint ib, out block32 b)
{
    const uint qs = at + 32u + 32u * (ib >> 2);
    const uint shift = 2u * (ib & 3u);

    [[unroll]] for (uint h = 0u; h < 2u; h++) {
        const uvec4 low = (w128(qs + 16u * h) >> shift) & 0x03030303u;
        const uvec4 high = (w128(at + 16u * h) >> ib) & 0x01010101u;
        [[unroll]] for (int i = 0; i < 4; i++)
            b.w[h][i] = sub8(low[i] | high[i] << 2, 4u);
    }
    b.sc0 = q3_scale(at + 96u, 2u * ib);
    b.sc1 = q3_scale(at + 96u, 2u * ib + 1u);
    b.mn0 = b.mn1 = 0;
    b.dw = half_at(at + 108u);
    b.mw = 0.0;
}
#elif defined T_Q4_K || defined T_Q5_K
// Scale (x) and minimum (y) of block ib: jl_q4k_scale_min.
uvec2 scale_min(uint at, uint ib)
{
    const uint j = ib & 3u;
    const uint a = w8(at + j);
    const uint m = w8(at + j + 4u);
    if (ib < 4u)
        return uvec2(a & 63u, m & 63u);
    const uint c = w8(at + j + 8u);
    return uvec2((c & 15u) | (a >> 6) << 4, (c >> 4) | (m >> 6) << 4);
}

void unpack(uint at, uint ib, out block32 b)
{
    const uvec2 s = scale_min(at + 4u, ib);
    const uint shift = 4u * (ib & 1u);
#ifdef T_Q4_K
    const uint qs = at + 16u + 32u * (ib >> 1);
#else
    const uint qs = at + 48u + 32u * (ib >> 1);
#endif

    [[unroll]] for (uint h = 0u; h < 2u; h++) {
        b.w[h] = (w128(qs + 16u * h) >> shift) & 0x0f0f0f0fu;
#ifdef T_Q5_K
        b.w[h] |= ((w128(at + 16u + 16u * h) >> ib) & 0x01010101u) << 4;
#endif
    }
    b.mn0 = b.mn1 = b.sc0 = b.sc1 = 1;
    b.dw = f_mul(half_at(at), float(s.x));
    b.mw = -f_mul(half_at(at + 2u), float(s.y));
}
#else
int signed8(uint v)
{
    return bitfieldExtract(int(v), 0, 8);
}

void unpack(uint at, uint ib, out block32 b)
{
    const uint ql = at + 64u * (ib >> 2) + 32u * (ib & 1u);
    const uint qh = at + 128u + 32u * (ib >> 2);
    const uint low_shift = 4u * ((ib >> 1) & 1u);
    const uint high_shift = 2u * (ib & 3u);

    [[unroll]] for (uint h = 0u; h < 2u; h++) {
        const uvec4 low = (w128(ql + 16u * h) >> low_shift) & 0x0f0f0f0fu;
        const uvec4 high = (w128(qh + 16u * h) >> high_shift) & 0x03030303u;
        [[unroll]] for (int i = 0; i < 4; i++)
            b.w[h][i] = sub8(low[i] | high[i] << 4, 32u);
    }
    b.sc0 = signed8(w8(at + 192u + 2u * ib));
    b.sc1 = signed8(w8(at + 193u + 2u * ib));
    b.mn0 = b.mn1 = 0;
    b.dw = half_at(at + 208u);
    b.mw = 0.0;
}
#endif
