/* The searching quantisers: error against bounds from theory and against exhaustive search, the
 * effect of importance, and blocks that hold no ordinary numbers. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/codebook.h"
#include "quant/float16.h"
#include "quant/quant.h"
#include "quant/random.h"
#include "test.h"

enum { N = 4096, N_ROWS = 4 };

static const jl_type types[] = {
    JL_TYPE_Q4_0,  JL_TYPE_Q4_1,   JL_TYPE_Q5_0,   JL_TYPE_Q5_1,  JL_TYPE_Q8_0,    JL_TYPE_Q2_K,
    JL_TYPE_Q3_K,  JL_TYPE_Q4_K,   JL_TYPE_Q5_K,   JL_TYPE_Q6_K,  JL_TYPE_IQ4_NL,  JL_TYPE_IQ4_XS,
    JL_TYPE_IQ3_S, JL_TYPE_IQ3_XXS, JL_TYPE_IQ2_S, JL_TYPE_IQ2_XS, JL_TYPE_IQ2_XXS};
enum { N_TYPES = sizeof types / sizeof *types };

static float x[N], y[N], w[N];
static uint8_t bytes[N * 4];

static jl_quantizer *make(jl_type type)
{
    jl_quantizer *q = NULL;
    jl_error err = {0};

    assert_int_equal(jl_quantizer_create(type, &q, &err), JL_OK);
    return q;
}

/* Normal values of standard deviation 1: sums of 12 uniform numbers. */
static void fill_normal(uint64_t seed)
{
    for (size_t i = 0; i < N; i++) {
        double sum = -6.0;
        for (uint64_t k = 0; k < 12; k++)
            sum += (double)(jl_random_u64(12 * seed + k, i) >> 11) * 0x1p-53;
        x[i] = (float)sum;
    }
}

/* Importance spread over three decades. */
static void fill_importance(uint64_t seed)
{
    for (size_t i = 0; i < N; i++)
        w[i] = powf(10.0f, 3.0f * (float)(jl_random_u64(seed, i) >> 40) * 0x1p-24f);
}

/* sum w (x - y)^2 / sum w x^2 */
static double lost(const jl_quantizer *q, const float *importance, const float *weight)
{
    double energy = 0.0;
    double error = 0.0;

    jl_quantizer_row(q, x, importance, bytes, N);
    jl_dequant_row(q->type, bytes, y, N);
    for (size_t i = 0; i < N; i++) {
        const double scale = weight ? (double)weight[i] : 1.0;
        energy += scale * (double)x[i] * (double)x[i];
        error += scale * pow((double)x[i] - (double)y[i], 2);
    }
    return error / energy;
}

/* No code of R bits per weight loses less than 2^-2R of normal data (Shannon). The best scalar
 * quantiser with one scale for all data loses 0.1175 (4 levels), 0.03454 (8), 0.009497 (16),
 * 0.002499 (32) (Max, 1960), and 0.00066 (64); every format has at least as many levels plus
 * scales per block, or a codebook of more points, and must stay below. 127 levels per side over
 * +-4 standard deviations lose (8 / 255)^2 / 12. Q4_0 and Q5_0 waste a level, Q4_1 and Q5_1 have
 * uniform levels: they must stay below the best uniform quantiser, 0.01154 and 0.003495. */
static double most_lost(jl_type type)
{
    switch (type) {
    case JL_TYPE_Q2_K:
    case JL_TYPE_IQ2_S:
    case JL_TYPE_IQ2_XS:
    case JL_TYPE_IQ2_XXS:
        return 0.1175;
    case JL_TYPE_Q3_K:
    case JL_TYPE_IQ3_S:
    case JL_TYPE_IQ3_XXS:
        return 0.03454;
    case JL_TYPE_Q4_0:
    case JL_TYPE_Q4_1:
        return 0.01154;
    case JL_TYPE_Q5_0:
    case JL_TYPE_Q5_1:
        return 0.003495;
    case JL_TYPE_Q5_K:
        return 0.002499;
    case JL_TYPE_Q6_K:
        return 0.00066;
    case JL_TYPE_Q8_0:
        return 8.2e-5;
    default:
        return 0.009497;
    }
}

static void test_bounds_from_theory(void **state)
{
    for (size_t t = 0; t < N_TYPES; t++) {
        const jl_type_info *info = jl_type_get((uint32_t)types[t]);
        const double bits = 8.0 * info->block_bytes / info->block_len;
        jl_quantizer *q = make(types[t]);
        double sum = 0.0;
        for (uint64_t seed = 0; seed < N_ROWS; seed++) {
            fill_normal(seed);
            sum += lost(q, NULL, NULL) / N_ROWS;
        }
        jl_quantizer_destroy(q);
        print_message("# %-8s %.4f bits per weight, lost %.5f %%, bounds %.5f %% and %.5f %%\n",
                      info->name, bits, 100 * sum, 100 * pow(2.0, -2.0 * bits),
                      100 * most_lost(types[t]));
        assert_true(sum > pow(2.0, -2.0 * bits));
        assert_true(sum < most_lost(types[t]));
    }
}

/* With importance the important part is closer than without. */
static void test_importance(void **state)
{
    for (size_t t = 0; t < N_TYPES; t++) {
        jl_quantizer *q = make(types[t]);
        fill_normal(100 + t);
        fill_importance(t);
        const double with = lost(q, w, w);
        const double without = lost(q, NULL, w);
        jl_quantizer_destroy(q);
        if (!(with < 0.98 * without))
            fail_msg("%s: %g with importance, %g without", jl_type_name(types[t]), with, without);
    }
}

/* Constant importance is no importance, whatever its size. */
static void test_constant_importance(void **state)
{
    static uint8_t plain[N * 4];

    for (size_t t = 0; t < N_TYPES; t++) {
        jl_quantizer *q = make(types[t]);
        fill_normal(200 + t);
        const double without = lost(q, NULL, NULL);
        memcpy(plain, bytes, sizeof plain);
        for (int power = -30; power <= 30; power += 30) {
            for (size_t i = 0; i < N; i++)
                w[i] = ldexpf(1.0f, power);
            assert_true(lost(q, w, NULL) == without);
        }
        memset(w, 0, sizeof w);
        lost(q, w, NULL);
        assert_memory_equal(bytes, plain, N / q->block_len * q->block_bytes);
        jl_quantizer_destroy(q);
    }
}

/* The error of a block of 32 with scale s, levels nearest. */
static double error_with_scale(const float *v, const float *weight, const float *level, int n,
                               double s)
{
    double sum = 0.0;

    for (int i = 0; i < 32; i++) {
        double best = INFINITY;
        for (int k = 0; k < n; k++)
            best = fmin(best, fabs((double)v[i] - s * (double)level[k]));
        sum += (double)weight[i] * best * best;
    }
    return sum;
}

static int levels_of(jl_type type, float *level)
{
    int n = 0;

    if (type == JL_TYPE_IQ4_NL)
        for (; n < 16; n++)
            level[n] = jl_iq4_values[n];
    else if (type == JL_TYPE_Q4_0)
        for (; n < 16; n++)
            level[n] = (float)(n - 8);
    else
        for (; n < 32; n++)
            level[n] = (float)(n - 16);
    return n;
}

/* Formats with one scale: within 1 % of the best of 4,000 scales, on the sum over blocks, with
 * importance that spreads over three decades. */
static void test_scales_against_all(void **state)
{
    const jl_type one_scale[] = {JL_TYPE_Q4_0, JL_TYPE_Q5_0, JL_TYPE_IQ4_NL};
    float level[32];

    for (size_t t = 0; t < 3; t++) {
        jl_quantizer *q = make(one_scale[t]);
        const int n = levels_of(one_scale[t], level);
        double ours = 0.0;
        double best_possible = 0.0;
        fill_normal(300 + t);
        fill_importance(t);
        jl_quantizer_row(q, x, w, bytes, N);
        jl_dequant_row(q->type, bytes, y, N);
        for (size_t b = 0; b < 16; b++) {
            double best = INFINITY;
            double top = 0.0;
            for (size_t i = 32 * b; i < 32 * b + 32; i++) {
                ours += (double)w[i] * pow((double)x[i] - (double)y[i], 2);
                top = fmax(top, fabs((double)x[i]));
            }
            for (int k = -2000; k <= 2000; k++) {
                const double s = top / fabs((double)level[0]) * 2.0 * k / 2000.0;
                best = k ? fmin(best, error_with_scale(x + 32 * b, w + 32 * b, level, n, s)) : best;
            }
            best_possible += best;
        }
        jl_quantizer_destroy(q);
        print_message("# %s: %.5f of the best possible error\n", jl_type_name(one_scale[t]),
                      ours / best_possible);
        assert_true(ours < 1.01 * best_possible);
    }
}

/* The neighbours of a codebook nearly always hold the best point: within 2 % of the error of a
 * search over all points, with importance that spreads over three decades. */
static void test_codebooks_against_all(void **state)
{
    for (size_t t = 0; t < N_TYPES; t++) {
        jl_quantizer *q = make(types[t]);
        const jl_codebook *c = q->codebook;
        double ours = 0.0;
        double best_possible = 0.0;
        fill_normal(400 + t);
        fill_importance(400 + t);
        for (size_t i = 0; c && i < N / 4; i += (size_t)c->dim) {
            float v[8];
            float best = FLT_MAX;
            for (int j = 0; j < c->dim; j++)
                v[j] = fabsf(x[i + (size_t)j]) * c->level[c->n_levels - 1] / 2.5f;
            for (int p = -1; p < c->n_points; p++) {
                const int at = p < 0 ? jl_codebook_search(c, v, w + i) : p;
                float e = 0.0f;
                for (int j = 0; j < c->dim; j++)
                    e += w[i + (size_t)j] * powf(v[j] - c->points[at * c->dim + j], 2);
                ours += p < 0 ? (double)e : 0.0;
                best = e < best ? e : best;
            }
            best_possible += (double)best;
        }
        jl_quantizer_destroy(q);
        if (c)
            print_message("# %s: %.5f of the best possible error\n", jl_type_name(types[t]),
                          ours / best_possible);
        if (c && !(ours <= 1.02 * best_possible))
            fail_msg("%s: %g times the best possible", jl_type_name(types[t]),
                     ours / best_possible);
    }
}

/* A block of any values comes back finite, zeros as zeros, and NaN or infinity as NaN. */
static void test_edges(void **state)
{
    const float values[] = {0.0f, -0.0f, 1e-45f, 1e-38f, 1e-6f, 1e4f, 1e30f, -3e38f};

    for (size_t t = 0; t < N_TYPES; t++) {
        jl_quantizer *q = make(types[t]);
        const size_t n = q->block_len;
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            for (size_t i = 0; i < 3 * n; i++)
                x[i] = i % 3 ? 0.0f : values[v];
            jl_quantizer_row(q, x, NULL, bytes, 3 * n);
            jl_dequant_row(types[t], bytes, y, 3 * n);
            for (size_t i = 0; i < 3 * n; i++) {
                assert_true(isfinite(y[i]));
                if (fabsf(values[v]) < 1e-30f)
                    assert_true(y[i] == 0.0f);
            }
        }
        for (int bad = 0; bad < 3; bad++) {
            fill_normal(t);
            x[n + 5] = bad == 0 ? NAN : bad == 1 ? INFINITY : -INFINITY;
            jl_quantizer_row(q, x, NULL, bytes, 3 * n);
            jl_dequant_row(types[t], bytes, y, 3 * n);
            assert_true(isfinite(y[n - 1]) && isnan(y[n]) && isnan(y[2 * n - 1]) &&
                        isfinite(y[2 * n]));
        }
        jl_quantizer_destroy(q);
    }
}

/* Bytes do not depend on what stood in the output or how many rows came before. */
static void test_deterministic(void **state)
{
    static uint8_t other[N * 4];

    for (size_t t = 0; t < N_TYPES; t++) {
        jl_quantizer *q = make(types[t]);
        jl_quantizer *again = make(types[t]);
        fill_normal(500 + t);
        memset(bytes, 0xff, sizeof bytes);
        memset(other, 0, sizeof other);
        jl_quantizer_row(q, x, NULL, bytes, N);
        jl_quantizer_row(again, x + N / 2, NULL, other + N / 2 / q->block_len * q->block_bytes,
                         N / 2);
        jl_quantizer_row(again, x, NULL, other, N / 2);
        assert_memory_equal(bytes, other, N / q->block_len * q->block_bytes);
        jl_quantizer_destroy(q);
        jl_quantizer_destroy(again);
    }
}

static void test_unsupported(void **state)
{
    jl_quantizer *q = NULL;
    jl_error err = {0};

    assert_int_equal(jl_quantizer_create(JL_TYPE_IQ1_S, &q, &err), JL_UNSUPPORTED);
    assert_non_null(strstr(err.text, "IQ1_S"));
    assert_int_equal(jl_quantizer_create(JL_TYPE_I32, &q, &err), JL_UNSUPPORTED);
    assert_null(q);
    for (int id = -1; id < 45; id++)
        assert_true(!jl_quantizer_has((jl_type)id) || jl_type_get((uint32_t)id)->is_weight);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds_from_theory),
        cmocka_unit_test(test_importance),
        cmocka_unit_test(test_constant_importance),
        cmocka_unit_test(test_scales_against_all),
        cmocka_unit_test(test_codebooks_against_all),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_deterministic),
        cmocka_unit_test(test_unsupported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
