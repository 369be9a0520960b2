/* The scheduler: answers do not depend on who runs beside them or on the cache; room, limits,
 * cancel. */
#include "test.h"

#include <time.h>

#include "base/mem.h"
#include "base/thread.h"
#include "server/scheduler.h"
#include "tiny.h"

enum { MAX_NEW = 40 };

static const char *golden_folder, *work_folder;
static tiny t;
static jl_lock *lock;

/* A job and what came of it. */
typedef struct {
    jl_job job;
    int32_t tokens[600];
    size_t stop_after; /* tokens; 0: never */
    size_t n_seen;
    bool ended;
    jl_job_end end;
    jl_error err;
} request;

static bool on_token(void *ctx, int32_t token, const float *logits)
{
    request *r = ctx;

    assert_ptr_not_equal(logits, NULL);
    assert_int_equal(r->job.tokens[r->job.n_tokens - 1], token);
    r->n_seen++;
    return r->stop_after == 0 || r->n_seen < r->stop_after;
}

static void on_end(void *ctx, jl_job_end end, const jl_error *err)
{
    request *r = ctx;

    jl_lock_take(lock);
    r->end = end;
    if (err)
        r->err = *err;
    r->ended = true;
    jl_lock_wake(lock);
    jl_lock_leave(lock);
}

static const jl_job_events events = {.on_token = on_token, .on_end = on_end};

static void prepare(request *r, size_t offset, size_t n_prompt, uint64_t seed, size_t n_new)
{
    *r = (request){.job = {.n_prompt = n_prompt, .n_new_max = n_new, .events = &events}};
    r->job.sampler = tiny_sampler(&t, seed);
    r->job.tokens = r->tokens;
    r->job.ctx = r;
    memcpy(r->tokens, t.tokens + offset, n_prompt * sizeof *r->tokens);
}

static void submit(jl_scheduler *s, request *r)
{
    jl_job *job = &r->job;
    jl_error err;

    assert_ok(jl_scheduler_submit(s, &job, 1, &err));
}

static void wait_end(request *r)
{
    jl_lock_take(lock);
    while (!r->ended)
        jl_lock_wait(lock);
    jl_lock_leave(lock);
    jl_sampler_destroy(r->job.sampler);
}

static void assert_solo(const request *r, uint64_t seed)
{
    int32_t want[MAX_NEW];
    const size_t n = r->job.n_tokens - r->job.n_prompt;

    tiny_solo(&t, r->tokens, r->job.n_prompt, seed, want, n);
    assert_memory_equal(r->tokens + r->job.n_prompt, want, n * sizeof *want);
}

typedef struct {
    jl_session *session;
    jl_scheduler *s;
} engine;

static engine start(jl_session_params sp, jl_scheduler_params p)
{
    engine e;
    jl_error err;

    p.n_ubatch = sp.n_ubatch = 32;
    sp.n_ctx = sp.n_ctx ? sp.n_ctx : 512;
    sp.n_seq_max = p.n_parallel + p.n_cache;
    sp.n_logits_max = p.n_parallel;
    sp.n_beside = p.n_parallel;
    e.session = tiny_session(&t, sp);
    assert_ok(jl_scheduler_create(e.session, &p, &e.s, &err));
    return e;
}

static void stop(engine e)
{
    jl_scheduler_destroy(e.s);
    jl_session_destroy(e.session);
}

static void test_hit_equals_miss(void **state)
{
    static request r[4];
    engine e = start((jl_session_params){0}, (jl_scheduler_params){.n_parallel = 2, .n_cache = 8});
    (void)state;

    prepare(&r[0], 0, 300, 7, 20);
    submit(e.s, &r[0]);
    wait_end(&r[0]);
    assert_int_equal(r[0].end, JL_JOB_LENGTH);
    assert_int_equal(r[0].job.stats.n_cached, 0);
    assert_int_equal(r[0].job.stats.n_read, 300);
    assert_solo(&r[0], 7);

    /* the same again: one token is read */
    prepare(&r[1], 0, 300, 7, 20);
    submit(e.s, &r[1]);
    wait_end(&r[1]);
    assert_int_equal(r[1].job.stats.n_cached, 299);
    assert_int_equal(r[1].job.stats.n_read, 1);
    assert_memory_equal(r[0].tokens, r[1].tokens, 320 * sizeof(int32_t));

    /* the answer sent back and continued: all but its last token is there */
    prepare(&r[2], 0, 300, 9, 20);
    memcpy(r[2].tokens, r[0].tokens, 320 * sizeof(int32_t));
    memcpy(r[2].tokens + 320, t.tokens + 50, 30 * sizeof(int32_t));
    r[2].job.n_prompt = 350;
    submit(e.s, &r[2]);
    wait_end(&r[2]);
    assert_int_equal(r[2].job.stats.n_cached, 319);
    assert_int_equal(r[2].job.stats.n_read, 31);
    assert_solo(&r[2], 9);

    /* a mark is a place to branch off, however far the conversation has gone on */
    prepare(&r[3], 0, 300, 3, 5);
    r[3].tokens[299] = r[3].tokens[299] == 5 ? 6 : 5;
    r[3].stop_after = 2;
    submit(e.s, &r[3]);
    wait_end(&r[3]);
    assert_int_equal(r[3].end, JL_JOB_STOPPED);
    assert_int_equal(r[3].job.stats.n_cached, 299);
    assert_solo(&r[3], 3);
    stop(e);
}

static void test_marks(void **state)
{
    static request a, b;
    engine e = start((jl_session_params){0}, (jl_scheduler_params){.n_parallel = 1, .n_cache = 8});
    (void)state;

    prepare(&a, 0, 400, 1, 4);
    a.job.marks[0] = 90;
    a.job.n_marks = 1;
    submit(e.s, &a);
    wait_end(&a);
    prepare(&b, 0, 400, 2, 4);
    b.tokens[95] = b.tokens[95] == 5 ? 6 : 5; /* far behind the window of 128 */
    submit(e.s, &b);
    wait_end(&b);
    assert_int_equal(b.job.stats.n_cached, 90);
    assert_solo(&b, 2);
    stop(e);
}

static void test_parallel_equals_solo(void **state)
{
    enum { N = 12 };
    static request r[N];
    engine e = start((jl_session_params){0}, (jl_scheduler_params){.n_parallel = 4, .n_cache = 6});
    (void)state;

    for (size_t i = 0; i < N; i++) {
        prepare(&r[i], i * 3, 40 + 23 * i, i, 10 + i);
        submit(e.s, &r[i]);
    }
    for (size_t i = 0; i < N; i++) {
        wait_end(&r[i]);
        assert_int_equal(r[i].end, JL_JOB_LENGTH);
        assert_solo(&r[i], i);
    }
    jl_scheduler_stats stats;
    jl_scheduler_get_stats(e.s, &stats);
    assert_int_equal(stats.n_jobs, N);
    assert_int_equal(stats.n_generated, N * 10 + N * (N - 1) / 2);
    stop(e);
}

/* Requests that arrive together with a long common prefix read it once. */
static void test_shared_prefix(void **state)
{
    enum { N = 4 };
    static request r[N];
    jl_job *jobs[N];
    jl_error err;
    size_t n_read = 0;
    engine e = start((jl_session_params){0}, (jl_scheduler_params){.n_parallel = N, .n_cache = 8});
    (void)state;

    for (size_t i = 0; i < N; i++) {
        prepare(&r[i], 0, 350, i, 8);
        r[i].tokens[300] = (int32_t)(20 + i);
        jobs[i] = &r[i].job;
    }
    assert_ok(jl_scheduler_submit(e.s, jobs, N, &err));
    for (size_t i = 0; i < N; i++) {
        wait_end(&r[i]);
        n_read += r[i].job.stats.n_read;
        assert_solo(&r[i], i);
    }
    /* up to 16 tokens are not worth waiting for */
    assert_in_range(n_read, 350 + (N - 1) * 50, 350 + (N - 1) * (50 + 16));
    stop(e);
}

/* Room for about one and a half of four: entries go, jobs start again, answers stay the same. */
static void test_no_room(void **state)
{
    enum { N = 4 };
    static request r[N];
    jl_scheduler_stats stats;
    engine e = start((jl_session_params){.n_ctx_total = 256, .n_swa_total = 512},
                     (jl_scheduler_params){.n_parallel = N, .n_cache = 2});
    (void)state;

    for (size_t i = 0; i < N; i++) {
        prepare(&r[i], i * 7, 300, i, MAX_NEW);
        submit(e.s, &r[i]);
    }
    for (size_t i = 0; i < N; i++) {
        wait_end(&r[i]);
        assert_int_equal(r[i].end, JL_JOB_LENGTH);
        assert_solo(&r[i], i);
    }
    jl_scheduler_get_stats(e.s, &stats);
    assert_true(stats.n_preempted > 0);
    stop(e);
}

static void test_too_large(void **state)
{
    static request r[4];
    jl_job *job = &r[0].job;
    jl_error err;
    engine e = start((jl_session_params){.n_ctx = 400, .n_ctx_total = 64},
                     (jl_scheduler_params){.n_parallel = 1, .n_cache = 1});
    (void)state;

    prepare(&r[0], 0, 380, 1, 21);
    assert_fails(jl_scheduler_submit(e.s, &job, 1, &err), JL_INVALID, "context of 400 tokens");
    jl_sampler_destroy(r[0].job.sampler);

    /* alone and still no room: fails, and the next one runs */
    prepare(&r[1], 0, 390, 1, 5);
    submit(e.s, &r[1]);
    wait_end(&r[1]);
    assert_int_equal(r[1].end, JL_JOB_FAILED);
    assert_non_null(strstr(r[1].err.text, "no free KV page"));
    prepare(&r[2], 0, 50, 1, 5);
    submit(e.s, &r[2]);
    wait_end(&r[2]);
    assert_int_equal(r[2].end, JL_JOB_LENGTH);
    assert_solo(&r[2], 1);
    stop(e);
}

static void test_cancel(void **state)
{
    static request r[5];
    jl_error err;
    jl_scheduler_stats stats;
    engine e = start((jl_session_params){0},
                     (jl_scheduler_params){.n_parallel = 1, .n_cache = 4, .n_queue = 3});
    (void)state;

    /* one runs, three wait; the fifth is refused */
    prepare(&r[0], 0, 470, 1, MAX_NEW);
    submit(e.s, &r[0]);
    do
        jl_scheduler_get_stats(e.s, &stats);
    while (stats.n_running == 0);
    for (size_t i = 1; i < 4; i++) {
        prepare(&r[i], i, 450, i, 5);
        submit(e.s, &r[i]);
    }
    prepare(&r[4], 0, 50, 1, 5);
    jl_job *job = &r[4].job;
    if (jl_scheduler_submit(e.s, &job, 1, &err) == JL_OK)
        wait_end(&r[4]); /* the first had ended already */
    else
        jl_sampler_destroy(r[4].job.sampler);
    jl_scheduler_cancel(e.s, &r[2].job); /* while waiting */
    jl_scheduler_cancel(e.s, &r[0].job); /* while running */
    for (size_t i = 0; i < 4; i++)
        wait_end(&r[i]);
    assert_int_equal(r[2].end, JL_JOB_CANCELLED);
    assert_int_equal(r[2].n_seen, 0);
    assert_int_equal(r[1].end, JL_JOB_LENGTH);
    assert_int_equal(r[3].end, JL_JOB_LENGTH);
    assert_solo(&r[1], 1);
    assert_solo(&r[3], 3);

    /* what the cancelled one had read is still there */
    const size_t n_had = r[0].job.stats.n_read;
    static request again;
    prepare(&again, 0, 470, 1, 5);
    submit(e.s, &again);
    wait_end(&again);
    assert_true(again.job.stats.n_cached + 1 >= n_had);
    assert_solo(&again, 1);
    stop(e);
}

static void test_queue_limit(void **state)
{
    static request r[6];
    jl_job *jobs[6];
    jl_error err;
    engine e = start((jl_session_params){0},
                     (jl_scheduler_params){.n_parallel = 2, .n_cache = 1, .n_queue = 3});
    (void)state;

    for (size_t i = 0; i < 6; i++) {
        prepare(&r[i], i, 50, i, 5);
        jobs[i] = &r[i].job;
    }
    assert_fails(jl_scheduler_submit(e.s, jobs, 6, &err), JL_TOO_LARGE, "waiting");
    assert_ok(jl_scheduler_submit(e.s, jobs, 5, &err));
    for (size_t i = 0; i < 5; i++) {
        wait_end(&r[i]);
        assert_solo(&r[i], i);
    }
    jl_sampler_destroy(r[5].job.sampler);
    stop(e);
}

/* Destroying the scheduler ends what runs and what waits. */
static void test_destroy(void **state)
{
    static request r[3];
    engine e = start((jl_session_params){0}, (jl_scheduler_params){.n_parallel = 1, .n_cache = 1});
    (void)state;

    for (size_t i = 0; i < 3; i++) {
        prepare(&r[i], i, 450, i, MAX_NEW);
        submit(e.s, &r[i]);
    }
    stop(e);
    for (size_t i = 0; i < 3; i++) {
        assert_true(r[i].ended);
        wait_end(&r[i]);
    }
    assert_int_equal(r[2].end, JL_JOB_CANCELLED);
}

static void test_idle_costs_nothing(void **state)
{
    const struct timespec pause = {.tv_nsec = 400 * 1000 * 1000};
    static request r;
    engine e = start((jl_session_params){.n_threads = 2},
                     (jl_scheduler_params){.n_parallel = 2, .n_cache = 2});
    (void)state;

    prepare(&r, 0, 50, 1, 5);
    submit(e.s, &r);
    wait_end(&r);
    nanosleep(&pause, NULL); /* workers of the pool fall asleep */
    const double before = jl_time_cpu();
    nanosleep(&pause, NULL);
    assert_true(jl_time_cpu() - before < 0.004); /* 1 % */
    stop(e);
}

static int open_all(void **state)
{
    jl_error err;
    (void)state;

    tiny_open(&t, golden_folder, work_folder);
    return jl_lock_create(&lock, &err) == JL_OK ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    jl_lock_destroy(lock);
    tiny_close(&t);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hit_equals_miss),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_parallel_equals_solo),
        cmocka_unit_test(test_shared_prefix),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_queue_limit),
        cmocka_unit_test(test_destroy),
        cmocka_unit_test(test_idle_costs_nothing),
    };

    golden_folder = argc > 1 ? argv[1] : ".";
    work_folder = argc > 2 ? argv[2] : ".";
    return cmocka_run_group_tests(tests, open_all, close_all);
}
