/* The loops of the roofline do what they are counted for, and no kernel exceeds their peak. */
#include "backend/cpu/kernels.h"
#include "backend/peak.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/mem.h"
#include "joule/bench.h"
#include "quant/random.h"
#include "test.h"

static const char *const masks[] = {"scalar", "avx2", "avxvnni", "avx512", "avx512vnni", NULL};
enum { N_MASKS = sizeof masks / sizeof *masks };

/* Every multiplication adds 1 to an accumulator: none may be left out, merged or made up. */
static void test_every_operation_is_done(void **state)
{
    static const uint64_t rounds[] = {1, 7, 64};
    (void)state;

    for (size_t m = 0; m < N_MASKS; m++) {
        const unsigned features = jl_cpu_mask(jl_cpu_features(), masks[m], NULL);
        jl_peak_loop loops[JL_PEAK_LOOPS + 1];
        size_t n = jl_cpu_int8_peaks(features, loops);
        assert_true(n < JL_PEAK_LOOPS);
        loops[n] = jl_cpu_f32_peak(features);
        n += loops[n].run != NULL;
        for (size_t i = 0; i < n; i++)
            for (size_t r = 0; r < 3; r++) {
                int64_t sum = -1;
                const uint64_t ops = loops[i].run(rounds[r], &sum);
                if (ops == 0 || ops != 2 * (uint64_t)sum || ops % rounds[r] != 0)
                    fail_msg("%s: %llu operations counted, %lld multiplications done",
                             loops[i].name, (unsigned long long)ops, (long long)sum);
            }
    }
}

static void test_loops_follow_the_mask(void **state)
{
    jl_peak_loop loops[JL_PEAK_LOOPS];
    (void)state;

    assert_int_equal(jl_cpu_int8_peaks(0, loops), 0);
    assert_null(jl_cpu_f32_peak(0).run);
    assert_string_equal(jl_cpu_read_loop(0).name, "scalar");
    const unsigned avx2 = jl_cpu_mask(jl_cpu_features(), "avx2", NULL);
    if (!(avx2 & JL_CPU_AVX2))
        skip();
    assert_int_equal(jl_cpu_int8_peaks(avx2, loops), 1);
    assert_string_equal(loops[0].name, "avx2");
    assert_string_equal(jl_cpu_f32_peak(avx2).name, "avx2");
    assert_string_equal(jl_cpu_read_loop(avx2).name, "avx2");
}

/* The sum of all words, however they are read. */
static void test_every_byte_is_read(void **state)
{
    enum { BYTES = 3 * JL_READ_GRAIN };
    static const size_t ahead[] = {0, 512, 4096};
    uint64_t *words = jl_map_anon(BYTES);
    uint64_t want = 0;
    (void)state;

    assert_non_null(words);
    for (size_t i = 0; i < BYTES / sizeof *words; i++)
        want += words[i] = jl_random_u64(3, i);
    for (size_t m = 0; m < N_MASKS; m++) {
        const jl_read_loop read =
            jl_cpu_read_loop(jl_cpu_mask(jl_cpu_features(), masks[m], NULL));
        for (size_t streams = 1; streams <= 16; streams *= 2)
            for (size_t a = 0; a < 3; a++)
                if (read.run((const uint8_t *)words, BYTES, streams, ahead[a]) != want)
                    fail_msg("%s, %zu streams, %zu ahead: another sum", read.name, streams,
                             ahead[a]);
    }
    jl_unmap_anon(words, BYTES);
}

static void test_measure(void **state)
{
    jl_roofline_params p = {.struct_size = sizeof p, .n_threads = 2, .cpu_mask = "avx2"};
    jl_roofline r;
    jl_error err;
    (void)state;

    assert_ok(jl_roofline_measure(&p, &r, &err));
    assert_int_equal(r.n_threads, 2);
    assert_true(r.read_bytes_per_s > 1e8);
    assert_true(r.buffer_bytes >= 64 << 20);
    assert_non_null(strstr(r.read_how, "per thread"));
    if (jl_cpu_features() & JL_CPU_AVX2) {
        assert_int_equal(r.n_int8, 1);
        assert_string_equal(r.kernels, "avx2");
        assert_true(r.int8_ops_per_s == r.int8[0].ops_per_s && r.f32_ops_per_s > 1e8);
    }
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(jl_memory_peak() < r.buffer_bytes); /* the buffer is no part of a later peak */
#endif
    p.cpu_mask = "mmx2000";
    assert_fails(jl_roofline_measure(&p, &r, &err), JL_INVALID, "mmx2000");
    p = (jl_roofline_params){.struct_size = sizeof p, .n_threads = 5000};
    assert_fails(jl_roofline_measure(&p, &r, &err), JL_INVALID, "5000 threads");
    p = (jl_roofline_params){.struct_size = sizeof p, .placement = (jl_placement)7};
    assert_fails(jl_roofline_measure(&p, &r, &err), JL_INVALID, "placement");
}

/* ---- the fastest product of each instruction set, beside its peak */

enum { ROWS = 64, COLS = 128, N_IN = 512, CALLS = 40 };

static struct {
    _Alignas(64) uint8_t w[ROWS * N_IN / 32 * 18];
    _Alignas(64) int8_t q[COLS * N_IN];
    _Alignas(64) float d[COLS * N_IN / 32];
    _Alignas(64) int16_t sum[COLS * N_IN / 16];
    _Alignas(64) float y[COLS * ROWS];
} zeros; /* no kernel's time depends on values */

static double product_rate(const jl_cpu_kernels *k, void *scratch)
{
    const jl_mm_args a = {.w = zeros.w,
                          .w_stride = N_IN / 32 * 18, /* Q4_0 */
                          .n_rows = ROWS,
                          .n_in = N_IN,
                          .q = zeros.q,
                          .d = zeros.d,
                          .sum = zeros.sum,
                          .n_cols = COLS,
                          .y = zeros.y,
                          .y_stride = ROWS,
                          .scratch = scratch};
    double best = 0;

    for (int i = 0; i < CALLS; i++) {
        const uint64_t t0 = jl_time_ns();
        k->mm[JL_TYPE_Q4_0](&a);
        const double rate = 2.0 * ROWS * COLS * N_IN / (double)(jl_time_ns() - t0);
        best = rate > best ? rate : best;
    }
    return best;
}

static double peak_rate(unsigned features)
{
    jl_peak_loop loops[JL_PEAK_LOOPS];
    const size_t n = jl_cpu_int8_peaks(features, loops);
    double best = 0;

    for (size_t l = 0; l < n; l++)
        for (int i = 0; i < CALLS; i++) {
            int64_t sum;
            const uint64_t t0 = jl_time_ns();
            const uint64_t ops = loops[l].run(5000, &sum);
            const double rate = (double)ops / (double)(jl_time_ns() - t0);
            best = rate > best ? rate : best;
        }
    return best;
}

/* On a machine with other work either side may be disturbed, so a few tries are allowed. */
static void test_no_kernel_exceeds_the_peak(void **state)
{
    (void)state;

    for (size_t m = 0; m < N_MASKS; m++) {
        const unsigned features = jl_cpu_mask(jl_cpu_features(), masks[m], NULL);
        jl_peak_loop loops[JL_PEAK_LOOPS];
        jl_cpu_kernels k;
        double product = 0;
        double peak = 0;
        if (jl_cpu_int8_peaks(features, loops) == 0)
            continue;
        jl_cpu_kernels_init(&k, features);
        void *scratch = jl_map_anon(k.mm_scratch + 64);
        assert_non_null(scratch);
        for (int i = 0; i < 10 && (i == 0 || product > peak); i++) {
            product = product_rate(&k, scratch);
            peak = peak_rate(features);
        }
        jl_unmap_anon(scratch, k.mm_scratch + 64);
        if (product > peak)
            fail_msg("%s: products at %.0f Gop/s, peak %.0f", k.name, product, peak);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_operation_is_done),
        cmocka_unit_test(test_loops_follow_the_mask),
        cmocka_unit_test(test_every_byte_is_read),
        cmocka_unit_test(test_measure),
    };
    const struct CMUnitTest speed[] = {cmocka_unit_test(test_no_kernel_exceeds_the_peak)};

    /* a comparison of times: of an optimised build, on a machine without other work */
    if (argc == 2 && strcmp(argv[1], "speed") == 0)
        return cmocka_run_group_tests_name("roofline speed", speed, NULL, NULL);
    return cmocka_run_group_tests_name("roofline", tests, NULL, NULL);
}
