/* Logits and hidden states of a model variant against the official implementation, and the promise
 * that they do not depend on how a sequence is computed. Usage: test_golden DATA SCRATCH CASE */
#include <math.h>
#include <unistd.h>

#include "golden.h"
#include "test.h"

/* Largest error of a logit. Reference: matrices in F64. joule: F32 throughout. The F32 run of the
 * same reference is within 2e-4 of its F64 run (scripts/make-goldens prints it per case); another
 * order of summation gives an error of the same size, so five times that is far from chance and a
 * real mistake, which is of the size of the logits (rms 6), is far from it. */
static const double max_logit_error = 1e-3;
/* The same for hidden states, relative to the rms of the layer's state: logits amplify the final
 * state's relative error by their rms of 6. */
static const double max_state_error = 1e-3;

static const char *data_folder, *scratch_folder;

typedef struct {
    const char *name;
    bool many_flips; /* so many experts and layers that rounding flips a choice of most tokens */
    golden_case c;
    char path[512];
    jl_model *model; /* F32 */
    float *logits;   /* all at once, one thread, F32 cache */
} fixture;

static fixture the_case;

/* The case of a test, its model made and run when it is first used. */
static const fixture *fixture_of(void **state)
{
    fixture *f = *state;
    jl_error err;
    if (f->logits)
        return f;
    if (!f->model) {
        golden_open(&f->c, data_folder, f->name);
        snprintf(f->path, sizeof f->path, "%s/golden-%s.tmp", scratch_folder, f->name);
        golden_write_model(&f->c, f->path, JL_TYPE_F32);
        assert_ok(jl_model_open(f->path, NULL, &f->model, &err));
    }
    f->logits = golden_run(f->model, f->c.tokens, f->c.n_tokens,
                           &(golden_plan){.n_threads = 1, .kv = JL_KV_F32});
    return f;
}

static int close_case(void **state)
{
    free(the_case.logits);
    jl_model_close(the_case.model);
    if (the_case.c.file)
        golden_close(&the_case.c);
    if (the_case.path[0])
        (void)unlink(the_case.path);
    return 0;
}

/* ---- against the reference ----------------------------------------------------------------- */

/* Largest error of a layer's hidden state so far. */
typedef struct {
    double error; /* absolute */
    double rms;   /* of the reference */
    size_t position;
    size_t n_tokens; /* tokens seen */
} layer_error;

typedef struct {
    const golden_case *c;
    layer_error layers[64]; /* index 0: scaled embedding */
} layer_check;

static void observe_layer(void *ctx, int layer, const float *x, size_t n_tokens)
{
    layer_check *check = ctx;
    const golden_case *c = check->c;
    layer_error *e = &check->layers[layer + 1];
    const float *want = c->hidden + (size_t)(layer + 1) * c->n_positions * c->n_embd;

    for (size_t i = 0; i < c->n_positions; i++, want += c->n_embd) {
        if (c->positions[i] < e->n_tokens || c->positions[i] >= e->n_tokens + n_tokens)
            continue;
        const float *got = x + (c->positions[i] - e->n_tokens) * c->n_embd;
        for (size_t k = 0; k < c->n_embd; k++) {
            const double d = fabs((double)got[k] - want[k]);
            if (!(d <= e->error)) { /* also when d is NaN */
                e->error = d;
                e->position = c->positions[i];
            }
        }
    }
    e->n_tokens += n_tokens;
}

static void set_reference_rms(layer_check *check)
{
    const golden_case *c = check->c;
    const size_t n = c->n_positions * c->n_embd;
    for (size_t layer = 0; layer < c->n_layer + 2; layer++) {
        double sum = 0;
        for (size_t k = 0; k < n; k++)
            sum += (double)c->hidden[layer * n + k] * c->hidden[layer * n + k];
        check->layers[layer].rms = sqrt(sum / (double)n);
    }
}

/* The first layer that is wrong is the one to look at: everything behind it is wrong too. */
static void test_layers(void **state)
{
    const fixture *f = fixture_of(state);
    const golden_case *c = &f->c;
    layer_check check = {.c = c};
    char name[64];
    set_reference_rms(&check);
    float *logits = golden_run(f->model, c->tokens, c->n_tokens,
                               &(golden_plan){.n_threads = 1, .n_ubatch = 100, .kv = JL_KV_F32,
                                              .observe = observe_layer, .observe_ctx = &check});
    free(logits);
    for (int layer = -1; layer <= (int)c->n_layer; layer++) {
        const layer_error *e = &check.layers[layer + 1];
        golden_layer_name(c, layer, name, sizeof name);
        if (e->n_tokens != c->n_tokens)
            fail_msg("%s: %s was shown %zu tokens of %zu", f->name, name, e->n_tokens, c->n_tokens);
        if (!(e->error <= max_state_error * e->rms))
            fail_msg("%s: first wrong: %s, largest error %.3g at token %zu (rms of the state %.3g)",
                     f->name, name, e->error, e->position, e->rms);
    }
}

static bool is_masked(const golden_case *c, size_t token)
{
    for (size_t i = 0; i < c->n_masked; i++) {
        if ((size_t)c->masked[i] == token)
            return true;
    }
    return false;
}

/* Largest error of one row of logits; masked tokens must be -inf. */
static double row_error(const golden_case *c, const float *got, const float *want, size_t position)
{
    double error = 0;
    for (size_t i = 0; i < c->n_vocab; i++) {
        if (is_masked(c, i)) {
            if (!(isinf(got[i]) && got[i] < 0))
                fail_msg("%s: token %zu: logit of the masked token %zu is %g, not -inf", c->name,
                         position, i, (double)got[i]);
            continue;
        }
        const double d = fabs((double)got[i] - want[i]);
        if (!(d <= error))
            error = d;
    }
    return error;
}

static size_t reference_top(const golden_case *c, const float *want)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < c->n_vocab; i++) {
        if (!is_masked(c, i) && (best == SIZE_MAX || want[i] > want[best]))
            best = i;
    }
    return best;
}

static void test_logits(void **state)
{
    const fixture *f = fixture_of(state);
    const golden_case *c = &f->c;
    double worst = 0;
    for (size_t t = 0; t < c->n_tokens; t++) {
        const float *got = f->logits + t * c->n_vocab;
        const float *want = c->logits + t * c->n_vocab;
        const double error = row_error(c, got, want, t);
        if (!(error <= max_logit_error))
            fail_msg("%s: token %zu: a logit is wrong by %.3g (limit %.3g)", f->name, t, error,
                     max_logit_error);
        worst = error > worst ? error : worst;
        if (golden_argmax(got, c->n_vocab) != reference_top(c, want))
            fail_msg("%s: token %zu: best token %zu, reference %zu", f->name, t,
                     golden_argmax(got, c->n_vocab), reference_top(c, want));
    }
    print_message("# %s: %zu tokens, largest error of a logit %.2g\n", f->name, c->n_tokens, worst);
}

/* ---- the same bits however computed --------------------------------------------------------- */

static void assert_plan(void **state, const golden_plan *plan, const char *what)
{
    const fixture *f = fixture_of(state);
    float *logits = golden_run(f->model, f->c.tokens, f->c.n_tokens, plan);
    char text[128];
    snprintf(text, sizeof text, "%s, %s", f->name, what);
    golden_assert_same(f->logits, logits, f->c.n_tokens, f->c.n_vocab, text);
    free(logits);
}

static void test_pieces(void **state)
{
    static const size_t sizes[] = {1, 7, 64};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char what[32];
        snprintf(what, sizeof what, "pieces of %zu", sizes[i]);
        assert_plan(state, &(golden_plan){.piece = sizes[i], .n_threads = 1, .kv = JL_KV_F32},
                    what);
    }
    assert_plan(state, &(golden_plan){.n_ubatch = 33, .n_threads = 1, .kv = JL_KV_F32},
                "micro-batches of 33");
}

static void test_threads(void **state)
{
    static const uint32_t counts[] = {2, 3, 7};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        char what[32];
        snprintf(what, sizeof what, "%u threads", counts[i]);
        assert_plan(state, &(golden_plan){.n_threads = counts[i], .kv = JL_KV_F32}, what);
        assert_plan(state, &(golden_plan){.n_threads = counts[i], .piece = 5, .kv = JL_KV_F32},
                    what);
    }
}

static void test_scalar(void **state)
{
    const golden_plan plan = {.n_threads = 2, .kv = JL_KV_F32, .cpu_mask = "scalar"};
    assert_plan(state, &plan, "scalar kernels");
}

/* Prompt number k of a case: the same tokens in another order (k = 0: as they are), <bos> first. */
static int32_t *shuffled(const golden_case *c, size_t k)
{
    static const size_t strides[] = {1, 7, 11, 13, 17}; /* none divides 320 = n_tokens - 1 twice */
    int32_t *tokens = malloc(c->n_tokens * sizeof *tokens);
    assert_non_null(tokens);
    tokens[0] = c->tokens[0];
    for (size_t i = 1; i < c->n_tokens; i++)
        tokens[i] = c->tokens[1 + (i - 1) * strides[k] % (c->n_tokens - 1)];
    return tokens;
}

static jl_session *make_session(const fixture *f, uint32_t n_seq)
{
    const jl_session_params params = {
        .struct_size = sizeof params, .n_ctx = (uint32_t)f->c.n_tokens, .n_seq_max = n_seq,
        .n_threads = 2, .n_ubatch = 48, .type_k = JL_KV_F32, .type_v = JL_KV_F32,
    };
    jl_session *session;
    jl_error err;
    assert_ok(jl_session_create(f->model, &params, &session, &err));
    return session;
}

static void assert_row(const fixture *f, const float *want, const float *got, const char *what,
                       size_t token)
{
    if (!got)
        fail_msg("%s: %s: no logits for token %zu", f->name, what, token);
    if (memcmp(want, got, f->c.n_vocab * sizeof *want) != 0)
        fail_msg("%s: %s: logits of token %zu differ from those of the sequence alone", f->name,
                 what, token);
}

/* Three sequences of different tokens advance together by different steps. */
static void test_sequences(void **state)
{
    enum { N_SEQ = 3 };
    static const size_t steps[N_SEQ] = {1, 5, 19};
    const fixture *f = fixture_of(state);
    const golden_case *c = &f->c;
    const golden_plan alone = {.n_threads = 1, .kv = JL_KV_F32};
    int32_t *tokens[N_SEQ];
    float *want[N_SEQ];
    size_t done[N_SEQ] = {0};
    jl_error err;
    for (size_t s = 0; s < N_SEQ; s++) {
        tokens[s] = shuffled(c, s);
        want[s] = golden_run(f->model, tokens[s], c->n_tokens, &alone);
    }

    jl_session *session = make_session(f, N_SEQ);
    for (int round = 0; round < 60; round++) {
        jl_piece pieces[N_SEQ];
        size_t n = 0;
        for (size_t s = 0; s < N_SEQ; s++) {
            const size_t left = c->n_tokens - done[s];
            if (left == 0)
                continue;
            const size_t take = steps[s] < left ? steps[s] : left;
            pieces[n++] = (jl_piece){.seq = (int32_t)s, .tokens = tokens[s] + done[s],
                                     .n_tokens = take};
            done[s] += take;
        }
        assert_ok(jl_session_eval(session, pieces, n, &err));
        for (size_t i = 0; i < n; i++) {
            const size_t s = (size_t)pieces[i].seq;
            assert_int_equal(jl_seq_length(session, pieces[i].seq), done[s]);
            assert_row(f, want[s] + (done[s] - 1) * c->n_vocab, jl_session_logits(session, i),
                       "interleaved", done[s] - 1);
        }
    }
    jl_session_destroy(session);
    for (size_t s = 0; s < N_SEQ; s++) {
        free(want[s]);
        free(tokens[s]);
    }
}

static void eval(jl_session *session, int32_t seq, const int32_t *tokens, size_t n)
{
    jl_error err;
    const jl_piece piece = {.seq = seq, .tokens = tokens, .n_tokens = n};
    assert_ok(jl_session_eval(session, &piece, 1, &err));
}

/* A fork and a cut sequence continue with other tokens as if they had never had the old ones. */
static void test_fork_truncate(void **state)
{
    const fixture *f = fixture_of(state);
    const golden_case *c = &f->c;
    const size_t n = c->n_tokens;
    const size_t n_first = n - 60;
    jl_error err;
    jl_session *session = make_session(f, 3);
    int32_t *other = shuffled(c, 2);

    eval(session, 0, c->tokens, n_first);
    const size_t shortest = jl_seq_min_length(session, 0);
    const size_t cut = shortest > n_first - 5 ? shortest : n_first - 5;
    assert_in_range(cut, 1, n_first);
    assert_ok(jl_seq_fork(session, 0, 1, cut, &err));
    assert_ok(jl_seq_fork(session, 0, 2, n_first, &err));
    assert_ok(jl_seq_truncate(session, 0, cut, &err));
    assert_int_equal(jl_seq_length(session, 0), cut);

    /* 2 continues as it was, 1 and 0 turn to other tokens */
    memcpy(other, c->tokens, cut * sizeof *other);
    float *want = golden_run(f->model, other, n, &(golden_plan){.n_threads = 1, .kv = JL_KV_F32});
    eval(session, 2, c->tokens + n_first, n - n_first);
    assert_row(f, f->logits + (n - 1) * c->n_vocab, jl_session_logits(session, 0), "fork continued",
               n - 1);
    for (int32_t seq = 0; seq < 2; seq++) {
        for (size_t at = cut; at < n; at += 9) {
            const size_t take = n - at < 9 ? n - at : 9;
            eval(session, seq, other + at, take);
            assert_row(f, want + (at + take - 1) * c->n_vocab, jl_session_logits(session, 0),
                       seq ? "fork" : "truncated", at + take - 1);
        }
    }

    /* a cleared sequence is as new */
    jl_seq_clear(session, 1);
    assert_int_equal(jl_seq_length(session, 1), 0);
    eval(session, 1, c->tokens, 200);
    assert_row(f, f->logits + 199 * c->n_vocab, jl_session_logits(session, 0), "cleared", 199);
    jl_session_destroy(session);
    free(want);
    free(other);
}

/* ---- KV types ------------------------------------------------------------------------------- */

/* A cache of 8-bit blocks of 32 costs what 8-bit activations cost (derived in test_types.c: 0.011
 * nats, three times that allowed). F16 values have a relative error of 2^-11 / sqrt(12) times 0.7
 * to 1.4 by mantissa, rms 2e-4 against 5.5e-3, and divergence goes with the square. The median over
 * the tokens is compared, because an expert choice that flips has no such bound. Where most tokens
 * have one, a tenth of what the rows of two neighbouring tokens diverge by says that it is still
 * the same model. */
static const struct {
    jl_kv_type type;
    const char *name;
    double max_median; /* nats */
} kv_kinds[] = {{JL_KV_F16, "F16", 4.4e-5}, {JL_KV_Q8_0, "Q8_0", 0.033}};

static double kv_limit(const fixture *f, size_t kind)
{
    const size_t n_vocab = f->c.n_vocab;
    if (!f->many_flips || kv_kinds[kind].type == JL_KV_F16)
        return kv_kinds[kind].max_median;
    const float *next = f->logits + n_vocab;
    return golden_divergence(f->logits, next, f->c.n_tokens - 1, n_vocab).median / 10;
}

static void check_kv_type(const fixture *f, size_t kind)
{
    const golden_plan plans[] = {
        {.n_threads = 1, .kv = kv_kinds[kind].type},
        {.n_threads = 3, .kv = kv_kinds[kind].type, .piece = 7},
        {.n_threads = 2, .kv = kv_kinds[kind].type, .cpu_mask = "scalar"},
    };
    const golden_case *c = &f->c;
    float *logits = golden_run(f->model, c->tokens, c->n_tokens, &plans[0]);
    const golden_kl kl = golden_divergence(f->logits, logits, c->n_tokens, c->n_vocab);
    print_message("# %s: %s cache against F32: KL median %.2g, mean %.2g, max %.2g nats, %zu of "
                  "%zu best tokens differ\n", f->name, kv_kinds[kind].name, kl.median, kl.mean,
                  kl.max, kl.n_other_top, c->n_tokens);
    assert_true(kl.median > 0); /* else the cache is not of that type */
    assert_true(kl.median <= kv_limit(f, kind));
    for (size_t i = 1; i < sizeof plans / sizeof plans[0]; i++) {
        float *again = golden_run(f->model, c->tokens, c->n_tokens, &plans[i]);
        golden_assert_same(logits, again, c->n_tokens, c->n_vocab, kv_kinds[kind].name);
        free(again);
    }
    free(logits);
}

static void test_kv_types(void **state)
{
    for (size_t i = 0; i < sizeof kv_kinds / sizeof kv_kinds[0]; i++)
        check_kv_type(fixture_of(state), i);
}

/* ---- */

int main(int argc, char **argv)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_layers, &the_case),
        cmocka_unit_test_prestate(test_logits, &the_case),
        cmocka_unit_test_prestate(test_pieces, &the_case),
        cmocka_unit_test_prestate(test_threads, &the_case),
        cmocka_unit_test_prestate(test_scalar, &the_case),
        cmocka_unit_test_prestate(test_sequences, &the_case),
        cmocka_unit_test_prestate(test_fork_truncate, &the_case),
        cmocka_unit_test_prestate(test_kv_types, &the_case),
    };
    if (argc != 4) {
        fprintf(stderr, "usage: test_golden DATA SCRATCH CASE\n");
        return 2;
    }
    data_folder = argv[1];
    scratch_folder = argv[2];
    the_case.name = argv[3];
    the_case.many_flips = strcmp(argv[3], "26b-a4b") == 0;
    return cmocka_run_group_tests_name(argv[3], tests, NULL, close_case);
}
