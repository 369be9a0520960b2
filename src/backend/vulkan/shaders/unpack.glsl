// One block of 32 weights as integers and scales: src/quant/unpack.h for shaders. T_name says which
// type. The file that includes this has src_word(i), word i of memory that holds the block; a block
// starts at byte `at` of it.
struct block32 {
    uvec4 w[2];   // halves of 16 signed bytes
    int sc0, sc1; // scales of the halves
    int mn0, mn1;
    float dw, mw;
};

uint w8(uint at)
{
    return (src_word(at >> 2) >> (8u * (at & 3u))) & 255u;
}
uint w32(uint at)
{
    const uint shift = 8u * (at & 3u);
    const uint low = src_word(at >> 2);
    if (shift == 0u)
        return low;
    return (low >> shift) | (src_word((at >> 2) + 1u) << (32u - shift));
}
uint w16(uint at)
{
    return w8(at) | w8(at + 1u) << 8;
}
float half_at(uint at)
{
    return f16_to_f32(w16(at));
}
// Four words from byte `at` on.
uvec4 w128(uint at)
{
    return uvec4(w32(at), w32(at + 4u), w32(at + 8u), w32(at + 12u));
}

#if defined T_JQ4
#include "unpack_jq4.glsl"
#elif defined T_Q4_0 || defined T_Q4_1 || defined T_Q5_0 || defined T_Q5_1 || defined T_Q8_0 || \
    defined T_AWQ4
#include "unpack_legacy.glsl"
#elif defined T_Q2_K || defined T_Q3_K || defined T_Q4_K || defined T_Q5_K || defined T_Q6_K
#include "unpack_k.glsl"
#elif defined T_IQ4_NL || defined T_IQ4_XS || defined T_IQ3_S4 || defined T_MXFP4
#include "unpack_iq4.glsl"
#else
#include "unpack_iq.glsl"
#endif
