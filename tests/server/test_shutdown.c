/* The server over HTTP with the bundled model. The end: running answers, the port, and rest. */
#include "test.h"

#include <unistd.h>

#include "bundled.h"
#include "joule/sys.h"

/* Nothing to do costs nothing: after some requests there comes a half second of rest. */
static void test_idle(void **state)
{
    double used = 1;
    (void)state;

    reply r = ask("Hello", 1, 5);
    reply_free(&r);
    for (int i = 0; i < 200 && used > 0.005; i++) { /* 1 % */
        const double before = jl_time_cpu();
        pause_ms(500);
        used = jl_time_cpu() - before;
    }
    assert_true(used <= 0.005);
}

/* Running answers end, if they can within the ten seconds, then the server does. */
static void test_graceful(void **state)
{
    const host own = host_start(model, (jl_server_params){.session = {.n_ctx = 2048}});
    const host saved = h;
    (void)state;

    const int fd = client_connect(own.port);
    send_request(fd, endless_chat(3, 20));
    h = own;
    wait_metric("jobs_running", 1);
    h = saved;
    const uint64_t start = jl_time_ns();
    jl_server_stop(own.server);
    for (int probe; (probe = client_connect(own.port)) >= 0; pause_ms(20)) {
        close(probe);
        assert_true(jl_time_ns() - start < CLIENT_SILENCE_MS * 1000000ull);
    }
    reply r = client_read(fd, CLIENT_SILENCE_MS);
    if (r.status == 200)
        assert_int_equal(usage_of(&r, "completion_tokens"), 20);
    else
        assert_true(r.status == 503 && jl_time_ns() - start > 10000000000u);
    reply_free(&r);
    host_stop(own);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_graceful),
    };

    bundled_path(argc, argv);
    return cmocka_run_group_tests(tests, bundled_open, bundled_close);
}
