/* macOS meters and state over fake frameworks. */
#include <math.h>

#include "fake_mac.h"
#include "power/inhibit.h"
#include "power/user.h"
#include "test.h"

static jl_mac_api api;

static int start(void **state)
{
    (void)state;
    fake_reset();
    api = fake_api();
    return 0;
}

#define assert_near(a, b, tol)                                                                     \
    do {                                                                                           \
        if (!(fabs((a) - (b)) <= (tol)))                                                           \
            fail_msg("%s: %.9g, expected %.9g", #a, (double)(a), (double)(b));                     \
    } while (0)

static fake_node *sample_of(fake_node *a, fake_node *b, fake_node *c)
{
    fake_node *list = fake_new(FAKE_ARRAY);
    fake_node *s = fake_new(FAKE_DICT);

    fake_put(list, NULL, a);
    fake_put(list, NULL, b);
    fake_put(list, NULL, c);
    fake_put(s, "IOReportChannels", list);
    return s;
}

static void test_ioreport(void **state)
{
    jl_meters l = {.n = 0};
    jl_meter_clock c;
    jl_error err = {0};
    (void)state;

    for (int i = 0; i < 4; i++) /* the first two: opening, and the clock's start */
        fake.sample[i] = sample_of(fake_channel("CPU Energy", "mJ", 2500 * i),
                                   fake_channel("DRAM0", "uJ", 500000 * i),
                                   fake_channel("GPU Energy", "nJ", 7000000));
    fake.n_samples = 4;
    jl_ioreport_find(&api, &l);
    assert_int_equal(l.n, 1);
    assert_true(l.m[0].info.readable);
    assert_string_equal(l.m[0].info.name, "ioreport CPU + DRAM");
    assert_int_equal(l.m[0].info.covers, JL_COVERS_CPU | JL_COVERS_DRAM);
    jl_meter_clock_start(&c);
    assert_true(jl_meter_clock_step(&c, &l.m[0], 0.0, &err));
    assert_true(jl_meter_clock_step(&c, &l.m[0], 1.0, &err));
    assert_near(c.joules, 5.0 + 1.0, 1e-9); /* the GPU's energy is not the CPU's */
    assert_true(jl_meter_clock_step(&c, &l.m[0], 2.0, &err));
    assert_near(c.joules, 6.0 + 7.5 + 1.5, 1e-9);
    assert_false(jl_meter_clock_step(&c, &l.m[0], 3.0, &err));
    jl_meters_close(&l);
    assert_int_equal(fake.n_live, 0);
}

static void test_ioreport_without_cpu(void **state)
{
    jl_meters l = {.n = 0};
    char why[300];
    (void)state;

    fake.sample[0] = sample_of(fake_channel("GPU Energy", "nJ", 1), fake_channel("ANE", "mJ", 1),
                               fake_channel("CPU Energy", "parsec", 1));
    fake.n_samples = 1;
    jl_ioreport_find(&api, &l);
    assert_false(l.m[0].info.readable);
    assert_null(jl_meters_choose(&l, JL_COVERS_CPU, NULL, why, sizeof why));
    jl_meters_close(&l);
    assert_int_equal(fake.n_live, 0);
}

static void test_names_and_units(void **state)
{
    (void)state;

    assert_near(jl_energy_unit("mJ"), 1e-3, 0);
    assert_near(jl_energy_unit("uJ "), 1e-6, 0);
    assert_near(jl_energy_unit("nJ"), 1e-9, 0);
    assert_near(jl_energy_unit(""), 0, 0);
    assert_near(jl_energy_unit("mW"), 0, 0);
    assert_int_equal(jl_energy_channel_of("CPU Energy"), JL_CHANNEL_CPU);
    assert_int_equal(jl_energy_channel_of("DIE_1_CPU Energy"), JL_CHANNEL_CPU);
    assert_int_equal(jl_energy_channel_of("PCPU"), JL_CHANNEL_OTHER); /* a part of the above */
    assert_int_equal(jl_energy_channel_of("EACC_CPU0"), JL_CHANNEL_OTHER);
    assert_int_equal(jl_energy_channel_of("XCPU Energy"), JL_CHANNEL_OTHER);
    assert_int_equal(jl_energy_channel_of("GPU Energy"), JL_CHANNEL_GPU);
    assert_int_equal(jl_energy_channel_of("DRAM0"), JL_CHANNEL_DRAM);
}

static void test_smc(void **state)
{
    static const float watts = 11.25f;
    jl_meters l = {.n = 0};
    double v;
    (void)state;

    jl_smc_find(&api, &l);
    assert_int_equal(l.n, 0);
    fake.smc = true;
    fake.smc_type = 0x666c7420; /* "flt " */
    fake.smc_size = 4;
    memcpy(fake.smc_bytes, &watts, sizeof watts);
    jl_smc_find(&api, &l);
    assert_int_equal(l.n, 1);
    assert_string_equal(l.m[0].info.domain, "whole machine");
    assert_true(l.m[0].read(&l.m[0], 0.0, &v, NULL));
    assert_near(v, 11.25, 1e-9);
    fake.smc_result = 0x84; /* no such key */
    assert_false(l.m[0].read(&l.m[0], 0.0, &v, NULL));
    jl_meters_close(&l);
    assert_int_equal(fake.n_open, 0);
    assert_true(jl_smc_value(0x73703738, (const uint8_t[]){0x0c, 0x80}, 2, &v)); /* sp78 */
    assert_near(v, 12.5, 1e-9);
    assert_true(jl_smc_value(0x73703936, (const uint8_t[]){0x01, 0x90}, 2, &v)); /* sp96 */
    assert_near(v, 6.25, 1e-9);
    assert_false(jl_smc_value(0x73703738, (const uint8_t[]){0x0c}, 1, &v));
    assert_false(jl_smc_value(0x666c7420, (const uint8_t[]){0, 0, 0x80, 0x7f}, 4, &v)); /* inf */
}

static void test_battery(void **state)
{
    jl_machine_state s = {.on_ac = -1, .battery = NAN, .thermal = -1, .low_power_mode = -1};
    jl_meters l = {.n = 0};
    jl_error err = {0};
    double v;
    (void)state;

    jl_mac_battery_find(&api, &l);
    assert_int_equal(l.n, 0);
    fake.battery = fake_new(FAKE_DICT);
    fake_put(fake.battery, "InstantAmperage", fake_number(65536 - 900)); /* 16 bits, negative */
    fake_put(fake.battery, "Voltage", fake_number(12000));
    fake_put(fake.battery, "AppleRawCurrentCapacity", fake_number(3000));
    fake_put(fake.battery, "AppleRawMaxCapacity", fake_number(4000));
    fake_put(fake.battery, "ExternalConnected", fake_bool(false));
    fake.thermal = 2;
    fake.low_power = 1;
    jl_mac_battery_find(&api, &l);
    assert_true(l.m[0].info.readable);
    assert_true(l.m[0].read(&l.m[0], 0.0, &v, &err));
    assert_near(v, 0.9 * 12.0, 1e-9);
    jl_mac_state(&api, &s);
    assert_int_equal(s.on_ac, 0);
    assert_near(s.battery, 0.75, 1e-9);
    assert_int_equal(s.thermal, 2);
    assert_int_equal(s.low_power_mode, 1);
    /* newer firmware says what the machine draws, also on AC */
    fake.battery->values[0] = fake_number(1200);
    assert_false(l.m[0].read(&l.m[0], 0.0, &v, &err));
    fake_node *telemetry = fake_new(FAKE_DICT);
    fake_put(telemetry, "SystemLoad", fake_number(8125));
    fake_put(fake.battery, "PowerTelemetryData", telemetry);
    assert_true(l.m[0].read(&l.m[0], 0.0, &v, &err));
    assert_near(v, 8.125, 1e-9);
    fake.battery = NULL; /* vanished */
    assert_false(l.m[0].read(&l.m[0], 0.0, &v, &err));
    assert_int_equal(fake.n_live, 0);
    assert_int_equal(fake.n_open, 0);
}

static void test_rusage(void **state)
{
    jl_meters l = {.n = 0};
    jl_meter_clock c;
    jl_error err = {0};
    (void)state;

    jl_rusage_find(&api, &l);
    assert_false(l.m[0].info.readable); /* a chip that credits nothing */
    assert_non_null(strstr(l.m[0].info.problem, "credits no energy"));
    l.n = 0;
    fake.energy_nj = 1500000000;
    jl_rusage_find(&api, &l);
    assert_true(l.m[0].info.readable);
    assert_string_equal(l.m[0].info.domain, "this process");
    jl_meter_clock_start(&c);
    assert_true(jl_meter_clock_step(&c, &l.m[0], 0.0, &err));
    fake.energy_nj += 4200000000;
    assert_true(jl_meter_clock_step(&c, &l.m[0], 2.0, &err));
    assert_near(c.joules, 4.2, 1e-9);
    assert_near(c.watts, 2.1, 1e-9);
    fake.rusage_rc = -1;
    assert_false(jl_meter_clock_step(&c, &l.m[0], 3.0, &err));
}

static void test_choice(void **state)
{
    jl_meters l = {.n = 0};
    char why[300];
    (void)state;

    fake.sample[0] = fake.sample[1] =
        sample_of(fake_channel("CPU Energy", "mJ", 1), fake_channel("DRAM", "mJ", 1),
                  fake_channel("GPU Energy", "mJ", 1));
    fake.n_samples = 1;
    fake.energy_nj = 1;
    jl_rusage_find(&api, &l);
    jl_ioreport_find(&api, &l);
    assert_string_equal(jl_meters_choose(&l, JL_COVERS_CPU, NULL, why, sizeof why)->info.source,
                        "ioreport");
    assert_string_equal(jl_meters_choose(&l, JL_COVERS_CPU, "rusage", why, sizeof why)->info.source,
                        "rusage");
    jl_meters_close(&l);
}

static void test_awake(void **state)
{
    jl_inhibit i = {.mac = &api};
    (void)state;

    jl_inhibit_take(&i);
    jl_inhibit_take(&i);
    assert_int_equal(fake.n_awake, 1);
    jl_inhibit_release(&i);
    jl_inhibit_release(&i);
    assert_int_equal(fake.n_awake, 0);
    assert_int_equal(fake.n_live, 0);
}

static void test_user(void **state)
{
    jl_user u = {.mac = &api};
    (void)state;

    assert_true(isnan(jl_user_idle(&u)));
    fake.hid = fake_new(FAKE_DICT);
    assert_true(isnan(jl_user_idle(&u)));
    fake_put(fake.hid, "HIDIdleTime", fake_number(2500000000));
    assert_true(jl_user_idle(&u) == 2.5);
    fake_put(fake.hid = fake_new(FAKE_DICT), "HIDIdleTime", fake_bool(true));
    assert_true(isnan(jl_user_idle(&u)));
    assert_int_equal(fake.n_live, 0);
    assert_int_equal(fake.n_open, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_ioreport, start),
        cmocka_unit_test_setup(test_ioreport_without_cpu, start),
        cmocka_unit_test_setup(test_names_and_units, start),
        cmocka_unit_test_setup(test_smc, start),
        cmocka_unit_test_setup(test_battery, start),
        cmocka_unit_test_setup(test_rusage, start),
        cmocka_unit_test_setup(test_choice, start),
        cmocka_unit_test_setup(test_awake, start),
        cmocka_unit_test_setup(test_user, start),
    };
    return cmocka_run_group_tests_name("power_mac", tests, NULL, NULL);
}
