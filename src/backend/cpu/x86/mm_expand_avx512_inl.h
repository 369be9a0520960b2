/* Weights of a format expanded for products with several columns: bytes in the order
 * [block][2][8][16 rows][4 k], which vpdpbusd takes 16 rows x 4 k at a time and AMX 16 rows x 32 k,
 * and their scales. And the kernels of a format, made of this and mm_avx512_inl.h. */
#ifndef JL_BACKEND_CPU_X86_MM_EXPAND_AVX512_INL_H
#define JL_BACKEND_CPU_X86_MM_EXPAND_AVX512_INL_H

#include "backend/cpu/x86/mm_avx512_inl.h"

/* Fills blocks 0 .. n_blocks - 1 of half h. */
typedef void mm_expand_fn(const row_set *rows, size_t first_block, size_t n_blocks, mm_tile *tile,
                          int h);

/* The product in mm_gemm_<isa>.c, one copy for all formats. */
typedef void mm_gemm_fn(const mm_format *f, mm_expand_fn *expand, const jl_mm_args *a);
mm_gemm_fn jl_x86_gemm_avx512, jl_x86_gemm_avx512vnni, jl_x86_gemm_amx;
#ifdef __AVX512VNNI__
#define MM_GEMM jl_x86_gemm_avx512vnni
#else
#define MM_GEMM jl_x86_gemm_avx512
#endif

/* Rows 4 L + i of quads become lanes: out[k] is 16 rows x weights 4 k .. 4 k + 3. */
ALWAYS void transpose_quads(const __m512i x[4], uint8_t out[4][64])
{
    const __m512i a = _mm512_unpacklo_epi32(x[0], x[1]);
    const __m512i b = _mm512_unpackhi_epi32(x[0], x[1]);
    const __m512i c = _mm512_unpacklo_epi32(x[2], x[3]);
    const __m512i d = _mm512_unpackhi_epi32(x[2], x[3]);

    _mm512_store_si512(out[0], _mm512_unpacklo_epi64(a, c));
    _mm512_store_si512(out[1], _mm512_unpackhi_epi64(a, c));
    _mm512_store_si512(out[2], _mm512_unpacklo_epi64(b, d));
    _mm512_store_si512(out[3], _mm512_unpackhi_epi64(b, d));
}

/* The weights of block b of half h. */
ALWAYS void store_quads(const mm_quads *w, mm_tile *tile, size_t b, int h)
{
    mm_quads s = *w;

    if (tile->minus) {
        const __m512i minus = _mm512_set1_epi8((char)tile->minus);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            s.lo[i] = _mm512_sub_epi8(s.lo[i], minus);
            s.hi[i] = _mm512_sub_epi8(s.hi[i], minus);
        }
    }
    transpose_quads(s.lo, &tile->w[b][h][0]);
    transpose_quads(s.hi, &tile->w[b][h][4]);
}

ALWAYS void expand_step(const mm_format *f, const mm_quads *w, const mm_scale *s, mm_tile *tile,
                        size_t b, int h)
{
    store_quads(w, tile, b, h);
    _mm512_store_ps(tile->dw[b][h], s->dw);
    if (f->has_min)
        _mm512_store_ps(tile->mw[b][h], s->mw);
    for (int i = 0; i < 2 && f->halves; i++) {
        _mm512_store_ps(tile->sc[b][h][i], s->sc[i]);
        if (f->has_min)
            _mm512_store_ps(tile->mn[b][h][i], s->mn[i]);
    }
}

ALWAYS void expand_format(const mm_format *f, const row_set *rows, size_t first_block,
                          size_t n_blocks, mm_tile *tile, int half)
{
    for (size_t b = 0; b < n_blocks; b += (size_t)f->per) {
        const size_t at = (first_block + b) / (size_t)f->per * f->bytes;
        mm_head h;
        f->head(rows, at, &h);
#pragma GCC unroll 8
        for (int ib = 0; ib < f->per; ib++) {
            mm_quads w;
            mm_scale s;
            f->weights(rows, at, ib, &h, &w);
            f->scale(&h, ib, &s);
            expand_step(f, &w, &s, tile, b + (size_t)ib, half);
        }
    }
}

/* mm_amx_<name>: the same kernel with the products of AMX where there are several columns. */
#ifdef __AVX512VNNI__
#define MM_KERNEL_AMX(name)                                         \
    static void mm_amx_##name(const jl_mm_args *a)                  \
    {                                                               \
        if (a->n_cols > 1)                                          \
            jl_x86_gemm_amx(&fmt_##name, expand_##name, a);         \
        else                                                        \
            mm_##name(a);                                           \
    }
#define MM_BEST(name, amx) ((amx) ? mm_amx_##name : mm_##name)
#else
#define MM_KERNEL_AMX(name)
#define MM_BEST(name, amx) mm_##name
#endif

/* The kernel of a format: mm_<name>, from fmt_<name>; gemv is its mm_gemv16_fn. */
#define MM_KERNEL(name) MM_KERNEL_GEMV(name, gemv16_any)
#define MM_KERNEL_GEMV(name, gemv)                                                           \
    static void expand_##name(const row_set *rows, size_t first_block, size_t n_blocks,      \
                              mm_tile *tile, int h)                                          \
    {                                                                                        \
        expand_format(&fmt_##name, rows, first_block, n_blocks, tile, h);                    \
    }                                                                                        \
    static void mm_##name(const jl_mm_args *a)                                               \
    {                                                                                        \
        if (a->n_cols == 1)                                                                  \
            mm_gemv(&fmt_##name, a, gemv);                                                   \
        else                                                                                 \
            MM_GEMM(&fmt_##name, expand_##name, a);                                          \
    }                                                                                        \
    MM_KERNEL_AMX(name)

#endif
