/* Linux meters and states over trees in memory. The trees in tests/data/power show what kernels of
 * such machines show; the generated ones here go through what rarely happens. */
#include <math.h>

#include "base/mem.h"
#include "joule/sys.h"
#include "power/meter.h"
#include "power/nvml.h"
#include "test.h"
#include "tree.h"

static char text[1 << 16];

static tree load(const char *name)
{
    char path[400];
    char *data;
    size_t n;
    jl_error err = {0};

    snprintf(path, sizeof path, "%s/power/%s.tree", JL_TEST_DATA, name);
    assert_ok(jl_file_read(path, sizeof text - 1, &data, &n, &err));
    memcpy(text, data, n + 1);
    jl_free(data);
    return (tree){text, n};
}

static void append(tree *t, const char *line)
{
    const int n = snprintf(text + t->len, sizeof text - t->len, "%s\n", line);

    t->len += (size_t)n;
    t->text = text;
}

static void find(const jl_sysfs *fs, jl_meters *l)
{
    l->n = 0;
    jl_rapl_find(fs, l);
    jl_hwmon_find(fs, l);
    jl_battery_find(fs, l);
}

static jl_meter *choose(jl_meters *l, unsigned device, const char *source, char why[300])
{
    return jl_meters_choose(l, device, source, why, 300);
}

#define assert_near(a, b, tol)                                                                     \
    do {                                                                                           \
        if (!(fabs((a) - (b)) <= (tol)))                                                           \
            fail_msg("%s: %.9g, expected %.9g", #a, (double)(a), (double)(b));                     \
    } while (0)

static void test_intel_laptop(void **state)
{
    tree t = load("intel-laptop");
    const jl_sysfs fs = tree_sysfs(&t);
    jl_meter_clock c;
    jl_meters l;
    jl_error err = {0};
    char why[300];
    (void)state;

    find(&fs, &l);
    jl_meter *m = choose(&l, JL_COVERS_CPU, NULL, why);
    assert_non_null(m);
    assert_string_equal(m->info.name, "rapl package-0 + dram");
    assert_string_equal(m->info.domain, "package");
    assert_int_equal(m->info.covers, JL_COVERS_CPU | JL_COVERS_DRAM);
    jl_meter_clock_start(&c);
    assert_true(jl_meter_clock_step(&c, m, 0.0, &err));
    /* the package's counter wraps: 28850 uJ to the end of its range and 12 J from 0; 3 J of dram */
    append(&t, "class/powercap/intel-rapl:0/energy_uj = 12000000");
    append(&t, "class/powercap/intel-rapl:0:2/energy_uj = 5003000000");
    assert_true(jl_meter_clock_step(&c, m, 1.0, &err));
    assert_near(c.joules, 15.02885, 1e-9);
    assert_near(c.watts, 15.02885, 1e-9);
    /* and again and again, with no drift */
    for (int i = 0; i < 50; i++) {
        append(&t, i % 2 ? "class/powercap/intel-rapl:0/energy_uj = 12000000"
                         : "class/powercap/intel-rapl:0/energy_uj = 262143298850");
        t.len = strlen(text);
        assert_true(jl_meter_clock_step(&c, m, 2.0 + 400.0 * i, &err));
    }
    assert_near(c.joules, 15.02885 + 25 * (262131.298850 + 12.03), 1e-3);
    jl_meters_close(&l);
}

static void test_counter_restarts(void **state)
{
    tree t = load("intel-laptop");
    const jl_sysfs fs = tree_sysfs(&t);
    jl_meter_clock c;
    jl_meters l;
    jl_error err = {0};
    char why[300];
    (void)state;

    append(&t, "class/powercap/intel-rapl:0/energy_uj = 9000000000");
    find(&fs, &l);
    jl_meter *m = choose(&l, JL_COVERS_CPU, NULL, why);
    jl_meter_clock_start(&c);
    assert_true(jl_meter_clock_step(&c, m, 0.0, &err));
    /* after suspend it starts anew: 253 kJ within a second is no wrap-around */
    append(&t, "class/powercap/intel-rapl:0/energy_uj = 5000000");
    assert_true(jl_meter_clock_step(&c, m, 1.0, &err));
    assert_near(c.joules, 5.0, 1e-9);
    jl_meters_close(&l);
}

static void test_meter_vanishes(void **state)
{
    tree t = load("intel-laptop");
    const jl_sysfs fs = tree_sysfs(&t);
    jl_meter_clock c;
    jl_meters l;
    jl_error err = {0};
    char why[300];
    (void)state;

    find(&fs, &l);
    jl_meter *m = choose(&l, JL_COVERS_CPU, NULL, why);
    jl_meter_clock_start(&c);
    assert_true(jl_meter_clock_step(&c, m, 0.0, &err));
    append(&t, "class/powercap/intel-rapl:0:2/energy_uj ! absent");
    assert_false(jl_meter_clock_step(&c, m, 1.0, &err));
    assert_non_null(strstr(err.text, "intel-rapl:0:2/energy_uj"));
    assert_near(c.joules, 0.0, 0.0);
    append(&t, "class/powercap/intel-rapl:0:2/energy_uj = rubbish");
    assert_false(jl_meter_clock_step(&c, m, 2.0, &err));
    append(&t, "class/powercap/intel-rapl:0:2/energy_uj = 99999999999999999999");
    assert_false(jl_meter_clock_step(&c, m, 3.0, &err));
    append(&t, "class/powercap/intel-rapl:0:2/energy_uj = 5009000000");
    assert_true(jl_meter_clock_step(&c, m, 4.0, &err));
    assert_near(c.joules, 0.0, 0.0); /* what was used while it was gone is not known */
    jl_meters_close(&l);
}

static void test_two_sockets(void **state)
{
    tree t = load("two-sockets");
    const jl_sysfs fs = tree_sysfs(&t);
    jl_meter_clock c;
    jl_meters l;
    jl_error err = {0};
    char why[300];
    (void)state;

    find(&fs, &l);
    assert_int_equal(l.n, 1);
    jl_meter *m = choose(&l, JL_COVERS_CPU, NULL, why);
    assert_string_equal(m->info.name, "rapl package-0 + dram + package-1 + dram");
    jl_meter_clock_start(&c);
    assert_true(jl_meter_clock_step(&c, m, 0.0, &err));
    append(&t, "class/powercap/intel-rapl:0/energy_uj = 10000000");  /* wraps: 10.32885 J */
    append(&t, "class/powercap/intel-rapl:0:0/energy_uj = 1000000"); /* wraps: 1.099613 J */
    append(&t, "class/powercap/intel-rapl:1/energy_uj = 21000000");  /* 20 J */
    append(&t, "class/powercap/intel-rapl:1:0/energy_uj = 2500000"); /* 0.5 J */
    assert_true(jl_meter_clock_step(&c, m, 2.0, &err));
    assert_near(c.joules, 10.32885 + 1.099613 + 20.5, 1e-6);
    assert_near(c.watts, (10.32885 + 1.099613 + 20.5) / 2.0, 1e-6);
    jl_meters_close(&l);
}

static void test_permissions(void **state)
{
    tree t = load("amd-laptop");
    const jl_sysfs fs = tree_sysfs(&t);
    jl_meters l;
    char why[300];
    (void)state;

    find(&fs, &l);
    /* on battery the battery serves */
    jl_meter *m = choose(&l, JL_COVERS_CPU, NULL, why);
    assert_non_null(m);
    assert_string_equal(m->info.source, "battery");
    double watts;
    assert_true(m->read(m, 0.0, &watts, NULL));
    assert_near(watts, 0.85 * 16.0, 1e-9);
    /* on AC nothing does, and the reason names the file and the fix */
    append(&t, "class/power_supply/BAT1/status = Charging");
    jl_meters_close(&l);
    find(&fs, &l);
    assert_null(choose(&l, JL_COVERS_CPU, NULL, why));
    assert_non_null(strstr(why, "no meter"));
    assert_non_null(strstr(why, "/sys/class/powercap/intel-rapl:0/energy_uj"));
    assert_non_null(strstr(why, "60-joule-rapl.rules"));
    jl_meters_close(&l);
}

static void test_wrong_device_is_refused_by_name(void **state)
{
    tree t = load("amd-laptop");
    const jl_sysfs fs = tree_sysfs(&t);
    jl_meters l;
    char why[300];
    (void)state;

    find(&fs, &l);
    jl_meter *m = choose(&l, JL_COVERS_GPU, "hwmon", why);
    assert_non_null(m);
    assert_string_equal(m->info.name, "hwmon amdgpu PPT");
    assert_null(choose(&l, JL_COVERS_CPU, "hwmon", why));
    assert_non_null(strstr(why, "hwmon amdgpu PPT covers GPU and says nothing of the CPU"));
    /* a driver whose coverage is not known is never used */
    for (size_t i = 0; i < l.n; i++)
        if (strstr(l.m[i].info.name, "ina3221"))
            assert_int_equal(l.m[i].info.covers, 0);
    assert_null(choose(&l, JL_COVERS_CPU, "nvml", why));
    assert_non_null(strstr(why, "no source named nvml"));
    jl_meters_close(&l);
}

static void test_batteries(void **state)
{
    tree t = load("two-batteries");
    const jl_sysfs fs = tree_sysfs(&t);
    jl_machine_state s = {.on_ac = -1, .battery = NAN, .temperature_c = NAN, .thermal = -1};
    jl_meter_clock c;
    jl_meters l;
    jl_error err = {0};
    char why[300];
    (void)state;

    find(&fs, &l);
    jl_meter *m = choose(&l, JL_COVERS_CPU, NULL, why);
    assert_string_equal(m->info.domain, "whole machine");
    jl_meter_clock_start(&c);
    assert_true(jl_meter_clock_step(&c, m, 0.0, &err));
    assert_near(c.watts, 7.25, 1e-9);
    append(&t, "class/power_supply/BAT0/status = Discharging");
    append(&t, "class/power_supply/BAT0/power_now = 1000000");
    assert_true(jl_meter_clock_step(&c, m, 4.0, &err));
    assert_near(c.joules, (7.25 + 8.25) / 2.0 * 4.0, 1e-9); /* trapezoid */
    jl_supply_state(&fs, &s);
    assert_int_equal(s.on_ac, 0);
    assert_near(s.battery, 36.0 / 72.0, 1e-9);
    /* one is taken out, the other is on the charger */
    append(&t, "class/power_supply/BAT0/present = 0");
    append(&t, "class/power_supply/BAT1/status = Charging");
    append(&t, "class/power_supply/ucsi-source-psy-USBC000:001/online = 1");
    assert_false(jl_meter_clock_step(&c, m, 5.0, &err));
    assert_non_null(strstr(err.text, "does not discharge"));
    jl_supply_state(&fs, &s);
    assert_int_equal(s.on_ac, 1);
    append(&t, "class/power_supply/BAT1/present = 0");
    assert_false(jl_meter_clock_step(&c, m, 6.0, &err));
    assert_non_null(strstr(err.text, "no battery"));
    jl_meters_close(&l);
}

static void test_states(void **state)
{
    jl_machine_state s = {.on_ac = -1, .battery = NAN, .temperature_c = NAN, .thermal = -1};
    tree t = load("intel-laptop");
    jl_sysfs fs = tree_sysfs(&t);
    (void)state;

    jl_supply_state(&fs, &s);
    jl_thermal_state(&fs, &s);
    assert_int_equal(s.on_ac, 1);
    assert_near(s.battery, 0.74, 1e-9);       /* the mouse's battery does not count */
    assert_near(s.temperature_c, 62.0, 1e-9); /* nor do the disk and the board */
    assert_int_equal(s.thermal, 0);
    append(&t, "class/hwmon/hwmon0/temp1_input = 98000");
    jl_thermal_state(&fs, &s);
    assert_int_equal(s.thermal, 3);

    s = (jl_machine_state){.on_ac = -1, .battery = NAN, .temperature_c = NAN, .thermal = -1};
    t = load("arm-board");
    fs = tree_sysfs(&t);
    jl_supply_state(&fs, &s);
    jl_thermal_state(&fs, &s);
    assert_int_equal(s.on_ac, -1);
    assert_true(isnan(s.battery));
    assert_int_equal(s.thermal, 2); /* 1.5 degrees below its passive trip point */
    append(&t, "class/thermal/thermal_zone0/temp = -274000");
    s.temperature_c = NAN;
    s.thermal = -1;
    jl_thermal_state(&fs, &s);
    assert_true(isnan(s.temperature_c));
}

static void test_arm_board(void **state)
{
    tree t = load("arm-board");
    const jl_sysfs fs = tree_sysfs(&t);
    jl_meters l;
    char why[300];
    (void)state;

    find(&fs, &l);
    assert_int_equal(l.n, 1); /* the rail is a part of the total */
    jl_meter *m = choose(&l, JL_COVERS_CPU | JL_COVERS_GPU, NULL, why);
    double watts;
    assert_true(m->read(m, 0.0, &watts, NULL));
    assert_near(watts, 6.12, 1e-9);
    jl_meters_close(&l);
}

static void test_nothing(void **state)
{
    tree t = load("container");
    const jl_sysfs fs = tree_sysfs(&t);
    jl_meters l;
    char why[300];
    (void)state;

    find(&fs, &l);
    assert_int_equal(l.n, 0);
    assert_null(choose(&l, JL_COVERS_CPU, NULL, why));
    assert_non_null(strstr(why, "no meter: this machine shows neither"));
}

/* Many sockets, names out of order, more zones than there is room for. */
static void test_generated(void **state)
{
    jl_error err = {0};
    char why[300];
    (void)state;

    for (int sockets = 1; sockets <= 40; sockets++) {
        tree t = {text, 0};
        char line[160];
        double expect = 0.0;
        for (int i = sockets; i-- > 0;) {
            snprintf(line, sizeof line, "class/powercap/intel-rapl:%d/name = package-%d", i, i);
            append(&t, line);
            snprintf(line, sizeof line,
                     "class/powercap/intel-rapl:%d/max_energy_range_uj = 1000000000", i);
            append(&t, line);
            snprintf(line, sizeof line, "class/powercap/intel-rapl:%d/energy_uj = %d", i,
                     999000000 - i);
            append(&t, line);
        }
        const jl_sysfs fs = tree_sysfs(&t);
        jl_meters l;
        jl_meter_clock c;
        find(&fs, &l);
        jl_meter *m = choose(&l, JL_COVERS_CPU, NULL, why);
        assert_non_null(m);
        jl_meter_clock_start(&c);
        assert_true(jl_meter_clock_step(&c, m, 0.0, &err));
        for (int i = 0; i < sockets; i++) {
            snprintf(line, sizeof line, "class/powercap/intel-rapl:%d/energy_uj = %d", i,
                     2000000 * (i % 3));
            append(&t, line);
        }
        assert_true(jl_meter_clock_step(&c, m, 10.0, &err));
        jl_sys_names names;
        jl_sysfs_names(&fs, "class/powercap", "intel-rapl:", &names);
        for (size_t i = 0; i < names.n && i < 32; i++) {
            const int k = (int)strtol(names.name[i] + 11, NULL, 10);
            expect += 1.0 + 1e-6 * k + 2.0 * (k % 3);
        }
        assert_near(c.joules, expect, 1e-6);
        jl_meters_close(&l);
    }
}

static void test_numbers(void **state)
{
    int64_t v;
    (void)state;

    assert_true(jl_number_parse("0", &v) && v == 0);
    assert_true(jl_number_parse(" -7250000 ", &v) && v == -7250000);
    assert_true(jl_number_parse("9223372036854775807", &v) && v == INT64_MAX);
    assert_false(jl_number_parse("9223372036854775808", &v));
    assert_false(jl_number_parse("", &v));
    assert_false(jl_number_parse("-", &v));
    assert_false(jl_number_parse("12 W", &v));
    assert_false(jl_number_parse("0x10", &v));
}

/* ---- NVML ------------------------------------------------------------------------------- */

static unsigned long long gpu_mj[2];
static int gpu_rc, n_init, n_shutdown;
static int fake_init(void)
{
    n_init++;
    return 0;
}
static int fake_shutdown(void)
{
    n_shutdown++;
    return 0;
}
static int fake_count(unsigned *n)
{
    *n = 2;
    return 0;
}
static int fake_handle(unsigned i, void **device)
{
    *device = &gpu_mj[i];
    return 0;
}
static int fake_name(void *device, char *out, unsigned cap)
{
    snprintf(out, cap, "NVIDIA Test");
    return device ? 0 : 1;
}
static int fake_energy(void *device, unsigned long long *mj)
{
    *mj = *(unsigned long long *)device;
    return gpu_rc;
}
static int fake_power(void *device, unsigned *mw)
{
    *mw = device == &gpu_mj[0] ? 30000 : 12500;
    return 0;
}

static void test_nvml(void **state)
{
    const jl_nvml_api api = {fake_init, fake_shutdown, fake_count, fake_handle,
                             fake_name, fake_energy,   fake_power, NULL};
    jl_meters l = {.n = 0};
    jl_meter_clock c;
    jl_error err = {0};
    char why[300];
    (void)state;

    gpu_mj[0] = 1000;
    gpu_mj[1] = 7000;
    jl_nvml_add(&api, &l);
    assert_int_equal(l.n, 1);
    assert_null(choose(&l, JL_COVERS_CPU, NULL, why));
    assert_non_null(strstr(why, "nvml 2x NVIDIA Test covers GPU and says nothing of the CPU"));
    jl_meter *m = choose(&l, JL_COVERS_GPU, NULL, why);
    jl_meter_clock_start(&c);
    assert_true(jl_meter_clock_step(&c, m, 0.0, &err));
    gpu_mj[0] += 2500;
    gpu_mj[1] += 500;
    assert_true(jl_meter_clock_step(&c, m, 0.5, &err));
    assert_near(c.joules, 3.0, 1e-9);
    assert_near(c.watts, 6.0, 1e-9);
    gpu_rc = 15; /* the GPU is lost */
    assert_false(jl_meter_clock_step(&c, m, 1.0, &err));
    assert_non_null(strstr(err.text, "code 15"));
    jl_meters_close(&l);
    /* without a counter, power is integrated */
    jl_nvml_add(&api, &l);
    m = choose(&l, JL_COVERS_GPU, NULL, why);
    assert_false(m->info.counter);
    double watts;
    assert_true(m->read(m, 0.0, &watts, NULL));
    assert_near(watts, 42.5, 1e-9);
    jl_meters_close(&l);
    assert_int_equal(n_init, 2);
    assert_int_equal(n_shutdown, 2);
    gpu_rc = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_intel_laptop),
        cmocka_unit_test(test_counter_restarts),
        cmocka_unit_test(test_meter_vanishes),
        cmocka_unit_test(test_two_sockets),
        cmocka_unit_test(test_permissions),
        cmocka_unit_test(test_wrong_device_is_refused_by_name),
        cmocka_unit_test(test_batteries),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_arm_board),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_generated),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_nvml),
    };
    return cmocka_run_group_tests_name("power_meters", tests, NULL, NULL);
}
