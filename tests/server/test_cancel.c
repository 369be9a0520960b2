/* The server over HTTP with the bundled model. Many clients at once, and those who leave or do not
 * read. */
#include "test.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/thread.h"
#include "bundled.h"

static void test_leave_while_writing(void **state)
{
    char buf[512];
    const double before = client_metric(h.port, "jobs_cancelled_total");
    (void)state;

    for (int stream = 0; stream < 2; stream++) {
        json_t *body = endless_chat(1, 100000);
        json_object_set_new(body, "stream", json_boolean(stream));
        const int fd = client_connect(h.port);
        send_request(fd, body);
        if (stream)
            assert_true(read(fd, buf, sizeof buf) > 0);
        wait_metric("jobs_running", 1);
        close(fd);
        wait_metric("jobs_cancelled_total", before + 1 + stream);
    }
    wait_metric("jobs_running", 0);
}

static void test_leave_while_reading(void **state)
{
    const double before = client_metric(h.port, "jobs_cancelled_total");
    const double read_before = client_metric(h.port, "prompt_tokens_read_total");
    (void)state;

    const int fd = client_connect(h.port);
    send_request(fd, long_chat(2500, 1));
    wait_metric_above("prompt_tokens_read_total", read_before); /* a part of it */
    close(fd);
    wait_metric("jobs_cancelled_total", before + 1);
    const double n_read = client_metric(h.port, "prompt_tokens_read_total") - read_before;

    /* what was read stays: the retry starts there; and it was not the whole */
    reply r = client_json(h.port, CHAT, long_chat(2500, 1));
    assert_int_equal(r.status, 200);
    assert_true((double)cached_of(&r) >= n_read);
    assert_true(n_read < (double)usage_of(&r, "prompt_tokens"));
    reply_free(&r);
}

/* While a long prompt is read, a running answer goes on: with a pause of at most 20 ms allowed the
 * prompt is read in many small slices, not in the two or three micro-batches it would fill. */
static void test_stall(void **state)
{
    const host own = host_start(
        model, (jl_server_params){.max_stall_ms = 20, .session = {.n_ctx = 8192, .n_ubatch = 512}});
    const host saved = h;
    (void)state;

    h = own;
    const int fd = client_connect(own.port);
    json_t *body = endless_chat(1, 100000);
    json_object_set_new(body, "stream", json_true());
    send_request(fd, body);
    wait_metric("jobs_running", 1);
    const double before = client_metric(own.port, "tokens_generated_total");
    reply r = client_json(own.port, CHAT, long_chat(250, 77));
    assert_int_equal(r.status, 200);
    assert_true(usage_of(&r, "prompt_tokens") > 500);
    assert_true(client_metric(own.port, "tokens_generated_total") - before > 8);
    reply_free(&r);
    close(fd);
    wait_metric("jobs_running", 0);
    host_stop(own);
    h = saved;
}

typedef struct {
    int seed;
    bool stream;
    char text[4096];
} asker;

static void ask_in_thread(void *ctx)
{
    asker *a = ctx;
    char prompt[64];

    snprintf(prompt, sizeof prompt, "Question number %d", a->seed / 2);
    json_t *body = chat(prompt, a->seed, 30);
    json_object_set_new(body, "stream", json_boolean(a->stream));
    reply r = client_json(h.port, CHAT, body);
    assert_int_equal(r.status, 200);
    if (a->stream) {
        json_t *events = reply_events(&r);
        join_deltas(events, a->text, sizeof a->text);
        json_decref(events);
    } else {
        snprintf(a->text, sizeof a->text, "%s", content_of(&r, 0));
    }
    reply_free(&r);
}

static void test_parallel_equals_solo(void **state)
{
    enum { N = 24 };
    static asker askers[N];
    jl_thread *threads[N];
    jl_error err;
    (void)state;

    for (int i = 0; i < N; i++) {
        askers[i] = (asker){.seed = i, .stream = i % 3 == 0};
        assert_ok(jl_thread_start(ask_in_thread, &askers[i], &threads[i], &err));
    }
    for (int i = 0; i < N; i++)
        jl_thread_join(threads[i]);
    for (int i = 0; i < N; i++) {
        asker solo = {.seed = i};
        ask_in_thread(&solo);
        assert_string_equal(solo.text, askers[i].text);
    }
}

/* Takes nothing of a stream that is many megabytes long: dropped, not stored. */
static void test_slow_reader(void **state)
{
    const int small = 4096;
    const double before = client_metric(h.port, "jobs_cancelled_total");
    const int fd = client_connect(h.port);
    json_t *body = endless_chat(1, 100000);
    (void)state;

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    json_object_set_new(body, "stream", json_true());
    json_object_set_new(body, "n", json_integer(4));
    json_object_set_new(body, "logprobs", json_true());
    json_object_set_new(body, "top_logprobs", json_integer(20));
    send_request(fd, body);
    wait_metric_above("jobs_cancelled_total", before);
    wait_metric("jobs_running", 0);
    close(fd);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leave_while_writing),
        cmocka_unit_test(test_leave_while_reading),
        cmocka_unit_test(test_stall),
        cmocka_unit_test(test_parallel_equals_solo),
        cmocka_unit_test(test_slow_reader),
    };

    bundled_path(argc, argv);
    return cmocka_run_group_tests(tests, bundled_open, bundled_close);
}
