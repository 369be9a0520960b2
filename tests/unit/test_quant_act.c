/* Edge cases of quantised activations: zeros, NaN, infinities, denormals, ties. */
#include <float.h>
#include <math.h>

#include "quant/float16.h"
#include "quant/quant.h"
#include "quant/random.h"
#include "test.h"

typedef struct {
    int8_t q[32];
    float d;
    int16_t sum[2];
} block;

static block quantize(const float x[32])
{
    block b;

    jl_act_quantize(x, 32, b.q, &b.d, b.sum);
    return b;
}

static void assert_all_zero(const block *b)
{
    for (int i = 0; i < 32; i++)
        assert_int_equal(b->q[i], 0);
    assert_int_equal(b->sum[0], 0);
    assert_int_equal(b->sum[1], 0);
}

static void test_zeros(void **state)
{
    float x[32] = {0};
    block b = quantize(x);

    assert_all_zero(&b);
    assert_int_equal(jl_f32_bits(b.d), 0);
    x[5] = -0.0f;
    b = quantize(x);
    assert_all_zero(&b);
    assert_int_equal(jl_f32_bits(b.d), 0);
}

static void test_not_finite(void **state)
{
    const uint32_t bad[] = {0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001, 0xffffffff};

    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        for (int at = 0; at < 32; at++) {
            float x[32];
            for (int i = 0; i < 32; i++)
                x[i] = (float)(i - 7);
            x[at] = jl_f32_from_bits(bad[k]);
            const block b = quantize(x);
            assert_all_zero(&b);
            assert_true(isnan(b.d));
        }
    }
}

/* One damaged block leaves its neighbours alone. */
static void test_blocks_are_independent(void **state)
{
    float x[96];
    int8_t q[96];
    float d[3];
    int16_t sum[6];

    for (int i = 0; i < 96; i++)
        x[i] = (float)(i % 32 - 16);
    x[40] = INFINITY;
    jl_act_quantize(x, 96, q, d, sum);
    const block b = quantize(x);
    for (int k = 0; k < 3; k += 2) {
        assert_memory_equal(q + 32 * k, b.q, 32);
        assert_memory_equal(d + k, &b.d, sizeof b.d);
        assert_memory_equal(sum + 2 * k, b.sum, sizeof b.sum);
    }
    assert_true(isnan(d[1]));
}

/* With amax = 127 the scale is 1 and x.5 rounds to the even neighbour. */
static void test_ties(void **state)
{
    const float x[32] = {127,   0.5f,   1.5f,   2.5f,    -0.5f,  -1.5f,
                         -2.5f, 125.5f, 126.5f, -126.5f, -125.5f};
    const int expected[11] = {127, 0, 2, 2, 0, -2, -2, 126, 126, -126, -126};
    const block b = quantize(x);

    assert_true(b.d == 1.0f);
    for (int i = 0; i < 11; i++)
        assert_int_equal(b.q[i], expected[i]);
    assert_int_equal(b.sum[0], 127 + 126 + 126 - 126 - 126);
    assert_int_equal(b.sum[1], 0);
}

/* Around the smallest amax that 127 can be divided by. */
static void test_tiny(void **state)
{
    for (uint32_t bits = 1; bits < 0x03000000u; bits += bits / 64 + 1) {
        float x[32] = {0};
        x[3] = jl_f32_from_bits(bits);
        x[20] = -x[3];
        const block b = quantize(x);
        if (127.0f / x[3] > FLT_MAX) {
            assert_all_zero(&b);
            assert_int_equal(jl_f32_bits(b.d), 0);
        } else {
            assert_int_equal(b.q[3], 127);
            assert_int_equal(b.q[20], -127);
            assert_true(b.d == x[3] / 127.0f && b.d > 0.0f);
        }
    }
}

static void test_huge(void **state)
{
    float x[32] = {0};

    x[0] = FLT_MAX;
    x[31] = -FLT_MAX;
    const block b = quantize(x);
    assert_int_equal(b.q[0], 127);
    assert_int_equal(b.q[31], -127);
    assert_true(isfinite(b.d));
}

/* Random blocks: the error of a value is at most half a step plus the roundings of 127 / amax and
 * of the product, each below 127 * 2^-23 of a step. */
static void test_random(void **state)
{
    for (uint64_t n = 0; n < 20000; n++) {
        float x[32];
        float amax = 0.0f;
        const int power = (int)(jl_random_u64(n, 99) % 200) - 100;
        for (int i = 0; i < 32; i++) {
            x[i] = ldexpf((float)(int32_t)jl_random_u64(n, (uint64_t)i), power - 31);
            amax = fmaxf(amax, fabsf(x[i]));
        }
        const block b = quantize(x);
        int sum[2] = {0};
        for (int i = 0; i < 32; i++) {
            const double step = (double)amax / 127.0;
            const double error = fabs((double)b.q[i] * step - (double)x[i]);
            assert_true(error <= step * (0.5 + 2 * 127 * 0x1p-23));
            sum[i / 16] += b.q[i];
        }
        assert_true(b.d == amax / 127.0f);
        assert_int_equal(b.sum[0], sum[0]);
        assert_int_equal(b.sum[1], sum[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_blocks_are_independent),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_tiny),
        cmocka_unit_test(test_huge),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
