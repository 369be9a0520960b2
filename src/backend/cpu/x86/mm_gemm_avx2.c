/* Products with several columns on AVX2. */
#include "backend/cpu/x86/mm_gemm_avx2_inl.h"

void jl_x86_gemm_avx2(const mm_format *f, mm_expand_fn *expand, const jl_mm_args *a)
{
    mm_gemm_any(f, expand, a);
}
