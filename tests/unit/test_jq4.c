/* JQ4: sizes, the meaning of every bit against an independent reading of docs/jq4.md, the dot
 * product in double precision, activations in wide blocks, and the quantiser. */
#include <math.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/quant.h"
#include "quant/quantizer.h"
#include "quant/random.h"
#include "test.h"

enum { R = 16, MAX_N = 2816 };

static _Alignas(64) uint8_t group[R * MAX_N];
static float x[R * MAX_N], y[R * MAX_N];

static void test_sizes(void **state)
{
    const jl_type_info *info = jl_type_get(JL_TYPE_JQ4);

    assert_int_equal(info->group_rows, 16);
    assert_int_equal(info->act_block, 1024);
    assert_int_equal(JL_TYPE_JQ4, 201);
    assert_int_equal(jl_row_bytes(JL_TYPE_JQ4, 0), 0);
    assert_int_equal(jl_row_bytes(JL_TYPE_JQ4, 31), 0);
    assert_int_equal(jl_row_bytes(JL_TYPE_JQ4, 32), 2 + 1 + 16);
    assert_int_equal(jl_row_bytes(JL_TYPE_JQ4, 160), 2 + 4 + 80);
    assert_int_equal(jl_row_bytes(JL_TYPE_JQ4, 2816), 2 + 66 + 1408);
    assert_int_equal(jl_row_bytes(JL_TYPE_JQ4, UINT64_MAX - 31), 0);
    for (uint64_t n = 256; n <= 16384; n += 256) /* never more bits than IQ4_XS */
        assert_true(jl_row_bytes(JL_TYPE_JQ4, n) <= jl_row_bytes(JL_TYPE_IQ4_XS, n));
}

/* Tables ascend, and -127 .. 127 is what the AVX2 kernels' 16-bit pairs allow. */
static void test_tables(void **state)
{
    for (int t = 0; t < JL_JQ4_TABLES; t++)
        for (int i = 0; i < 16; i++) {
            assert_true(jl_jq4_values[t][i] >= -127);
            assert_true(i == 0 || jl_jq4_values[t][i] > jl_jq4_values[t][i - 1]);
        }
}

/* Weight (r, k) read bit by bit. */
static float weight(size_t n, size_t r, size_t k)
{
    const size_t code_bytes = (3 * n / 8 + 15) / 16 * 16;
    const size_t bit = k / 8 * 24 + r / 4 * 6;
    unsigned code = 0;
    for (size_t i = 0; i < 6; i++)
        code |= (unsigned)(group[32 + (bit + i) / 8] >> (bit + i) % 8 & 1) << i;
    const uint8_t byte = group[32 + code_bytes + k / 8 * 64 + r * 4 + k % 4];
    const unsigned nibble = k % 8 < 4 ? byte & 15 : byte >> 4;

    return jl_f16_to_f32((uint16_t)(group[2 * r] | group[2 * r + 1] << 8)) *
           (float)jl_jq4_values[code][nibble];
}

static void fill_group(size_t n, uint64_t seed)
{
    jl_fill_random_rows(JL_TYPE_JQ4, seed, 0, 0.1f, group, n, R);
    for (size_t r = 0; r < R; r++) { /* scales of their own */
        const uint16_t d = jl_f32_to_f16(0.001f * (float)(r + 1) * (r % 3 ? 1.0f : -1.0f));
        memcpy(group + 2 * r, &d, sizeof d);
    }
}

static void test_layout(void **state)
{
    static const size_t lengths[] = {32, 64, 160, 256, 288, 704, 1024};

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const size_t n = lengths[i];
        fill_group(n, i);
        for (size_t r = 0; r < R; r++) {
            jl_dequant_matrix_row(JL_TYPE_JQ4, group, r, y, n);
            for (size_t k = 0; k < n; k++)
                assert_true(y[k] == weight(n, r, k));
        }
        jl_dequant_matrix_part(JL_TYPE_JQ4, group, 5, n, 8, y, 16);
        for (size_t k = 0; k < 16; k++)
            assert_true(y[k] == weight(n, 5, 8 + k));
    }
}

static void test_activations(void **state)
{
    enum { N = 1024 + 352 };
    int8_t q[N];
    float d[2];
    int16_t sum[6];

    for (size_t i = 0; i < N; i++)
        x[i] = sinf((float)i) * (i < 1024 ? 1.0f : 20.0f);
    jl_act_quantize_wide(x, N, q, d, sum);
    for (size_t b = 0; b < 2; b++) {
        float amax = 0.0f;
        for (size_t i = 1024 * b; i < (b ? N : 1024); i++) {
            amax = fmaxf(amax, fabsf(x[i]));
            assert_true(fabsf(x[i] - d[b] * q[i]) <= 0.5001f * d[b]);
        }
        assert_true(d[b] == amax / 127.0f);
    }
    for (size_t s = 0; s < 6; s++) {
        int total = 0;
        for (size_t i = 256 * s; i < N && i < 256 * (s + 1); i++)
            total += q[i];
        assert_int_equal(sum[s], total);
    }
    for (size_t i = 0; i < 1024; i++) /* the extreme sum fits */
        x[i] = 1.0f;
    x[1100] = NAN;
    jl_act_quantize_wide(x, N, q, d, sum);
    assert_int_equal(sum[3], 256 * 127);
    assert_true(isnan(d[1]));
    assert_int_equal(sum[4], 0);
    assert_int_equal(sum[5], 0);
}

/* Every product and sum of integers is exact; an fma per segment and the row scale round. */
static void test_dot(void **state)
{
    static const size_t lengths[] = {32, 160, 288, 1024, 1056, 2816};

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const size_t n = lengths[i];
        int8_t q[MAX_N];
        float d[(MAX_N + 1023) / 1024];
        int16_t sum[(MAX_N + 255) / 256];
        fill_group(n, 40 + i);
        for (size_t k = 0; k < n; k++)
            x[k] = (float)(int32_t)(jl_random_u64(9 + i, k) >> 32) * 0x1p-31f;
        jl_act_quantize_wide(x, n, q, d, sum);
        for (unsigned r = 0; r < R; r++) {
            double exact = 0.0;
            double size = 0.0;
            for (size_t k = 0; k < n; k++) {
                const double p = (double)weight(n, r, k) * (double)q[k] * (double)d[k / 1024];
                exact += p;
                size += fabs(p);
            }
            const double got = (double)jl_jq4_dot(group, r, q, d, n);
            assert_true(fabs(got - exact) <= 1.001 * (double)(n / 1024 + 3) * 0x1p-24 * size);
        }
    }
}

/* 1024 products of -127 with +-127 are below 2^24: no rounding in an integer's conversion. */
static void test_extreme_sum(void **state)
{
    int8_t q[1024];
    const float one = 1.0f;
    size_t table = 0;
    int low = 0;

    for (size_t t = 0; t < JL_JQ4_TABLES; t++)
        if (jl_jq4_values[t][0] < low) {
            low = jl_jq4_values[t][0];
            table = t;
        }
    memset(group, 0, sizeof group);
    fill_group(1024, 1);
    memset(group + 32 + 384, 0, 1024 * 8);
    for (size_t g = 0; g < 128; g++)
        for (size_t j = 0; j < 3; j++) {
            const uint32_t packed = (uint32_t)(table * 0x041041u);
            group[32 + 3 * g + j] = (uint8_t)(packed >> 8 * j);
        }
    const uint16_t d = jl_f32_to_f16(1.0f);
    memcpy(group, &d, sizeof d);
    memset(q, 127, sizeof q);
    assert_true(jl_jq4_dot(group, 0, q, &one, 1024) == (float)(1024 * 127 * low));
}

/* ---- the quantiser */

static void fill_normal(size_t count, uint64_t seed)
{
    for (size_t i = 0; i < count; i++) {
        double sum = -6.0;
        for (uint64_t k = 0; k < 12; k++)
            sum += (double)(jl_random_u64(12 * seed + k, i) >> 11) * 0x1p-53;
        x[i] = 0.02f * (float)sum;
    }
}

/* Relative error of x against what the group holds; weights as given. */
static double lost(size_t n, const float *importance, const float *w)
{
    double error = 0.0;
    double energy = 0.0;

    jl_quantize_jq4(x, importance, n, group);
    for (size_t r = 0; r < R; r++) {
        jl_dequant_matrix_row(JL_TYPE_JQ4, group, r, y, n);
        for (size_t k = 0; k < n; k++) {
            const double v = (double)x[r * n + k];
            const double e = v - (double)y[k];
            error += (w ? (double)w[k] : 1.0) * e * e;
            energy += (w ? (double)w[k] : 1.0) * v * v;
        }
    }
    return error / energy;
}

/* Sixteen levels fitted to a normal distribution lose 0.00950 (Max 1960); scales per block gain on
 * it. Half of that is far from what a wrong table, code or nibble would give. */
static void test_error(void **state)
{
    for (uint64_t seed = 0; seed < 3; seed++) {
        fill_normal(R * 512, seed);
        const double plain = lost(512, NULL, NULL);
        if (!(plain < 0.0065))
            fail_msg("seed %d: lost %g", (int)seed, plain);
        for (size_t r = 0; r < R; r++) /* rows of very different size */
            for (size_t k = 0; k < 512; k++)
                x[r * 512 + k] *= powf(3.0f, (float)r - 8.0f);
        assert_true(lost(512, NULL, NULL) < 0.0065);
    }
}

static void test_importance(void **state)
{
    float w[512];

    for (size_t k = 0; k < 512; k++)
        w[k] = powf(10.0f, 3.0f * (float)(jl_random_u64(4, k) >> 40) * 0x1p-24f);
    fill_normal(R * 512, 5);
    const double without = lost(512, NULL, w);
    const double with = lost(512, w, w);
    assert_true(with < 0.93 * without);
    memset(w, 0, sizeof w); /* nothing matters: as if everything did alike */
    assert_true(lost(512, w, NULL) < 0.0065);
}

/* Zero rows stay zero; a row with a NaN or infinity becomes NaN and leaves its neighbours alone. */
static void test_odd_rows(void **state)
{
    enum { N = 96 };
    fill_normal(R * N, 6);
    memset(x + 3 * N, 0, N * sizeof *x);
    x[5 * N + 7] = NAN;
    x[6 * N] = INFINITY;
    for (size_t k = 0; k < N; k++)
        x[9 * N + k] = k % 2 ? 3e38f : -3e38f; /* beyond F16 scales */
    jl_quantize_jq4(x, NULL, N, group);
    for (size_t r = 0; r < R; r++) {
        double error = 0.0;
        double energy = 0.0;
        jl_dequant_matrix_row(JL_TYPE_JQ4, group, r, y, N);
        for (size_t k = 0; k < N; k++) {
            if (r == 3)
                assert_true(y[k] == 0.0f);
            else if (r == 5 || r == 6)
                assert_true(isnan(y[k]));
            else
                assert_true(isfinite(y[k]));
            error += pow((double)x[r * N + k] - (double)y[k], 2);
            energy += pow((double)x[r * N + k], 2);
        }
        if (r != 3 && r != 5 && r != 6 && r != 9)
            assert_true(error < 0.02 * energy);
    }
}

/* The interface for all types: groups one after the other, and refusal of single rows. */
static void test_interface(void **state)
{
    static uint8_t two[2 * R * MAX_N];
    jl_quantizer *q = NULL;
    jl_quantizer plain;
    jl_error err;

    assert_true(jl_quantizer_has(JL_TYPE_JQ4));
    assert_false(jl_quantizer_plain(JL_TYPE_JQ4, &plain));
    assert_int_equal(jl_quant_row(JL_TYPE_JQ4, x, two, 256), 0);
    assert_int_equal(jl_quantizer_create(JL_TYPE_JQ4, &q, &err), JL_OK);
    fill_normal(2 * R * 256, 8);
    jl_quantizer_rows(q, x, NULL, two, 256, 2 * R);
    jl_quantize_jq4(x + R * 256, NULL, 256, group);
    assert_memory_equal(two + R * jl_row_bytes(JL_TYPE_JQ4, 256), group,
                        R * jl_row_bytes(JL_TYPE_JQ4, 256));
    jl_quantizer_destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),       cmocka_unit_test(test_tables),
        cmocka_unit_test(test_layout),      cmocka_unit_test(test_activations),
        cmocka_unit_test(test_dot),         cmocka_unit_test(test_extreme_sum),
        cmocka_unit_test(test_error),       cmocka_unit_test(test_importance),
        cmocka_unit_test(test_odd_rows),    cmocka_unit_test(test_interface),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
