/* Loops in text and in tool calls. */
#include <string.h>

#include "joule/chat.h"
#include "test.h"

static jl_loop feed(jl_loop_guard *g, size_t n, int32_t period, uint32_t repeats, uint32_t tokens)
{
    jl_loop loop = {0, 1};
    for (size_t i = 0; i < n; i++)
        loop = jl_loop_guard_push(g, (int32_t)i % period, repeats, tokens);
    return loop;
}

static void test_text(void **state)
{
    (void)state;
    for (int32_t period = 1; period <= 100; period += 9) {
        jl_loop_guard g = {0};
        const size_t need = (size_t)(period * 8 > 512 ? period * 8 : 512);
        jl_loop loop = feed(&g, need - 1, period, 0, 0);
        assert_int_equal(loop.repeats, 1);
        loop = jl_loop_guard_push(&g, (int32_t)((need - 1) % (size_t)period), 0, 0);
        assert_int_equal(loop.period, period);
        assert_true(loop.repeats >= 8);
        loop = jl_loop_guard_push(&g, -1, 0, 0); /* something else ends it */
        assert_int_equal(loop.repeats, 1);
    }
}

static void test_text_without_loop(void **state)
{
    (void)state;
    jl_loop_guard g = {0};
    uint32_t x = 1;
    for (int i = 0; i < 5000; i++) {
        x = x * 1664525u + 1013904223u;
        const jl_loop loop = jl_loop_guard_push(&g, (int32_t)(x >> 24), 3, 12);
        assert_int_equal(loop.repeats, 1);
    }
}

static void test_longest_period(void **state)
{
    (void)state;
    jl_loop_guard g = {0};
    const jl_loop loop = feed(&g, 3 * JL_LOOP_MAX_PERIOD, JL_LOOP_MAX_PERIOD, 3, 1);
    assert_int_equal(loop.period, JL_LOOP_MAX_PERIOD);
    assert_int_equal(loop.repeats, 3);
}

static jl_conversation *conv;
static jl_error err;

static void user(const char *text)
{
    const jl_chat_message m = {.role = JL_ROLE_USER, .content = jl_chat_str(text)};
    assert_ok(jl_conversation_add(conv, &m, &err));
}

static void call(const char *arguments, const char *result)
{
    const jl_chat_call c = {"id", "bash", jl_chat_str(arguments)};
    const jl_chat_message m = {.role = JL_ROLE_ASSISTANT, .calls = &c, .n_calls = 1};
    const jl_chat_message r = {.role = JL_ROLE_TOOL, .content = jl_chat_str(result),
        .call_id = "id"};
    assert_ok(jl_conversation_add(conv, &m, &err));
    assert_ok(jl_conversation_add(conv, &r, &err));
}

static jl_loop find(const char *arguments)
{
    jl_loop loop;
    const jl_chat_call c = {"other", "bash", jl_chat_str(arguments)};
    const jl_chat_message m = {.role = JL_ROLE_ASSISTANT, .calls = &c,
        .n_calls = arguments != NULL};
    assert_ok(jl_conversation_find_loop(conv, &m, &loop, &err));
    return loop;
}

static int begin(void **state)
{
    (void)state;
    return jl_conversation_create(0, &conv, &err) == JL_OK ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    jl_conversation_destroy(conv);
    return 0;
}

static void test_calls(void **state)
{
    (void)state;
    user("go");
    assert_int_equal(find("{\"a\":1}").repeats, 1);
    assert_int_equal(find(NULL).repeats, 1);
    call("{\"a\":1,\"b\":2}", "x");
    assert_int_equal(find("{\"b\": 2, \"a\": 1}").repeats, 2); /* order and blanks do not count */
    assert_int_equal(find("{\"a\":1}").repeats, 1);
    call("{\"b\":2,\"a\":1}", "x");
    assert_int_equal(find("{\"a\":1,\"b\":2}").repeats, 3);
    assert_int_equal(find("{\"a\":1,\"b\":2}").period, 1);
    user("again");
    assert_int_equal(find("{\"a\":1,\"b\":2}").repeats, 1);
}

/* Polling: the same call with another result each time is no loop beyond the last pair. */
static void test_results(void **state)
{
    (void)state;
    user("go");
    call("{}", "0 %");
    call("{}", "50 %");
    call("{}", "90 %");
    assert_int_equal(find("{}").repeats, 2);
}

static void test_cycle(void **state)
{
    (void)state;
    user("go");
    for (int i = 0; i < 3; i++) {
        call("{\"f\":\"a\"}", "A");
        call("{\"f\":\"b\"}", "B");
    }
    const jl_loop loop = find("{\"f\":\"a\"}");
    assert_int_equal(loop.period, 2);
    assert_int_equal(loop.repeats, 3);
    assert_int_equal(find("{\"f\":\"b\"}").repeats, 2);
    assert_int_equal(find("{\"f\":\"c\"}").repeats, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_text_without_loop),
        cmocka_unit_test(test_longest_period),
        cmocka_unit_test_setup_teardown(test_calls, begin, end),
        cmocka_unit_test_setup_teardown(test_results, begin, end),
        cmocka_unit_test_setup_teardown(test_cycle, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
