/* The split as a pure function, and the pool under many short regions. */
#include <time.h>

#include "base/file.h"
#include "base/pool.h"
#include "test.h"

static void check_split(size_t n, size_t grain, int nth)
{
    size_t at = 0;
    size_t smallest = SIZE_MAX;
    size_t largest = 0;
    for (int i = 0; i < nth; i++) {
        const jl_range r = jl_split(n, grain, i, nth);
        assert_true(r.begin == at && r.end >= r.begin && r.end <= n);
        assert_true(r.begin % grain == 0 || r.begin == n);
        const size_t units = (r.end - r.begin) / grain + ((r.end - r.begin) % grain != 0);
        smallest = units < smallest ? units : smallest;
        largest = units > largest ? units : largest;
        at = r.end;
    }
    assert_true(at == n);
    assert_true(largest - smallest <= 1);
}

static void test_split_covers(void **state)
{
    for (size_t n = 0; n < 200; n++)
        for (size_t grain = 1; grain < 40; grain += 3)
            for (int nth = 1; nth < 20; nth++)
                check_split(n, grain, nth);
    check_split(SIZE_MAX, 64, 7);
    check_split(SIZE_MAX - 1, SIZE_MAX / 2, 3);
    check_split(1, SIZE_MAX, 5);
}

typedef struct {
    uint32_t *cells; /* [n] */
    size_t n;
    int *seen; /* [n_threads] regions each thread took part in */
} count_args;

static void count_cells(void *ctx, int ith, int nth)
{
    const count_args *a = ctx;
    const jl_range r = jl_split(a->n, 1, ith, nth);
    for (size_t i = r.begin; i < r.end; i++)
        a->cells[i]++;
    a->seen[ith]++;
}

static void run_regions(int n_threads, uint32_t spin_us, int n_regions, bool pause)
{
    jl_error err;
    jl_pool *pool = NULL;
    uint32_t cells[101] = {0};
    int seen[64] = {0};
    count_args args = {cells, 101, seen};
    assert_ok(jl_pool_create(&(jl_pool_config){n_threads, spin_us, false}, &pool, &err));
    assert_int_equal(jl_pool_n_threads(pool), n_threads);
    for (int i = 0; i < n_regions; i++) {
        jl_pool_run(pool, count_cells, &args);
        if (pause)
            nanosleep(&(struct timespec){0, 300000}, NULL);
    }
    jl_pool_destroy(pool);
    for (int i = 0; i < 101; i++)
        assert_int_equal(cells[i], n_regions);
    for (int i = 0; i < n_threads; i++)
        assert_int_equal(seen[i], n_regions);
}

static void test_regions_spinning(void **state)
{
    for (int n = 1; n <= 7; n++)
        run_regions(n, 50, 300, false);
}

static void test_regions_sleeping(void **state)
{
    for (int n = 1; n <= 7; n++)
        run_regions(n, 0, 300, false);
    run_regions(3, 100, 50, true); /* about the time at which spinners fall asleep */
}

static void test_unused_pool(void **state)
{
    run_regions(4, 0, 0, false);
    run_regions(4, 1000, 0, false);
    jl_pool_destroy(NULL);
}

static void take_all(void *ctx, int ith, int nth)
{
    jl_queue *q = ((void **)ctx)[0];
    atomic_int *cells = ((void **)ctx)[1];
    for (size_t i; (i = jl_queue_take(q)) < 1000;)
        atomic_fetch_add(&cells[i], 1);
}

static void test_queue(void **state)
{
    jl_error err;
    jl_pool *pool = NULL;
    jl_queue q;
    static atomic_int cells[1000];
    assert_ok(jl_pool_create(&(jl_pool_config){3, 20, false}, &pool, &err));
    for (int round = 0; round < 20; round++) {
        jl_queue_reset(&q);
        jl_pool_run(pool, take_all, (void *[]){&q, cells});
    }
    jl_pool_destroy(pool);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(cells[i], 20);
}

/* An idle pool sleeps: no processor time once the spinning is over. */
static void test_idle_costs_nothing(void **state)
{
    jl_error err;
    jl_pool *pool = NULL;
    uint32_t cells[8] = {0};
    int seen[4] = {0};
    assert_ok(jl_pool_create(&(jl_pool_config){4, 100, false}, &pool, &err));
    jl_pool_run(pool, count_cells, &(count_args){cells, 8, seen});
    nanosleep(&(struct timespec){0, 50000000}, NULL); /* until all fell asleep */
    const double before = jl_time_cpu();
    nanosleep(&(struct timespec){0, 200000000}, NULL);
    assert_true(jl_time_cpu() - before < 0.02); /* of 0.8 s that four spinning threads would burn */
    jl_pool_destroy(pool);
}

static void test_bad_thread_counts(void **state)
{
    jl_error err;
    jl_pool *pool = NULL;
    assert_fails(jl_pool_create(&(jl_pool_config){0, 0, false}, &pool, &err), JL_INVALID,
                 "0 threads");
    assert_fails(jl_pool_create(&(jl_pool_config){5000, 0, false}, &pool, &err), JL_INVALID,
                 "1 to");
    assert_null(pool);
}

/* Threads that are not in use take no part, and come back without missing a region. */
static void test_use_fewer(void **state)
{
    jl_error err;
    jl_pool *pool = NULL;
    uint32_t cells[101] = {0};
    int seen[64] = {0};
    int expect[64] = {0};
    count_args args = {cells, 101, seen};
    const int uses[] = {7, 3, 1, 2, 7, 6, 1, 7, 99, 0, 4, 4, 5, 7};
    uint32_t n_regions = 0;
    (void)state;

    assert_ok(jl_pool_create(&(jl_pool_config){7, 20, false}, &pool, &err));
    for (int round = 0; round < 30; round++) {
        for (size_t u = 0; u < sizeof uses / sizeof *uses; u++) {
            jl_pool_use(pool, uses[u]);
            const int n = uses[u] < 1 ? 1 : uses[u] > 7 ? 7 : uses[u];
            assert_int_equal(jl_pool_n_threads(pool), n);
            for (int r = 0; r < 3; r++, n_regions++) {
                jl_pool_run(pool, count_cells, &args);
                for (int i = 0; i < n; i++)
                    expect[i]++;
            }
        }
    }
    for (int i = 0; i < 101; i++)
        assert_int_equal(cells[i], n_regions);
    assert_memory_equal(seen, expect, sizeof seen);
    jl_pool_use(pool, 2); /* destroyed while some are parked */
    jl_pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_use_fewer),
        cmocka_unit_test(test_split_covers),      cmocka_unit_test(test_regions_spinning),
        cmocka_unit_test(test_regions_sleeping),  cmocka_unit_test(test_unused_pool),
        cmocka_unit_test(test_queue),             cmocka_unit_test(test_idle_costs_nothing),
        cmocka_unit_test(test_bad_thread_counts),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
