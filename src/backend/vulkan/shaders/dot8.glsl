// Words of four signed 8-bit numbers.
spirv_instruction(capabilities = [6018, 6019], id = 4450)
int sdot_packed(int a, int b, spirv_literal int format);

// Sum of the four products; exact.
int dot4(uint a, uint b)
{
    return sdot_packed(int(a), int(b), 0);
}
int dot16(uvec4 a, uvec4 b)
{
    return dot4(a.x, b.x) + dot4(a.y, b.y) + dot4(a.z, b.z) + dot4(a.w, b.w);
}
// Bytes below 128 less k, k <= 128.
uint sub8(uint v, uint k)
{
    return ((v | 0x80808080u) - k * 0x01010101u) ^ 0x80808080u;
}
// Bit j of four to byte j.
uint spread4(uint bits)
{
    return ((bits & 15u) * 0x00204081u) & 0x01010101u;
}
// Bytes 1..127, those whose bit of four is set negated.
uint negate4(uint v, uint bits)
{
    const uint one = spread4(bits);
    return (v ^ (one * 255u)) + one;
}
