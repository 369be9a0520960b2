/* Figures of the evaluation: means and quantiles, saved logits, divergence against its
 * definition. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "eval/kl.h"
#include "eval/logits_file.h"
#include "quant/random.h"
#include "test.h"

enum { VOCAB = 1001, CTX = 8, CHUNKS = 2 };

static float logits[VOCAB], other[VOCAB], back[VOCAB];

static void fill(uint64_t seed, float spread, float *out)
{
    for (size_t i = 0; i < VOCAB; i++)
        out[i] = spread * (float)((double)(jl_random_u64(seed, i) >> 11) * 0x1p-53 - 0.5);
}

static void test_mean(void **state)
{
    const double values[] = {1, 2, 3, 4};
    jl_series s = {0};

    assert_true(jl_series_mean(&s).value == 0.0);
    for (size_t i = 0; i < 4; i++)
        jl_series_add(&s, values[i]);
    const jl_estimate e = jl_series_mean(&s);
    assert_true(fabs(e.value - 2.5) < 1e-12);
    assert_true(fabs(e.error - sqrt(5.0 / 3.0 / 4.0)) < 1e-12); /* s / sqrt(n) */
}

static void test_quantiles(void **state)
{
    float v[101];

    for (size_t i = 0; i < 101; i++)
        v[100 - i] = (float)i;
    jl_sort_f32(v, 101);
    assert_true(jl_quantile(v, 101, 0.5).value == 50.0);
    assert_true(fabs(jl_quantile(v, 101, 0.99).value - 99.0) < 1e-9);
    assert_true(fabs(jl_quantile(v, 101, 0.5).error - sqrt(101 * 0.25)) < 1e-9);
    assert_true(jl_quantile(v, 1, 0.99).value == 0.0 && jl_quantile(v, 1, 0.99).error == 0.0);
}

static void test_log_sum_exp(void **state)
{
    float max;

    fill(1, 20.0f, logits);
    double sum = 0.0;
    for (size_t i = 0; i < VOCAB; i++)
        sum += exp((double)logits[i]);
    assert_true(fabs(jl_log_sum_exp(logits, VOCAB, &max) - log(sum)) < 1e-5);
    logits[7] = -INFINITY;
    for (size_t i = 0; i < VOCAB; i++)
        logits[i] += 1e4f; /* would overflow */
    assert_true(isfinite(jl_log_sum_exp(logits, VOCAB, &max)));
}

static char *temp_path(void)
{
    static char path[64];

    snprintf(path, sizeof path, "test_eval.%ld", (long)getpid());
    return path;
}

static void write_file(const char *path, int32_t *tokens)
{
    uint16_t scratch[VOCAB + 8];
    jl_error err = {0};
    jl_writer *w = NULL;
    float max;
    const jl_eval_text text = {.tokens = tokens, .n_ctx = CTX};

    assert_int_equal(jl_writer_create(path, &w, &err), JL_OK);
    assert_int_equal(jl_logits_put_header(w, &text, VOCAB, CHUNKS, &err), JL_OK);
    for (uint64_t row = 0; row < CHUNKS * jl_scored_rows(CTX); row++) {
        fill(row, 30.0f, logits);
        const double norm = jl_log_sum_exp(logits, VOCAB, &max);
        assert_int_equal(jl_logits_put_row(w, logits, VOCAB, norm, scratch, &err), JL_OK);
    }
    assert_true(jl_writer_tell(w) == jl_logits_bytes(CTX, VOCAB, CHUNKS));
    assert_int_equal(jl_writer_commit(w, &err), JL_OK);
}

/* Values come back within half a step of 16 nats / 65535, those further down at the floor. */
static void test_saved_logits(void **state)
{
    int32_t tokens[CHUNKS * CTX];
    jl_logits_file *f = NULL;
    jl_error err = {0};
    float max;
    char *path = temp_path();

    for (int i = 0; i < CHUNKS * CTX; i++)
        tokens[i] = 60 * i;
    write_file(path, tokens);
    assert_int_equal(jl_logits_file_open(path, &f, &err), JL_OK);
    unlink(path);
    assert_int_equal(jl_logits_file_n_ctx(f), CTX);
    assert_int_equal(jl_logits_file_n_vocab(f), VOCAB);
    assert_int_equal(jl_logits_file_n_chunks(f), CHUNKS);
    assert_memory_equal(jl_logits_file_tokens(f), tokens, sizeof tokens);
    for (uint32_t row = 0; row < CHUNKS * jl_scored_rows(CTX); row++) {
        fill(row, 30.0f, logits);
        const double norm = jl_log_sum_exp(logits, VOCAB, &max);
        jl_logits_file_row(f, row / jl_scored_rows(CTX), row % jl_scored_rows(CTX), back);
        for (size_t i = 0; i < VOCAB; i++) {
            const double own = fmax((double)logits[i], (double)max - 16.0) - norm;
            assert_true(fabs((double)back[i] - own) < 0.6 * 16.0 / 65535.0);
        }
    }
    jl_logits_file_close(f);
}

/* sum p ln(p / q) in double. */
static double exact_kl(const float *p, const float *q)
{
    double zp = 0.0;
    double zq = 0.0;
    double sum = 0.0;

    for (size_t i = 0; i < VOCAB; i++) {
        zp += exp((double)p[i]);
        zq += exp((double)q[i]);
    }
    for (size_t i = 0; i < VOCAB; i++)
        sum += exp((double)p[i]) / zp * ((double)p[i] - log(zp) - (double)q[i] + log(zq));
    return sum;
}

static void test_divergence(void **state)
{
    jl_kl_rows rows;
    jl_kl_result r = {0};
    jl_error err = {0};
    double sum = 0.0;

    assert_int_equal(jl_kl_rows_create(20, &rows, &err), JL_OK);
    for (uint64_t row = 0; row < 20; row++) {
        float max;
        fill(row, 10.0f, logits);
        fill(row + 100, 1.0f, other);
        for (size_t i = 0; i < VOCAB; i++)
            other[i] += logits[i];
        const double norm = jl_log_sum_exp(logits, VOCAB, &max);
        for (size_t i = 0; i < VOCAB; i++)
            back[i] = (float)((double)logits[i] - norm);
        const double before = rows.kl_sum.sum;
        jl_kl_rows_add(&rows, back, other, VOCAB, 5);
        assert_true(fabs(rows.kl_sum.sum - before - exact_kl(logits, other)) < 1e-5);
        sum += exact_kl(logits, other) / 20;
    }
    jl_kl_rows_result(&rows, &r);
    assert_true(fabs(r.kl.value - sum) < 1e-5);
    assert_true(r.kl_median.value <= r.kl_p99.value && r.kl_p99.value <= r.kl_max);
    assert_true(r.top1.value >= 0.0 && r.top1.value < 1.0);
    jl_kl_rows_destroy(&rows);
}

/* Rounded log probabilities against the logits they come from: 0 to second order. */
static void test_equal_models(void **state)
{
    jl_kl_rows rows;
    jl_kl_result r = {0};
    jl_error err = {0};
    float max;

    assert_int_equal(jl_kl_rows_create(1, &rows, &err), JL_OK);
    fill(3, 12.0f, logits);
    logits[17] = -INFINITY; /* a token that must not be produced */
    const double norm = jl_log_sum_exp(logits, VOCAB, &max);
    for (size_t i = 0; i < VOCAB; i++) {
        const double step = 16.0 / 65535.0;
        back[i] = i == 17 ? -15.9f : (float)(step * rint(((double)logits[i] - norm) / step));
    }
    jl_kl_rows_add(&rows, back, logits, VOCAB, 0);
    jl_kl_rows_result(&rows, &r);
    assert_true(fabs(r.kl.value) < 1e-7);
    assert_true(r.top1.value == 1.0);
    jl_kl_rows_destroy(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mean),           cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_log_sum_exp),    cmocka_unit_test(test_saved_logits),
        cmocka_unit_test(test_divergence),     cmocka_unit_test(test_equal_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
