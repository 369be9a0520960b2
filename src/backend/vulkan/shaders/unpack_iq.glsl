// Formats with grids of magnitudes: src/quant/iq1.c, iq2.c, iq3.c. The table is the grid, entries of
// 8 weights as two words.

// The code with an eighth bit that makes the number of set bits even: jl_iq_signs.
uint signs7(uint code)
{
    return code | (bitCount(code) & 1u) << 7;
}
float odd(uint ls)
{
    return float(1u + 2u * ls);
}
// Eight weights: magnitudes of entry `index`, signs.
void put8(uint index, uint signs, uint k, inout block32 b)
{
    b.w[k >> 1][2u * (k & 1u)] = negate4(table_word(2u * index), signs);
    b.w[k >> 1][2u * (k & 1u) + 1u] = negate4(table_word(2u * index + 1u), signs >> 4);
}
// Eight weights of -1, 0, 1 as 8 g + 1, or 8 g - 1 if minus.
uint offset4(uint g, bool minus)
{
    const uint up = ((g & 0x03030303u) + 0x01010101u) & 0x03030303u;
    return sub8(up << 3, minus ? 9u : 7u);
}
void put8_offset(uint index, bool minus, uint k, inout block32 b)
{
    b.w[k >> 1][2u * (k & 1u)] = offset4(table_word(2u * index), minus);
    b.w[k >> 1][2u * (k & 1u) + 1u] = offset4(table_word(2u * index + 1u), minus);
}
void scales(uint at, uint ib, inout block32 b)
{
    const uint ls = w8(at + ib);
    b.sc0 = int(1u + 2u * (ls & 15u));
    b.sc1 = int(1u + 2u * (ls >> 4));
}

void unpack(uint at, uint ib, out block32 b)
{
    b.mn0 = b.mn1 = 0;
    b.sc0 = b.sc1 = 1;
    b.mw = 0.0;
#if defined T_IQ3_S
    const uint high = w8(at + 66u + ib);
    const uint signs = w32(at + 74u + 4u * ib);
    const uint ls = (w8(at + 106u + (ib >> 1)) >> (4u * (ib & 1u))) & 15u;
    const uvec2 low = uvec2(w32(at + 2u + 8u * ib), w32(at + 6u + 8u * ib));
    [[unroll]] for (uint k = 0u; k < 8u; k++) {
        const uint index = ((low[k >> 2] >> (8u * (k & 3u))) & 255u) | ((high >> k) & 1u) << 8;
        b.w[k >> 2][k & 3u] = negate4(table_word(index), signs >> (4u * k));
    }
    b.dw = f_mul(half_at(at), odd(ls));
#elif defined T_IQ3_XXS
    const uint codes = w32(at + 66u + 4u * ib);
    const uvec2 low = uvec2(w32(at + 2u + 8u * ib), w32(at + 6u + 8u * ib));
    [[unroll]] for (uint k = 0u; k < 8u; k++) {
        const uint signs = signs7((codes >> (7u * (k >> 1))) & 127u);
        const uint index = (low[k >> 2] >> (8u * (k & 3u))) & 255u;
        b.w[k >> 2][k & 3u] = negate4(table_word(index), signs >> (4u * (k & 1u)));
    }
    b.dw = f_mul(f_mul(half_at(at), odd(codes >> 28)), 0.25);
#elif defined T_IQ2_XXS
    const uint qs = w32(at + 2u + 8u * ib);
    const uint codes = w32(at + 6u + 8u * ib);
    [[unroll]] for (uint k = 0u; k < 4u; k++)
        put8((qs >> (8u * k)) & 255u, signs7((codes >> (7u * k)) & 127u), k, b);
    b.dw = f_mul(f_mul(half_at(at), odd(codes >> 28)), 0.125);
#elif defined T_IQ2_XS
    [[unroll]] for (uint k = 0u; k < 4u; k++) {
        const uint code = w16(at + 2u + 8u * ib + 2u * k);
        put8(code & 511u, signs7(code >> 9), k, b);
    }
    scales(at + 66u, ib, b);
    b.dw = f_mul(half_at(at), 0.125);
#elif defined T_IQ2_S
    const uint high = w8(at + 66u + ib);
    [[unroll]] for (uint k = 0u; k < 4u; k++)
        put8(w8(at + 2u + 4u * ib + k) | ((high >> (2u * k)) & 3u) << 8, w8(at + 34u + 4u * ib + k),
             k, b);
    scales(at + 74u, ib, b);
    b.dw = f_mul(half_at(at), 0.125);
#elif defined T_IQ1_S
    const uint qh = w16(at + 34u + 2u * ib);
    [[unroll]] for (uint k = 0u; k < 4u; k++)
        put8_offset(w8(at + 2u + 4u * ib + k) | ((qh >> (3u * k)) & 7u) << 8, qh >= 0x8000u, k, b);
    b.dw = f_mul(f_mul(half_at(at), odd((qh >> 12) & 7u)), 0.125);
#else
    const uint ls = w16(at + 48u + 2u * (ib >> 1)) >> (6u * (ib & 1u));
    const uint high = w16(at + 32u + 2u * ib);
    [[unroll]] for (uint k = 0u; k < 4u; k++) {
        const uint qh = (high >> (4u * k)) & 15u;
        put8_offset(w8(at + 4u * ib + k) | (qh & 7u) << 8, qh >= 8u, k, b);
    }
    b.sc0 = int(1u + 2u * (ls & 7u));
    b.sc1 = int(1u + 2u * ((ls >> 3) & 7u));
    // the F16 scale lies in the top nibbles of the four scale words
    b.dw = f_mul(f16_to_f32(w16(at + 48u) >> 12 | (w16(at + 50u) >> 8 & 0x00f0u) |
                            (w16(at + 52u) >> 4 & 0x0f00u) | (w16(at + 54u) & 0xf000u)),
                 0.125);
#endif
}
