/* Errors, memory, processor names. */
#include "base/cpu.h"
#include "base/file.h"
#include "base/mem.h"
#include "test.h"

static void test_fail_formats(void **state)
{
    jl_error err;
    assert_int_equal(jl_fail(&err, JL_IO, "cannot open %s: %d", "a.gguf", 7), JL_IO);
    assert_string_equal(err.text, "cannot open a.gguf: 7");
    assert_int_equal(err.status, JL_IO);
    assert_true(err.offset == UINT64_MAX);
    assert_int_equal(jl_fail_at(&err, JL_FORMAT, 24, "bad"), JL_FORMAT);
    assert_true(err.offset == 24);
    assert_int_equal(jl_fail(NULL, JL_DEVICE, "nobody listens"), JL_DEVICE);
}

static void test_fail_makes_printable(void **state)
{
    jl_error err;
    (void)jl_fail(&err, JL_FORMAT, "key \"%s\"", "\x1b[31m\x80 \xc3\xa9\r\n");
    assert_string_equal(err.text, "key \"?[31m? \xc3\xa9?\n\"");
    /* A character cut by the end of the buffer disappears whole. */
    char text[500];
    memset(text, 'a', sizeof text);
    memcpy(text + sizeof err.text - 3, "\xe2\x82\xac", 3);
    text[sizeof text - 1] = '\0';
    (void)jl_fail(&err, JL_FORMAT, "%s", text);
    assert_int_equal(strlen(err.text), sizeof err.text - 3);
    /* The old text may be part of the new one. */
    (void)jl_fail(&err, JL_IO, "disk full");
    (void)jl_fail(&err, JL_IO, "saving: %s", err.text);
    assert_string_equal(err.text, "saving: disk full");
}

static void test_status_names(void **state)
{
    assert_string_equal(jl_status_name(JL_FORMAT), "malformed file");
    assert_int_equal(jl_status_http(JL_TOO_LARGE), 413);
    assert_string_equal(jl_status_name((jl_status)99), "unknown status");
    assert_int_equal(jl_status_http((jl_status)99), 500);
}

static void test_checked_arithmetic(void **state)
{
    uint64_t r = 5;
    assert_true(jl_mul_u64(1u << 31, 1u << 31, &r));
    assert_true(r == (uint64_t)1 << 62);
    assert_false(jl_mul_u64((uint64_t)1 << 32, (uint64_t)1 << 32, &r));
    assert_true(r == (uint64_t)1 << 62); /* untouched */
    assert_true(jl_mul_u64(0, UINT64_MAX, &r) && r == 0);
    assert_true(jl_add_u64(UINT64_MAX - 1, 1, &r) && r == UINT64_MAX);
    assert_false(jl_add_u64(UINT64_MAX, 1, &r));
}

static void test_heap(void **state)
{
    const size_t before = jl_mem_calls();
    assert_null(jl_malloc(0));
    assert_null(jl_calloc(SIZE_MAX, 2));
    char *copy = jl_strndup("joule", 3);
    assert_string_equal(copy, "jou");
    jl_free(copy);
    assert_int_equal(jl_mem_calls() - before, 3);
}

static void test_arena_measures_what_it_takes(void **state)
{
    jl_arena measure = {0};
    assert_null(jl_arena_take(&measure, 1));
    assert_null(jl_arena_take(&measure, 64));
    assert_null(jl_arena_take(&measure, 65));
    assert_int_equal(measure.used, 64 + 64 + 128);

    uint8_t *block = jl_map_anon(measure.used);
    assert_non_null(block);
    jl_arena arena = {block, 0, measure.used};
    assert_ptr_equal(jl_arena_take(&arena, 1), block);
    assert_ptr_equal(jl_arena_take(&arena, 64), block + 64);
    assert_ptr_equal(jl_arena_take(&arena, 65), block + 128);
    assert_int_equal(arena.used, measure.used);
    for (uint64_t i = 0; i < measure.used; i++)
        assert_int_equal(block[i], 0);
    jl_unmap_anon(block, measure.used);
}

static void test_cpu_mask(void **state)
{
    const unsigned all = JL_CPU_AVX2 | JL_CPU_AVX512 | JL_CPU_AVX512VNNI | JL_CPU_AVX512VBMI |
                         JL_CPU_AVX512BF16;
    int known = 0;
    assert_int_equal(jl_cpu_mask(all, NULL, &known), all);
    assert_int_equal(jl_cpu_mask(all, "avx512", &known), JL_CPU_AVX2 | JL_CPU_AVX512);
    assert_int_equal(jl_cpu_mask(all, "avx2", NULL), JL_CPU_AVX2);
    assert_int_equal(jl_cpu_mask(all | JL_CPU_AMX, "amx", NULL), all | JL_CPU_AMX);
    assert_int_equal(jl_cpu_mask(all | JL_CPU_AMX, "avx512bf16", NULL), all);
    assert_int_equal(jl_cpu_mask(all, "scalar", &known), 0);
    assert_int_equal(known, 1);
    assert_int_equal(jl_cpu_mask(all, "mmx", &known), 0);
    assert_int_equal(known, 0);

    char text[64];
    const size_t len = jl_cpu_names(JL_CPU_AVX2 | JL_CPU_AVX512VNNI, text, sizeof text);
    assert_string_equal(text, "avx2 avx512vnni");
    assert_int_equal(len, strlen(text));
    assert_int_equal(jl_cpu_names(JL_CPU_AVX2 | JL_CPU_AVX512VNNI, text, 8), 4);
    assert_string_equal(text, "avx2");
}

/* /proc/cpuinfo is the kernel's own reading of cpuid. */
static void test_cpu_features_agree_with_kernel(void **state)
{
    char *text = NULL;
    size_t len;
    jl_error err;
    if (jl_file_read("/proc/cpuinfo", 1 << 24, &text, &len, &err) != JL_OK ||
        !strstr(text, "flags"))
        skip();
    const unsigned f = jl_cpu_features();
    assert_int_equal(!!(f & JL_CPU_AVX2), strstr(text, " avx2 ") && strstr(text, " fma "));
    assert_int_equal(!!(f & JL_CPU_AVX512),
                     strstr(text, " avx512bw ") && strstr(text, " avx512vl "));
    assert_int_equal(!!(f & JL_CPU_AVX512VNNI), strstr(text, " avx512_vnni ") != NULL);
    assert_int_equal(!!(f & JL_CPU_AVX512VBMI), strstr(text, " avx512vbmi ") != NULL);
    assert_int_equal(!!(f & JL_CPU_AVX512BF16), strstr(text, " avx512_bf16 ") != NULL);
    assert_int_equal(!!(f & JL_CPU_AVXVNNI), strstr(text, " avx_vnni ") != NULL);
    jl_free(text);
}

static void test_machine_facts(void **state)
{
    char model[64];
    assert_true(jl_cpu_model(model, sizeof model) > 0);
    assert_in_range(jl_cpu_count(), 1, 100000);
    assert_in_range(jl_cpu_cores(), 1, jl_cpu_count());
    assert_true(jl_memory_total() > (64u << 20));
    assert_true(jl_memory_available() <= jl_memory_total());
    assert_true(jl_memory_peak() > 0);
    const uint64_t t = jl_time_ns();
    assert_true(jl_time_ns() >= t);
    assert_true(jl_time_cpu() >= 0);
    assert_null(jl_env("JOULE_SURELY_UNSET"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_formats),
        cmocka_unit_test(test_fail_makes_printable),
        cmocka_unit_test(test_status_names),
        cmocka_unit_test(test_checked_arithmetic),
        cmocka_unit_test(test_heap),
        cmocka_unit_test(test_arena_measures_what_it_takes),
        cmocka_unit_test(test_cpu_mask),
        cmocka_unit_test(test_cpu_features_agree_with_kernel),
        cmocka_unit_test(test_machine_facts),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
