/* Norms, activations, element-wise kernels and activation quantisation against the scalar ones. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "test.h"

enum { MAX_TABLES = 12, MAX_N = 2816 };

static const size_t lengths[] = {1, 2, 7, 15, 16, 17, 31, 32, 33, 63, 64, 100, 256, 704, 2816};
enum { N_LENGTHS = sizeof lengths / sizeof lengths[0] };

typedef enum { FILL_UNIT, FILL_WIDE, FILL_SPECIAL, N_FILLS } fill_kind;

static void fill(float *x, size_t n, fill_kind kind, rng *r)
{
    static const float special[] = {0.0f,     -0.0f,    1e-45f,  -1e-40f, FLT_MIN,   FLT_MAX,
                                    -FLT_MAX, INFINITY, -INFINITY, NAN,   -87.0f,    -87.00001f,
                                    88.0f,    88.5f,    0x1p-6f, -0x1p-6f, 0x1.8p-6f, 44.0f};

    for (size_t i = 0; i < n; i++) {
        if (kind == FILL_SPECIAL && rng_below(r, 3) == 0)
            x[i] = special[rng_below(r, sizeof special / sizeof special[0])];
        else if (kind == FILL_UNIT)
            x[i] = rng_unit(r) * 4.0f;
        else
            x[i] = ldexpf(rng_unit(r), (int)rng_below(r, 40) - 20);
    }
}

/* One call of one kernel: up to three inputs and the output, which starts as a copy of in[0]. */
typedef void vec_call(const jl_cpu_kernels *k, float *const in[3], float *y, size_t n);

static void call_norm(const jl_cpu_kernels *k, float *const in[3], float *y, size_t n)
{
    k->rms_norm(in[0], in[1], y, n, 1e-6f);
}

static void call_norm_plain(const jl_cpu_kernels *k, float *const in[3], float *y, size_t n)
{
    k->rms_norm(y, NULL, y, n, 1e-6f);
}

static void call_norm_add(const jl_cpu_kernels *k, float *const in[3], float *y, size_t n)
{
    k->rms_norm_add(in[1], in[2], y, n, 1e-6f);
}

static void call_geglu(const jl_cpu_kernels *k, float *const in[3], float *y, size_t n)
{
    k->geglu(in[0], in[1], y, n);
}

static void call_geglu_in_place(const jl_cpu_kernels *k, float *const in[3], float *y, size_t n)
{
    k->geglu(y, in[1], y, n);
}

static void call_swiglu(const jl_cpu_kernels *k, float *const in[3], float *y, size_t n)
{
    k->swiglu(in[0], in[1], y, n);
}

static void call_swiglu_in_place(const jl_cpu_kernels *k, float *const in[3], float *y, size_t n)
{
    k->swiglu(y, in[1], y, n);
}

static void call_softcap(const jl_cpu_kernels *k, float *const in[3], float *y, size_t n)
{
    k->softcap(y, n, 30.0f);
}

static void call_axpy(const jl_cpu_kernels *k, float *const in[3], float *y, size_t n)
{
    k->axpy(in[2][0], in[1], y, n);
}

static void call_rope(const jl_cpu_kernels *k, float *const in[3], float *y, size_t n)
{
    k->rope(y, in[1], n / 2 * 2);
}

static void call_rope_adjacent(const jl_cpu_kernels *k, float *const in[3], float *y, size_t n)
{
    k->rope_adjacent(y, in[1], n / 2 * 2, 0.08838835f);
}

static void call_merge(const jl_cpu_kernels *k, float *const in[3], float *y, size_t n)
{
    float m = in[2][0];
    float l = in[1][0];

    k->attn_merge(&m, &l, y, in[2][n / 2], in[1][n / 2], in[1], n);
    y[0] += m; /* NaN-free inputs make these show */
    y[n - 1] += l;
}

static void call_merge_empty(const jl_cpu_kernels *k, float *const in[3], float *y, size_t n)
{
    float m = -INFINITY;
    float l = 0.0f;

    k->attn_merge(&m, &l, y, in[2][0], in[1][0], in[1], n);
    y[0] += m;
    y[n - 1] += l;
}

static void check_call(vec_call *call, const char *name)
{
    jl_cpu_kernels tables[MAX_TABLES];
    const size_t n_tables = bundle_tables(tables, MAX_TABLES);
    static float expected[MAX_N];
    rng r = {.seed = 5};

    for (size_t round = 0; round < 8 * N_LENGTHS; round++) {
        const size_t n = lengths[round % N_LENGTHS];
        const fill_kind kind = (fill_kind)(round / N_LENGTHS % N_FILLS);
        guarded in[3];
        float *ptr[3];
        for (size_t i = 0; i < 3; i++) {
            in[i] = guard_new(n * sizeof(float), 4 * rng_below(&r, 16));
            ptr[i] = (float *)(void *)in[i].at;
            fill(ptr[i], n, kind, &r);
        }
        for (size_t t = 0; t < n_tables; t++) {
            guarded out = guard_new(n * sizeof(float), 4 * rng_below(&r, 16));
            float *y = (float *)(void *)out.at;
            memcpy(y, ptr[0], n * sizeof(float));
            call(&tables[t], ptr, y, n);
            assert_true(guard_intact(&out));
            if (t == 0)
                memcpy(expected, y, n * sizeof(float));
            else
                expect_same_floats(tables[t].name, name, expected, y, n);
            guard_free(&out);
        }
        for (size_t i = 0; i < 3; i++) {
            assert_true(guard_intact(&in[i]));
            guard_free(&in[i]);
        }
    }
}

#define VEC_TEST(name)                             \
    static void test_##name(void **state)          \
    {                                              \
        (void)state;                               \
        check_call(call_##name, #name);            \
    }
VEC_TEST(norm)
VEC_TEST(norm_plain)
VEC_TEST(norm_add)
VEC_TEST(geglu)
VEC_TEST(geglu_in_place)
VEC_TEST(swiglu)
VEC_TEST(swiglu_in_place)
VEC_TEST(softcap)
VEC_TEST(axpy)
VEC_TEST(rope)
VEC_TEST(rope_adjacent)
VEC_TEST(merge)
VEC_TEST(merge_empty)

/* GELU over a dense grid: the polynomials and their limits. */
static void test_gelu_grid(void **state)
{
    jl_cpu_kernels tables[MAX_TABLES];
    const size_t n_tables = bundle_tables(tables, MAX_TABLES);
    static float x[MAX_N];
    static float one[MAX_N];
    static float expected[MAX_N];
    static float got[MAX_N];

    (void)state;
    for (int part = 0; part < 64; part++) {
        for (size_t i = 0; i < MAX_N; i++) {
            const float at = (float)part * MAX_N + (float)i;
            x[i] = (at / (64.0f * MAX_N) - 0.5f) * 60.0f;
            one[i] = 1.0f;
        }
        tables[0].geglu(x, one, expected, MAX_N);
        for (size_t t = 1; t < n_tables; t++) {
            tables[t].geglu(x, one, got, MAX_N);
            expect_same_floats(tables[t].name, "gelu", expected, got, MAX_N);
        }
    }
}

/* SiLU over a dense grid, past both ends of exp. */
static void test_silu_grid(void **state)
{
    jl_cpu_kernels tables[MAX_TABLES];
    const size_t n_tables = bundle_tables(tables, MAX_TABLES);
    static float x[MAX_N];
    static float one[MAX_N];
    static float expected[MAX_N];
    static float got[MAX_N];

    (void)state;
    for (int part = 0; part < 64; part++) {
        for (size_t i = 0; i < MAX_N; i++) {
            const float at = (float)part * MAX_N + (float)i;
            x[i] = (at / (64.0f * MAX_N) - 0.5f) * 200.0f;
            one[i] = 1.0f;
        }
        tables[0].swiglu(x, one, expected, MAX_N);
        for (size_t t = 1; t < n_tables; t++) {
            tables[t].swiglu(x, one, got, MAX_N);
            expect_same_floats(tables[t].name, "silu", expected, got, MAX_N);
        }
    }
}

/* SiLU against double. exp is at most 2^-23 off, the sum and the quotient 2^-24 each: together
 * below 2^-22 + 2^-24. Below -88 exp(-x) stays at exp(88), so what is left is x / exp(88). */
static void test_silu_accuracy(void **state)
{
    jl_cpu_kernels tables[MAX_TABLES];
    const size_t n_tables = bundle_tables(tables, MAX_TABLES);
    const float one = 1.0f;

    (void)state;
    for (uint64_t i = 0; i < 400000; i++) {
        const float x = ((float)i / 200000.0f - 1.0f) * 120.0f;
        const double exact = (double)x / (1.0 + exp(-(double)x));
        const double bound = x < -88.0f ? fabs((double)x) / exp(88.0) * (1.0 + 0x1p-22)
                                        : fabs(exact) * (0x1p-22 + 0x1p-24);
        for (size_t t = 0; t < n_tables; t++) {
            float got;
            tables[t].swiglu(&x, &one, &got, 1);
            if (!(fabs((double)got - exact) <= bound))
                fail_msg("%s: silu(%a) is %a, exact %a", tables[t].name, (double)x, (double)got,
                         exact);
        }
    }
}

static void test_act_quantize(void **state)
{
    enum { N = 704 };
    jl_cpu_kernels tables[MAX_TABLES];
    const size_t n_tables = bundle_tables(tables, MAX_TABLES);
    float x[N];
    int8_t q[2][N];
    float d[2][N / 32];
    int16_t sum[2][N / 16];
    rng r = {.seed = 9};

    (void)state;
    for (int round = 0; round < 300; round++) {
        fill(x, N, (fill_kind)(round % N_FILLS), &r);
        for (size_t b = 0; b < N / 32; b++) { /* ties, one-sided and tiny blocks */
            if (rng_below(&r, 4) == 0)
                for (size_t i = 0; i < 32; i++)
                    x[b * 32 + i] = (float)rng_below(&r, 255) * 0.5f - 63.5f;
            if (rng_below(&r, 8) == 0)
                for (size_t i = 0; i < 32; i++)
                    x[b * 32 + i] = rng_unit(&r) * 1e-37f;
            if (rng_below(&r, 16) == 0)
                memset(x + b * 32, 0, 32 * sizeof(float));
        }
        tables[0].act_quantize(x, N, q[0], d[0], sum[0]);
        for (size_t t = 1; t < n_tables; t++) {
            memset(q[1], 99, sizeof q[1]);
            tables[t].act_quantize(x, N, q[1], d[1], sum[1]);
            assert_memory_equal(q[0], q[1], sizeof q[0]);
            assert_memory_equal(sum[0], sum[1], sizeof sum[0]);
            expect_same_floats(tables[t].name, "act_quantize", d[0], d[1], N / 32);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm),     cmocka_unit_test(test_norm_plain),
        cmocka_unit_test(test_norm_add), cmocka_unit_test(test_geglu),
        cmocka_unit_test(test_geglu_in_place), cmocka_unit_test(test_softcap),
        cmocka_unit_test(test_swiglu), cmocka_unit_test(test_swiglu_in_place),
        cmocka_unit_test(test_rope_adjacent),
        cmocka_unit_test(test_axpy),     cmocka_unit_test(test_rope),
        cmocka_unit_test(test_merge),    cmocka_unit_test(test_merge_empty),
        cmocka_unit_test(test_gelu_grid), cmocka_unit_test(test_silu_grid),
        cmocka_unit_test(test_silu_accuracy), cmocka_unit_test(test_act_quantize),
    };

    return cmocka_run_group_tests_name("vec", tests, NULL, NULL);
}
