/* Random rows have the wanted mean and spread in every type, and never change. */
#include <math.h>

#include "quant/quant.h"
#include "quant/random.h"
#include "test.h"

enum { N = 1 << 16 };

static void test_stream(void **state)
{
    /* First numbers of SplitMix64 seeded with 0 and with 1234567 (published test vectors). */
    assert_true(jl_random_u64(0, 0) == 0xE220A8397B1DCDAFu);
    assert_true(jl_random_u64(1234567, 0) == 6457827717110365317u);
    assert_true(jl_random_u64(1234567, 1) == 3203168211198807973u);
}

static void check_type(jl_type type, float std)
{
    static uint8_t row[N * sizeof(float)], again[N * sizeof(float)];
    static float values[N];
    double sum = 0, sum_sq = 0;
    const size_t group = jl_type_get((uint32_t)type)->group_rows;
    const size_t n = N / group;
    jl_fill_random_rows(type, 7, 0, std, row, n, group);
    jl_fill_random_rows(type, 7, 0, std, again, n, group);
    assert_memory_equal(row, again, jl_row_bytes(type, n) * group);
    jl_fill_random_rows(type, 8, 0, std, again, n, group);
    assert_true(memcmp(row, again, jl_row_bytes(type, n) * group) != 0);

    for (size_t r = 0; r < group; r++)
        jl_dequant_matrix_row(type, row, r, values + r * n, n);
    for (size_t i = 0; i < N; i++) {
        sum += values[i];
        sum_sq += (double)values[i] * values[i];
    }
    /* 256 blocks of 256 weights, the spread of their scales included: 3 sigma is below 15 % */
    const double mean = sum / N;
    const double rms = sqrt(sum_sq / N);
    if (!(fabs(mean) < 0.05 * std && fabs(rms / std - 1) < 0.15))
        fail_msg("%s: wanted std %g, got %g with mean %g", jl_type_name(type), (double)std, rms,
                 mean);
}

static void test_spread(void **state)
{
    for (uint32_t id = 0; id < JL_TYPE_MAX; id++) {
        const jl_type_info *info = jl_type_get(id);
        if (!info->name || !info->is_weight)
            continue;
        check_type((jl_type)id, 0.02f);
        check_type((jl_type)id, 1.0f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
