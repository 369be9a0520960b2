/* The power object over a real session: tokens are the same under every limit, energy and pace are
 * counted. The meter is a RAPL tree in a folder whose counter a thread moves by the processor time
 * this program uses, so that the loop is closed over the real actuators. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/sysfile.h"
#include "joule/power.h"
#include "power/pace.h"
#include "power/rules.h"
#include "power/user.h"
#include "test.h"

enum { N_PROMPT = 20, N_TOKENS = 6, CPU_WATTS = 10, IDLE_WATTS = 1 };

static const char *model_path;
static char root[256];
static jl_model *model;
static jl_model_info info;

/* ---- a machine with a counter ----------------------------------------------------------- */

static atomic_bool machine_ends;
static pthread_t machine;

static void write_file(const char *name, const char *text)
{
    char path[600], temporary[640];

    snprintf(path, sizeof path, "%s/%s", root, name);
    snprintf(temporary, sizeof temporary, "%s.new", path);
    FILE *f = fopen(temporary, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(rename(temporary, path), 0); /* readers see one or the other */
}

static void show_energy(uint64_t start_ns)
{
    const double t = (double)(jl_time_ns() - start_ns) * 1e-9;
    char text[64];

    snprintf(text, sizeof text, "%.0f\n",
             1e6 * (1000.0 + IDLE_WATTS * t + CPU_WATTS * jl_time_cpu()));
    write_file("class/powercap/intel-rapl:0/energy_uj", text);
}

static void *run_machine(void *ctx)
{
    const uint64_t start = jl_time_ns();
    (void)ctx;

    while (!atomic_load(&machine_ends)) {
        show_energy(start);
        jl_sleep_ns(10000000);
    }
    return NULL;
}

static void make_folder(const char *name)
{
    char path[600];

    snprintf(path, sizeof path, "%s/%s", root, name);
    if (mkdir(path, 0700) != 0)
        assert_int_equal(errno, EEXIST);
}

static int start_machine(void **state)
{
    jl_error err = {0};
    (void)state;

    make_folder("");
    make_folder("class");
    make_folder("class/powercap");
    make_folder("class/powercap/intel-rapl:0");
    write_file("class/powercap/intel-rapl:0/name", "package-0\n");
    write_file("class/powercap/intel-rapl:0/max_energy_range_uj", "262143328850\n");
    show_energy(jl_time_ns());
    assert_ok(jl_model_open(model_path, NULL, &model, &err));
    jl_model_get_info(model, &info);
    return pthread_create(&machine, NULL, run_machine, NULL);
}

static int end_machine(void **state)
{
    (void)state;
    atomic_store(&machine_ends, true);
    pthread_join(machine, NULL);
    jl_model_close(model);
    return 0;
}

/* ---- tokens ----------------------------------------------------------------------------- */

typedef struct {
    int32_t tokens[N_TOKENS];
    uint64_t hash; /* of all bits of all logits */
} answer;

static uint64_t mix(uint64_t h, const float *logits, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &logits[i], sizeof bits);
        h = (h ^ bits) * 0x100000001b3u;
    }
    return h;
}

static int32_t best(const float *logits, uint32_t n)
{
    uint32_t at = 0;

    for (uint32_t i = 1; i < n; i++)
        at = logits[i] > logits[at] ? i : at;
    return (int32_t)at;
}

/* Greedy tokens after a prompt, under params (NULL: no power object). */
static answer generate(const jl_power_params *params, jl_power_totals *totals)
{
    jl_session_params sp = {.struct_size = sizeof sp, .n_ctx = 256, .n_threads = 3};
    jl_session *s = NULL;
    jl_power *power = NULL;
    jl_error err = {0};
    int32_t prompt[N_PROMPT];
    answer a = {.hash = 0xcbf29ce484222325u};

    assert_ok(jl_session_create(model, &sp, &s, &err));
    if (params) {
        assert_ok(jl_power_open(params, &power, &err));
        jl_power_attach(power, s);
        jl_power_begin(power);
    }
    for (int i = 0; i < N_PROMPT; i++)
        prompt[i] = 5 + (i * 37) % 1000;
    jl_piece piece = {.seq = 0, .tokens = prompt, .n_tokens = N_PROMPT};
    for (int i = 0; i < N_TOKENS; i++) {
        assert_ok(jl_session_eval(s, &piece, 1, &err));
        const float *logits = jl_session_logits(s, 0);
        a.hash = mix(a.hash, logits, info.n_vocab);
        a.tokens[i] = best(logits, info.n_vocab);
        piece = (jl_piece){.seq = 0, .tokens = &a.tokens[i], .n_tokens = 1};
    }
    if (power) {
        jl_power_end(power);
        jl_power_get_totals(power, totals);
        jl_power_detach(power, s);
        jl_power_close(power);
    }
    jl_session_destroy(s);
    return a;
}

static jl_power_params params_of(double budget, double target, double duty)
{
    return (jl_power_params){.struct_size = sizeof(jl_power_params),
                             .sysfs = root,
                             .budget_w = budget,
                             .target_j = target,
                             .duty = duty};
}

static void test_same_tokens(void **state)
{
    const answer free_run = generate(NULL, NULL);
    const jl_power_params limits[] = {
        params_of(0, 0, 0),     params_of(3, 0, 0),   params_of(0.5, 0, 0),  params_of(1000, 0, 0),
        params_of(0, 0.001, 0), params_of(0, 0, 0.3), params_of(6, 0.5, 0.8)};
    (void)state;

    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        jl_power_totals t;
        const answer a = generate(&limits[i], &t);
        assert_memory_equal(a.tokens, free_run.tokens, sizeof a.tokens);
        assert_true(a.hash == free_run.hash);
        assert_int_equal(t.n_prompt, N_PROMPT);
        assert_int_equal(t.n_decode, N_TOKENS - 1);
        assert_true(t.prompt_j >= 0 && t.decode_j >= 0 && t.prompt_j + t.decode_j > 0);
        assert_true(t.busy_s > 0 && t.busy_s <= t.work_s);
    }
}

/* The share of time that is worked, by the object's own clocks: other programs do not change it. */
static void test_duty(void **state)
{
    const jl_power_params half = params_of(0, 0, 0.5);
    jl_power_totals t;
    (void)state;

    (void)generate(&half, &t);
    assert_true(t.busy_s / t.work_s < 0.62);
}

/* Thread counts, kinds of cores and micro-batches that change between layers. */
static void shuffle_use(void *ctx, jl_session *s, const jl_pace_point *at)
{
    uint64_t *n = ctx;
    (void)at;

    *n = *n * 6364136223846793005u + 1442695040888963407u;
    jl_session_set_use(s, &(jl_session_use){.n_threads = 1 + (uint32_t)(*n >> 33) % 3,
                                            .n_ubatch = 1 + (uint32_t)(*n >> 40) % 40,
                                            .place = (jl_place)((*n >> 50) % 4)});
}

static void test_changing_use(void **state)
{
    jl_session_params sp = {.struct_size = sizeof sp, .n_ctx = 256, .n_threads = 3};
    jl_session *s = NULL;
    jl_error err = {0};
    int32_t prompt[40];
    uint64_t hash[2] = {7, 7};
    uint64_t seed = 1;
    (void)state;

    for (int i = 0; i < 40; i++)
        prompt[i] = 5 + (i * 91) % 1000;
    for (int run = 0; run < 2; run++) {
        assert_ok(jl_session_create(model, &sp, &s, &err));
        if (run)
            jl_session_set_pace(s, shuffle_use, &seed);
        for (int i = 0; i < 5; i++) {
            const jl_piece p = {.seq = 0, .tokens = prompt + 8 * i, .n_tokens = 8};
            assert_ok(jl_session_eval(s, &p, 1, &err));
            hash[run] = mix(hash[run], jl_session_logits(s, 0), info.n_vocab);
        }
        jl_session_destroy(s);
    }
    assert_true(hash[0] == hash[1]);
}

static void test_refusals(void **state)
{
    jl_power *power = NULL;
    jl_error err = {0};
    jl_power_params p = params_of(8, 0, 0);
    (void)state;

    p.sysfs = "/nonexistent";
    assert_fails(jl_power_open(&p, &power, &err), JL_UNSUPPORTED, "no meter");
    assert_non_null(strstr(err.text, "--duty"));
    p = params_of(0, 0.5, 0);
    p.sysfs = "/nonexistent";
    assert_fails(jl_power_open(&p, &power, &err), JL_UNSUPPORTED, "no meter");
    p = params_of(8, 0, 0);
    p.device = JL_COVERS_GPU;
    assert_fails(jl_power_open(&p, &power, &err), JL_UNSUPPORTED, "says nothing of the GPU");
    make_folder("class/hwmon");
    make_folder("class/hwmon/hwmon7");
    write_file("class/hwmon/hwmon7/name", "amdgpu\n");
    write_file("class/hwmon/hwmon7/power1_average", "30000000\n");
    assert_fails(jl_power_open(&p, &power, &err), JL_UNSUPPORTED, "a GPU does the work");
    p.budget_w = 0;
    assert_ok(jl_power_open(&p, &power, &err));
    assert_string_equal(jl_power_meter(power)->domain, "GPU");
    assert_fails(jl_power_set_limits(power, &(jl_power_limits){8, -1, -1}, &err), JL_UNSUPPORTED,
                 "a GPU does the work");
    jl_power_close(power);
    p = params_of(0, 0, 0);
    p.meter = "battery";
    assert_fails(jl_power_open(&p, &power, &err), JL_UNSUPPORTED, "no source named battery");
    p = params_of(0, 0, 0);
    assert_ok(jl_power_open(&p, &power, &err));
    assert_fails(jl_power_set_limits(power, &(jl_power_limits){-1, -1, 1.5}, &err), JL_INVALID,
                 "out of range");
    assert_ok(jl_power_set_limits(power, &(jl_power_limits){8, -1, 0.5}, &err));
    jl_power_status st;
    jl_power_get_status(power, &st);
    assert_true(st.budget_w == 8.0 && st.duty_limit == 0.5 && st.target_j == 0.0);
    assert_string_equal(st.domain, "package");
    jl_power_close(power);
}

static void test_idle_baseline(void **state)
{
    const jl_power_params p = params_of(0, 0, 0);
    jl_power *power = NULL;
    jl_power_totals t;
    jl_error err = {0};
    (void)state;

    assert_ok(jl_power_open(&p, &power, &err));
    jl_power_get_totals(power, &t);
    assert_true(isnan(t.idle_w) && isnan(t.above_idle));
    assert_ok(jl_power_measure_idle(power, 0.5, &err));
    jl_power_get_totals(power, &t);
    assert_true(t.idle_w > 0.3 && t.idle_w < IDLE_WATTS + 2.0 * CPU_WATTS);
    jl_power_close(power);
}

static void test_pace(void **state)
{
    jl_pace p = {0};
    double worked = 0;
    double slept = 0;
    (void)state;

    assert_true(jl_pace_work(&p, 1000000, 1.0) == 0);
    for (int i = 0; i < 5000; i++) { /* layers of 0.1 to 3 ms; every sleep takes 60 us longer */
        const uint64_t work = 100000 + (uint64_t)(i % 30) * 100000;
        const uint64_t ns = jl_pace_work(&p, work, 0.25);
        worked += (double)work;
        assert_true(ns == 0 || (ns >= 1000000 && ns <= 100000000));
        if (ns) {
            slept += (double)ns + 60000;
            jl_pace_slept(&p, ns + 60000);
        }
    }
    const double share = worked / (worked + slept);
    assert_true(share > 0.248 && share < 0.252);
    (void)jl_pace_work(&p, 3600000000000u, 0.5); /* an hour's stall is not slept off */
    assert_true(p.owed_ns <= 2e9);
}

static void test_rules(void **state)
{
    jl_machine_state s = {.on_ac = 1, .battery = 0.1, .thermal = 0, .low_power_mode = 0};
    (void)state;

    jl_rule r = jl_rules(&s, JL_BATTERY_PAUSE, 0.15, NULL);
    assert_true(!r.pause && !r.defer && !r.half && r.duty == 1.0);
    s.on_ac = 0;
    r = jl_rules(&s, JL_BATTERY_PAUSE, 0.15, NULL);
    assert_true(r.pause && r.defer);
    s.battery = 0.16; /* not yet well over the limit */
    assert_true(jl_rules(&s, JL_BATTERY_PAUSE, 0.15, &r).pause);
    s.battery = 0.19;
    assert_false(jl_rules(&s, JL_BATTERY_PAUSE, 0.15, &r).pause);
    r = jl_rules(&s, JL_BATTERY_NORMAL, 0, NULL);
    assert_true(r.defer && !r.half && !r.pause);
    s.thermal = 3;
    r = jl_rules(&s, JL_BATTERY_LOW, 0, NULL);
    assert_true(r.half && r.duty < 0.5 && r.budget < 0.5);
    s = (jl_machine_state){.on_ac = -1, .battery = NAN, .thermal = -1, .low_power_mode = -1};
    r = jl_rules(&s, JL_BATTERY_PAUSE, 0.9, NULL);
    assert_true(!r.pause && !r.half && !r.defer && r.duty == 1.0 && !r.reason[0]);
    s.low_power_mode = 1;
    assert_true(jl_rules(&s, JL_BATTERY_NORMAL, 0, NULL).half);
}

/* A busctl that answers from a file. */
static void put_busctl(const char *folder, const char *monitor, const char *hint)
{
    char path[400];

    snprintf(path, sizeof path, "%s/busctl", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\ncase $1 in --user) %s ;; *) %s ;; esac\n", monitor, hint);
    fclose(f);
    assert_int_equal(chmod(path, 0700), 0);
}

/* Asked of GNOME, else of logind; a system that does not say is refused. */
static void test_user(void **state)
{
    jl_power_params p = {.struct_size = sizeof p, .sysfs = root, .user_rest_s = 10.0};
    char *path = strdup(getenv("PATH"));
    char both[2000];
    jl_error err = {0};
    jl_user u = {0};
    jl_power *power = NULL;
    (void)state;

    snprintf(both, sizeof both, "%s:%s", root, path);
    assert_int_equal(setenv("PATH", both, 1), 0);
    put_busctl(root, "echo 't 3500'", "exit 1");
    assert_true(jl_user_idle(&u) == 3.5);
    put_busctl(root, "exit 1", "echo 'b false'; echo 't 0'");
    assert_true(isnan(jl_user_idle(&u))); /* the one that answered before is asked again */
    u = (jl_user){0};
    assert_true(jl_user_idle(&u) == 0.0);
    put_busctl(root, "exit 1", "echo 'b true'; echo 't 1'");
    assert_true(jl_user_idle(&u) > 0.0);
    put_busctl(root, "exit 1", "echo 'no such thing'");
    assert_int_equal(jl_power_open(&p, &power, &err), JL_UNSUPPORTED);
    assert_non_null(strstr(err.text, "keyboard"));
    assert_true(jl_user_parse_hint("b true\nt 5000000", 12.0) == 7.0);
    assert_true(isnan(jl_user_parse_hint("b maybe\nt 5", 12.0)));
    assert_true(isnan(jl_user_parse_monitor("u 7")));
    assert_int_equal(setenv("PATH", path, 1), 0);
    free(path);

    jl_rule r = {.duty = 1.0};
    jl_rule_user(&r, NAN, 10.0);
    assert_false(r.pause);
    jl_rule_user(&r, 10.0, 10.0);
    assert_false(r.pause);
    jl_rule_user(&r, 9.0, 10.0);
    assert_true(r.pause && r.reason[0]);
}

static void test_parse(void **state)
{
    jl_battery_rule rule = JL_BATTERY_NORMAL;
    double v = -1;
    (void)state;

    assert_true(jl_parse_watts("8W", &v) && v == 8.0);
    assert_true(jl_parse_watts("7.5 w", &v) && v == 7.5);
    assert_true(jl_parse_watts("8500mW", &v) && v == 8.5);
    assert_true(jl_parse_watts("12", &v) && v == 12.0);
    assert_false(jl_parse_watts("-3W", &v));
    assert_false(jl_parse_watts("8 horses", &v));
    assert_false(jl_parse_watts("nanW", &v));
    assert_false(jl_parse_watts("inf", &v));
    assert_false(jl_parse_watts("", &v));
    assert_true(jl_parse_joules("0.67 J/tok", &v) && v == 0.67);
    assert_true(jl_parse_share("60%", &v) && fabs(v - 0.6) < 1e-12);
    assert_true(jl_parse_share("0.25", &v) && v == 0.25);
    assert_false(jl_parse_share("140%", &v));
    assert_true(jl_parse_battery_rule("low", &rule, &v) && rule == JL_BATTERY_LOW);
    assert_true(jl_parse_battery_rule("pause-below 15%", &rule, &v) && rule == JL_BATTERY_PAUSE);
    assert_true(fabs(v - 0.15) < 1e-12);
    assert_true(jl_parse_battery_rule("pause-below=0.2", &rule, &v) && v == 0.2);
    assert_false(jl_parse_battery_rule("pause-below", &rule, &v));
    assert_false(jl_parse_battery_rule("sometimes", &rule, &v));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_tokens),   cmocka_unit_test(test_duty),
        cmocka_unit_test(test_changing_use),  cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_idle_baseline), cmocka_unit_test(test_pace),
        cmocka_unit_test(test_rules),         cmocka_unit_test(test_parse),
        cmocka_unit_test(test_user),
    };

    if (argc != 3)
        return 2;
    model_path = argv[1];
    snprintf(root, sizeof root, "%s/power-%ld", argv[2], (long)getpid());
    return cmocka_run_group_tests_name("power", tests, start_machine, end_machine);
}
