/* Formats whose weights come from a grid, for mm_avx2_inl.h: rows are unpacked one block at a
 * time by the scalar definition into a tile, which then serves any number of columns. */
#ifndef JL_BACKEND_CPU_X86_MM_IQ_AVX2_INL_H
#define JL_BACKEND_CPU_X86_MM_IQ_AVX2_INL_H

#include "backend/cpu/x86/mm_avx2_inl.h"
#include "backend/cpu/x86/mm_iq3s_avx2_inl.h"
#include "quant/unpack.h"

enum { GRID_BIAS = 64 }; /* magnitudes of all grids are below 64 */

/* One block of 32 of 8 rows. */
ALWAYS void expand_unpacked(jl_unpack32_fn *unpack, const row_set *rows, size_t at, unsigned ib,
                            mm_tile *tile, size_t b, int h)
{
    _Alignas(64) uint8_t w[8][32];
    const __m256i bias = _mm256_set1_epi8(GRID_BIAS);
    mm_pairs pairs;

    for (int i = 0; i < 8; i++) {
        jl_block32 out;
        unpack(row_at(rows, i, at), ib, &out);
        memcpy(w[i], out.w, 32);
        tile->dw[b][h][i] = out.dw;
        tile->sc[b][h][0][i] = out.sc[0];
        tile->sc[b][h][1][i] = out.sc[1];
    }
    const row_set packed = rows_at(w[0], 32);
    for (int i = 0; i < 4; i++) {
        pairs.lo[i] = _mm256_add_epi8(load_pair(&packed, i, 0), bias);
        pairs.hi[i] = _mm256_add_epi8(load_pair(&packed, i, 16), bias);
    }
    expand_weights(SPAN_7, &pairs, tile, b, h);
}

/* halves: the format has a scale per 16. */
#define GRID_KERNEL(name, block, halves)                                                           \
    static const mm_format fmt_##name = {                                                          \
        sizeof(block), 8, GRID_BIAS, SPAN_7, false, halves, 0, 0, 0};                              \
    static void expand_##name(const row_set *rows, size_t first_block, size_t n_blocks,            \
                              mm_tile *tile, int h)                                                \
    {                                                                                              \
        for (size_t b = 0; b < n_blocks; b++)                                                      \
            expand_unpacked(jl_unpack32_##name, rows, (first_block + b) / 8 * sizeof(block),       \
                            (unsigned)((first_block + b) % 8), tile, b, h);                        \
    }                                                                                              \
    static void mm_##name(const jl_mm_args *a)                                                     \
    {                                                                                              \
        MM_GEMM(&fmt_##name, expand_##name, a);                                                    \
    }

GRID_KERNEL(iq1_s, jl_block_iq1_s, false)
GRID_KERNEL(iq1_m, jl_block_iq1_m, true)
GRID_KERNEL(iq2_xxs, jl_block_iq2_xxs, false)
GRID_KERNEL(iq2_xs, jl_block_iq2_xs, true)
GRID_KERNEL(iq2_s, jl_block_iq2_s, true)
GRID_KERNEL(iq3_xxs, jl_block_iq3_xxs, false)

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
