// Four-bit formats with a table of values: src/quant/iq4.c. Entry v of the table holds the value of
// the low nibble of v in byte 0, that of the high one in byte 2.

void look_up(uint at, out block32 b)
{
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        const uint v = w32(at + 4u * i);
        const uint a = table_word(v & 255u) | table_word((v >> 8) & 255u) << 8;
        const uint c = table_word((v >> 16) & 255u) | table_word(v >> 24) << 8;
        b.w[0][i] = (a & 0xffffu) | c << 16;
        b.w[1][i] = (a >> 16) | (c & 0xffff0000u);
    }
    b.mn0 = b.mn1 = 0;
    b.sc0 = b.sc1 = 1;
    b.mw = 0.0;
}

void unpack(uint at, uint ib, out block32 b)
{
#if defined T_IQ4_XS || defined T_IQ3_S4
    const uint low = (w8(at + 4u + (ib >> 1)) >> (4u * (ib & 1u))) & 15u;
    const uint high = (w16(at + 2u) >> (2u * ib)) & 3u;
    look_up(at + 8u + 16u * ib, b);
    b.dw = f_mul(half_at(at), float(int(low | high << 4) - 32));
#elif defined T_IQ4_NL
    look_up(at + 2u, b);
    b.dw = half_at(at);
#else
    const uint e = w8(at); // 2^(e - 128), the lowest two denormal
    look_up(at + 1u, b);
    b.dw = uintBitsToFloat(e < 2u ? 0x00200000u << e : (e - 1u) << 23);
#endif
}
