/* Remembered turns: what the model wrote is what the next prompt holds, however the client wrote it
 * back; what was not remembered is rendered by the template. */
#include "test.h"

#include "server/turns.h"

static jl_model *model;
static jl_chat *chat;
static jl_turns *turns;
static const char *model_path;

typedef struct {
    int32_t ids[2048];
    size_t n;
} ids;

static ids tokens_of(const char *text)
{
    ids t;

    t.n = jl_tokenize(model, text, strlen(text), JL_TOKENIZE_SPECIAL, t.ids, 2048);
    assert_in_range(t.n, 1, 2048);
    return t;
}

static jl_conversation *load(const char *json)
{
    jl_conversation *conv;
    jl_error err;

    assert_ok(jl_conversation_create(0, &conv, &err));
    assert_ok(jl_conversation_load(conv, json, strlen(json), &err));
    return conv;
}

static jl_turn_prompt render(const char *json, jl_turn_options o)
{
    jl_conversation *conv = load(json);
    jl_turn_prompt p;
    jl_error err;

    assert_ok(jl_turns_render(turns, conv, &o, &p, &err));
    jl_conversation_destroy(conv);
    return p;
}

/* The prompt, then the answer as the model wrote it, which is remembered as this message. */
static ids answer(const char *request, jl_turn_options o, const char *written,
                  const jl_chat_message *message)
{
    jl_turn_prompt p = render(request, o);
    const ids new = tokens_of(written);
    ids all = {.n = p.prompt.n_tokens};

    memcpy(all.ids, p.prompt.tokens, p.prompt.n_tokens * sizeof(int32_t));
    memcpy(all.ids + all.n, new.ids, new.n * sizeof(int32_t));
    all.n += new.n;
    jl_turns_remember(turns, &p, message, all.ids, all.n);
    jl_chat_prompt_free(&p.prompt);
    return all;
}

static void assert_prompt(const jl_turn_prompt *p, const ids *start, size_t n_start,
                          const char *rest)
{
    const ids end = tokens_of(rest);

    assert_int_equal(p->prompt.n_tokens, n_start + end.n);
    assert_memory_equal(p->prompt.tokens, start->ids, n_start * sizeof(int32_t));
    assert_memory_equal(p->prompt.tokens + n_start, end.ids, end.n * sizeof(int32_t));
    assert_int_equal(p->n_replayed, n_start);
}

#define USER "{\"role\":\"user\",\"content\":\"Hello\"}"

static void test_text(void **state)
{
    const jl_chat_message m = {.role = JL_ROLE_ASSISTANT, .content = jl_chat_str("  Good day \n")};
    (void)state;

    /* blanks that the template would trim, and no end mark: cut by the limit */
    const ids all = answer("{\"messages\":[" USER "]}", (jl_turn_options){0}, "  Good day \n", &m);
    jl_turn_prompt p = render("{\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":"
                              "\"Good day\"},{\"role\":\"user\",\"content\":\"Bye\"}]}",
                              (jl_turn_options){0});
    assert_prompt(&p, &all, all.n,
                  "<turn|>\n<|turn>user\nBye<turn|>\n<|turn>model\n"
                  "<|channel>thought\n<channel|>");
    jl_chat_prompt_free(&p.prompt);
}

static void test_end_mark_once(void **state)
{
    const jl_chat_message m = {.role = JL_ROLE_ASSISTANT, .content = jl_chat_str("Good day")};
    (void)state;

    const ids all =
        answer("{\"messages\":[" USER "]}", (jl_turn_options){0}, "Good day<turn|>", &m);
    jl_turn_prompt p =
        render("{\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":[{\"type\":"
               "\"text\",\"text\":\"Good day\"}]},{\"role\":\"user\",\"content\":\"Bye\"}]}",
               (jl_turn_options){0});
    assert_prompt(&p, &all, all.n - 1,
                  "<turn|>\n<|turn>user\nBye<turn|>\n<|turn>model\n"
                  "<|channel>thought\n<channel|>");
    jl_chat_prompt_free(&p.prompt);
}

static const char call_text[] =
    "<|channel>thought\nI look.\n<channel|>Let me see.<|tool_call>call:ls{path:<|\"|>/tmp<|\"|>,"
    "all:true}<tool_call|>";

static jl_chat_message call_message(const jl_chat_call *call)
{
    return (jl_chat_message){.role = JL_ROLE_ASSISTANT,
                             .content = jl_chat_str("Let me see."),
                             .reasoning = jl_chat_str("I look."),
                             .calls = call,
                             .n_calls = 1};
}

/* Thought and text before the call, keys in another order: all stays as it was written. */
static void test_call(void **state)
{
    const jl_chat_call call = {
        .id = "c1", .name = "ls", .arguments = jl_chat_str("{\"path\":\"/tmp\",\"all\":true}")};
    const jl_chat_message m = call_message(&call);
    const jl_turn_options o = {.thinking = true, .tools = "[]", .tools_len = 2};
    (void)state;

    ids all = answer("{\"messages\":[" USER "]}", o, call_text, &m);
    const ids end = tokens_of("<|tool_response>");
    memcpy(all.ids + all.n, end.ids, end.n * sizeof(int32_t));
    jl_turn_prompt p = render(
        "{\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":"
        "\"c1\",\"type\":\"function\",\"function\":{\"name\":\"ls\",\"arguments\":"
        "\"{\\\"path\\\": \\\"/tmp\\\"}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c1\","
        "\"content\":\"a.txt\"}]}",
        o);
    assert_prompt(&p, &all, all.n,
                  "<|tool_response>response:ls{value:<|\"|>a.txt<|\"|>}<tool_response|>"
                  "<|channel>thought\n");
    assert_true(p.prompt.in_thought);
    assert_true(p.open_thought);
    jl_chat_prompt_free(&p.prompt);
}

/* Without ids, the name and the value of the arguments tell. */
static void test_call_without_id(void **state)
{
    const jl_chat_call call = {.name = "ls",
                               .arguments = jl_chat_str("{\"path\":\"/tmp\",\"all\":true}")};
    const jl_chat_message m = call_message(&call);
    (void)state;

    answer("{\"messages\":[" USER "]}", (jl_turn_options){0}, call_text, &m);
    static const char back[] =
        "{\"messages\":[" USER
        ",{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":"
        "{\"name\":\"ls\",\"arguments\":{\"all\":true,\"path\":\"%s\"}}}]},{\"role\":\"tool\","
        "\"content\":\"a.txt\"}]}";
    char request[512];
    snprintf(request, sizeof request, back, "/tmp");
    jl_turn_prompt p = render(request, (jl_turn_options){0});
    assert_true(p.n_replayed > 0);
    jl_chat_prompt_free(&p.prompt);
    snprintf(request, sizeof request, back, "/etc");
    p = render(request, (jl_turn_options){0});
    assert_int_equal(p.n_replayed, 0);
    jl_chat_prompt_free(&p.prompt);
}

/* Thoughts are kept or dropped at a new user message, as asked. */
static void test_drop_thinking(void **state)
{
    const jl_chat_message m = {
        .role = JL_ROLE_ASSISTANT, .content = jl_chat_str("Yes."), .reasoning = jl_chat_str("Hm.")};
    static const char written[] = "<|channel>thought\nHm.\n<channel|>Yes.<turn|>";
    static const char back[] =
        "{\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":\"Yes.\"},"
        "{\"role\":\"user\",\"content\":\"Bye\"}]}";
    const jl_turn_options keep = {.thinking = true};
    const jl_turn_options drop = {.thinking = true, .drop_thinking = true};
    (void)state;

    const ids all = answer("{\"messages\":[" USER "]}", keep, written, &m);
    jl_turn_prompt p = render(back, keep);
    assert_int_equal(p.n_replayed, all.n - 1);
    jl_chat_prompt_free(&p.prompt);
    answer("{\"messages\":[" USER "]}", drop, written, &m);
    p = render(back, drop);
    assert_int_equal(p.n_replayed, 0);
    const ids want =
        tokens_of("<bos><|turn>system\n<|think|>\n<turn|>\n<|turn>user\nHello<turn|>\n"
                  "<|turn>model\nYes.<turn|>\n<|turn>user\nBye<turn|>\n<|turn>model\n");
    assert_int_equal(p.prompt.n_tokens, want.n);
    assert_memory_equal(p.prompt.tokens, want.ids, want.n * sizeof(int32_t));
    jl_chat_prompt_free(&p.prompt);
}

/* Another conversation with the same answer, other tools, another setting: not the same turn. */
static void test_other_start(void **state)
{
    const jl_chat_message m = {.role = JL_ROLE_ASSISTANT, .content = jl_chat_str("Good day")};
    static const char back[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"},{\"role\":"
                               "\"assistant\",\"content\":\"Good day\"}," USER "]}";
    char request[256];
    (void)state;

    answer("{\"messages\":[" USER "]}", (jl_turn_options){0}, "Good day<turn|>", &m);
    for (int i = 0; i < 4; i++) {
        const jl_turn_options o = {
            .thinking = i == 1, .tools = i == 2 ? "[1]" : NULL, .tools_len = 3};
        snprintf(request, sizeof request, back, i == 3 ? "Hello!" : "Hello");
        jl_turn_prompt p = render(request, o);
        assert_int_equal(p.n_replayed > 0, i == 0);
        jl_chat_prompt_free(&p.prompt);
    }
}

static void test_limit(void **state)
{
    const jl_chat_message m = {.role = JL_ROLE_ASSISTANT, .content = jl_chat_str("Good day")};
    jl_turns *small;
    jl_error err;
    char request[256];
    size_t n_known = 0;
    (void)state;

    assert_ok(jl_turns_create(chat, model, 1000, NULL, &small, &err));
    jl_turns *const saved = turns;
    turns = small;
    for (int i = 0; i < 50; i++) {
        snprintf(request, sizeof request, "{\"messages\":[{\"role\":\"user\",\"content\":\"%d\"}]}",
                 i);
        answer(request, (jl_turn_options){0}, "Good day<turn|>", &m);
    }
    for (int i = 0; i < 50; i++) {
        snprintf(request, sizeof request,
                 "{\"messages\":[{\"role\":\"user\",\"content\":\"%d\"},"
                 "{\"role\":\"assistant\",\"content\":\"Good day\"}," USER "]}",
                 i);
        jl_turn_prompt p = render(request, (jl_turn_options){0});
        n_known += p.n_replayed > 0;
        if (i == 49)
            assert_true(p.n_replayed > 0); /* the newest is there */
        jl_chat_prompt_free(&p.prompt);
    }
    assert_in_range(n_known, 1, 40);
    turns = saved;
    jl_turns_destroy(small);
}

static int open_all(void **state)
{
    jl_error err;
    const jl_model_params params = {.struct_size = sizeof params, .vocab_only = true};
    (void)state;

    return jl_model_open(model_path, &params, &model, &err) == JL_OK &&
                   jl_chat_create(model, &chat, &err) == JL_OK
               ? 0
               : -1;
}

static int close_all(void **state)
{
    (void)state;
    jl_chat_destroy(chat);
    jl_model_close(model);
    return 0;
}

static int setup(void **state)
{
    jl_error err;
    (void)state;
    return jl_turns_create(chat, model, 1 << 20, NULL, &turns, &err) == JL_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    jl_turns_destroy(turns);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_mark_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_call, setup, teardown),
        cmocka_unit_test_setup_teardown(test_call_without_id, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drop_thinking, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
    };

    model_path = argc > 1 ? argv[1] : "models/joule-tiny.gguf";
    return cmocka_run_group_tests(tests, open_all, close_all);
}
