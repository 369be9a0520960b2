/* Formats whose weights come from a grid, for mm_avx512_inl.h: rows are unpacked one block at a
 * time by the scalar definition into a tile, which then serves any number of columns. */
#ifndef JL_BACKEND_CPU_X86_MM_IQ_AVX512_INL_H
#define JL_BACKEND_CPU_X86_MM_IQ_AVX512_INL_H

#include "backend/cpu/x86/mm_expand_avx512_inl.h"
#include "quant/unpack.h"

enum { GRID_BIAS = 64 }; /* magnitudes of all grids are below 64 */

/* One block of 32 of 16 rows. */
ALWAYS void expand_unpacked(jl_unpack32_fn *unpack, const row_set *rows, size_t at, unsigned ib,
                            mm_tile *tile, size_t b, int h)
{
    _Alignas(64) uint8_t w[16][32];
    const __m512i bias = _mm512_set1_epi8((char)(GRID_BIAS - tile->minus));
    mm_quads quads;

    for (int i = 0; i < 16; i++) {
        jl_block32 out;
        unpack(row_at(rows, i, at), ib, &out);
        memcpy(w[i], out.w, 32);
        tile->dw[b][h][i] = out.dw;
        tile->sc[b][h][0][i] = out.sc[0];
        tile->sc[b][h][1][i] = out.sc[1];
    }
    const row_set packed = rows_at(w[0], 32);
    for (int i = 0; i < 4; i++) {
        quads.lo[i] = _mm512_add_epi8(load_quad(&packed, i, 0), bias);
        quads.hi[i] = _mm512_add_epi8(load_quad(&packed, i, 16), bias);
    }
    transpose_quads(quads.lo, &tile->w[b][h][0]);
    transpose_quads(quads.hi, &tile->w[b][h][4]);
}

/* halves: the format has a scale per 16. */
#define GRID_KERNEL(name, block, halves)                                                       \
    static const mm_format fmt_##name = {sizeof(block), 8, GRID_BIAS, false, halves, 0, 0, 0}; \
    static void expand_##name(const row_set *rows, size_t first_block, size_t n_blocks,        \
                              mm_tile *tile, int h)                                            \
    {                                                                                          \
        for (size_t b = 0; b < n_blocks; b++)                                                  \
            expand_unpacked(jl_unpack32_##name, rows, (first_block + b) / 8 * sizeof(block),   \
                            (unsigned)((first_block + b) % 8), tile, b, h);                    \
    }                                                                                          \
    static void mm_##name(const jl_mm_args *a)                                                 \
    {                                                                                          \
        MM_GEMM(&fmt_##name, expand_##name, a);                                                \
    }                                                                                          \
    MM_KERNEL_AMX(name)

GRID_KERNEL(iq1_s, jl_block_iq1_s, false)
GRID_KERNEL(iq1_m, jl_block_iq1_m, true)
GRID_KERNEL(iq2_xxs, jl_block_iq2_xxs, false)
GRID_KERNEL(iq2_xs, jl_block_iq2_xs, true)
GRID_KERNEL(iq2_s, jl_block_iq2_s, true)
GRID_KERNEL(iq3_xxs, jl_block_iq3_xxs, false)
GRID_KERNEL(iq3_s, jl_block_iq3_s, false)

ALWAYS void mm_iq_init(jl_cpu_kernels *k, bool amx)
{
    k->mm[JL_TYPE_IQ1_S] = MM_BEST(iq1_s, amx);
    k->mm[JL_TYPE_IQ1_M] = MM_BEST(iq1_m, amx);
    k->mm[JL_TYPE_IQ2_XXS] = MM_BEST(iq2_xxs, amx);
    k->mm[JL_TYPE_IQ2_XS] = MM_BEST(iq2_xs, amx);
    k->mm[JL_TYPE_IQ2_S] = MM_BEST(iq2_s, amx);
    k->mm[JL_TYPE_IQ3_XXS] = MM_BEST(iq3_xxs, amx);
    k->mm[JL_TYPE_IQ3_S] = MM_BEST(iq3_s, amx);
}

#endif
