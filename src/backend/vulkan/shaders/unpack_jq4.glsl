// JQ4: 16 rows together, a table per 4 rows and 8 columns (src/quant/jq4.c). Rows are those of a
// group at byte `at` of what src_word reads; b gets 32 columns of row r, block ib of the row.
uint jq4_code_bytes(uint n)
{
    return (n / 8u * 3u + 15u) / 16u * 16u;
}
uint jq4_value(uint at)
{
    return (table_word(at >> 2) >> (8u * (at & 3u))) & 255u;
}

void unpack_jq4(uint at, uint r, uint n, uint ib, out block32 b)
{
    const uint codes = at + 32u + 12u * ib; // 4 groups of 8 columns, 3 bytes each
    const uint tiles = at + 32u + jq4_code_bytes(n) + 256u * ib + 4u * r;

    [[unroll]] for (uint g = 0u; g < 4u; g++) {
        const uint bit = 24u * g + 6u * (r >> 2);
        const uint code = (w16(codes + (bit >> 3)) >> (bit & 7u)) & 63u;
        const uint v = w32(tiles + 64u * g);
        uint low = 0u;
        uint high = 0u;
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            low |= jq4_value(16u * code + ((v >> (8u * j)) & 15u)) << (8u * j);
            high |= jq4_value(16u * code + ((v >> (8u * j + 4u)) & 15u)) << (8u * j);
        }
        b.w[g >> 1][2u * (g & 1u)] = low;
        b.w[g >> 1][2u * (g & 1u) + 1u] = high;
    }
    b.sc0 = b.sc1 = 1;
    b.mn0 = b.mn1 = 0;
    b.dw = 1.0;
    b.mw = 0.0;
}
