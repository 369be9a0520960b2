/* Norms, activations and element-wise kernels on AVX2: 16 lanes in two vectors where the contract
 * has 16 (docs/numerics.md, sections 1, 3 and 5). */
#include <immintrin.h>
#include <math.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/x86/mathf_avx2_inl.h"
#include "backend/cpu/x86/x86.h"

static inline float rms_scale(const float *x, size_t n, float eps)
{
    __m256 lo = _mm256_setzero_ps();
    __m256 hi = _mm256_setzero_ps();
    size_t i = 0;

    for (; i + 16 <= n; i += 16) {
        const __m256 a = _mm256_loadu_ps(x + i);
        const __m256 b = _mm256_loadu_ps(x + i + 8);
        lo = _mm256_fmadd_ps(a, a, lo);
        hi = _mm256_fmadd_ps(b, b, hi);
    }
    /* the lanes past the end add +0 to a sum that is not -0 */
    if (i < n) {
        const __m256 a = load_ps(x + i, lanes_first(n - i));
        lo = _mm256_fmadd_ps(a, a, lo);
    }
    if (i + 8 < n) {
        const __m256 b = load_ps(x + i + 8, lanes_first(n - i - 8));
        hi = _mm256_fmadd_ps(b, b, hi);
    }
    return 1.0f / sqrtf(tree_sum(lo, hi) / (float)n + eps);
}

static void rms_norm(const float *x, const float *w, float *y, size_t n, float eps)
{
    const __m256 scale = _mm256_set1_ps(rms_scale(x, n, eps));

    for (size_t i = 0; i < n; i += 8) {
        const lanes8 k = lanes_first(n - i);
        __m256 v = _mm256_mul_ps(load_ps(x + i, k), scale);
        if (w)
            v = _mm256_mul_ps(v, load_ps(w + i, k));
        store_ps(y + i, k, v);
    }
}

static void rms_norm_add(const float *x, const float *w, float *y, size_t n, float eps)
{
    const __m256 scale = _mm256_set1_ps(rms_scale(x, n, eps));

    for (size_t i = 0; i < n; i += 8) {
        const lanes8 k = lanes_first(n - i);
        const __m256 v =
            _mm256_mul_ps(_mm256_mul_ps(load_ps(x + i, k), scale), load_ps(w + i, k));
        store_ps(y + i, k, _mm256_add_ps(load_ps(y + i, k), v));
    }
}

static void geglu(const float *gate, const float *up, float *y, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        const lanes8 k = lanes_first(n - i);
        const __m256 g = gelu_ps(load_ps(gate + i, k));
        store_ps(y + i, k, _mm256_mul_ps(g, load_ps(up + i, k)));
    }
}

static void swiglu(const float *gate, const float *up, float *y, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        const lanes8 k = lanes_first(n - i);
        const __m256 g = silu_ps(load_ps(gate + i, k));
        store_ps(y + i, k, _mm256_mul_ps(g, load_ps(up + i, k)));
    }
}

static void softcap(float *x, size_t n, float cap)
{
    const __m256 c = _mm256_set1_ps(cap);

    for (size_t i = 0; i < n; i += 8) {
        const lanes8 k = lanes_first(n - i);
        const __m256 t = tanh_ps(_mm256_div_ps(load_ps(x + i, k), c));
        store_ps(x + i, k, _mm256_mul_ps(c, t));
    }
}

static void axpy(float a, const float *x, float *y, size_t n)
{
    const __m256 va = _mm256_set1_ps(a);

    for (size_t i = 0; i < n; i += 8) {
        const lanes8 k = lanes_first(n - i);
        store_ps(y + i, k, _mm256_fmadd_ps(va, load_ps(x + i, k), load_ps(y + i, k)));
    }
}

static void rope(float *x, const float *cs, size_t n)
{
    const size_t half = n / 2;

    for (size_t i = 0; i < half; i += 8) {
        const lanes8 k = lanes_first(half - i);
        const __m256 a = load_ps(x + i, k);
        const __m256 b = load_ps(x + i + half, k);
        const __m256 c = load_ps(cs + i, k);
        const __m256 s = load_ps(cs + i + half, k);
        /* fmsub(a, c, t) rounds a c - t once, as fma(a, c, -t) does */
        store_ps(x + i, k, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
        store_ps(x + i + half, k, _mm256_fmadd_ps(a, s, _mm256_mul_ps(b, c)));
    }
}

/* Four pairs (a, b) to (a c - b s, a s + b c) times scale; cs holds c, s of each pair. The addend
 * is the rounded product, as in fma(a, c, -(b s)) and fma(a, s, b c). */
static inline __m256 rotate_pairs(__m256 ab, __m256 cs, __m256 scale)
{
    const __m256 sc = _mm256_permute_ps(cs, _MM_SHUFFLE(2, 3, 0, 1));
    const __m256 add = _mm256_mul_ps(_mm256_movehdup_ps(ab), sc);
    return _mm256_mul_ps(_mm256_fmaddsub_ps(_mm256_moveldup_ps(ab), cs, add), scale);
}

static void rope_adjacent(float *x, const float *cs, size_t n, float scale)
{
    const size_t half = n / 2;
    const __m256 vscale = _mm256_set1_ps(scale);

    for (size_t i = 0; i < half; i += 8) {
        const size_t left = 2 * (half - i);
        const lanes8 k = lanes_first(half - i);
        const lanes8 k0 = lanes_first(left);
        const __m256 c = load_ps(cs + i, k);
        const __m256 s = load_ps(cs + i + half, k);
        const __m256 lo = _mm256_unpacklo_ps(c, s); /* pairs 0, 1, 4, 5 */
        const __m256 hi = _mm256_unpackhi_ps(c, s); /* pairs 2, 3, 6, 7 */
        float *p = x + 2 * i;

        store_ps(p, k0,
                 rotate_pairs(load_ps(p, k0), _mm256_permute2f128_ps(lo, hi, 0x20), vscale));
        if (left <= 8)
            break;
        const lanes8 k1 = lanes_first(left - 8);
        store_ps(p + 8, k1,
                 rotate_pairs(load_ps(p + 8, k1), _mm256_permute2f128_ps(lo, hi, 0x31), vscale));
    }
}

/* Largest of 8 non-negative integers. */
static inline int32_t largest(__m256i v)
{
    __m128i a = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    a = _mm_max_epi32(a, _mm_shuffle_epi32(a, _MM_SHUFFLE(1, 0, 3, 2)));
    a = _mm_max_epi32(a, _mm_shuffle_epi32(a, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtsi128_si32(a);
}

/* The bytes and half sums of 32 scaled values. */
static inline void store_rounded(const __m256 v[4], float id, int8_t *q, int16_t *sum)
{
    const __m256 vid = _mm256_set1_ps(id);
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i r[4];

    for (int i = 0; i < 4; i++)
        r[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], vid)); /* nearest even */
    /* 16-bit, each vector one half of the block: first 4, 8.., then within 128-bit lanes */
    const __m256i h0 = _mm256_packs_epi32(r[0], r[1]);
    const __m256i h1 = _mm256_packs_epi32(r[2], r[3]);
    const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(h0, h1),
                                                      _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)(void *)q, bytes);

    const __m256i s = _mm256_hadd_epi32(_mm256_madd_epi16(h0, ones), _mm256_madd_epi16(h1, ones));
    __m128i t = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
    t = _mm_hadd_epi32(t, t);
    sum[0] = (int16_t)_mm_cvtsi128_si32(t);
    sum[1] = (int16_t)_mm_extract_epi32(t, 1);
}

static void act_quantize(const float *x, size_t n, int8_t *q, float *d, int16_t *sum)
{
    const __m256i magnitude = _mm256_set1_epi32(INT32_MAX);

    for (size_t b = 0; b < n / 32; b++) {
        __m256 v[4];
        __m256i top = _mm256_setzero_si256();
        for (int i = 0; i < 4; i++) {
            v[i] = _mm256_loadu_ps(x + b * 32 + 8 * i);
            /* as integers, magnitudes order like floats with infinity and NaN on top */
            top = _mm256_max_epi32(top, _mm256_and_si256(_mm256_castps_si256(v[i]), magnitude));
        }
        const int32_t bits = largest(top);
        const float amax = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(bits)));
        const float id = amax > 0.0f ? 127.0f / amax : 0.0f;

        if (bits >= 0x7f800000 || id > 3.402823466e+38f) {
            d[b] = bits >= 0x7f800000 ? NAN : 0.0f;
            _mm256_storeu_si256((__m256i *)(void *)(q + b * 32), _mm256_setzero_si256());
            sum[2 * b] = 0;
            sum[2 * b + 1] = 0;
            continue;
        }
        d[b] = amax / 127.0f;
        store_rounded(v, id, q + b * 32, sum + 2 * b);
    }
}

/* One block of n <= JL_ACT_WIDE values, n a multiple of 32. */
static inline void act_block_wide(const float *x, size_t n, int8_t *q, float *d, int16_t *sum)
{
    const __m256i magnitude = _mm256_set1_epi32(INT32_MAX);
    __m256i top = _mm256_setzero_si256();

    for (size_t i = 0; i < n; i += 8)
        top = _mm256_max_epi32(
            top, _mm256_and_si256(_mm256_castps_si256(_mm256_loadu_ps(x + i)), magnitude));
    const int32_t bits = largest(top);
    const float amax = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(bits)));
    const float id = amax > 0.0f ? 127.0f / amax : 0.0f;
    const bool usable = bits < 0x7f800000 && id <= 3.402823466e+38f;

    for (size_t i = 0; i < n; i += JL_ACT_WIDE_SUM) {
        int total = 0;
        for (size_t j = i; j < n && j < i + JL_ACT_WIDE_SUM; j += 32) {
            __m256 v[4];
            int16_t part[2];
            for (size_t k = 0; k < 4; k++)
                v[k] = usable ? _mm256_loadu_ps(x + j + 8 * k) : _mm256_setzero_ps();
            store_rounded(v, usable ? id : 0.0f, q + j, part);
            total += part[0] + part[1];
        }
        sum[i / JL_ACT_WIDE_SUM] = (int16_t)total;
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
        for (size_t e = 0; e < n; e += 8) {
            const lanes8 k = lanes_first(n - e);
            store_ps(o + e, k, load_ps(o2 + e, k));
        }
        return;
    }

    const float top = m2 > *m ? m2 : *m;
    const float a = jl_expf(*m - top);
    const float c = jl_expf(m2 - top);
    const __m256 va = _mm256_set1_ps(a);
    const __m256 vc = _mm256_set1_ps(c);

    *m = top;
    *l = fmaf(*l, a, l2 * c);
    for (size_t e = 0; e < n; e += 8) {
        const lanes8 k = lanes_first(n - e);
        const __m256 add = _mm256_mul_ps(load_ps(o2 + e, k), vc);
        store_ps(o + e, k, _mm256_fmadd_ps(load_ps(o + e, k), va, add));
    }
}

void jl_x86_vec_avx2(jl_cpu_kernels *k)
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
