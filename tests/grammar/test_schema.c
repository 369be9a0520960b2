/* Schemas become grammars; whatever the grammar allows satisfies the schema. */
#include <jansson.h>
#include <string.h>

#include "chat/replay.h"
#include "grammar/schema_gbnf.h"
#include "grammar/walk.h"
#include "test.h"

enum { N_RANDOM = 1000 };

static jl_trie *trie;
static FILE *samples; /* schemas and values for another judge; NULL: not wanted */

/* ---- an independent check of values ----------------------------------------------------- */

static bool satisfies(const json_t *root, const json_t *schema, const json_t *v);

static bool has_type(const char *type, const json_t *v)
{
    if (strcmp(type, "integer") == 0)
        return json_is_integer(v);
    if (strcmp(type, "number") == 0)
        return json_is_number(v);
    return strcmp(type, json_is_string(v) ? "string" : json_is_object(v) ? "object"
                        : json_is_array(v) ? "array" : json_is_boolean(v) ? "boolean"
                        : json_is_null(v) ? "null" : "") == 0;
}

static bool any_type(const json_t *type, const json_t *v)
{
    if (json_is_string(type))
        return has_type(json_string_value(type), v);
    for (size_t i = 0; i < json_array_size(type); i++)
        if (has_type(json_string_value(json_array_get(type, i)), v))
            return true;
    return !type;
}

static bool within(const json_t *schema, const char *min, const char *max, size_t n)
{
    const json_t *lo = json_object_get(schema, min), *hi = json_object_get(schema, max);
    return (!lo || (json_int_t)n >= json_integer_value(lo)) &&
           (!hi || (json_int_t)n <= json_integer_value(hi));
}

static size_t n_characters(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static bool object_satisfies(const json_t *root, const json_t *schema, json_t *v)
{
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *required = json_object_get(schema, "required");
    const char *key;
    json_t *item;
    for (size_t i = 0; i < json_array_size(required); i++)
        if (!json_object_get(v, json_string_value(json_array_get(required, i))))
            return false;
    json_object_foreach(v, key, item) {
        const json_t *s = json_object_get(properties, key);
        if (s ? !satisfies(root, s, item)
              : json_is_false(json_object_get(schema, "additionalProperties")))
            return false;
    }
    return true;
}

static bool list_has(const json_t *list, const json_t *v)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(json_array_get(list, i), v))
            return true;
    return false;
}

static bool satisfies(const json_t *root, const json_t *schema, const json_t *v)
{
    if (json_is_true(schema) || json_object_size(schema) == 0)
        return true;
    if (json_object_get(schema, "$ref"))
        return satisfies(root, json_object_get(json_object_get(root, "$defs"), "node"), v);
    if (json_is_true(json_object_get(schema, "nullable")) && json_is_null(v))
        return true;
    const json_t *any = json_object_get(schema, "anyOf");
    bool one = !any;
    for (size_t i = 0; i < json_array_size(any); i++)
        one = one || satisfies(root, json_array_get(any, i), v);
    if (!one || !any_type(json_object_get(schema, "type"), v))
        return false;
    if (json_object_get(schema, "const") && !json_equal(json_object_get(schema, "const"), v))
        return false;
    if (json_object_get(schema, "enum") && !list_has(json_object_get(schema, "enum"), v))
        return false;
    if (json_object_get(schema, "minimum") && json_number_value(v) < 0)
        return false;
    if (json_is_string(v))
        return within(schema, "minLength", "maxLength", n_characters(json_string_value(v)));
    for (size_t i = 0; i < json_array_size(v); i++)
        if (json_object_get(schema, "items") &&
            !satisfies(root, json_object_get(schema, "items"), json_array_get(v, i)))
            return false;
    if (json_is_array(v))
        return within(schema, "minItems", "maxItems", json_array_size(v));
    return !json_is_object(v) ||
           object_satisfies(root, schema, (json_t *)(uintptr_t)v);
}

/* ---- random schemas --------------------------------------------------------------------- */

static const char *const keys[] = {"path", "Zeta", "alpha", "n", "two words", "q\"uote", "é",
    "a:b"};
enum { N_PLAIN_KEYS = 4, N_KEYS = sizeof keys / sizeof *keys };

static json_t *random_schema(uint64_t *seed, int depth, bool call);

static json_t *random_constant(uint64_t *seed)
{
    switch (walk_random(seed) % 6) {
    case 0: return json_string("a b");
    case 1: return json_string("é\"{}[],:\\\n");
    case 2: return json_integer((json_int_t)(walk_random(seed) % 100) - 50);
    case 3: return json_pack("{s:b, s:[i, n]}", "b", 1, "A", 3);
    case 4: return json_null();
    default: return json_boolean(walk_random(seed) % 2);
    }
}

static json_t *random_object(uint64_t *seed, int depth, bool call)
{
    json_t *properties = json_object(), *required = json_array();
    const size_t n = walk_random(seed) % 6;
    for (size_t i = 0; i < n; i++) {
        const char *key = keys[walk_random(seed) % (call ? N_PLAIN_KEYS : N_KEYS)];
        if (json_object_get(properties, key))
            continue;
        json_object_set_new(properties, key, random_schema(seed, depth + 1, call));
        if (walk_random(seed) % 2)
            json_array_append_new(required, json_string(key));
    }
    json_t *s = json_pack("{s:s, s:o, s:o}", "type", "object", "properties", properties, "required",
                          required);
    if (walk_random(seed) % 2)
        json_object_set_new(s, "additionalProperties", json_false());
    return s;
}

static void random_bounds(json_t *s, const char *min, const char *max, uint64_t *seed)
{
    const int lo = (int)(walk_random(seed) % 4);
    if (walk_random(seed) % 2)
        json_object_set_new(s, min, json_integer(lo));
    if (walk_random(seed) % 2)
        json_object_set_new(s, max, json_integer(lo + (int)(walk_random(seed) % 4)));
}

static json_t *random_union(uint64_t *seed, int depth, bool call)
{
    json_t *list = json_array();
    for (size_t n = 1 + walk_random(seed) % 3; n > 0; n--)
        json_array_append_new(list, random_schema(seed, depth + 1, call));
    return json_pack("{s:o}", "anyOf", list);
}

static json_t *random_schema(uint64_t *seed, int depth, bool call)
{
    static const char *const plain[] = {"string", "integer", "number", "boolean", "null"};
    json_t *s = NULL;
    switch (walk_random(seed) % (depth > 3 ? 6 : depth ? 10 : 12)) {
    case 0: return json_pack("{s:s}", "type", plain[walk_random(seed) % 5]);
    case 1:
        s = json_pack("{s:s}", "type", "string");
        random_bounds(s, "minLength", "maxLength", seed);
        return s;
    case 2: return json_pack("{s:[o, o]}", "enum", random_constant(seed), random_constant(seed));
    case 3: return json_pack("{s:o}", "const", random_constant(seed));
    case 4: return json_pack("{s:s, s:i}", "type", "integer", "minimum", 0);
    case 5: return json_pack("{s:[s, s]}", "type", plain[walk_random(seed) % 4], "null");
    case 6: return random_union(seed, depth, call);
    case 7:
        s = json_pack("{s:s, s:o}", "type", "array", "items", random_schema(seed, depth + 1, call));
        random_bounds(s, "minItems", "maxItems", seed);
        return s;
    case 8: return depth > 0 && walk_random(seed) % 2 ? json_pack("{s:s}", "$ref", "#/$defs/node")
                                                      : json_object();
    default: return random_object(seed, depth, call);
    }
}

/* A schema that may refer to a tree. */
static json_t *random_document(uint64_t *seed, bool call)
{
    json_t *s = call || walk_random(seed) % 2 ? random_object(seed, 0, call)
                                              : random_schema(seed, 0, false);
    json_t *node = json_pack("{s:s, s:{s:{s:s}, s:{s:s, s:{s:s}, s:i}}, s:[s]}", "type", "object",
                             "properties", "name", "type", "string", "kids", "type", "array",
                             "items", "$ref", "#/$defs/node", "maxItems", 2, "required", "name");
    json_object_set_new(s, "$defs", json_pack("{s:o}", "node", node));
    return s;
}

/* ---- tests ------------------------------------------------------------------------------ */

/* A line for scripts/check-schemas. */
static void write_sample(const json_t *schema, const json_t *value)
{
    json_t *line = json_pack("{s:O, s:O}", "schema", schema, "value", value);
    if (samples) {
        json_dumpf(line, samples, JSON_COMPACT);
        fputc('\n', samples);
    }
    json_decref(line);
}

static jl_automaton *compile(const jl_buf *text, jl_grammar **g)
{
    jl_error err = {0};
    jl_automaton *a;
    if (jl_grammar_parse(jl_buf_str(text), text->len, g, &err) != JL_OK)
        fail_msg("%s\n%s", jl_buf_str(text), err.text);
    assert_ok(jl_automaton_create(*g, trie, walk_specials, 4, &a, &err));
    return a;
}

static void test_documents(void **state)
{
    (void)state;
    uint64_t seed = 20261123;
    for (int i = 0; i < N_RANDOM; i++) {
        json_t *schema = random_document(&seed, false);
        char *dump = json_dumps(schema, 0);
        jl_buf text, document;
        jl_grammar *g;
        jl_error err = {0};
        jl_buf_init(&text, 1 << 24);
        jl_buf_init(&document, 1 << 24);
        assert_ok(jl_schema_to_gbnf(schema, &text, &err));
        jl_automaton *a = compile(&text, &g);
        if (!walk_random_text(a, &seed, &document))
            fail_msg("%s\n%s\nno end: %s", dump, jl_buf_str(&text), jl_buf_str(&document));
        json_t *v = json_loadb(jl_buf_str(&document), document.len,
                               JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
        if (!v || !satisfies(schema, schema, v))
            fail_msg("%s\nis not satisfied by %s", dump, jl_buf_str(&document));
        write_sample(schema, v);
        json_decref(v);
        jl_automaton_free(a);
        jl_grammar_free(g);
        jl_buf_free(&text);
        jl_buf_free(&document);
        free(dump);
        json_decref(schema);
    }
}

/* Calls in Gemma's syntax: the reader takes them without a repair, and their arguments satisfy the
 * schema. */
static void test_calls(void **state)
{
    (void)state;
    uint64_t seed = 4;
    for (int i = 0; i < N_RANDOM; i++) {
        json_t *tools = json_pack("[{s:{s:s, s:o}}, {s:{s:s}}]", "function", "name", "do-it",
                                  "parameters", random_document(&seed, true), "function", "name",
                                  "now");
        const json_t *schema = json_object_get(json_object_get(json_array_get(tools, 0),
            "function"),
                                               "parameters");
        jl_buf text, reply;
        jl_grammar *g;
        jl_error err = {0};
        jl_buf_init(&text, 1 << 24);
        jl_buf_init(&reply, 1 << 24);
        assert_ok(jl_tools_to_gbnf(tools, i % 2, false, &text, &err));
        jl_automaton *a = compile(&text, &g);
        if (!walk_random_text(a, &seed, &reply))
            fail_msg("%s\nno end: %s", jl_buf_str(&text), jl_buf_str(&reply));

        const replay_params params = {NULL, false, JL_FINISH_STOP};
        jl_reply r;
        replay_log log;
        replay(jl_buf_str(&reply), reply.len, &params, NULL, NULL, &log);
        if (log.broken || strstr(log.log, "\n!") || !strstr(log.log, "F0|tool_calls"))
            fail_msg("%s\nwas read as\n%s", jl_buf_str(&reply), log.log);
        replay_log_free(&log);
        replay_quietly(jl_buf_str(&reply), &params, &r);
        const jl_chat_message *m = jl_reply_message(&r);
        for (size_t k = 0; k < m->n_calls; k++) {
            json_t *v = json_loads(m->calls[k].arguments.ptr, 0, NULL);
            const bool now = strcmp(m->calls[k].name, "now") == 0;
            if (!v || (now ? json_object_size(v) > 0 : !satisfies(schema, schema, v)))
                fail_msg("%s", jl_buf_str(&reply));
            if (!now)
                write_sample(schema, v);
            json_decref(v);
        }
        jl_reply_free(&r);
        jl_automaton_free(a);
        jl_grammar_free(g);
        jl_buf_free(&text);
        jl_buf_free(&reply);
        json_decref(tools);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *schema;
        jl_status status;
        const char *part;
    } cases[] = {
        {"5", JL_INVALID, "must be an object"},
        {"{\"type\":\"wizard\"}", JL_INVALID, "wizard"},
        {"{\"type\":[]}", JL_INVALID, "type"},
        {"{\"type\":\"string\",\"pattern\":\"a+\"}", JL_UNSUPPORTED, "pattern"},
        {"{\"type\":\"number\",\"maximum\":5}", JL_UNSUPPORTED, "maximum"},
        {"{\"type\":\"integer\",\"minimum\":5}", JL_UNSUPPORTED, "lower bounds"},
        {"{\"type\":\"array\",\"minItems\":3,\"maxItems\":2}", JL_INVALID, "minItems"},
        {"{\"type\":\"string\",\"minLength\":100000}", JL_INVALID, "minLength"},
        {"{\"enum\":[]}", JL_INVALID, "enum"},
        {"{\"anyOf\":[]}", JL_INVALID, "anyOf"},
        {"{\"$ref\":\"#/nowhere\"}", JL_INVALID, "leads nowhere"},
        {"{\"type\":\"object\",\"required\":[\"a\"]}", JL_UNSUPPORTED, "\"a\" is required"},
        {"{\"properties\":{\"a\":false}}", JL_INVALID, "must be an object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *schema = json_loads(cases[i].schema, JSON_DECODE_ANY, NULL);
        jl_buf text;
        jl_error err = {0};
        jl_buf_init(&text, 1 << 20);
        assert_fails(jl_schema_to_gbnf(schema, &text, &err), cases[i].status, cases[i].part);
        jl_buf_free(&text);
        json_decref(schema);
    }
}

/* A schema that is nothing but itself has no text: its grammar is refused. */
static void test_endless(void **state)
{
    (void)state;
    json_t *schema = json_loads("{\"$ref\":\"#\"}", 0, NULL);
    jl_buf text;
    jl_grammar *g;
    jl_error err = {0};
    jl_buf_init(&text, 1 << 20);
    assert_ok(jl_schema_to_gbnf(schema, &text, &err));
    assert_fails(jl_grammar_parse(jl_buf_str(&text), text.len, &g, &err), JL_INVALID,
                 "begins with itself");
    jl_buf_free(&text);
    json_decref(schema);
}

static int setup(void **state)
{
    (void)state;
    trie = walk_trie();
    return trie ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    jl_trie_free(trie);
    return 0;
}

/* test_grammar_schema FILE also writes what was made there. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents), cmocka_unit_test(test_calls),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_endless),
    };
    samples = argc > 1 ? fopen(argv[1], "w") : NULL;
    const int n_bad = cmocka_run_group_tests(tests, setup, teardown);
    return samples && fclose(samples) != 0 ? 1 : n_bad;
}
