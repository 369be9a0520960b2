/* Energy over HTTP, on a machine without and with a meter. */
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "joule/power.h"
#include "joule/sys.h"
#include "test.h"

static const char *model_path;
static char root[300];
static jl_model *model;
static jl_power *power;
static host server;

static void put(const char *name, const char *text)
{
    char path[700];

    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void start(bool meter)
{
    static const char *const folders[] = {"", "/class", "/class/powercap",
                                          "/class/powercap/intel-rapl:0"};
    jl_power_params p = {.struct_size = sizeof p, .sysfs = meter ? root : "/nonexistent"};
    jl_error err = {0};

    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char path[700];
        snprintf(path, sizeof path, "%s%s", root, folders[i]);
        (void)mkdir(path, 0700);
    }
    put("class/powercap/intel-rapl:0/name", "package-0");
    put("class/powercap/intel-rapl:0/energy_uj", "1000000");
    assert_ok(jl_model_open(model_path, NULL, &model, &err));
    assert_ok(jl_power_open(&p, &power, &err));
    server = host_start(model, (jl_server_params){.model_name = "tiny",
                                                  .power = power,
                                                  .session = {.n_ctx = 256, .n_threads = 2}});
}

static void stop(void)
{
    host_stop(server);
    jl_power_close(power);
    jl_model_close(model);
}

static reply ask(void)
{
    return client_json(server.port, "/v1/completions",
                       json_pack("{s:s, s:i, s:f, s:b}", "prompt", "Hello you", "max_tokens", 4,
                                 "temperature", 0.0, "ignore_eos", 1));
}

static double number(const reply *r, const char *name)
{
    return json_number_value(json_object_get(r->json, name));
}

static void test_without_meter(void **state)
{
    (void)state;
    start(false);
    reply r = ask();
    const json_t *energy = json_object_get(r.json, "energy");
    assert_true(json_is_null(json_object_get(energy, "meter")));
    assert_non_null(strstr(json_string_value(json_object_get(energy, "reason")), "no meter"));
    assert_null(json_object_get(energy, "joules"));
    assert_true(json_number_value(json_object_get(energy, "cpu_seconds")) > 0);
    reply_free(&r);
    r = client_json(server.port, "/power", json_pack("{s:s}", "budget_w", "8W"));
    assert_int_equal(r.status, 409);
    assert_non_null(strstr(r.body, "no meter"));
    reply_free(&r);
    r = client_json(server.port, "/power", json_pack("{s:s}", "duty", "60%"));
    assert_int_equal(r.status, 200);
    assert_true(fabs(number(&r, "duty") - 0.6) < 1e-9);
    reply_free(&r);
    r = client_request(server.port, "/metrics", NULL, NULL);
    assert_non_null(strstr(r.body, "joule_busy_seconds_total "));
    assert_null(strstr(r.body, "joules_total"));
    reply_free(&r);
    stop();
}

static void test_with_meter(void **state)
{
    static const char *const bad[] = {"{\"budget_w\": -1}", "{\"budget_w\": \"much\"}",
                                      "{\"duty\": 3}", "{\"target_j\": []}", "[1]", "{"};
    (void)state;

    start(true);
    reply r = ask();
    put("class/powercap/intel-rapl:0/energy_uj", "9000000");
    reply_free(&r);
    r = ask();
    const json_t *energy = json_object_get(r.json, "energy");
    assert_string_equal(json_string_value(json_object_get(energy, "domain")), "package");
    assert_true(json_is_number(json_object_get(energy, "joules")));
    reply_free(&r);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r = client_request(server.port, "/power", "Content-Type: application/json\r\n", bad[i]);
        assert_int_equal(r.status, 400);
        reply_free(&r);
    }
    r = client_json(server.port, "/power", json_pack("{s:f, s:s}", "budget_w", 7.5, "duty", "0.5"));
    assert_int_equal(r.status, 200);
    assert_true(number(&r, "budget_w") == 7.5 && number(&r, "duty") == 0.5);
    reply_free(&r);
    r = client_json(server.port, "/power", json_pack("{s:n}", "budget_w"));
    assert_true(number(&r, "budget_w") == 0.0 && number(&r, "duty") == 0.5);
    reply_free(&r);
    r = client_request(server.port, "/power", NULL, NULL);
    assert_string_equal(json_string_value(json_object_get(r.json, "domain")), "package");
    reply_free(&r);
    r = client_request(server.port, "/metrics", NULL, NULL);
    assert_non_null(strstr(r.body, "joule_energy_decode_joules_total "));
    reply_free(&r);
    stop();
}

/* Every API, whole: the object is at the top of the body. */
static void test_every_api(void **state)
{
    static const struct {
        const char *path, *body;
    } api[] = {
        {"/v1/completions", "{\"prompt\": \"Hello\", \"max_tokens\": 3}"},
        {"/v1/chat/completions",
         "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"max_tokens\": 3}"},
        {"/v1/messages", "{\"model\": \"tiny\", \"max_tokens\": 3, \"messages\": "
                         "[{\"role\": \"user\", \"content\": \"Hi\"}]}"},
        {"/v1/responses", "{\"input\": \"Hi\", \"max_output_tokens\": 3}"},
        {"/api/chat", "{\"model\": \"tiny\", \"stream\": false, \"options\": {\"num_predict\": 3}, "
                      "\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}"},
        {"/api/generate", "{\"model\": \"tiny\", \"stream\": false, \"prompt\": \"Hi\", "
                          "\"options\": {\"num_predict\": 3}}"},
    };
    (void)state;

    start(true);
    for (size_t i = 0; i < sizeof api / sizeof *api; i++) {
        reply r = client_request(server.port, api[i].path, "Content-Type: application/json\r\n",
                                 api[i].body);
        assert_int_equal(r.status, 200);
        const json_t *energy = json_object_get(r.json, "energy");
        assert_true(json_number_value(json_object_get(energy, "cpu_seconds")) > 0);
        assert_true(json_is_number(json_object_get(energy, "joules")));
        assert_string_equal(json_string_value(json_object_get(energy, "domain")), "package");
        reply_free(&r);
    }
    stop();
}

/* Streams: once, in the event that ends the answer. */
static void test_streams(void **state)
{
    static const struct {
        const char *path, *body, *last; /* what stands in the same line */
    } api[] = {
        {"/v1/messages",
         "{\"model\": \"tiny\", \"max_tokens\": 3, \"stream\": true, \"messages\": "
         "[{\"role\": \"user\", \"content\": \"Hi\"}]}",
         "\"message_delta\""},
        {"/v1/responses", "{\"input\": \"Hi\", \"max_output_tokens\": 3, \"stream\": true}",
         "\"usage\""},
        {"/api/chat", "{\"model\": \"tiny\", \"options\": {\"num_predict\": 3}, "
                      "\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}",
         "\"done_reason\""},
    };
    (void)state;

    start(true);
    for (size_t i = 0; i < sizeof api / sizeof *api; i++) {
        reply r = client_request(server.port, api[i].path, "Content-Type: application/json\r\n",
                                 api[i].body);
        assert_int_equal(r.status, 200);
        const char *energy = strstr(r.body, "\"energy\"");
        assert_non_null(energy);
        assert_null(strstr(energy + 1, "\"energy\""));
        const char *line = energy;
        while (line > r.body && line[-1] != '\n')
            line--;
        const char *with = strstr(line, api[i].last);
        assert_non_null(with);
        assert_true(with < line + strcspn(line, "\n"));
        reply_free(&r);
    }
    stop();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_meter),
        cmocka_unit_test(test_with_meter),
        cmocka_unit_test(test_every_api),
        cmocka_unit_test(test_streams),
    };

    if (argc != 3)
        return 2;
    model_path = argv[1];
    snprintf(root, sizeof root, "%s/energy-%ld", argv[2], (long)getpid());
    return cmocka_run_group_tests_name("server_energy", tests, NULL, NULL);
}
