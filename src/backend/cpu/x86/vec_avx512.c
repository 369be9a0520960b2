/* Norms, activations and element-wise kernels on 16 lanes (docs/numerics.md, sections 1, 3 and 5).
 */
#include <immintrin.h>
#include <math.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/x86/mathf_avx512_inl.h"
#include "backend/cpu/x86/x86.h"

static inline __mmask16 tail_mask(size_t n)
{
    return (__mmask16)((1u << n) - 1);
}

/* The fixed tree: lane l += lane l + 8, + 4, + 2, + 1. */
static inline float tree_sum(__m512 v)
{
    const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    b = _mm_add_ss(b, _mm_movehdup_ps(b));
    return _mm_cvtss_f32(b);
}

static inline float rms_scale(const float *x, size_t n, float eps)
{
    __m512 acc = _mm512_setzero_ps();
    size_t i = 0;

    for (; i + 16 <= n; i += 16) {
        const __m512 v = _mm512_loadu_ps(x + i);
        acc = _mm512_fmadd_ps(v, v, acc);
    }
    if (i < n) {
        const __mmask16 k = tail_mask(n - i);
        const __m512 v = _mm512_maskz_loadu_ps(k, x + i);
        acc = _mm512_mask3_fmadd_ps(v, v, acc, k);
    }
    return 1.0f / sqrtf(tree_sum(acc) / (float)n + eps);
}

static void rms_norm(const float *x, const float *w, float *y, size_t n, float eps)
{
    const __m512 scale = _mm512_set1_ps(rms_scale(x, n, eps));

    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = n - i >= 16 ? 0xffff : tail_mask(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(k, x + i), scale);
        if (w)
            v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(k, w + i));
        _mm512_mask_storeu_ps(y + i, k, v);
    }
}

static void rms_norm_add(const float *x, const float *w, float *y, size_t n, float eps)
{
    const __m512 scale = _mm512_set1_ps(rms_scale(x, n, eps));

    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = n - i >= 16 ? 0xffff : tail_mask(n - i);
        const __m512 v = _mm512_mul_ps(_mm512_mul_ps(_mm512_maskz_loadu_ps(k, x + i), scale),
                                       _mm512_maskz_loadu_ps(k, w + i));
        _mm512_mask_storeu_ps(y + i, k, _mm512_add_ps(_mm512_maskz_loadu_ps(k, y + i), v));
    }
}

static void geglu(const float *gate, const float *up, float *y, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = n - i >= 16 ? 0xffff : tail_mask(n - i);
        const __m512 g = gelu_ps(_mm512_maskz_loadu_ps(k, gate + i));
        _mm512_mask_storeu_ps(y + i, k, _mm512_mul_ps(g, _mm512_maskz_loadu_ps(k, up + i)));
    }
}

static void swiglu(const float *gate, const float *up, float *y, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = n - i >= 16 ? 0xffff : tail_mask(n - i);
        const __m512 g = silu_ps(_mm512_maskz_loadu_ps(k, gate + i));
        _mm512_mask_storeu_ps(y + i, k, _mm512_mul_ps(g, _mm512_maskz_loadu_ps(k, up + i)));
    }
}

static void softcap(float *x, size_t n, float cap)
{
    const __m512 c = _mm512_set1_ps(cap);

    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = n - i >= 16 ? 0xffff : tail_mask(n - i);
        const __m512 t = tanh_ps(_mm512_div_ps(_mm512_maskz_loadu_ps(k, x + i), c));
        _mm512_mask_storeu_ps(x + i, k, _mm512_mul_ps(c, t));
    }
}

static void axpy(float a, const float *x, float *y, size_t n)
{
    const __m512 va = _mm512_set1_ps(a);

    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = n - i >= 16 ? 0xffff : tail_mask(n - i);
        const __m512 v = _mm512_fmadd_ps(va, _mm512_maskz_loadu_ps(k, x + i),
                                         _mm512_maskz_loadu_ps(k, y + i));
        _mm512_mask_storeu_ps(y + i, k, v);
    }
}

static void rope(float *x, const float *cs, size_t n)
{
    const size_t half = n / 2;

    for (size_t i = 0; i < half; i += 16) {
        const __mmask16 k = half - i >= 16 ? 0xffff : tail_mask(half - i);
        const __m512 a = _mm512_maskz_loadu_ps(k, x + i);
        const __m512 b = _mm512_maskz_loadu_ps(k, x + i + half);
        const __m512 c = _mm512_maskz_loadu_ps(k, cs + i);
        const __m512 s = _mm512_maskz_loadu_ps(k, cs + i + half);
        /* fmsub(a, c, t) rounds a c - t once, as fma(a, c, -t) does */
        _mm512_mask_storeu_ps(x + i, k, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(x + i + half, k, _mm512_fmadd_ps(a, s, _mm512_mul_ps(b, c)));
    }
}

/* Eight pairs (a, b) to (a c - b s, a s + b c) times scale; cs holds c, s of each pair. The addend
 * is the rounded product, as in fma(a, c, -(b s)) and fma(a, s, b c). */
static inline void rotate_pairs(float *x, size_t n, __m512 cs, __m512 scale)
{
    const __mmask16 k = n >= 16 ? 0xffff : tail_mask(n);
    const __m512 ab = _mm512_maskz_loadu_ps(k, x);
    const __m512 sc = _mm512_permute_ps(cs, _MM_SHUFFLE(2, 3, 0, 1));
    const __m512 add = _mm512_mul_ps(_mm512_movehdup_ps(ab), sc);
    const __m512 turned = _mm512_fmaddsub_ps(_mm512_moveldup_ps(ab), cs, add);
    _mm512_mask_storeu_ps(x, k, _mm512_mul_ps(turned, scale));
}

static void rope_adjacent(float *x, const float *cs, size_t n, float scale)
{
    const size_t half = n / 2;
    const __m512 vscale = _mm512_set1_ps(scale);
    const __m512i first =
        _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));

    for (size_t i = 0; i < half; i += 16) {
        const size_t left = 2 * (half - i);
        const __mmask16 k = half - i >= 16 ? 0xffff : tail_mask(half - i);
        const __m512 c = _mm512_maskz_loadu_ps(k, cs + i);
        const __m512 s = _mm512_maskz_loadu_ps(k, cs + i + half);

        rotate_pairs(x + 2 * i, left, _mm512_permutex2var_ps(c, first, s), vscale);
        if (left > 16)
            rotate_pairs(x + 2 * i + 16, left - 16, _mm512_permutex2var_ps(c, second, s), vscale);
    }
}

static void act_quantize(const float *x, size_t n, int8_t *q, float *d, int16_t *sum)
{
    const __m512 abs_mask = _mm512_castsi512_ps(_mm512_set1_epi32(INT32_MAX));

    for (size_t b = 0; b < n / 32; b++) {
        const __m512 v0 = _mm512_loadu_ps(x + b * 32);
        const __m512 v1 = _mm512_loadu_ps(x + b * 32 + 16);
        const __m512 a0 = _mm512_and_ps(v0, abs_mask);
        const __m512 a1 = _mm512_and_ps(v1, abs_mask);
        /* as integers, magnitudes order like floats with infinity and NaN on top */
        const int32_t bits = _mm512_reduce_max_epi32(
            _mm512_max_epi32(_mm512_castps_si512(a0), _mm512_castps_si512(a1)));
        const float amax = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(bits)));
        float scale = amax / 127.0f;
        float id = amax > 0.0f ? 127.0f / amax : 0.0f;

        if (bits >= 0x7f800000 || id > 3.402823466e+38f) {
            scale = bits >= 0x7f800000 ? NAN : 0.0f;
            _mm256_storeu_si256((__m256i *)(q + b * 32), _mm256_setzero_si256());
            d[b] = scale;
            sum[2 * b] = 0;
            sum[2 * b + 1] = 0;
            continue;
        }
        const __m512 vid = _mm512_set1_ps(id);
        const __m512i i0 = _mm512_cvtps_epi32(_mm512_mul_ps(v0, vid)); /* nearest even */
        const __m512i i1 = _mm512_cvtps_epi32(_mm512_mul_ps(v1, vid));
        _mm_storeu_si128((__m128i *)(q + b * 32), _mm512_cvtepi32_epi8(i0));
        _mm_storeu_si128((__m128i *)(q + b * 32 + 16), _mm512_cvtepi32_epi8(i1));
        d[b] = scale;
        sum[2 * b] = (int16_t)_mm512_reduce_add_epi32(i0);
        sum[2 * b + 1] = (int16_t)_mm512_reduce_add_epi32(i1);
    }
}

/* One block of n <= JL_ACT_WIDE values, n a multiple of 32. */
static inline void act_block_wide(const float *x, size_t n, int8_t *q, float *d, int16_t *sum)
{
    const __m512 abs_mask = _mm512_castsi512_ps(_mm512_set1_epi32(INT32_MAX));
    __m512i top = _mm512_setzero_si512();

    for (size_t i = 0; i < n; i += 16)
        top = _mm512_max_epi32(
            top, _mm512_castps_si512(_mm512_and_ps(_mm512_loadu_ps(x + i), abs_mask)));
    const int32_t bits = _mm512_reduce_max_epi32(top);
    const float amax = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(bits)));
    const float id = amax > 0.0f ? 127.0f / amax : 0.0f;
    const bool usable = bits < 0x7f800000 && id <= 3.402823466e+38f;
    const __m512 vid = _mm512_set1_ps(usable ? id : 0.0f);

    for (size_t i = 0; i < n; i += JL_ACT_WIDE_SUM) {
        __m512i total = _mm512_setzero_si512();
        for (size_t j = i; j < n && j < i + JL_ACT_WIDE_SUM; j += 16) {
            const __m512 v = usable ? _mm512_loadu_ps(x + j) : _mm512_setzero_ps();
            const __m512i r = _mm512_cvtps_epi32(_mm512_mul_ps(v, vid)); /* nearest even */
            total = _mm512_add_epi32(total, r);
            _mm_storeu_si128((__m128i *)(void *)(q + j), _mm512_cvtepi32_epi8(r));
        }
        sum[i / JL_ACT_WIDE_SUM] = (int16_t)_mm512_reduce_add_epi32(total);
    }
    *d = bits >= 0x7f800000 ? NAN : usable ? amax / 127.0f : 0.0f;
}

static void act_quantize_wide(const float *x, size_t n, int8_t *q, float *d, int16_t *sum)
{
    for (size_t i = 0; i < n; i += JL_ACT_WIDE)
        act_block_wide(x + i, n - i < JL_ACT_WIDE ? n - i : JL_ACT_WIDE, q + i,
                       d + i / JL_ACT_WIDE, sum + i / JL_ACT_WIDE_SUM);
}

static void attn_merge(float *m, float *l, float *o, float m2, float l2, const float *o2, size_t n)
{
    if (*m == -INFINITY) {
        *m = m2;
        *l = l2;
        for (size_t e = 0; e < n; e += 16) {
            const __mmask16 k = n - e >= 16 ? 0xffff : tail_mask(n - e);
            _mm512_mask_storeu_ps(o + e, k, _mm512_maskz_loadu_ps(k, o2 + e));
        }
        return;
    }

    const float top = m2 > *m ? m2 : *m;
    const float a = jl_expf(*m - top);
    const float c = jl_expf(m2 - top);
    const __m512 va = _mm512_set1_ps(a);
    const __m512 vc = _mm512_set1_ps(c);

    *m = top;
    *l = fmaf(*l, a, l2 * c);
    for (size_t e = 0; e < n; e += 16) {
        const __mmask16 k = n - e >= 16 ? 0xffff : tail_mask(n - e);
        const __m512 add = _mm512_mul_ps(_mm512_maskz_loadu_ps(k, o2 + e), vc);
        _mm512_mask_storeu_ps(o + e, k,
                              _mm512_fmadd_ps(_mm512_maskz_loadu_ps(k, o + e), va, add));
    }
}

void jl_x86_vec_avx512(jl_cpu_kernels *k)
{
    k->act_quantize = act_quantize;
    k->act_quantize_wide = act_quantize_wide;
    k->rms_norm = rms_norm;
    k->rms_norm_add = rms_norm_add;
    k->geglu = geglu;
    k->swiglu = swiglu;
    k->softcap = softcap;
    k->axpy = axpy;
    k->rope = rope;
    k->rope_adjacent = rope_adjacent;
    k->attn_merge = attn_merge;
}
