/* Products with weights of 32 per block on AVX-512 VNNI: Q8_0. */
#include "backend/cpu/x86/mm_avx512_inl.h"
#include "backend/cpu/x86/x86.h"

enum { Q8_0_BYTES = 34, Q8_0_BIAS = 128 };

ALWAYS __m256i load_q8_0(const uint8_t *block)
{
    return _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(block + 2)),
                            _mm256_set1_epi8((char)0x80));
}

ALWAYS void gemv16_q8_0(const row_set *rows, const mm_col *col, size_t n_blocks, float y[16])
{
    const uint8_t *ahead = rows->base[0] + 16 * rows->stride;
    __m512 acc = _mm512_setzero_ps();

    for (size_t b = 0; b < n_blocks; b++) {
        const size_t at = b * Q8_0_BYTES;
        const __m256i q = _mm256_loadu_si256((const __m256i *)(col->q + 32 * b));
        __m256i t[16];

        prefetch_ahead(ahead + 16 * at, 16 * Q8_0_BYTES);
        for (int i = 0; i < 16; i++)
            t[i] = dot4x8(load_q8_0(row_at(rows, i, at)), q);
        const __m512i isum =
            _mm512_add_epi32(tree16(t), scaled_sum(col->sum + 2 * b, -Q8_0_BIAS));
        const __m512 scale = _mm512_mul_ps(halves16(rows, at), _mm512_set1_ps(col->d[b]));
        acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(isum), scale, acc);
    }
    _mm512_storeu_ps(y, acc);
}

static void expand_q8_0(const uint8_t *w, const size_t row[16], size_t first_block, size_t n_blocks,
                        mm_tile *tile, int h)
{
    for (size_t b = 0; b < n_blocks; b++) {
        const uint8_t *p = w + (first_block + b) * Q8_0_BYTES;
        __m256i v[16];
        _Alignas(32) uint16_t d[16];

        for (int i = 0; i < 16; i++) {
            v[i] = load_q8_0(p + row[i]);
            d[i] = load_u16(p + row[i]);
        }
        transpose16x32(v, tile->w[b][h]);
        _mm512_store_ps(tile->dw[b][h], _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)d)));
    }
}

static void mm_q8_0(const jl_mm_args *a)
{
    if (a->n_cols == 1)
        mm_gemv(a, 0, gemv16_q8_0);
    else
        mm_gemm(a, expand_q8_0, Q8_0_BIAS, false);
}

void jl_x86_mm_legacy_avx512vnni(jl_cpu_kernels *k)
{
    k->mm[JL_TYPE_Q8_0] = mm_q8_0;
    k->mm_scratch = sizeof(mm_tile);
}
