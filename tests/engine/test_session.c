/* Sessions: limits and messages, memory need, no heap calls while decoding, cancellation. */
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>

#include "../golden/golden.h"
#include "base/file.h"
#include "base/mem.h"

static const char *golden_folder, *work_folder;
static jl_model *model;
static golden_case gc;

static int open_model(void **state)
{
    (void)state;
    golden_open_model(&gc, golden_folder, "26b-a4b", work_folder, "session-model.gguf", &model);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    jl_model_close(model);
    golden_close(&gc);
    return 0;
}

static jl_session *make(jl_session_params p)
{
    jl_session *s = NULL;
    jl_error err;

    p.struct_size = sizeof p;
    p.n_threads = p.n_threads ? p.n_threads : 2;
    assert_ok(jl_session_create(model, &p, &s, &err));
    return s;
}

static void test_limits(void **state)
{
    jl_session *s;
    jl_error err;
    (void)state;

    jl_session_params p = {.n_ctx = 1u << 25};
    assert_fails(jl_session_create(model, &p, &s, &err), JL_INVALID, "out of range");
    p = (jl_session_params){.n_threads = 100000};
    assert_fails(jl_session_create(model, &p, &s, &err), JL_INVALID, "threads");
    p = (jl_session_params){.cpu_mask = "mmx2000"};
    assert_fails(jl_session_create(model, &p, &s, &err), JL_INVALID, "mmx2000");
    p = (jl_session_params){.type_k = (jl_kv_type)9};
    assert_fails(jl_session_create(model, &p, &s, &err), JL_INVALID, "KV cache type");
}

static void test_bad_pieces(void **state)
{
    jl_session *s = make((jl_session_params){.n_ctx = 100, .n_seq_max = 2});
    const int32_t bad[] = {2, (int32_t)gc.n_vocab};
    jl_error err;
    (void)state;

    const jl_piece none = {.seq = 0, .tokens = gc.tokens, .n_tokens = 0};
    assert_fails(jl_session_eval(s, &none, 1, &err), JL_INVALID, "no tokens");
    const jl_piece seq = {.seq = 2, .tokens = gc.tokens, .n_tokens = 1};
    assert_fails(jl_session_eval(s, &seq, 1, &err), JL_INVALID, "sequence 2 does not exist");
    const jl_piece token = {.seq = 0, .tokens = bad, .n_tokens = 2};
    assert_fails(jl_session_eval(s, &token, 1, &err), JL_INVALID, "outside the vocabulary");
    const jl_piece negative = {.seq = 0, .tokens = (const int32_t[]){-1}, .n_tokens = 1};
    assert_fails(jl_session_eval(s, &negative, 1, &err), JL_INVALID, "outside the vocabulary");
    const jl_piece longer = {.seq = 0, .tokens = gc.tokens, .n_tokens = 101};
    assert_fails(jl_session_eval(s, &longer, 1, &err), JL_TOO_LARGE, "context of 100 tokens");
    const jl_piece twice[] = {{.seq = 0, .tokens = gc.tokens, .n_tokens = 1},
                              {.seq = 0, .tokens = gc.tokens, .n_tokens = 1}};
    assert_fails(jl_session_eval(s, twice, 2, &err), JL_INVALID, "two pieces");
    assert_int_equal(jl_seq_length(s, 0), 0);

    const jl_piece all = {.seq = 0, .tokens = gc.tokens, .n_tokens = 100};
    assert_ok(jl_session_eval(s, &all, 1, &err));
    assert_int_equal(jl_seq_length(s, 0), 100);
    const jl_piece more = {.seq = 0, .tokens = gc.tokens, .n_tokens = 1};
    assert_fails(jl_session_eval(s, &more, 1, &err), JL_TOO_LARGE, "holds 100");
    assert_null(jl_session_logits(s, 0));
    jl_session_destroy(s);
}

static void test_sequences(void **state)
{
    jl_session *s = make((jl_session_params){.n_ctx = 400, .n_seq_max = 3, .n_ubatch = 32});
    jl_error err;
    (void)state;

    assert_fails(jl_seq_truncate(s, 7, 0, &err), JL_INVALID, "does not exist");
    assert_fails(jl_seq_truncate(s, 0, 5, &err), JL_INVALID, "holds 0");
    assert_fails(jl_seq_fork(s, 0, 0, 0, &err), JL_INVALID, "not empty");

    const jl_piece p = {.seq = 0, .tokens = gc.tokens, .n_tokens = 320};
    assert_ok(jl_session_eval(s, &p, 1, &err));
    /* window 128, micro-batch 32: blocks before 320 - 160 are gone, so the cut has a limit */
    const size_t least = jl_seq_min_length(s, 0);
    assert_in_range(least, 1, 319);
    assert_fails(jl_seq_truncate(s, 0, least - 1, &err), JL_INVALID, "sliding-window");
    assert_ok(jl_seq_fork(s, 0, 1, least, &err));
    assert_ok(jl_seq_truncate(s, 0, least, &err));
    assert_int_equal(jl_seq_length(s, 1), least);
    assert_ok(jl_seq_truncate(s, 0, 0, &err));
    assert_int_equal(jl_seq_min_length(s, 0), 0);
    jl_seq_clear(s, 1);
    assert_int_equal(jl_seq_length(s, 1), 0);
    jl_session_destroy(s);
}

/* Sequences are made, forked and dropped at random; whatever happens, no page is lost. */
static void test_pages_return(void **state)
{
    enum { N_SEQ = 4, ROUNDS = 400 };
    jl_session *s = make((jl_session_params){.n_ctx = 256, .n_seq_max = N_SEQ, .n_ubatch = 64});
    uint32_t rng = 12345;
    jl_error err;
    (void)state;

    for (int i = 0; i < ROUNDS; i++) {
        rng = rng * 1664525u + 1013904223u;
        const int32_t seq = (int32_t)(rng >> 8) % N_SEQ;
        const int32_t other = (int32_t)(rng >> 16) % N_SEQ;
        const size_t len = jl_seq_length(s, seq);
        const uint32_t what = (rng >> 24) % 8;
        if (what == 0) {
            jl_seq_clear(s, seq);
        } else if (what == 1 && other != seq) {
            jl_seq_clear(s, other);
            assert_ok(jl_seq_fork(s, seq, other, len, &err));
        } else if (what == 2 && len > jl_seq_min_length(s, seq)) {
            assert_ok(jl_seq_truncate(s, seq, (len + jl_seq_min_length(s, seq)) / 2, &err));
        } else if (len + 9 <= 256) {
            const jl_piece p = {.seq = seq, .tokens = gc.tokens + len, .n_tokens = 9};
            assert_ok(jl_session_eval(s, &p, 1, &err));
        }
    }
    /* with everything cleared, all sequences fit again at full length */
    for (int32_t q = 0; q < N_SEQ; q++)
        jl_seq_clear(s, q);
    for (int32_t q = 0; q < N_SEQ; q++) {
        const jl_piece p = {.seq = q, .tokens = gc.tokens, .n_tokens = 256};
        assert_ok(jl_session_eval(s, &p, 1, &err));
    }
    jl_session_destroy(s);
}

static void test_no_heap_calls(void **state)
{
    jl_session *s = make((jl_session_params){.n_ctx = 400});
    jl_sampler_params sp;
    jl_sampler *sampler;
    jl_error err;
    (void)state;

    jl_sampler_defaults(model, &sp);
    sp.repeat_penalty = 1.1f;
    sp.dry_multiplier = 0.8f;
    sp.typical_p = 0.9f;
    assert_ok(jl_sampler_create(model, &sp, &sampler, &err));
    const jl_piece prompt = {.seq = 0, .tokens = gc.tokens, .n_tokens = 200};
    assert_ok(jl_session_eval(s, &prompt, 1, &err));

    const size_t before = jl_mem_calls();
    for (int i = 0; i < 100; i++) {
        const int32_t token = jl_sampler_pick(sampler, jl_session_logits(s, 0), NULL);
        jl_sampler_accept(sampler, token);
        const jl_piece p = {.seq = 0, .tokens = &token, .n_tokens = 1};
        assert_ok(jl_session_eval(s, &p, 1, &err));
    }
    assert_int_equal(jl_mem_calls() - before, 0);
    jl_sampler_destroy(sampler);
    jl_session_destroy(s);
}

typedef struct {
    jl_session *s;
    atomic_int layers; /* shown since the request */
    atomic_bool asked;
} cancel_state;

static void *ask_cancel(void *ctx)
{
    cancel_state *c = ctx;

    jl_session_cancel(c->s);
    return NULL;
}

static void at_layer(void *ctx, int layer, const float *x, size_t n_tokens)
{
    cancel_state *c = ctx;
    pthread_t thread;
    (void)x;
    (void)n_tokens;

    if (atomic_load(&c->asked))
        atomic_fetch_add(&c->layers, 1);
    if (layer == 2 && !atomic_load(&c->asked)) {
        pthread_create(&thread, NULL, ask_cancel, c);
        pthread_join(thread, NULL);
        atomic_store(&c->asked, true);
    }
}

static void test_cancel(void **state)
{
    cancel_state c = {.s = make((jl_session_params){.n_ctx = 400, .n_ubatch = 64})};
    const jl_piece p = {.seq = 0, .tokens = gc.tokens, .n_tokens = 300};
    jl_error err;
    (void)state;

    jl_session_observe(c.s, at_layer, &c);
    assert_fails(jl_session_eval(c.s, &p, 1, &err), JL_CANCELLED, "cancelled");
    assert_int_equal(atomic_load(&c.layers), 0); /* no layer was finished after the request */
    assert_int_equal(jl_seq_length(c.s, 0), 0);  /* the first micro-batch was not finished */

    jl_session_observe(c.s, NULL, NULL);
    assert_ok(jl_session_eval(c.s, &p, 1, &err));
    float *whole = golden_run(model, gc.tokens, 300, &(golden_plan){.kv = JL_KV_F16});
    assert_memory_equal(jl_session_logits(c.s, 0), whole + 299 * (size_t)gc.n_vocab,
                        gc.n_vocab * sizeof(float));
    free(whole);
    jl_session_destroy(c.s);
}

typedef struct {
    size_t n_calls, n_done[2];
    bool refuse; /* also ask for what is not allowed */
} pauses;

/* A token for each of two other sequences at every second chance. */
static void two_more(void *ctx, jl_session *s)
{
    pauses *p = ctx;
    jl_error err;

    if (p->n_calls++ % 2 || p->n_done[0] == 40)
        return;
    const jl_piece pieces[] = {
        {.seq = 1, .tokens = gc.tokens + 7 + p->n_done[0]++, .n_tokens = 1},
        {.seq = 2, .tokens = gc.tokens + 90 + p->n_done[1]++, .n_tokens = 1},
        {.seq = 3, .tokens = gc.tokens, .n_tokens = 1},
    };
    assert_ok(jl_session_eval_beside(s, pieces, 2, &err));
    assert_non_null(jl_session_logits(s, 1));
    if (p->refuse)
        assert_fails(jl_session_eval_beside(s, pieces, 3, &err), JL_INVALID, "1 to 2");
}

/* What is computed while another eval pauses has the bits it has alone, and so has that eval. */
static void test_beside(void **state)
{
    static const size_t first[] = {0, 7, 90};
    jl_session *s = make((jl_session_params){
        .n_ctx = 400, .n_ubatch = 64, .n_seq_max = 4, .n_logits_max = 3, .n_beside = 2});
    pauses p = {.refuse = true};
    jl_error err;
    (void)state;

    const jl_piece prompt = {.seq = 0, .tokens = gc.tokens, .n_tokens = 300};
    assert_fails(jl_session_eval_beside(s, &prompt, 1, &err), JL_INVALID, "between");
    jl_session_set_between(s, two_more, &p);
    assert_ok(jl_session_eval(s, &prompt, 1, &err));
    assert_true(p.n_done[0] > 10);
    jl_session_set_between(s, NULL, NULL);

    float *whole = golden_run(model, gc.tokens, 300, &(golden_plan){.kv = JL_KV_F16});
    assert_memory_equal(jl_session_logits(s, 0), whole + 299 * (size_t)gc.n_vocab,
                        gc.n_vocab * sizeof(float));
    free(whole);
    for (int32_t seq = 1; seq <= 2; seq++) {
        const size_t n = p.n_done[0];
        assert_int_equal(jl_seq_length(s, seq), n);
        const jl_piece next = {.seq = seq, .tokens = gc.tokens + first[seq] + n, .n_tokens = 1};
        assert_ok(jl_session_eval(s, &next, 1, &err));
        whole = golden_run(model, gc.tokens + first[seq], n + 1, &(golden_plan){.kv = JL_KV_F16});
        assert_memory_equal(jl_session_logits(s, 0), whole + n * (size_t)gc.n_vocab,
                            gc.n_vocab * sizeof(float));
        free(whole);
    }
    jl_session_destroy(s);
}

static void test_memory_need(void **state)
{
    const jl_session_params small = {.n_ctx = 256};
    const jl_session_params large = {.n_ctx = 4096};
    jl_memory a, b;
    jl_error err;
    (void)state;

    assert_ok(jl_session_measure(model, &small, &a, &err));
    assert_ok(jl_session_measure(model, &large, &b, &err));
    assert_true(b.kv > a.kv);
    assert_int_equal(a.total, a.weights + a.kv + a.compute + a.logits + a.other);
    /* 6 layers, 5 of 2 heads of 32 and 1 of 1 head of 64, F16, K and V */
    const uint64_t global_token = 2 * 64 * 2;
    assert_true(b.kv - a.kv >= global_token * (4096 - 256));

    const uint64_t before = jl_memory_peak();
    jl_session *s = make(large);
    const jl_piece p = {.seq = 0, .tokens = gc.tokens, .n_tokens = gc.n_tokens};
    assert_ok(jl_session_eval(s, &p, 1, &err));
    assert_true(jl_memory_peak() - before <= b.total + (8u << 20));
    jl_session_destroy(s);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),        cmocka_unit_test(test_bad_pieces),
        cmocka_unit_test(test_sequences),     cmocka_unit_test(test_pages_return),
        cmocka_unit_test(test_no_heap_calls), cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_memory_need),   cmocka_unit_test(test_beside),
    };

    golden_folder = argc > 1 ? argv[1] : ".";
    work_folder = argc > 2 ? argv[2] : ".";
    return cmocka_run_group_tests(tests, open_model, close_model);
}
