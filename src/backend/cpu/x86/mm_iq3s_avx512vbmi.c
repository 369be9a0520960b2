/* IQ3_S on AVX-512 VNNI, VBMI and BITALG. The grid's magnitudes are odd numbers below 16, so an
 * entry of four fits two bytes of nibbles. The two planes of 512 bytes live in registers: four
 * two-register byte permutes look up 64 indices in one plane. Signs go to masks straight from the
 * file's bits. */
#include <stddef.h>

#include "backend/cpu/x86/mm_expand_avx512_inl.h"
#include "backend/cpu/x86/x86.h"
#include "quant/iq_tables.h"

enum { IQ3S_BIAS = 16, MAX_IN = 65536 /* whose column fits the scratch */ };

/* plane[p][i]: low nibble weight 2 p, high nibble weight 2 p + 1 of grid entries 64 i .. 64 i + 63
 */
typedef struct {
    __m512i plane[2][8];
} iq3s_grid;

/* A super-block of one row as magnitudes 1..15 with masks of the negative ones. Vector h holds the
 * blocks 0 2 4 6 (h = 0) or 1 3 5 7, one per 128-bit lane, its even weights and its odd weights. */
typedef struct {
    __m512i even[2], odd[2];
    __mmask64 minus_even[2], minus_odd[2];
} iq3s_row;

/* The column in the same order; 4 vectors per super-block. */
typedef struct {
    __m512i even[2], odd[2];
} iq3s_q;

static_assert(sizeof(iq3s_q) * (MAX_IN / 256) <= sizeof(mm_tile), "the column fits the scratch");

ALWAYS void grid_load(iq3s_grid *g)
{
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        __m512i a = _mm512_setzero_si512();
        __m512i b = _mm512_setzero_si512();
#define PART(k)                                                                              \
    do {                                                                                     \
        const __m512i e = _mm512_loadu_si512(jl_iq3s_grid + 64 * i + 16 * (k));              \
        const __m512i n = _mm512_or_si512(e, _mm512_srli_epi32(e, 4));                       \
        a = _mm512_inserti32x4(a, _mm512_cvtepi32_epi8(n), k);                               \
        b = _mm512_inserti32x4(b, _mm512_cvtepi32_epi8(_mm512_srli_epi32(n, 16)), k);        \
    } while (0)
        PART(0);
        PART(1);
        PART(2);
        PART(3);
#undef PART
        g->plane[0][i] = a;
        g->plane[1][i] = b;
    }
}

/* table[index] for 64 indices of 9 bits: low 8 bits in index, the ninth in top. */
ALWAYS __m512i look_up(const __m512i t[8], __m512i index, __mmask64 bit7, __mmask64 top)
{
    const __m512i a = _mm512_permutex2var_epi8(t[0], index, t[1]);
    const __m512i b = _mm512_permutex2var_epi8(t[2], index, t[3]);
    const __m512i c = _mm512_permutex2var_epi8(t[4], index, t[5]);
    const __m512i d = _mm512_permutex2var_epi8(t[6], index, t[7]);

    return _mm512_mask_blend_epi8(top, _mm512_mask_blend_epi8(bit7, a, b),
                                  _mm512_mask_blend_epi8(bit7, c, d));
}

ALWAYS void row_load(const iq3s_grid *g, const uint8_t *p, iq3s_row *r)
{
    const jl_block_iq3_s *block = (const jl_block_iq3_s *)(const void *)p;
    const __m512i low = _mm512_set1_epi8(15);
    const __m512i even_bits = _mm512_set4_epi64(0x1e1c1a1816141210, 0x0e0c0a0806040200,
                                                0x1e1c1a1816141210, 0x0e0c0a0806040200);
    const __m512i index = _mm512_loadu_si512(block->qs);
    const __m512i signs = _mm512_castsi256_si512(
        _mm256_loadu_si256((const __m256i *)(const void *)block->signs));
    const __mmask64 bit7 = _mm512_movepi8_mask(index);
    uint64_t top;

    memcpy(&top, block->qh, sizeof top);
    const __m512i a = look_up(g->plane[0], index, bit7, top);
    const __m512i b = look_up(g->plane[1], index, bit7, top);
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        const __m512i v = h ? _mm512_unpackhi_epi8(a, b) : _mm512_unpacklo_epi8(a, b);
        const __m512i s = _mm512_permutexvar_epi32(
            _mm512_setr_epi32(h, h, h, h, 2 + h, 2 + h, 2 + h, 2 + h, 4 + h, 4 + h, 4 + h, 4 + h,
                              6 + h, 6 + h, 6 + h, 6 + h), signs);
        r->even[h] = _mm512_and_si512(v, low);
        r->odd[h] = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
        r->minus_even[h] = _mm512_bitshuffle_epi64_mask(s, even_bits);
        r->minus_odd[h] = _mm512_bitshuffle_epi64_mask(_mm512_srli_epi64(s, 1), even_bits);
    }
}

/* ---- one column */

/* Bytes at even (odd) places of the blocks 2 L + h, L = 0..3. */
ALWAYS void column_prepare(const int8_t *q, size_t n_super, iq3s_q *out)
{
    const __m512i byte = _mm512_set1_epi16(0xff);

    for (size_t b = 0; b < n_super; b++)
        for (int h = 0; h < 2; h++) {
            const row_set blocks = {{(const uint8_t *)q + 256 * b + 32 * h,
                                     (const uint8_t *)q + 256 * b + 32 * h + 64,
                                     (const uint8_t *)q + 256 * b + 32 * h + 128,
                                     (const uint8_t *)q + 256 * b + 32 * h + 192}, 0, 0};
            const __m512i lo = load_quad(&blocks, 0, 0);
            const __m512i hi = load_quad(&blocks, 0, 16);
            out[b].even[h] = _mm512_packus_epi16(_mm512_and_si512(lo, byte),
                                                 _mm512_and_si512(hi, byte));
            out[b].odd[h] =
                _mm512_packus_epi16(_mm512_srli_epi16(lo, 8), _mm512_srli_epi16(hi, 8));
        }
}

ALWAYS __m512i negate(__m512i q, __mmask64 minus)
{
    return _mm512_mask_sub_epi8(q, minus, _mm512_setzero_si512(), q);
}

/* Sums of the 8 blocks of a super-block, lanes = rows; block 2 L + h at sums[h][L]. */
ALWAYS void super_sums(const iq3s_grid *g, const row_set *rows, size_t at, const iq3s_q *q,
                       __m512i sums[2][4])
{
    const __m512i zero = _mm512_setzero_si512();
    __m512i part[2][4];

#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        __m512i t[2][4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            iq3s_row r;
            row_load(g, row_at(rows, 4 * k + i, at), &r);
#pragma GCC unroll 2
            for (int h = 0; h < 2; h++)
                t[h][i] = dot4(dot4(zero, r.even[h], negate(q->even[h], r.minus_even[h])),
                               r.odd[h], negate(q->odd[h], r.minus_odd[h]));
        }
        part[0][k] = tree4(t[0]);
        part[1][k] = tree4(t[1]);
    }
    lanes_transpose(part[0], sums[0]);
    lanes_transpose(part[1], sums[1]);
}

ALWAYS __m512 scale_of(__m512 d, __m512i scales, int ib)
{
    const __m512i ls = _mm512_and_si512(_mm512_srli_epi32(scales, (unsigned)(4 * ib)),
                                        _mm512_set1_epi32(15));
    const __m512i odd = _mm512_or_si512(_mm512_slli_epi32(ls, 1), _mm512_set1_epi32(1));

    return _mm512_mul_ps(d, _mm512_cvtepi32_ps(odd));
}

ALWAYS __m512 gemv16_iq3_s(const mm_format *f, const row_set *rows, const mm_col *col,
                           size_t n_blocks, const void *scratch)
{
    const iq3s_q *q = scratch;
    __m512 acc = _mm512_setzero_ps();
    iq3s_grid g;

    (void)f;
    grid_load(&g);
    for (size_t b = 0; b < n_blocks / 8; b++) {
        const size_t at = b * sizeof(jl_block_iq3_s);
        __m512i sums[2][4];

        prefetch_rows(rows, at, sizeof(jl_block_iq3_s));
        const __m512 d = load_halves(rows, at);
        const __m512i scales = load_words(rows, at + offsetof(jl_block_iq3_s, scales));
        super_sums(&g, rows, at, &q[b], sums);
#pragma GCC unroll 8
        for (int ib = 0; ib < 8; ib++) {
            const __m512 dw = scale_of(d, scales, ib);
            acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[ib % 2][ib / 2]),
                                  _mm512_mul_ps(dw, _mm512_set1_ps(col->d[8 * b + (size_t)ib])),
                                  acc);
        }
    }
    return acc;
}

/* ---- several columns */

/* Weights + bias in natural order: 16 bytes of block s, half k at 128 (s % 2) + 64 k + 16 (s / 2).
 */
ALWAYS void row_store(const iq3s_row *r, __m512i bias, uint8_t out[256])
{
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        const __m512i even = _mm512_add_epi8(bias, negate(r->even[h], r->minus_even[h]));
        const __m512i odd = _mm512_add_epi8(bias, negate(r->odd[h], r->minus_odd[h]));
        _mm512_store_si512(out + 128 * h, _mm512_unpacklo_epi8(even, odd));
        _mm512_store_si512(out + 128 * h + 64, _mm512_unpackhi_epi8(even, odd));
    }
}

static void expand_iq3_s(const row_set *rows, size_t first_block, size_t n_blocks, mm_tile *tile,
                         int h)
{
    _Alignas(64) uint8_t w[16][256];
    const row_set plain = rows_at(w[0], sizeof w[0]);
    const __m512i bias = _mm512_set1_epi8((char)(IQ3S_BIAS - tile->minus));
    iq3s_grid g;

    grid_load(&g);
    for (size_t b = 0; b < n_blocks; b += 8) {
        const size_t at = (first_block + b) / 8 * sizeof(jl_block_iq3_s);
        const __m512 d = load_halves(rows, at);
        const __m512i scales = load_words(rows, at + offsetof(jl_block_iq3_s, scales));
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            iq3s_row r;
            row_load(&g, row_at(rows, i, at), &r);
            row_store(&r, bias, w[i]);
        }
        for (size_t s = 0; s < 8; s++) {
            __m512i x[4];
            for (size_t half = 0; half < 2; half++) {
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++)
                    x[i] = load_quad(&plain, i, 128 * (s % 2) + 64 * half + 16 * (s / 2));
                transpose_quads(x, &tile->w[b + s][h][4 * half]);
            }
        }
#pragma GCC unroll 8
        for (int ib = 0; ib < 8; ib++)
            _mm512_store_ps(tile->dw[b + (size_t)ib][h], scale_of(d, scales, ib));
    }
}

static const mm_format fmt_iq3_s = {.bytes = sizeof(jl_block_iq3_s), .per = 8, .bias = IQ3S_BIAS};

static void mm_iq3_s(const jl_mm_args *a)
{
    if (a->n_cols > 1 || a->n_in > MAX_IN) {
        jl_x86_gemm_avx512vnni(&fmt_iq3_s, expand_iq3_s, a);
        return;
    }
    column_prepare(mm_column(a, 0).q, a->n_in / 256, a->scratch);
    mm_gemv(&fmt_iq3_s, a, gemv16_iq3_s);
}

MM_KERNEL_AMX(iq3_s)

void jl_x86_mm_iq3s_avx512vbmi(jl_cpu_kernels *k, bool amx)
{
    k->mm[JL_TYPE_IQ3_S] = MM_BEST(iq3_s, amx);
}
