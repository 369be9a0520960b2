/* Batch invariance for the weight types that files of the 26B and the E4B are made of: the logits
 * of every token are the same bits in pieces of 1, 2, 5, 32 and 512 tokens, on several thread
 * counts, and beside other sequences. Usage: test_batch DATA SCRATCH */
#include <unistd.h>

#include "golden.h"
#include "quant/random.h"
#include "quant/types.h"
#include "test.h"

/* One piece of 512 and a rest; crosses the window of the case (48 tokens) eleven times. */
enum { N_TOKENS = 545, N_OTHERS = 2 };

static const jl_type types[] = {JL_TYPE_Q8_0,   JL_TYPE_Q4_0,  JL_TYPE_Q5_0,
                                JL_TYPE_Q5_1,   JL_TYPE_Q4_K,  JL_TYPE_Q6_K,
                                JL_TYPE_IQ4_NL, JL_TYPE_IQ4_XS, JL_TYPE_IQ3_S,
                                JL_TYPE_JQ4};
enum { N_TYPES = sizeof types / sizeof types[0] };

static const char *data_folder, *scratch_folder;

static void make_tokens(int32_t *tokens, uint64_t seed, uint32_t n_vocab)
{
    for (uint64_t i = 0; i < N_TOKENS; i++)
        tokens[i] = (int32_t)(jl_random_u64(seed, i) % n_vocab);
}

static void check_pieces(jl_model *model, const int32_t *tokens, const float *want, size_t n_vocab)
{
    static const golden_plan plans[] = {
        {.piece = 1, .n_threads = 2},
        {.piece = 2, .n_threads = 1},
        {.piece = 5, .n_threads = 3},
        {.piece = 32, .n_threads = 2},
        {.piece = 512, .n_threads = 4},
    };

    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++) {
        char what[80];
        snprintf(what, sizeof what, "pieces of %zu, %u threads", plans[i].piece,
                 plans[i].n_threads);
        float *got = golden_run(model, tokens, N_TOKENS, &plans[i]);
        golden_assert_same(want, got, N_TOKENS, n_vocab, what);
        free(got);
    }
}

static size_t at_most(size_t n, size_t left)
{
    return n < left ? n : left;
}

/* The sequence in pieces of changing length, each computed together with pieces of two others. */
static void check_mixed(jl_model *model, const int32_t *tokens, const float *want, size_t n_vocab)
{
    static const size_t lengths[] = {1, 32, 5, 1, 2, 64, 1, 5, 32, 2, 400};
    static const size_t other_lengths[N_OTHERS][4] = {{7, 1, 33, 2}, {1, 1, 12, 90}};
    jl_session_params params = {.struct_size = sizeof params, .n_ctx = N_TOKENS,
                                .n_seq_max = 1 + N_OTHERS, .n_threads = 2, .n_ubatch = 128};
    static int32_t others[N_OTHERS][N_TOKENS];
    size_t other_done[N_OTHERS] = {0};
    jl_session *s;
    jl_error err;

    for (uint64_t o = 0; o < N_OTHERS; o++)
        make_tokens(others[o], 70 + o, (uint32_t)n_vocab);
    assert_ok(jl_session_create(model, &params, &s, &err));
    size_t done = 0;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        jl_piece pieces[1 + N_OTHERS];
        pieces[0] = (jl_piece){.seq = 1, .tokens = tokens + done, .n_tokens = lengths[i]};
        for (int32_t o = 0; o < N_OTHERS; o++) {
            const size_t n = at_most(other_lengths[o][i % 4], N_TOKENS - other_done[o]);
            pieces[1 + o] = (jl_piece){
                .seq = 2 * o, .tokens = others[o] + other_done[o], .n_tokens = n};
            other_done[o] += n;
        }
        assert_ok(jl_session_eval(s, pieces, 1 + N_OTHERS, &err));
        done += lengths[i];
        golden_assert_same(want + (done - 1) * n_vocab, jl_session_logits(s, 0), 1, n_vocab,
                           "beside other sequences");
    }
    assert_int_equal(done, N_TOKENS);
    jl_session_destroy(s);
}

static void test_type(void **state)
{
    const jl_type type = *(const jl_type *)*state;
    static int32_t tokens[N_TOKENS];
    char path[512];
    golden_case c;
    jl_model *model;
    jl_error err;

    golden_open(&c, data_folder, "moe256");
    snprintf(path, sizeof path, "%s/batch-%s.tmp", scratch_folder, jl_type_name(type));
    golden_write_model(&c, path, type);
    assert_ok(jl_model_open(path, NULL, &model, &err));
    make_tokens(tokens, 7, c.n_vocab);
    float *want = golden_run(model, tokens, N_TOKENS, &(golden_plan){.n_threads = 1});
    check_pieces(model, tokens, want, c.n_vocab);
    check_mixed(model, tokens, want, c.n_vocab);
    free(want);
    jl_model_close(model);
    (void)unlink(path);
    golden_close(&c);
}

int main(int argc, char **argv)
{
    static jl_type initial[N_TYPES];
    struct CMUnitTest tests[N_TYPES];
    if (argc != 3) {
        fprintf(stderr, "usage: test_batch DATA SCRATCH\n");
        return 2;
    }
    data_folder = argv[1];
    scratch_folder = argv[2];
    for (size_t i = 0; i < N_TYPES; i++) {
        initial[i] = types[i];
        tests[i] = (struct CMUnitTest){.name = jl_type_name(types[i]), .test_func = test_type,
                                       .initial_state = &initial[i]};
    }
    return _cmocka_run_group_tests("batch", tests, N_TYPES, NULL, NULL);
}
