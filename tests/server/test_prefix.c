/* The prefix cache: what is found, what is kept, what goes first. */
#include "test.h"

#include "server/prefix.h"
#include "tiny.h"

enum { N_SEQ = 5 };

static const char *golden_folder, *work_folder;
static tiny t;
static jl_session *session;
static jl_prefix *cache;

static int open_all(void **state)
{
    (void)state;
    tiny_open(&t, golden_folder, work_folder);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    tiny_close(&t);
    return 0;
}

static int setup(void **state)
{
    jl_error err;
    (void)state;

    session =
        tiny_session(&t, (jl_session_params){.n_ctx = 512, .n_seq_max = N_SEQ, .n_ubatch = 32});
    assert_ok(jl_prefix_create(session, N_SEQ, &cache, &err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    jl_prefix_destroy(cache);
    jl_session_destroy(session);
    return 0;
}

static void append(int32_t seq, const int32_t *tokens, size_t n)
{
    const jl_piece p = {.seq = seq, .tokens = tokens, .n_tokens = n};
    jl_error err;

    assert_ok(jl_session_eval(session, &p, 1, &err));
}

/* An entry of n tokens that starts with a token of its own. */
static void make_entry(int32_t first, size_t n, jl_prefix_kind kind)
{
    int32_t tokens[64];
    const int32_t seq = jl_prefix_take(cache, kind.small);

    memcpy(tokens, t.tokens, n * sizeof *tokens);
    tokens[0] = first;
    assert_true(seq >= 0);
    append(seq, tokens, n);
    jl_prefix_keep(cache, seq, tokens, kind);
}

static size_t found(int32_t first, size_t n)
{
    int32_t tokens[64];
    int32_t src;

    memcpy(tokens, t.tokens, n * sizeof *tokens);
    tokens[0] = first;
    return jl_prefix_find(cache, tokens, n, &src);
}

static void test_longest(void **state)
{
    int32_t other[100];
    (void)state;

    make_entry(t.tokens[0], 20, (jl_prefix_kind){0});
    make_entry(t.tokens[0], 40, (jl_prefix_kind){0});
    assert_int_equal(found(t.tokens[0], 60), 40);
    assert_int_equal(found(t.tokens[0], 40), 39); /* one token is left to compute */
    assert_int_equal(found(t.tokens[0], 21), 20);
    assert_int_equal(found(t.tokens[0], 1), 0);
    assert_int_equal(found(7, 40), 0);

    memcpy(other, t.tokens, sizeof other);
    other[30] = other[30] == 5 ? 6 : 5;
    const int32_t dst = jl_prefix_take(cache, false);
    assert_int_equal(jl_prefix_fork(cache, other, 100, dst), 30);
    assert_int_equal(jl_seq_length(session, dst), 30);
}

/* A running sequence is a source too, as far as it has come. */
static void test_running_source(void **state)
{
    (void)state;
    const int32_t seq = jl_prefix_take(cache, false);
    jl_prefix_announce(cache, seq, t.tokens);
    append(seq, t.tokens, 25);
    assert_int_equal(found(t.tokens[0], 60), 25);
    jl_prefix_give_back(cache, seq);
    assert_int_equal(found(t.tokens[0], 60), 0);
}

/* Behind the sliding window an entry cannot be forked; a checkpoint there can. */
static void test_window(void **state)
{
    int32_t tokens[400];
    int32_t src;
    (void)state;

    memcpy(tokens, t.tokens, sizeof tokens);
    const int32_t seq = jl_prefix_take(cache, false);
    append(seq, tokens, 100);
    jl_prefix_checkpoint(cache, seq, tokens, 100, (jl_prefix_kind){.checkpoint = true});
    append(seq, tokens + 100, 290);
    jl_prefix_keep(cache, seq, tokens, (jl_prefix_kind){0});
    tokens[150] = tokens[150] == 5 ? 6 : 5;
    assert_int_equal(jl_prefix_find(cache, tokens, 400, &src), 100);
    tokens[380] = tokens[380] == 5 ? 6 : 5;
    tokens[150] = t.tokens[150];
    assert_int_equal(jl_prefix_find(cache, tokens, 400, &src), 380);
}

static void test_small_goes_first(void **state)
{
    (void)state;
    make_entry(10, 16, (jl_prefix_kind){0});             /* the conversation */
    make_entry(11, 16, (jl_prefix_kind){.small = true}); /* titles, younger */
    make_entry(12, 16, (jl_prefix_kind){.small = true});
    assert_true(jl_prefix_evict(cache, true));
    assert_int_equal(found(11, 16), 0);
    assert_int_equal(found(12, 16), 15);
    assert_true(jl_prefix_evict(cache, true));
    assert_false(jl_prefix_evict(cache, true)); /* the conversation stays */
    assert_int_equal(found(10, 16), 15);
    assert_true(jl_prefix_evict(cache, false));
    assert_int_equal(found(10, 16), 0);
    assert_false(jl_prefix_evict(cache, false));
}

static void test_least_recently_used(void **state)
{
    jl_prefix_stats stats;
    (void)state;

    for (int32_t first = 10; first < 10 + N_SEQ; first++)
        make_entry(first, 16, (jl_prefix_kind){.checkpoint = true});
    /* all sequences are entries; a use makes the oldest the youngest */
    int32_t tokens[16];
    memcpy(tokens, t.tokens, sizeof tokens);
    tokens[0] = 10;
    jl_prefix_checkpoint(cache, 0, tokens, 16, (jl_prefix_kind){.checkpoint = true});
    assert_true(jl_prefix_take(cache, false) >= 0);
    assert_int_equal(found(11, 16), 0);
    assert_int_equal(found(10, 16), 15);
    jl_prefix_get_stats(cache, &stats);
    assert_int_equal(stats.n_entries, N_SEQ - 1);
    assert_int_equal(stats.n_running, 1);
    assert_int_equal(stats.n_evicted, 1);
    assert_int_equal(stats.n_tokens, 16 * (N_SEQ - 1));
}

static void test_same_tokens_once(void **state)
{
    jl_prefix_stats stats;
    (void)state;

    make_entry(10, 16, (jl_prefix_kind){0});
    make_entry(10, 16, (jl_prefix_kind){.small = true});
    jl_prefix_get_stats(cache, &stats);
    assert_int_equal(stats.n_entries, 1);
    make_entry(11, 16, (jl_prefix_kind){.small = true});
    assert_true(jl_prefix_evict(cache, true));
    assert_int_equal(found(10, 16), 15); /* still not small */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_longest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_running_source, setup, teardown),
        cmocka_unit_test_setup_teardown(test_window, setup, teardown),
        cmocka_unit_test_setup_teardown(test_small_goes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_least_recently_used, setup, teardown),
        cmocka_unit_test_setup_teardown(test_same_tokens_once, setup, teardown),
    };

    golden_folder = argc > 1 ? argv[1] : ".";
    work_folder = argc > 2 ? argv[2] : ".";
    return cmocka_run_group_tests(tests, open_all, close_all);
}
