// Formats of 32 weights with one F16 scale: src/quant/legacy.c.
#if defined T_Q4_1 || defined T_Q5_1
#define QS 4u
#else
#define QS 2u
#endif

// Fifth bits of four weights as 16 per byte.
uint fifth(uint bits)
{
    return spread4(bits) << 4;
}

void unpack(uint at, uint ib, out block32 b)
{
    b.dw = half_at(at);
#if MINIMUM == 1
    b.mw = half_at(at + 2u);
#endif
    b.mn0 = b.mn1 = b.sc0 = b.sc1 = 1;
#if defined T_Q8_0
    b.w[0] = w128(at + QS);
    b.w[1] = w128(at + QS + 16u);
#elif defined T_AWQ4
    const uint zero = w8(at + 2u) & 15u;
    const uvec4 v = w128(at + 3u);
    [[unroll]] for (int i = 0; i < 4; i++) {
        b.w[0][i] = sub8(v[i] & 0x0f0f0f0fu, zero);
        b.w[1][i] = sub8((v[i] >> 4) & 0x0f0f0f0fu, zero);
    }
#elif defined T_Q4_0 || defined T_Q4_1
    const uvec4 v = w128(at + QS);
    b.w[0] = v & 0x0f0f0f0fu;
    b.w[1] = (v >> 4) & 0x0f0f0f0fu;
#else
    const uint high = w32(at + QS);
    const uvec4 v = w128(at + QS + 4u);
    [[unroll]] for (int i = 0; i < 4; i++) {
        b.w[0][i] = (v[i] & 0x0f0f0f0fu) | fifth(high >> (4 * i));
        b.w[1][i] = ((v[i] >> 4) & 0x0f0f0f0fu) | fifth(high >> (16 + 4 * i));
    }
#endif
#if defined T_Q4_0 || defined T_Q5_0
#ifdef T_Q4_0
    const uint middle = 8u;
#else
    const uint middle = 16u;
#endif
    [[unroll]] for (int i = 0; i < 4; i++) {
        b.w[0][i] = sub8(b.w[0][i], middle);
        b.w[1][i] = sub8(b.w[1][i], middle);
    }
#endif
}
