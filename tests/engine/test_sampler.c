/* The sampler chain on made-up logits: each step against its definition, and the draw against the
 * distribution it should have. */
#include "test.h"

#include <math.h>

#include "../golden/golden.h"

static const char *golden_folder, *work_folder;
static jl_model *model;
static golden_case gc;
static float *logits;

static int open_model(void **state)
{
    (void)state;
    golden_open_model(&gc, golden_folder, "31b", work_folder, "sampler-model.gguf", &model);
    logits = calloc(gc.n_vocab, sizeof *logits);
    return logits ? 0 : -1;
}

static int close_model(void **state)
{
    (void)state;
    free(logits);
    jl_model_close(model);
    golden_close(&gc);
    return 0;
}

/* Everything off: draws from the softmax itself. */
static jl_sampler_params plain(void)
{
    return (jl_sampler_params){.struct_size = sizeof(jl_sampler_params),
                               .temperature = 1.0f,
                               .top_p = 1.0f,
                               .typical_p = 1.0f,
                               .repeat_penalty = 1.0f,
                               .dry_base = 1.75f,
                               .dry_allowed_length = 2,
                               .repeat_last_n = -1,
                               .dry_penalty_last_n = -1,
                               .seed = 7};
}

static jl_sampler *make(const jl_sampler_params *p)
{
    jl_sampler *s = NULL;
    jl_error err;

    assert_ok(jl_sampler_create(model, p, &s, &err));
    return s;
}

/* Token 40 + i has probability p[i]; all others none. */
static void set_probs(const float *p, size_t n)
{
    for (uint32_t i = 0; i < gc.n_vocab; i++)
        logits[i] = -INFINITY;
    for (size_t i = 0; i < n; i++)
        logits[40 + i] = logf(p[i]) + 3.0f;
}

enum { DRAWS = 20000 };

static void frequencies(const jl_sampler_params *p, double *freq, size_t n)
{
    jl_sampler *s = make(p);

    for (size_t i = 0; i < n; i++)
        freq[i] = 0.0;
    for (int i = 0; i < DRAWS; i++) {
        const int32_t t = jl_sampler_pick(s, logits, NULL);
        assert_in_range(t, 40, 40 + (int)n - 1);
        freq[t - 40] += 1.0 / DRAWS;
    }
    jl_sampler_destroy(s);
}

static void assert_freqs(const jl_sampler_params *p, const double *want, size_t n)
{
    double freq[16];

    frequencies(p, freq, n);
    for (size_t i = 0; i < n; i++) {
        /* five standard deviations of a binomial share */
        const double bound = 5.0 * sqrt(want[i] * (1.0 - want[i]) / DRAWS) + 1e-12;
        if (fabs(freq[i] - want[i]) > bound)
            fail_msg("token %zu: drawn %.4f of the time, expected %.4f", i, freq[i], want[i]);
    }
}

static const float probs[] = {0.4f, 0.3f, 0.15f, 0.1f, 0.05f};

static void test_draw(void **state)
{
    jl_sampler_params p = plain();
    (void)state;

    set_probs(probs, 5);
    assert_freqs(&p, (const double[]){0.4, 0.3, 0.15, 0.1, 0.05}, 5);
    p.temperature = 0.5f; /* p^2, renormalised */
    const double z = 0.16 + 0.09 + 0.0225 + 0.01 + 0.0025;
    assert_freqs(&p, (const double[]){0.16 / z, 0.09 / z, 0.0225 / z, 0.01 / z, 0.0025 / z}, 5);
}

static void test_cuts(void **state)
{
    jl_sampler_params p = plain();
    (void)state;

    set_probs(probs, 5);
    p.top_k = 2;
    assert_freqs(&p, (const double[]){4.0 / 7, 3.0 / 7, 0, 0, 0}, 5);
    p = plain();
    p.top_p = 0.75f; /* 0.4 + 0.3 < 0.75: the third is still in */
    assert_freqs(&p, (const double[]){0.4 / 0.85, 0.3 / 0.85, 0.15 / 0.85, 0, 0}, 5);
    p = plain();
    p.min_p = 0.3f; /* at least 0.12 */
    assert_freqs(&p, (const double[]){0.4 / 0.85, 0.3 / 0.85, 0.15 / 0.85, 0, 0}, 5);
    p = plain();
    p.typical_p =
        0.35f; /* entropy 1.39: surprise of 0.3 is 1.20, of 0.15 is 1.90, of 0.4 is 0.92 */
    assert_freqs(&p, (const double[]){0.4 / 0.7, 0.3 / 0.7, 0, 0, 0}, 5);
}

static void test_greedy(void **state)
{
    jl_sampler_params p = plain();
    (void)state;

    p.temperature = 0.0f;
    jl_sampler *s = make(&p);
    set_probs(probs, 5);
    assert_int_equal(jl_sampler_pick(s, logits, NULL), 40);
    logits[44] = logits[40]; /* a tie goes to the lower id */
    assert_int_equal(jl_sampler_pick(s, logits, NULL), 40);
    logits[41] = NAN; /* never chosen */
    assert_int_equal(jl_sampler_pick(s, logits, NULL), 40);

    uint32_t allowed[64] = {0};
    allowed[43 / 32] |= 1u << (43 % 32);
    assert_int_equal(jl_sampler_pick(s, logits, allowed), 43);
    jl_sampler_destroy(s);
}

static void test_seed(void **state)
{
    jl_sampler_params p = plain();
    int32_t first[64];
    (void)state;

    set_probs(probs, 5);
    jl_sampler *s = make(&p);
    for (int i = 0; i < 64; i++)
        first[i] = jl_sampler_pick(s, logits, NULL);
    jl_sampler_reset(s);
    for (int i = 0; i < 64; i++)
        assert_int_equal(jl_sampler_pick(s, logits, NULL), first[i]);
    jl_sampler_destroy(s);

    p.seed = 8;
    int same = 0;
    s = make(&p);
    for (int i = 0; i < 64; i++)
        same += jl_sampler_pick(s, logits, NULL) == first[i];
    assert_true(same < 50);
    jl_sampler_destroy(s);
}

static void test_penalties(void **state)
{
    jl_sampler_params p = plain();
    (void)state;

    p.temperature = 0.0f;
    p.frequency_penalty = 0.2f;
    set_probs((const float[]){0.5f, 0.35f, 0.15f}, 3); /* logits 0.357 and 0.847 apart */
    jl_sampler *s = make(&p);
    assert_int_equal(jl_sampler_pick(s, logits, NULL), 40);
    jl_sampler_accept(s, 40);
    assert_int_equal(jl_sampler_pick(s, logits, NULL), 40); /* -0.2 */
    jl_sampler_accept(s, 40);
    assert_int_equal(jl_sampler_pick(s, logits, NULL), 41); /* -0.4 */
    jl_sampler_destroy(s);

    p.frequency_penalty = 0.0f;
    p.repeat_penalty = 1.5f; /* logits 2.31 / 1.5 = 1.54 < 1.95 */
    p.repeat_last_n = 2;
    s = make(&p);
    jl_sampler_accept(s, 40);
    assert_int_equal(jl_sampler_pick(s, logits, NULL), 41);
    jl_sampler_accept(s, 60);
    jl_sampler_accept(s, 60); /* 40 left the window of 2 */
    assert_int_equal(jl_sampler_pick(s, logits, NULL), 40);
    jl_sampler_destroy(s);
}

static void test_dry(void **state)
{
    jl_sampler_params p = plain();
    const int32_t text[] = {50, 51, 52, 40, 60, 50, 51, 52};
    (void)state;

    p.temperature = 0.0f;
    p.dry_multiplier = 1.0f;
    set_probs((const float[]){0.6f, 0.3f, 0.1f}, 3);
    jl_sampler *s = make(&p);
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        jl_sampler_accept(s, text[i]);
    /* 50 51 52 was followed by 40: three tokens repeat, 40 loses 1.75, 41 is 0.69 behind */
    assert_int_equal(jl_sampler_pick(s, logits, NULL), 41);
    jl_sampler_accept(s, 70);
    assert_int_equal(jl_sampler_pick(s, logits, NULL), 40);
    jl_sampler_destroy(s);
}

static void test_bias_and_bad_params(void **state)
{
    jl_sampler_params p = plain();
    jl_sampler *s = NULL;
    jl_error err;
    (void)state;

    set_probs(probs, 5);
    const jl_logit_bias bias[] = {{40, -INFINITY}, {44, 10.0f}};
    p.temperature = 0.0f;
    p.logit_bias = bias;
    p.n_logit_bias = 2;
    s = make(&p);
    assert_int_equal(jl_sampler_pick(s, logits, NULL), 44);
    jl_sampler_destroy(s);

    const jl_logit_bias beyond = {(int32_t)gc.n_vocab, 1.0f};
    p.logit_bias = &beyond;
    p.n_logit_bias = 1;
    assert_fails(jl_sampler_create(model, &p, &s, &err), JL_INVALID, "logit bias");
    p = plain();
    p.top_p = 1.5f;
    assert_fails(jl_sampler_create(model, &p, &s, &err), JL_INVALID, "top_p");
    p = plain();
    p.temperature = NAN;
    assert_fails(jl_sampler_create(model, &p, &s, &err), JL_INVALID, "temperature");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draw),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_seed),
        cmocka_unit_test(test_penalties),
        cmocka_unit_test(test_dry),
        cmocka_unit_test(test_bias_and_bad_params),
    };

    golden_folder = argc > 1 ? argv[1] : ".";
    work_folder = argc > 2 ? argv[2] : ".";
    return cmocka_run_group_tests(tests, open_model, close_model);
}
