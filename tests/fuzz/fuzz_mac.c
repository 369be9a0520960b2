/* Any answers of the frameworks of macOS: names, units, types and values from the input. Meters are
 * found or not, energy never shrinks and is finite, everything that was opened is released. */
#include <math.h>
#include <string.h>

#include "../power/fake_mac.h"
#include "fuzz.h"

typedef struct {
    const uint8_t *data;
    size_t left;
} bytes;

static uint8_t take(bytes *b)
{
    if (!b->left)
        return 0;
    b->left--;
    return *b->data++;
}

static int64_t take_number(bytes *b)
{
    uint64_t v = 0;
    const int n = take(b) % 9;

    for (int i = 0; i < n; i++)
        v = v << 8 | take(b);
    return (int64_t)v;
}

static void take_text(bytes *b, char out[64])
{
    static const char *const known[] = {"CPU Energy", "GPU Energy", "DRAM0",           "mJ",
                                        "uJ",         "nJ",         "DIE_1_CPU Energy"};
    const uint8_t kind = take(b);
    size_t n = 0;

    if (kind < 7) {
        memcpy(out, known[kind], strlen(known[kind]) + 1);
        return;
    }
    for (n = 0; n < kind % 64u; n++)
        out[n] = (char)take(b);
    out[n < 63 ? n : 63] = '\0';
}

static fake_node *take_value(bytes *b)
{
    char text[64];

    switch (take(b) % 5) {
    case 0:
        take_text(b, text);
        return fake_string(text);
    case 1:
        return fake_bool(take(b) & 1);
    case 2:
        return fake_new(FAKE_OTHER);
    default:
        return fake_number(take_number(b));
    }
}

static fake_node *take_sample(bytes *b)
{
    fake_node *list = fake_new(take(b) == 255 ? FAKE_OTHER : FAKE_ARRAY);
    fake_node *sample = fake_new(FAKE_DICT);
    const int n = take(b) % 8;

    for (int i = 0; i < n; i++) {
        char name[64], unit[64];
        take_text(b, name);
        take_text(b, unit);
        fake_node *c = fake_channel(name, unit, take_number(b));
        if (take(b) == 1)
            c->values[0] = take_value(b); /* no string where one should be */
        fake_put(list, NULL, c);
    }
    if (take(b) != 255)
        fake_put(sample, "IOReportChannels", list);
    return sample;
}

static void take_battery(bytes *b)
{
    static const char *const keys[] = {"InstantAmperage",         "Voltage",
                                       "CurrentCapacity",         "MaxCapacity",
                                       "AppleRawCurrentCapacity", "AppleRawMaxCapacity",
                                       "ExternalConnected"};

    fake.battery = fake_new(FAKE_DICT);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (take(b) & 1)
            fake_put(fake.battery, keys[i], take_value(b));
    if (take(b) & 1) {
        fake_node *telemetry = take(b) == 255 ? take_value(b) : fake_new(FAKE_DICT);
        fake_put(telemetry, "SystemLoad", take_value(b));
        fake_put(fake.battery, "PowerTelemetryData", telemetry);
    }
}

static void take_machine(bytes *b)
{
    fake_reset();
    fake.n_samples = take(b) % 8;
    for (int i = 0; i < fake.n_samples; i++)
        fake.sample[i] = take_sample(b);
    if (take(b) & 1)
        take_battery(b);
    fake.smc = take(b) & 1;
    fake.smc_type = (uint32_t)take_number(b);
    if (take(b) & 1)
        fake.smc_type = 0x666c7420; /* "flt " */
    fake.smc_size = take(b);
    for (size_t i = 0; i < sizeof fake.smc_bytes; i++)
        fake.smc_bytes[i] = take(b);
    fake.smc_result = take(b) == 1;
    fake.thermal = (int8_t)take(b);
    fake.energy_nj = (uint64_t)take_number(b);
    fake.rusage_rc = take(b) == 1;
}

static void run_meter(jl_meter *m)
{
    jl_meter_clock c;
    jl_error err;
    double before = 0.0;

    jl_meter_clock_start(&c);
    for (int i = 0; i < 6; i++) {
        (void)jl_meter_clock_step(&c, m, i, &err);
        fuzz_require(isfinite(c.joules) && c.joules >= before);
        before = c.joules;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes b = {data, size};
    jl_meters l = {.n = 0};
    jl_machine_state s = {
        .on_ac = -1, .battery = NAN, .temperature_c = NAN, .thermal = -1, .low_power_mode = -1};

    take_machine(&b);
    const jl_mac_api api = fake_api();
    jl_ioreport_find(&api, &l);
    jl_smc_find(&api, &l);
    jl_mac_battery_find(&api, &l);
    jl_rusage_find(&api, &l);
    for (size_t i = 0; i < l.n; i++) {
        fuzz_require(l.m[i].info.readable || l.m[i].info.problem[0]);
        if (l.m[i].info.readable)
            run_meter(&l.m[i]);
    }
    jl_mac_state(&api, &s);
    fuzz_require(isnan(s.battery) || (s.battery >= 0.0 && s.battery <= 1.0));
    fuzz_require(s.thermal >= -1 && s.thermal <= 3);
    jl_meters_close(&l);
    fuzz_require(fake.n_live == 0);
    fuzz_require(fake.n_open == 0);
    return 0;
}
