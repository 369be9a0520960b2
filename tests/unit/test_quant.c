/* Types, dot products against double precision, and the error of the quantisers. */
#include <math.h>

#include "quant/blocks.h"
#include "quant/float16.h"
#include "quant/quant.h"
#include "quant/random.h"
#include "quant/unpack.h"
#include "test.h"

enum { N = 4096 };

static bool is_float(uint32_t type)
{
    return type == JL_TYPE_F32 || type == JL_TYPE_F16 || type == JL_TYPE_BF16;
}

static void test_types(void **state)
{
    for (uint32_t id = 0; id < JL_TYPE_MAX; id++) {
        const jl_type_info *info = jl_type_get(id);
        if (!info->name) {
            assert_false(info->is_weight);
            assert_int_equal(jl_row_bytes(id, 256), 0);
            continue;
        }
        assert_string_equal(jl_type_name(id), info->name);
        assert_int_equal(jl_type_find(info->name), id);
        if (info->group_rows > 1) /* tests/unit/test_jq4 */
            continue;
        assert_int_equal(jl_row_bytes(id, 512), 512 / info->block_len * info->block_bytes);
        assert_int_equal(jl_unpack32_get((jl_type)id) != NULL, info->is_weight && !is_float(id));
    }
    assert_int_equal(jl_type_find("q4_k"), JL_TYPE_Q4_K);
    assert_int_equal(jl_type_find("Iq2_xXs"), JL_TYPE_IQ2_XXS);
    assert_int_equal(jl_type_find("q4"), -1);
    assert_int_equal(jl_type_find("q4_k_m"), -1);
    assert_int_equal(jl_type_find(""), -1);
    assert_string_equal(jl_type_name(34), "TQ1_0");
    assert_string_equal(jl_type_name(9), "Q8_1");
    assert_string_equal(jl_type_name(40), "NVFP4");
    assert_string_equal(jl_type_name(144), "IQ4_KS");
    assert_string_equal(jl_type_name(4000000000u), "unknown");
    assert_null(jl_type_get(9)->name);
    assert_null(jl_type_get(UINT32_MAX)->name);
}

static void test_row_bytes(void **state)
{
    assert_int_equal(jl_row_bytes(JL_TYPE_Q4_K, 256), 144);
    assert_int_equal(jl_row_bytes(JL_TYPE_Q4_K, 255), 0);
    assert_int_equal(jl_row_bytes(JL_TYPE_Q4_K, 0), 0);
    assert_int_equal(jl_row_bytes(JL_TYPE_Q8_0, 704), 748);
    assert_int_equal(jl_row_bytes(JL_TYPE_F32, UINT64_MAX / 4), UINT64_MAX / 4 * 4);
    assert_int_equal(jl_row_bytes(JL_TYPE_F32, UINT64_MAX / 4 + 1), 0);
    assert_int_equal(jl_row_bytes(JL_TYPE_Q8_0, UINT64_MAX - 31), 0);
}

/* One row of weights and one of activations, each in both forms. */
typedef struct {
    _Alignas(64) uint8_t bytes[N * 4];
    float w[N];
    float x[N];
    int8_t q[N];
    float d[N / 32];
    int16_t sum[N / 16];
} fixture;

static void fill(fixture *f, jl_type type, uint64_t seed)
{
    jl_fill_random_row(type, seed, 0.05f, f->bytes, N);
    jl_fill_random_row(JL_TYPE_F32, seed + 1000, 3.0f, f->x, N);
    for (size_t b = 0; b < N / 32; b++) { /* spread the scales of the blocks */
        const float scale = ldexpf(1.0f, (int)(jl_random_u64(seed, b) % 9) - 4);
        for (size_t i = 0; i < 32; i++)
            f->x[32 * b + i] *= scale;
    }
    jl_dequant_row(type, f->bytes, f->w, N);
    jl_act_quantize(f->x, N, f->q, f->d, f->sum);
}

/* |dot - exact| where exact = sum w q d in reals. u = 2^-24. Each fma rounds a partial sum, which
 * is at most S = sum (|scale part| + |minimum part|) |q| d in magnitude (times 1 + n u, covered by
 * the slack below): k u S for k fmas. The product dw * da is rounded once: u S. isum is below 2^24
 * and so exact. The dequantised w which this test sums is rounded once where there is a minimum: u
 * S. Double sums are exact to 2^-40 of S. */
static void check_dot(const fixture *f, jl_type type, uint64_t seed)
{
    double exact = 0.0;
    double size = 0.0;
    int n_fma = 0;

    for (size_t ib = 0; ib < N / 32; ib++) {
        jl_block32 b;
        jl_unpack32(type, f->bytes, ib, &b);
        n_fma += b.has_min ? 2 : 1;
        for (size_t i = 0; i < 32; i++) {
            const double x = (double)f->q[32 * ib + i] * (double)f->d[ib];
            const double scaled = (double)b.dw * b.sc[i / 16] * b.w[i];
            const double min = (double)b.mw * b.mn[i / 16];
            exact += (double)f->w[32 * ib + i] * x;
            size += (fabs(scaled) + fabs(min)) * fabs(x);
        }
    }
    const jl_act_row a = {f->q, f->d, f->sum};
    const double got = (double)jl_dot_row(type, f->bytes, &a, N);
    const double bound = 1.001 * (n_fma + 2) * 0x1p-24 * size;
    if (!(fabs(got - exact) <= bound))
        fail_msg("%s row %d: dot %.9g, exact %.9g, bound %.3g", jl_type_name(type), (int)seed, got,
                 exact, bound);
}

static void test_dot_is_the_sum(void **state)
{
    static fixture f;

    for (uint32_t id = 0; id < JL_TYPE_MAX; id++) {
        if (!jl_unpack32_get((jl_type)id))
            continue;
        for (uint64_t seed = 0; seed < 32; seed++) {
            fill(&f, (jl_type)id, seed);
            check_dot(&f, (jl_type)id, seed);
        }
    }
}

/* 16 lanes of n / 16 fmas, then 4 tree levels: a product passes n / 16 + 5 roundings at most. */
static void test_float_dots(void **state)
{
    static fixture f;
    const jl_type types[] = {JL_TYPE_F32, JL_TYPE_F16, JL_TYPE_BF16};

    for (size_t t = 0; t < 3; t++) {
        for (size_t n = 0; n < 200; n++) {
            double exact = 0.0;
            double size = 0.0;
            fill(&f, types[t], n);
            for (size_t i = 0; i < n; i++) {
                exact += (double)f.w[i] * (double)f.x[i];
                size += fabs((double)f.w[i] * (double)f.x[i]);
            }
            const double got = (double)jl_dot_row_f(types[t], f.bytes, f.x, n);
            assert_true(fabs(got - exact) <= 1.001 * (double)(n / 16 + 5) * 0x1p-24 * size);
        }
    }
}

/* The largest integers any format reaches stay exact: weights and activations at their extremes. */
static void test_extreme_sums(void **state)
{
    static fixture f;
    jl_block_q6_k *b = (jl_block_q6_k *)f.bytes;

    for (size_t k = 0; k < N / JL_QK; k++) {
        memset(b + k, 0, sizeof *b); /* every weight -32 */
        memset(b[k].scales, 0x80, sizeof b[k].scales);
        b[k].d = 0x3c00;
    }
    for (size_t i = 0; i < N; i++)
        f.x[i] = 127.0f;
    jl_act_quantize(f.x, N, f.q, f.d, f.sum);
    const jl_act_row a = {f.q, f.d, f.sum};
    assert_true(jl_dot_row(JL_TYPE_Q6_K, b, &a, 32) == 32.0f * 32 * 128 * 127);
    assert_true(jl_dot_row(JL_TYPE_Q6_K, b, &a, N) == (float)(N * 32.0 * 128 * 127));
}

/* A NaN scale of one block reaches the output, on both sides. */
static void test_nan_shows(void **state)
{
    static fixture f;

    fill(&f, JL_TYPE_Q8_0, 7);
    const jl_act_row a = {f.q, f.d, f.sum};
    f.d[3] = NAN;
    assert_true(isnan(jl_dot_row(JL_TYPE_Q8_0, f.bytes, &a, N)));
    f.d[3] = 0.0f;
    assert_false(isnan(jl_dot_row(JL_TYPE_Q8_0, f.bytes, &a, N)));
    ((jl_block_q8_0 *)f.bytes)[9].d = 0x7e00;
    assert_true(isnan(jl_dot_row(JL_TYPE_Q8_0, f.bytes, &a, N)));
}

/* The scale of MXFP4 over its whole range, two denormals included. */
static void test_mxfp4_scales(void **state)
{
    for (int e = 0; e < 256; e++) {
        jl_block_mxfp4 b;
        float w[32];
        memset(&b, 0x52, sizeof b); /* codes 2 and 5: values 2 and 6 */
        b.e = (uint8_t)e;
        jl_dequant_row(JL_TYPE_MXFP4, &b, w, 32);
        assert_true(w[0] == (float)ldexp(2, e - 128));
        assert_true(w[31] == (float)ldexp(6, e - 128));
    }
}

/* Largest error of a quantiser in steps: half a step where rounding is to the nearest level. Q4_0
 * and Q5_0 lack the level opposite to the extreme value: a value as large with the other sign is a
 * whole step off. The stored F16 scale is off by 2^-11, the F16 minimum by 2^-11 of itself, and the
 * F32 operations by less than 16 roundings of 2^-24 each. (A fitted scale of IQ4_NL may leave the
 * extreme value outside the table; its quality is tested as an average.) */
static void check_error(jl_type type, double steps, double levels)
{
    static fixture f;

    for (uint64_t seed = 0; seed < 64; seed++) {
        jl_fill_random_row(JL_TYPE_F32, seed, 0.5f, f.x, N);
        assert_int_equal(jl_quant_row(type, f.x, f.bytes, N), 1);
        jl_dequant_row(type, f.bytes, f.w, N);
        for (size_t b = 0; b < N / 32; b++) {
            double lo = 0.0;
            double hi = 0.0;
            double top = 0.0;
            for (size_t i = 32 * b; i < 32 * b + 32; i++) {
                lo = fmin(lo, (double)f.x[i]);
                hi = fmax(hi, (double)f.x[i]);
                top = fmax(top, fabs((double)f.x[i]));
            }
            const double range = levels < 0 ? top : hi - lo;
            const double bound = steps * range / fabs(levels) + 0x1p-11 * (hi - lo + top) +
                                 0x1p-20 * (hi - lo + top);
            for (size_t i = 32 * b; i < 32 * b + 32; i++)
                assert_true(fabs((double)f.w[i] - (double)f.x[i]) <= bound);
        }
    }
}

static void test_quantiser_errors(void **state)
{
    check_error(JL_TYPE_Q4_0, 1.0, -8);
    check_error(JL_TYPE_Q5_0, 1.0, -16);
    check_error(JL_TYPE_Q4_1, 0.5, 15);
    check_error(JL_TYPE_Q5_1, 0.5, 31);
    check_error(JL_TYPE_Q8_0, 0.5, -127);
}

/* A row of normally distributed values: sums of 12 uniform numbers. */
static void fill_normal(fixture *f, uint64_t seed)
{
    memset(f->x, 0, sizeof f->x);
    for (uint64_t k = 0; k < 12; k++) {
        jl_fill_random_row(JL_TYPE_F32, 12 * seed + k, 0.1f, f->w, N);
        for (size_t i = 0; i < N; i++)
            f->x[i] += f->w[i];
    }
}

/* Share of the energy of normal data that is lost. */
static double quality(jl_type type)
{
    static fixture f;
    double energy = 0.0;
    double error = 0.0;

    for (uint64_t seed = 0; seed < 16; seed++) {
        fill_normal(&f, seed);
        assert_int_equal(jl_quant_row(type, f.x, f.bytes, N), 1);
        jl_dequant_row(type, f.bytes, f.w, N);
        for (size_t i = 0; i < N; i++) {
            energy += pow((double)f.x[i], 2);
            error += pow((double)f.w[i] - (double)f.x[i], 2);
        }
    }
    return error / energy;
}

/* The fitted types beat the plain type of as many bits. Bounds from theory: 16 levels with one
 * scale for all of the data lose at least 0.9497 % (Max, 1960), 32 levels 0.2499 %; a scale per
 * block must be worth something. Q6_K: uniform levels over +-3.5 standard deviations, the range
 * 16 normal values seldom leave, lose (7 / 64)^2 / 12 = 0.1 %; groups with a smaller range lose
 * less. */
static void test_fitted_quality(void **state)
{
    const double q4_k = quality(JL_TYPE_Q4_K);
    const double q5_k = quality(JL_TYPE_Q5_K);
    const double q6_k = quality(JL_TYPE_Q6_K);
    const double iq4_nl = quality(JL_TYPE_IQ4_NL);

    print_message("# lost energy: IQ4_NL %.5f %%, Q4_K %.5f %%, Q5_K %.5f %%, Q6_K %.5f %%\n",
                  100 * iq4_nl, 100 * q4_k, 100 * q5_k, 100 * q6_k);
    assert_true(iq4_nl < 0.009497 && iq4_nl < quality(JL_TYPE_Q4_0));
    assert_true(q4_k < 0.009497 && q4_k < quality(JL_TYPE_Q4_0));
    assert_true(q5_k < 0.002499 && q5_k < quality(JL_TYPE_Q5_0));
    assert_true(q6_k < 0.001 && q6_k < q5_k / 2);
}

/* Blocks that a K type can hold exactly come back exactly: every sub-block uses all its levels, or
 * odd and even ones, so that no other scale fits; the largest sub-scale is 63 (Q6_K: -128), and the
 * F16 scale is a power of two. */
static void test_k_types_keep_their_values(void **state)
{
    static fixture f;
    const jl_type types[] = {JL_TYPE_Q4_K, JL_TYPE_Q5_K, JL_TYPE_Q6_K};
    const int levels[] = {16, 32, 64};

    for (size_t t = 0; t < 3; t++) {
        for (size_t i = 0; i < N; i++) {
            const size_t group = t == 2 ? 16 : 32;
            const int j = (int)(i / group) % (t == 2 ? 16 : 8);
            const int scale = t == 2 ? -128 + 8 * j : 63 - 5 * j;
            const int min = t == 2 ? 0 : 63 - 3 * j;
            const int spread = t == 2 ? (int)(i % 16) * 4 : (int)(i % 32) * levels[t] / 32;
            const int q = t == 2 ? spread - 32 + (int)(i % 2)
                                 : spread + (levels[t] == 16 ? (int)(i % 2) : 0);
            f.x[i] = (float)(scale * (q > levels[t] - 1 ? levels[t] - 1 : q) - min) * 0x1p-10f;
        }
        assert_int_equal(jl_quant_row(types[t], f.x, f.bytes, N), 1);
        jl_dequant_row(types[t], f.bytes, f.w, N);
        for (size_t i = 0; i < N; i++)
            if (f.w[i] != f.x[i])
                fail_msg("%s weight %zu: %g became %g", jl_type_name(types[t]), i, (double)f.x[i],
                         (double)f.w[i]);
    }
}

/* Values on the grid of a block come back unchanged: with the extreme value at the end of the range
 * and scales that F16 holds, quantisation loses nothing. */
static void test_quantisers_keep_their_values(void **state)
{
    static fixture f;
    const jl_type types[] = {JL_TYPE_Q4_0, JL_TYPE_Q5_0, JL_TYPE_Q8_0, JL_TYPE_F16, JL_TYPE_BF16,
                             JL_TYPE_F32};
    const float half[] = {8, 16, 127, 127, 127, 127};

    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        for (size_t i = 0; i < N; i++) {
            const float level = (float)(jl_random_u64(t, i) % (uint64_t)half[t]);
            f.x[i] = (i % 32 == 5 ? -half[t] : level) * 0.25f;
        }
        assert_int_equal(jl_quant_row(types[t], f.x, f.bytes, N), 1);
        jl_dequant_row(types[t], f.bytes, f.w, N);
        assert_memory_equal(f.x, f.w, sizeof f.x);
    }
}

static void test_quantiser_edges(void **state)
{
    static fixture f;
    const jl_type types[] = {JL_TYPE_Q4_0, JL_TYPE_Q4_1,   JL_TYPE_Q5_0, JL_TYPE_Q5_1, JL_TYPE_Q8_0,
                             JL_TYPE_IQ4_NL, JL_TYPE_Q4_K, JL_TYPE_Q5_K, JL_TYPE_Q6_K};

    assert_int_equal(jl_quant_row(JL_TYPE_IQ2_XXS, f.x, f.bytes, 256), 0);
    assert_int_equal(jl_quant_row(JL_TYPE_I8, f.x, f.bytes, 256), 0);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const float values[] = {0.0f,  -0.0f,  1e-45f, 1e-38f,   1e30f,
                                -3e38f, NAN,   INFINITY, -INFINITY};
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            memset(f.x, 0, 256 * sizeof *f.x);
            f.x[17] = values[v];
            assert_int_equal(jl_quant_row(types[t], f.x, f.bytes, 256), 1);
            jl_dequant_row(types[t], f.bytes, f.w, 256);
            for (int i = 0; i < 256 && fabsf(values[v]) < 1.0f; i++)
                assert_true(fabsf(f.w[i]) <= 1e-7f);
            if (!isfinite(values[v]))
                assert_true(isnan(f.w[0]) && isnan(f.w[17]));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_row_bytes),
        cmocka_unit_test(test_dot_is_the_sum),
        cmocka_unit_test(test_float_dots),
        cmocka_unit_test(test_extreme_sums),
        cmocka_unit_test(test_nan_shows),
        cmocka_unit_test(test_mxfp4_scales),
        cmocka_unit_test(test_quantiser_errors),
        cmocka_unit_test(test_fitted_quality),
        cmocka_unit_test(test_k_types_keep_their_values),
        cmocka_unit_test(test_quantisers_keep_their_values),
        cmocka_unit_test(test_quantiser_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
