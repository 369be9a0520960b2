/* Formats whose weights come from a grid, for mm_avx2_inl.h (IQ3_S has a file of its own). A block
 * of one row is decoded at a time: grid entries by plain loads, signs from their bits. */
#ifndef JL_BACKEND_CPU_X86_MM_IQ_AVX2_INL_H
#define JL_BACKEND_CPU_X86_MM_IQ_AVX2_INL_H

#include <stddef.h>

#include "backend/cpu/x86/mm_avx2_inl.h"
#include "backend/cpu/x86/mm_iq3s_avx2_inl.h"
#include "quant/iq_tables.h"

/* Biases: magnitudes of IQ1 are below 16, those of the others below 64. */
enum { SMALL_BIAS = 16, GRID_BIAS = 64 };

/* 32 weights + bias of block ib of a super-block, in order. */
typedef __m256i grid_row_fn(const uint8_t *block, unsigned ib);
/* Scales of block ib; h is what head decoded from the super-block. */
typedef void grid_scale_fn(const row_set *rows, size_t at, unsigned ib, const mm_head *h,
                           mm_scale *s);

typedef struct {
    mm_format base; /* with head; its other functions are not used */
    grid_row_fn *row;
    grid_scale_fn *scale;
} grid_format;

/* Byte j of bytes at places 8 j .. 8 j + 7. */
ALWAYS __m256i spread8(uint32_t bytes)
{
    const __m256i at = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2,
                                        2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);

    return _mm256_shuffle_epi8(_mm256_set1_epi32((int)bytes), at);
}

/* Magnitudes with the sign bits of 32 weights, + bias. */
ALWAYS __m256i with_signs(__m256i magnitudes, uint32_t signs, int bias)
{
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    const __m256i minus = _mm256_cmpeq_epi8(_mm256_and_si256(spread8(signs), bit), bit);
    const __m256i flipped = _mm256_xor_si256(magnitudes, minus);

    return _mm256_sub_epi8(_mm256_add_epi8(flipped, _mm256_set1_epi8((char)bias)), minus);
}

/* The signs of four 7-bit codes. */
ALWAYS uint32_t signs_of(uint32_t codes)
{
    return jl_iq_signs[codes & 127] | (uint32_t)jl_iq_signs[codes >> 7 & 127] << 8 |
           (uint32_t)jl_iq_signs[codes >> 14 & 127] << 16 |
           (uint32_t)jl_iq_signs[codes >> 21 & 127] << 24;
}

ALWAYS uint32_t load_u32(const uint8_t *p)
{
    return (uint32_t)load_i32(p);
}

ALWAYS __m256i octets(const uint64_t *grid, unsigned a, unsigned b, unsigned c, unsigned d)
{
    return _mm256_setr_epi64x((long long)grid[a], (long long)grid[b], (long long)grid[c],
                              (long long)grid[d]);
}

/* Bits [shift, shift + bits) of every lane. */
ALWAYS __m256i field(__m256i v, int shift, int bits)
{
    return _mm256_and_si256(_mm256_srl_epi32(v, _mm_cvtsi32_si128(shift)),
                            _mm256_set1_epi32((1 << bits) - 1));
}

/* 1 + 2 ls as floats, ls the lowest `bits` bits of v >> shift */
ALWAYS __m256 odd_scale(__m256i v, int shift, int bits)
{
    const __m256i ls = field(v, shift, bits);

    return _mm256_cvtepi32_ps(
        _mm256_add_epi32(_mm256_add_epi32(ls, ls), _mm256_set1_epi32(1)));
}

/* ---- IQ3_XXS */

ALWAYS __m256i row_iq3_xxs(const uint8_t *block, unsigned ib)
{
    const jl_block_iq3_xxs *p = (const jl_block_iq3_xxs *)(const void *)block;
    const uint8_t *qs = p->qs + 8 * ib;
#define G(k) (int)jl_iq3xxs_grid[qs[k]]
    const __m256i g = _mm256_setr_epi32(G(0), G(1), G(2), G(3), G(4), G(5), G(6), G(7));
#undef G
    return with_signs(g, signs_of(load_u32(p->signs + 4 * ib)), GRID_BIAS);
}

/* d / 2^n, exact */
ALWAYS void head_quarter(const row_set *rows, size_t at, mm_head *h)
{
    h->x = _mm256_mul_ps(load_halves(rows, at), _mm256_set1_ps(0.25f));
}

ALWAYS void head_eighth(const row_set *rows, size_t at, mm_head *h)
{
    h->x = _mm256_mul_ps(load_halves(rows, at), _mm256_set1_ps(0.125f));
}

ALWAYS void scale_iq3_xxs(const row_set *rows, size_t at, unsigned ib, const mm_head *h,
                          mm_scale *s)
{
    const __m256i codes = load_words(rows, at + offsetof(jl_block_iq3_xxs, signs) + 4 * ib);

    s->dw = _mm256_mul_ps(h->x, odd_scale(codes, 28, 4));
}

/* ---- IQ2 */

ALWAYS __m256i row_iq2_xxs(const uint8_t *block, unsigned ib)
{
    const jl_block_iq2_xxs *p = (const jl_block_iq2_xxs *)(const void *)block;
    const uint8_t *qs = p->qs + 8 * ib;
    const __m256i g = octets(jl_iq2xxs_grid, qs[0], qs[1], qs[2], qs[3]);

    return with_signs(g, signs_of(load_u32(qs + 4)), GRID_BIAS);
}

ALWAYS void scale_iq2_xxs(const row_set *rows, size_t at, unsigned ib, const mm_head *h,
                          mm_scale *s)
{
    const __m256i codes = load_words(rows, at + offsetof(jl_block_iq2_xxs, qs) + 8 * ib + 4);

    s->dw = _mm256_mul_ps(h->x, odd_scale(codes, 28, 4));
}

ALWAYS __m256i row_iq2_xs(const uint8_t *block, unsigned ib)
{
    const jl_block_iq2_xs *p = (const jl_block_iq2_xs *)(const void *)block;
    const uint16_t *qs = p->qs + 4 * ib;
    const uint32_t signs = jl_iq_signs[qs[0] >> 9] | (uint32_t)jl_iq_signs[qs[1] >> 9] << 8 |
                           (uint32_t)jl_iq_signs[qs[2] >> 9] << 16 |
                           (uint32_t)jl_iq_signs[qs[3] >> 9] << 24;

    return with_signs(
        octets(jl_iq2xs_grid, qs[0] & 511u, qs[1] & 511u, qs[2] & 511u, qs[3] & 511u), signs,
        GRID_BIAS);
}

ALWAYS __m256i row_iq2_s(const uint8_t *block, unsigned ib)
{
    const jl_block_iq2_s *p = (const jl_block_iq2_s *)(const void *)block;
    const uint8_t *qs = p->qs + 4 * ib;
    const unsigned h = p->qh[ib];

    return with_signs(octets(jl_iq2s_grid, qs[0] | (h << 8 & 0x300), qs[1] | (h << 6 & 0x300),
                             qs[2] | (h << 4 & 0x300), qs[3] | (h << 2 & 0x300)),
                      load_u32(p->signs + 4 * ib), GRID_BIAS);
}

/* A nibble per half: a and b hold the 8 bytes. */
ALWAYS void head_nibbles(const row_set *rows, size_t at, size_t scales, mm_head *h)
{
    head_eighth(rows, at, h);
    h->a = load_words(rows, at + scales);
    h->b = load_words(rows, at + scales + 4);
}

ALWAYS void head_iq2_xs(const row_set *rows, size_t at, mm_head *h)
{
    head_nibbles(rows, at, offsetof(jl_block_iq2_xs, scales), h);
}

ALWAYS void head_iq2_s(const row_set *rows, size_t at, mm_head *h)
{
    head_nibbles(rows, at, offsetof(jl_block_iq2_s, scales), h);
}

ALWAYS void scale_iq2_s(const row_set *rows, size_t at, unsigned ib, const mm_head *h, mm_scale *s)
{
    const __m256i word = ib < 4 ? h->a : h->b;

    s->dw = h->x;
    s->sc[0] = odd_scale(word, 8 * (int)(ib % 4), 4);
    s->sc[1] = odd_scale(word, 8 * (int)(ib % 4) + 4, 4);
}

/* ---- IQ1: 8 g + offset, g = -1, 0, 1 */

/* offsets: bytes 8 + offset of the four groups */
ALWAYS __m256i ternary(__m256i g, uint32_t offsets)
{
    const __m256i up = _mm256_add_epi8(g, _mm256_set1_epi8(1));

    return _mm256_add_epi8(_mm256_slli_epi16(up, 3), spread8(offsets));
}

ALWAYS __m256i row_iq1_s(const uint8_t *block, unsigned ib)
{
    const jl_block_iq1_s *p = (const jl_block_iq1_s *)(const void *)block;
    const uint8_t *qs = p->qs + 4 * ib;
    const unsigned h = p->qh[ib];
    const __m256i g = octets(jl_iq1_grid, qs[0] | (h << 8 & 0x700), qs[1] | (h << 5 & 0x700),
                             qs[2] | (h << 2 & 0x700), qs[3] | (h >> 1 & 0x700));

    return ternary(g, h & 0x8000u ? 0x07070707u : 0x09090909u);
}

ALWAYS void scale_iq1_s(const row_set *rows, size_t at, unsigned ib, const mm_head *h, mm_scale *s)
{
    const size_t qh = at + offsetof(jl_block_iq1_s, qh) + 2 * ib;
#define H(i) load_u16(row_at(rows, i, qh))
    const __m256i words = _mm256_setr_epi32(H(0), H(1), H(2), H(3), H(4), H(5), H(6), H(7));
#undef H
    s->dw = _mm256_mul_ps(h->x, odd_scale(words, 12, 3));
}

ALWAYS __m256i row_iq1_m(const uint8_t *block, unsigned ib)
{
    const jl_block_iq1_m *p = (const jl_block_iq1_m *)(const void *)block;
    const uint8_t *qs = p->qs + 4 * ib;
    const unsigned h = load_u16(p->qh + 2 * ib); /* a nibble per group */
    const __m256i g = octets(jl_iq1_grid, qs[0] | (h << 8 & 0x700), qs[1] | (h << 4 & 0x700),
                             qs[2] | (h & 0x700), qs[3] | (h >> 4 & 0x700));
    const uint32_t minus =
        (h >> 3 & 1) | (h >> 7 & 1) << 8 | (h >> 11 & 1) << 16 | (h >> 15 & 1) << 24;

    return ternary(g, 0x09090909u - 2 * minus);
}

/* The F16 scale of a block is spread over the top nibbles of its four scale words. */
ALWAYS void head_iq1_m(const row_set *rows, size_t at, mm_head *h)
{
    const size_t scales = at + offsetof(jl_block_iq1_m, scales);

    h->a = load_words(rows, scales);
    h->b = load_words(rows, scales + 4);
    const __m256i d0 = field(h->a, 12, 4);
    const __m256i d1 = _mm256_slli_epi32(field(h->a, 28, 4), 4);
    const __m256i d2 = _mm256_slli_epi32(field(h->b, 12, 4), 8);
    const __m256i d3 = _mm256_slli_epi32(field(h->b, 28, 4), 12);
    const __m256i d = _mm256_or_si256(_mm256_or_si256(d0, d1), _mm256_or_si256(d2, d3));
    h->x = _mm256_mul_ps(low_half(d), _mm256_set1_ps(0.125f));
}

ALWAYS void scale_iq1_m(const row_set *rows, size_t at, unsigned ib, const mm_head *h, mm_scale *s)
{
    const __m256i word = ib < 4 ? h->a : h->b;
    const int shift = 16 * (int)(ib / 2 % 2) + 6 * (int)(ib % 2);

    s->dw = h->x;
    s->sc[0] = odd_scale(word, shift, 3);
    s->sc[1] = odd_scale(word, shift + 3, 3);
}

/* ---- products */

ALWAYS void grid_weights(const grid_format *g, const row_set *rows, size_t at, unsigned ib,
                         mm_pairs *w)
{
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m256i a = g->row(row_at(rows, i, at), ib);
        const __m256i b = g->row(row_at(rows, 4 + i, at), ib);
        w->lo[i] = _mm256_permute2x128_si256(a, b, 0x20);
        w->hi[i] = _mm256_permute2x128_si256(a, b, 0x31);
    }
}

ALWAYS __m256 gemv8_grid(const grid_format *g, const row_set *rows, const mm_col *col,
                         size_t n_blocks)
{
    __m256 acc = _mm256_setzero_ps();

    for (size_t b = 0; b < n_blocks; b += 8) {
        const size_t at = b / 8 * g->base.bytes;
        mm_head h;
        prefetch_rows(rows, at, g->base.bytes);
        g->base.head(rows, at, &h);
#pragma GCC unroll 1
        for (unsigned ib = 0; ib < 8; ib++) {
            mm_pairs w;
            mm_scale s;
            grid_weights(g, rows, at, ib, &w);
            g->scale(rows, at, ib, &h, &s);
            acc = gemv_step(&g->base, &w, &s, col, b + ib, acc);
        }
    }
    return acc;
}

ALWAYS void expand_grid(const grid_format *g, const row_set *rows, size_t first_block,
                        size_t n_blocks, mm_tile *tile, int half)
{
    for (size_t b = 0; b < n_blocks; b += 8) {
        const size_t at = (first_block + b) / 8 * g->base.bytes;
        mm_head h;
        g->base.head(rows, at, &h);
#pragma GCC unroll 1
        for (unsigned ib = 0; ib < 8; ib++) {
            mm_pairs w;
            mm_scale s;
            grid_weights(g, rows, at, ib, &w);
            g->scale(rows, at, ib, &h, &s);
            expand_step(&g->base, &w, &s, tile, b + ib, half);
        }
    }
}

/* halves: the format has a scale per 16. */
#define GRID_KERNEL(name, block, bias, span, halves, head, scale)                                  \
    static const grid_format grid_##name = {                                                       \
        {sizeof(block), 8, bias, span, false, halves, head, 0, 0}, row_##name, scale};             \
    static __m256 gemv8_##name(const mm_format *f, const row_set *rows, const mm_col *col,         \
                               size_t n_blocks, const void *scratch)                               \
    {                                                                                              \
        (void)f;                                                                                   \
        (void)scratch;                                                                             \
        return gemv8_grid(&grid_##name, rows, col, n_blocks);                                      \
    }                                                                                              \
    static void expand_##name(const row_set *rows, size_t first_block, size_t n_blocks,            \
                              mm_tile *tile, int h)                                                \
    {                                                                                              \
        expand_grid(&grid_##name, rows, first_block, n_blocks, tile, h);                           \
    }                                                                                              \
    static void mm_##name(const jl_mm_args *a)                                                     \
    {                                                                                              \
        if (a->n_cols == 1)                                                                        \
            mm_gemv(&grid_##name.base, a, gemv8_##name);                                           \
        else                                                                                       \
            MM_GEMM(&grid_##name.base, expand_##name, a);                                          \
    }

GRID_KERNEL(iq1_s, jl_block_iq1_s, SMALL_BIAS, SPAN_5, false, head_eighth, scale_iq1_s)
GRID_KERNEL(iq1_m, jl_block_iq1_m, SMALL_BIAS, SPAN_5, true, head_iq1_m, scale_iq1_m)
GRID_KERNEL(iq2_xxs, jl_block_iq2_xxs, GRID_BIAS, SPAN_7, false, head_eighth, scale_iq2_xxs)
GRID_KERNEL(iq2_xs, jl_block_iq2_xs, GRID_BIAS, SPAN_7, true, head_iq2_xs, scale_iq2_s)
GRID_KERNEL(iq2_s, jl_block_iq2_s, GRID_BIAS, SPAN_7, true, head_iq2_s, scale_iq2_s)
GRID_KERNEL(iq3_xxs, jl_block_iq3_xxs, GRID_BIAS, SPAN_7, false, head_quarter, scale_iq3_xxs)

ALWAYS void mm_iq_init(jl_cpu_kernels *k)
{
    k->mm[JL_TYPE_IQ1_S] = mm_iq1_s;
    k->mm[JL_TYPE_IQ1_M] = mm_iq1_m;
    k->mm[JL_TYPE_IQ2_XXS] = mm_iq2_xxs;
    k->mm[JL_TYPE_IQ2_XS] = mm_iq2_xs;
    k->mm[JL_TYPE_IQ2_S] = mm_iq2_s;
    k->mm[JL_TYPE_IQ3_XXS] = mm_iq3_xxs;
    k->mm[JL_TYPE_IQ3_S] = mm_iq3_s;
}

#endif
