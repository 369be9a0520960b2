/* Half floats against a definition in terms of ldexp and exhaustive search over neighbours. */
#include <math.h>

#include "quant/float16.h"
#include "quant/quant.h"
#include "test.h"

/* Value of finite F16 bits, by the definition of the format. */
static double half_value(unsigned h)
{
    const int exponent = (int)(h >> 10 & 31);
    const int fraction = (int)(h & 1023);
    const double magnitude =
        exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);

    return h & 0x8000 ? -magnitude : magnitude;
}

static double bf16_value(unsigned h)
{
    const int exponent = (int)(h >> 7 & 255);
    const int fraction = (int)(h & 127);
    const double magnitude =
        exponent == 0 ? ldexp(fraction, -133) : ldexp(128 + fraction, exponent - 134);

    return h & 0x8000 ? -magnitude : magnitude;
}

static void test_f16_every_value(void **state)
{
    for (unsigned h = 0; h < 65536; h++) {
        const float f = jl_f16_to_f32((uint16_t)h);
        if ((h & 0x7c00) != 0x7c00) {
            assert_true((double)f == half_value(h));
            assert_int_equal(signbit(f) != 0, h >> 15);
            assert_int_equal(jl_f32_to_f16(f), h);
        } else if (h & 0x3ff) { /* NaN: sign and payload kept, quiet */
            const uint32_t payload = (h & 0x3ffu) << 13;
            assert_int_equal(jl_f32_bits(f), (h & 0x8000u) << 16 | 0x7fc00000u | payload);
            assert_int_equal(jl_f32_to_f16(f), h | 0x200);
        } else {
            assert_true(isinf(f));
            assert_int_equal(signbit(f) != 0, h >> 15);
            assert_int_equal(jl_f32_to_f16(f), h);
        }
    }
}

typedef uint16_t narrow_fn(float);

/* Between neighbours: just below, at and just above the middle, and next to both ends. The middle
 * goes to the even one. */
static void check_between(narrow_fn *narrow, unsigned h, double low, double high)
{
    const float middle = (float)(low + (high - low) / 2);
    const float above = nextafterf(middle, INFINITY);
    const float below = nextafterf(middle, 0.0f);
    const unsigned even = h & 1 ? h + 1 : h;

    assert_int_equal(narrow(middle), even);
    assert_int_equal(narrow(above), h + 1);
    assert_int_equal(narrow(below), h);
    assert_int_equal(narrow(-middle), even | 0x8000);
    assert_int_equal(narrow(-above), (h + 1) | 0x8000);
    assert_int_equal(narrow(-below), h | 0x8000);
    assert_int_equal(narrow(nextafterf((float)low, INFINITY)), h);
    if (isfinite((float)high))
        assert_int_equal(narrow(nextafterf((float)high, 0.0f)), h + 1);
}

/* The bits after the largest finite value are those of infinity, where the next value would be. */
static void test_f16_rounding(void **state)
{
    for (unsigned h = 0; h < 0x7c00; h++) {
        const double high = h + 1 == 0x7c00 ? 65536.0 : half_value(h + 1);
        check_between(jl_f32_to_f16, h, half_value(h), high);
    }
    assert_int_equal(jl_f32_to_f16(3.4e38f), 0x7c00);
    assert_int_equal(jl_f32_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(jl_f32_to_f16(jl_f32_from_bits(1)), 0);
    assert_int_equal(jl_f32_to_f16(jl_f32_from_bits(0x80000001)), 0x8000);
    assert_int_equal(jl_f32_to_f16(jl_f32_from_bits(0x7f800001)), 0x7e00);
}

static void test_bf16(void **state)
{
    for (unsigned h = 0; h < 65536; h++) {
        const float f = jl_bf16_to_f32((uint16_t)h);
        if ((h & 0x7f80) != 0x7f80)
            assert_true((double)f == bf16_value(h));
        assert_int_equal(jl_f32_bits(f), h << 16);
        assert_int_equal(jl_f32_to_bf16(f), isnan(f) ? h | 0x40 : h);
    }
    for (unsigned h = 0; h < 0x7f80; h++) {
        const double high = h + 1 == 0x7f80 ? ldexp(1, 128) : bf16_value(h + 1);
        check_between(jl_f32_to_bf16, h, bf16_value(h), high);
    }
    assert_int_equal(jl_f32_to_bf16(jl_f32_from_bits(0x7f800001)), 0x7fc0);
}

#ifdef __FLT16_MAX__
__extension__ typedef _Float16 compiler_half;

/* The compiler's own half type agrees on every 16-bit pattern and on 16 million floats. */
static void test_f16_compiler(void **state)
{
    for (unsigned h = 0; h < 65536; h++) {
        const uint16_t bits = (uint16_t)h;
        compiler_half value;
        memcpy(&value, &bits, sizeof value);
        if ((h & 0x7c00) != 0x7c00 || (h & 0x3ff) == 0)
            assert_true(jl_f16_to_f32(bits) == (float)value);
    }
    for (uint32_t i = 0; i < 1u << 24; i++) {
        const float f = jl_f32_from_bits(i * 251u);
        if (isnan(f))
            continue;
        const compiler_half value = (compiler_half)f;
        uint16_t bits;
        memcpy(&bits, &value, sizeof bits);
        if (jl_f32_to_f16(f) != bits)
            fail_msg("%a: %04x, the compiler says %04x", (double)f, jl_f32_to_f16(f), bits);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f16_every_value),
        cmocka_unit_test(test_f16_rounding),
        cmocka_unit_test(test_bf16),
#ifdef __FLT16_MAX__
        cmocka_unit_test(test_f16_compiler),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
