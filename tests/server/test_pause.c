/* When reading pauses for answers: the wait stays below the limit, prompts get their share. */
#include "test.h"

#include "server/pause.h"

typedef struct {
    double layer_per_token, layer_fixed, cost; /* seconds */
    uint32_t n_layer;
} machine;

typedef struct {
    double now, longest, reading, answering;
} clock_state;

/* Reads n_evals slices on a made-up machine while an answer runs. */
static void run(jl_pause *p, const machine *m, int n_evals, clock_state *c)
{
    for (int e = 0; e < n_evals; e++) {
        const uint32_t n = p->n_tokens;
        jl_pause_begin(p, c->now);
        for (uint32_t il = 0; il < m->n_layer; il++) {
            const double layer = m->layer_fixed + m->layer_per_token * n;
            c->now += layer;
            c->reading += layer;
            if (!jl_pause_is_due(p, c->now))
                continue;
            const double began = c->now;
            c->now += m->cost;
            c->answering += m->cost;
            const double waited = jl_pause_done(p, began, c->now);
            c->longest = waited > c->longest ? waited : c->longest;
        }
        jl_pause_end(p, n, c->now);
    }
}

static void test_limit(void **state)
{
    static const machine machines[] = {
        {.layer_per_token = 0.0005, .layer_fixed = 0.02, .cost = 0.15, .n_layer = 30},
        {.layer_per_token = 0.00001, .layer_fixed = 0.0001, .cost = 0.005, .n_layer = 8},
        {.layer_per_token = 0.002, .layer_fixed = 0.05, .cost = 0.3, .n_layer = 60},
    };
    (void)state;

    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        jl_pause p;
        clock_state c = {.now = 1000};
        jl_pause_init(&p, 0.5, 512);
        jl_pause_served(&p, c.now);
        run(&p, &machines[i], 8, &c); /* finds its length */
        c.longest = c.reading = c.answering = 0;
        run(&p, &machines[i], 8, &c);
        assert_true(c.longest <= 0.5);
        assert_true(c.answering > 0);
        /* prompts get three quarters where the limit leaves them, else what it leaves */
        const double left = (0.5 - machines[i].cost) / 0.5;
        assert_true(c.reading / (c.reading + c.answering) > (left < 0.75 ? left : 0.75) * 0.7);
    }
}

/* A machine that is fast enough reads whole micro-batches, one that gets slower shorter ones. */
static void test_length(void **state)
{
    const machine fast = {.layer_per_token = 0.00001, .cost = 0.005, .n_layer = 8};
    const machine slow = {.layer_per_token = 0.01, .cost = 0.005, .n_layer = 8};
    jl_pause p;
    clock_state c = {0};
    (void)state;

    jl_pause_init(&p, 0.5, 512);
    jl_pause_served(&p, c.now);
    assert_int_equal(p.n_tokens, 64);
    run(&p, &fast, 4, &c);
    assert_int_equal(p.n_tokens, 512);
    run(&p, &slow, 3, &c);
    assert_in_range(p.n_tokens, 20, 50);

    /* a short prompt says nothing about long ones */
    p.n_tokens = 64;
    jl_pause_begin(&p, c.now);
    jl_pause_is_due(&p, c.now + 0.001);
    jl_pause_end(&p, 5, c.now + 0.002);
    assert_int_equal(p.n_tokens, 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
