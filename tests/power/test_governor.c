/* The governor against simulated machines: all figures over many seeds. */
#include <math.h>

#include "gov_run.h"
#include "test.h"

typedef struct {
    int n, floors, binds;
    int late, over, off, wasteful, slow, silent; /* slow is printed only */
    int failed;                                  /* any of the four that are asked for */
    double settle, overshoot, error, efficiency, speed, changes; /* worst */
} summary;

static summary run(uint64_t from, uint64_t count, gov_driver driver, bool list)
{
    summary s = {.efficiency = 9.0, .speed = 9.0};

    for (uint64_t seed = from; seed < from + count; seed++) {
        const sim_params p = sim_draw(seed);
        const gov_result r = gov_run(seed, driver, false);
        const double bound = fmax(5.0, 5.0 * p.period_s);
        const bool late = r.settle_s > bound;
        const bool over = r.overshoot > 0.10;
        const bool off = r.error > 0.03;
        const bool wasteful = r.efficiency < 0.90;
        const bool slow = r.speed < 0.87;
        s.n++;
        s.floors += r.floor;
        s.binds += r.binds;
        s.late += late;
        s.over += over;
        s.off += off;
        s.wasteful += wasteful;
        s.slow += slow;
        s.silent += r.floor && !r.said_floor;
        s.failed += late || over || off || wasteful;
        s.settle = fmax(s.settle, r.settle_s / bound);
        s.overshoot = fmax(s.overshoot, r.overshoot);
        s.error = fmax(s.error, r.error);
        s.efficiency = fmin(s.efficiency, r.efficiency);
        s.speed = fmin(s.speed, r.speed);
        s.changes = fmax(s.changes, r.changes);
        if (list && (late || over || off || wasteful || slow))
            fprintf(stderr,
                    "seed %llu: %.1f W floor %.1f%s%s period %.2f delay %.2f F%d T%d%s: settle "
                    "%.1f/%.1f s, over %.1f %%, error %.1f %%, eff %.2f, speed %.2f%s%s%s%s%s\n",
                    (unsigned long long)seed, r.budget_w, r.floor_w, r.floor ? " FLOOR" : "",
                    r.binds ? " binds" : "", p.period_s, p.delay_s, p.n_fast, p.n_thrifty,
                    p.unplug_t >= 0 ? " unplug" : "", r.settle_s, bound, r.overshoot * 100,
                    r.error * 100, r.efficiency, r.speed, late ? " LATE" : "", over ? " OVER" : "",
                    off ? " OFF" : "", wasteful ? " WASTE" : "", slow ? " SLOW" : "");
    }
    fprintf(stderr,
            "# %d machines (%d below floor, %d bound): failed %d, late %d, over %d, off %d, "
            "wasteful %d, slow %d, silent %d; worst: settle %.2f of bound, overshoot "
            "%.1f %%, error %.1f %%, efficiency %.2f, speed %.2f, %.0f changes/min\n",
            s.n, s.floors, s.binds, s.failed, s.late, s.over, s.off, s.wasteful, s.slow, s.silent,
            s.settle, s.overshoot * 100, s.error * 100, s.efficiency, s.speed, s.changes);
    return s;
}

/* Machines that no constant of the governor was chosen on. No machine may exceed its budget, and
 * 29 of 30 must meet all that is asked for; docs/energy.md says how many do. Figures are printed.
 */
static void test_random_machines(void **state)
{
    const summary s = run(3500001, 300, GOV_GOVERNOR, false);
    (void)state;

    assert_int_equal(s.over, 0);
    assert_true(s.failed <= s.n / 30);
    assert_true(s.silent <= 1);
}

/* The judge finds what is wrong with drivers that have one fault each. Only where the budget binds
 * can less power be a fault, and a duty near its ends cannot always be changed enough. */
static void test_judge(void **state)
{
    const summary good = run(1000001, 60, GOV_CLAIRVOYANT, false);
    const summary late = run(1000001, 60, GOV_LATE, false);
    const summary swings = run(1000001, 60, GOV_SWINGS, false);
    const summary above = run(1000001, 60, GOV_ABOVE, false);
    const summary crowd = run(1000001, 60, GOV_CROWD, false);
    (void)state;

    assert_int_equal(good.failed, 0);
    assert_true(late.late >= 0.9 * late.binds);
    assert_true(swings.late >= 0.9 * swings.binds);
    assert_true(above.off >= 0.9 * above.binds);
    assert_true(crowd.failed >= 0.9 * crowd.binds);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_machines),
                                       cmocka_unit_test(test_judge)};

    if (argc == 2) { /* one machine, step by step */
        gov_run(strtoull(argv[1], NULL, 10), GOV_GOVERNOR, true);
        return 0;
    }
    if (argc > 2) { /* many: FROM COUNT [who] */
        static const char *const who[GOV_DRIVERS] = {"governor", "known", "late",
                                                     "swings",   "above", "crowd"};
        int d = argc > 3 ? GOV_DRIVERS - 1 : GOV_GOVERNOR;
        while (argc > 3 && d >= 0 && strcmp(argv[3], who[d]) != 0)
            d--;
        if (d < 0) {
            fprintf(stderr, "unknown driver \"%s\": governor, known, late, swings, above, crowd\n",
                    argv[3]);
            return 2;
        }
        run(strtoull(argv[1], NULL, 10), strtoull(argv[2], NULL, 10), (gov_driver)d, true);
        return 0;
    }
    return cmocka_run_group_tests_name("power_governor", tests, NULL, NULL);
}
