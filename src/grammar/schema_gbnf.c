#include "grammar/schema_gbnf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "chat/text.h"

enum { MAX_DEPTH = 64, MAX_ITEMS = 1000, MAX_REFS = 256 };

typedef struct {
    const json_t *schema;
    int rule;
} ref;

typedef struct {
    const json_t *root;
    jl_buf *out;
    bool call;   /* Gemma's call syntax, else JSON */
    bool strict; /* refuse what cannot be enforced */
    int n_rules;
    int depth;
    ref refs[MAX_REFS]; /* schemas reached by $ref, which may refer to themselves */
    int n_refs;
} writer;

/* Rules that every grammar has. */
static const char json_base[] =
    "ws ::= ( \" \" | \"\\n\" [ \\t]{0,20} )?\n"
    "char ::= [^\"\\\\\\x00-\\x1f] | \"\\\\\" [\"\\\\/bfnrt]\n"
    "quote ::= \"\\\"\"\n"
    "colon ::= \":\" ws\n"
    "comma ::= \",\" ws\n"
    "open-object ::= \"{\" ws\n"
    "close-object ::= ws \"}\"\n"
    "open-array ::= \"[\" ws\n"
    "close-array ::= ws \"]\"\n"
    "free-key ::= string\n";

static const char call_base[] =
    "char ::= [^\\x00]\n"
    "quote ::= %\"<|\\\"|>\"\n"
    "colon ::= \":\"\n"
    "comma ::= \",\"\n"
    "open-object ::= \"{\"\n"
    "close-object ::= \"}\"\n"
    "open-array ::= \"[\"\n"
    "close-array ::= \"]\"\n"
    "free-key ::= [a-zA-Z_] [a-zA-Z0-9_.-]{0,63}\n";

static const char common_base[] =
    "string ::= quote char* quote\n"
    "natural ::= \"0\" | [1-9] [0-9]{0,14}\n"
    "integer ::= natural | \"-\" [1-9] [0-9]{0,14}\n"
    "number ::= \"-\"? natural ( \".\" [0-9]{1,15} )? ( [eE] [-+]? [0-9]{1,2} )?\n"
    "boolean ::= \"true\" | \"false\"\n"
    "null ::= \"null\"\n"
    "member ::= free-key colon value\n"
    "object ::= open-object ( member ( comma member )* )? close-object\n"
    "array ::= open-array ( value ( comma value )* )? close-array\n"
    "value ::= string | number | boolean | null | object | array\n";

/* ---- writing ---------------------------------------------------------------------------- */

static jl_status put(writer *w, const char *s, jl_error *err)
{
    return jl_buf_puts(w->out, s, err);
}

static jl_status put_rule(writer *w, const char *before, int rule, jl_error *err)
{
    char text[64];
    snprintf(text, sizeof text, "%sr%d", before, rule);
    return put(w, text, err);
}

/* Text as a GBNF literal; nothing if it is empty. */
static jl_status put_literal(jl_buf *out, const char *s, size_t len, jl_error *err)
{
    if (len == 0)
        return JL_OK;
    JL_TRY(jl_buf_puts(out, " \"", err));
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)s[i];
        char text[8] = {(char)c, 0};
        if (c == '"' || c == '\\')
            snprintf(text, sizeof text, "\\%c", c);
        else if (c < 32 || c == 127)
            snprintf(text, sizeof text, "\\x%02x", c);
        JL_TRY(jl_buf_puts(out, text, err));
    }
    return jl_buf_puts(out, "\" ", err);
}

static int append_bytes(const char *s, size_t len, void *buf)
{
    return jl_buf_put(buf, s, len, NULL) == JL_OK ? 0 : -1;
}

static jl_status put_json(writer *w, const json_t *v, jl_error *err)
{
    jl_buf text;
    jl_buf_init(&text, (size_t)1 << 24);
    jl_status status = JL_OK;
    if (json_dump_callback(v, append_bytes, &text, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
        status = jl_fail(err, JL_NO_MEMORY, "no memory for a value of the schema");
    if (status == JL_OK)
        status = put_literal(w->out, jl_buf_str(&text), text.len, err);
    jl_buf_free(&text);
    return status;
}

static jl_status put_constant(writer *w, const json_t *v, int depth, jl_error *err);

static jl_status put_call_members(writer *w, const json_t *v, int depth, jl_error *err)
{
    jl_text_item *items;
    size_t n;
    JL_TRY(jl_text_dictsort(v, &items, &n, err));
    jl_status status = JL_OK;
    for (size_t i = 0; i < n && status == JL_OK; i++) {
        if (i)
            status = put_literal(w->out, ",", 1, err);
        if (status == JL_OK)
            status = put_literal(w->out, items[i].key, strlen(items[i].key), err);
        if (status == JL_OK)
            status = put_literal(w->out, ":", 1, err);
        if (status == JL_OK)
            status = put_constant(w, items[i].value, depth + 1, err);
    }
    jl_free(items);
    return status;
}

/* One value, as a sequence. */
static jl_status put_constant(writer *w, const json_t *v, int depth, jl_error *err)
{
    if (depth > MAX_DEPTH)
        return jl_fail(err, JL_INVALID, "schema: a value is nested too deeply");
    if (!w->call || (!json_is_string(v) && !json_is_object(v) && !json_is_array(v)))
        return put_json(w, v, err);
    if (json_is_string(v)) {
        JL_TRY(put(w, " quote ", err));
        JL_TRY(put_literal(w->out, json_string_value(v), json_string_length(v), err));
        return put(w, " quote ", err);
    }
    JL_TRY(put_literal(w->out, json_is_array(v) ? "[" : "{", 1, err));
    if (json_is_object(v))
        JL_TRY(put_call_members(w, v, depth, err));
    for (size_t i = 0; i < json_array_size(v); i++) {
        if (i)
            JL_TRY(put_literal(w->out, ",", 1, err));
        JL_TRY(put_constant(w, json_array_get(v, i), depth + 1, err));
    }
    return put_literal(w->out, json_is_array(v) ? "]" : "}", 1, err);
}

/* ---- schemas ---------------------------------------------------------------------------- */

/* Writes the rule of a schema (and those it needs before it); *rule is its number. */
static jl_status write_schema(writer *w, const json_t *schema, int *rule, jl_error *err);

static jl_status begin_rule(writer *w, int *rule, jl_error *err)
{
    *rule = w->n_rules++;
    JL_TRY(put_rule(w, "", *rule, err));
    return put(w, " ::= ", err);
}

static jl_status write_base(writer *w, const char *name, int *rule, jl_error *err)
{
    JL_TRY(begin_rule(w, rule, err));
    JL_TRY(put(w, name, err));
    return put(w, "\n", err);
}

static jl_status check_keywords(const writer *w, const json_t *schema, jl_error *err)
{
    static const char *const unenforced[] = {
        "not", "if", "then", "else", "dependentSchemas", "dependentRequired", "patternProperties",
        "propertyNames", "unevaluatedProperties", "minProperties", "maxProperties", "uniqueItems",
        "contains", "prefixItems", "unevaluatedItems", "multipleOf", "exclusiveMaximum", "maximum",
        "pattern", "format"};
    for (size_t i = 0; w->strict && i < sizeof unenforced / sizeof *unenforced; i++)
        if (json_object_get(schema, unenforced[i]))
            return jl_fail(err, JL_UNSUPPORTED, "schema: the keyword \"%s\" cannot be enforced; "
                           "remove it", unenforced[i]);
    return JL_OK;
}

/* The lower bound 0 is enforced, others only refused. */
static jl_status write_number(writer *w, const json_t *schema, bool integer, int *rule,
                              jl_error *err)
{
    const json_t *min = json_object_get(schema, "minimum");
    const json_t *above = json_object_get(schema, "exclusiveMinimum");
    const bool natural = json_is_number(min) && json_number_value(min) == 0;
    const bool positive = json_is_number(above) && json_number_value(above) == 0;
    if (w->strict && ((min && !natural) || (above && !(positive && integer))))
        return jl_fail(err, JL_UNSUPPORTED, "schema: of the lower bounds only \"minimum\": 0 and,"
                       " for "
                       "integers, \"exclusiveMinimum\": 0 can be enforced");
    if (integer && positive)
        return write_base(w, "[1-9] [0-9]{0,14}", rule, err);
    if (integer)
        return write_base(w, natural ? "natural" : "integer", rule, err);
    return write_base(w, natural ? "natural ( \".\" [0-9]{1,15} )?" : "number", rule, err);
}

static jl_status read_bounds(const json_t *schema, const char *min_key, const char *max_key,
                             int *min, int *max, jl_error *err)
{
    const json_t *lo = json_object_get(schema, min_key), *hi = json_object_get(schema, max_key);
    const json_int_t a = json_is_integer(lo) ? json_integer_value(lo) : 0;
    const json_int_t b = json_is_integer(hi) ? json_integer_value(hi) : -1;
    if (a < 0 || a > MAX_ITEMS || (hi && (b < a)))
        return jl_fail(err, JL_INVALID, "schema: \"%s\" and \"%s\" must be whole numbers, at "
                       "most %d "
                       "and in order", min_key, max_key, MAX_ITEMS);
    *min = (int)a;
    *max = b > MAX_ITEMS ? MAX_ITEMS : (int)b; /* -1: none */
    return JL_OK;
}

static jl_status put_times(writer *w, int min, int max, jl_error *err)
{
    char text[40];
    if (max < 0)
        snprintf(text, sizeof text, "{%d,} ", min);
    else
        snprintf(text, sizeof text, "{%d,%d} ", min, max);
    return put(w, text, err);
}

static jl_status write_string(writer *w, const json_t *schema, int *rule, jl_error *err)
{
    int min, max;
    JL_TRY(read_bounds(schema, "minLength", "maxLength", &min, &max, err));
    JL_TRY(begin_rule(w, rule, err));
    JL_TRY(put(w, "quote char", err));
    JL_TRY(put_times(w, min, max, err));
    return put(w, "quote\n", err);
}

static jl_status write_array(writer *w, const json_t *schema, int *rule, jl_error *err)
{
    const json_t *items = json_object_get(schema, "items");
    int min, max, item;
    JL_TRY(read_bounds(schema, "minItems", "maxItems", &min, &max, err));
    if (json_is_object(items))
        JL_TRY(write_schema(w, items, &item, err));
    else
        JL_TRY(write_base(w, "value", &item, err));
    JL_TRY(begin_rule(w, rule, err));
    JL_TRY(put(w, "open-array ", err));
    if (max != 0) {
        JL_TRY(put_rule(w, "( ", item, err));
        JL_TRY(put_rule(w, " ( comma ", item, err));
        JL_TRY(put(w, " )", err));
        JL_TRY(put_times(w, min > 0 ? min - 1 : 0, max > 0 ? max - 1 : -1, err));
        JL_TRY(put(w, min > 0 ? ") " : ")? ", err));
    }
    return put(w, "close-array\n", err);
}

static bool is_required(const json_t *schema, const char *key)
{
    const json_t *list = json_object_get(schema, "required");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *s = json_string_value(json_array_get(list, i));
        if (s && strcmp(s, key) == 0)
            return true;
    }
    return false;
}

static jl_status put_key(writer *w, const char *key, jl_error *err)
{
    if (w->call)
        return put_literal(w->out, key, strlen(key), err);
    json_t *v = json_string(key);
    const jl_status status = v ? put_json(w, v, err)
                               : jl_fail(err, JL_NO_MEMORY, "no memory for a key");
    json_decref(v);
    return status;
}

/* For members i.. two rules: `first` when none has been written, `rest` when one has. Written
 * from the last member to the first, so that each refers to rules already there. */
static jl_status write_members(writer *w, const json_t *schema, const jl_text_item *items, size_t n,
                               int *first, jl_error *err)
{
    int rest, value;
    JL_TRY(begin_rule(w, first, err));
    JL_TRY(put(w, "\"\"\n", err));
    rest = *first;
    for (size_t i = n; i-- > 0;) {
        const bool optional = !is_required(schema, items[i].key);
        const int first_behind = *first, rest_behind = rest;
        JL_TRY(write_schema(w, items[i].value, &value, err));
        for (int with_comma = 0; with_comma < 2; with_comma++) {
            int rule;
            JL_TRY(begin_rule(w, &rule, err));
            JL_TRY(put(w, with_comma ? "comma " : "", err));
            JL_TRY(put_key(w, items[i].key, err));
            JL_TRY(put_rule(w, " colon ", value, err));
            JL_TRY(put_rule(w, " ", rest_behind, err));
            if (optional)
                JL_TRY(put_rule(w, " | ", with_comma ? rest_behind : first_behind, err));
            JL_TRY(put(w, "\n", err));
            if (with_comma)
                rest = rule;
            else
                *first = rule;
        }
    }
    return JL_OK;
}

static int compare_index(const void *pa, const void *pb)
{
    const jl_text_item *a = pa, *b = pb;
    return a->index < b->index ? -1 : a->index > b->index;
}

static jl_status check_required(const writer *w, const json_t *schema, const json_t *properties,
                                jl_error *err)
{
    const json_t *list = json_object_get(schema, "required");
    for (size_t i = 0; w->strict && i < json_array_size(list); i++) {
        const char *s = json_string_value(json_array_get(list, i));
        if (!s || !json_object_get(properties, s))
            return jl_fail(err, JL_UNSUPPORTED, "schema: \"%.60s\" is required but not declared",
                           s ? s : "");
    }
    return JL_OK;
}

static jl_status write_object(writer *w, const json_t *schema, int *rule, jl_error *err)
{
    const json_t *properties = json_object_get(schema, "properties");
    const bool closed = json_is_false(json_object_get(schema, "additionalProperties"));
    jl_text_item *items;
    size_t n;
    int first;
    JL_TRY(check_required(w, schema, properties, err));
    if (json_object_size(properties) == 0 && !closed)
        return write_base(w, "object", rule, err);
    JL_TRY(jl_text_dictsort(properties, &items, &n, err));
    if (!w->call && n > 1)
        qsort(items, n, sizeof *items, compare_index);
    const jl_status status = write_members(w, schema, items, n, &first, err);
    jl_free(items);
    JL_TRY(status);
    JL_TRY(begin_rule(w, rule, err));
    JL_TRY(put_rule(w, "open-object ", first, err));
    return put(w, " close-object\n", err);
}

static jl_status write_type(writer *w, const json_t *schema, const char *type, int *rule,
                            jl_error *err)
{
    if (strcmp(type, "object") == 0)
        return write_object(w, schema, rule, err);
    if (strcmp(type, "array") == 0)
        return write_array(w, schema, rule, err);
    if (strcmp(type, "string") == 0)
        return write_string(w, schema, rule, err);
    if (strcmp(type, "integer") == 0 || strcmp(type, "number") == 0)
        return write_number(w, schema, type[0] == 'i', rule, err);
    if (strcmp(type, "boolean") == 0 || strcmp(type, "null") == 0)
        return write_base(w, type, rule, err);
    return jl_fail(err, JL_INVALID, "schema: the type \"%.40s\" does not exist", type);
}

/* One of several rules. */
static jl_status write_choice(writer *w, const int *rules, size_t n, int *rule, jl_error *err)
{
    JL_TRY(begin_rule(w, rule, err));
    for (size_t i = 0; i < n; i++)
        JL_TRY(put_rule(w, i ? " | " : "", rules[i], err));
    return put(w, "\n", err);
}

enum { MAX_CHOICES = 64 };

static jl_status write_types(writer *w, const json_t *schema, const json_t *types, int *rule,
                             jl_error *err)
{
    int rules[MAX_CHOICES];
    const size_t n = json_array_size(types);
    if (n == 0 || n > MAX_CHOICES)
        return jl_fail(err, JL_INVALID, "schema: \"type\" must be a name or a list of names");
    for (size_t i = 0; i < n; i++) {
        const char *type = json_string_value(json_array_get(types, i));
        JL_TRY(write_type(w, schema, type ? type : "", &rules[i], err));
    }
    return write_choice(w, rules, n, rule, err);
}

static jl_status write_union(writer *w, const json_t *list, int *rule, jl_error *err)
{
    int rules[MAX_CHOICES];
    const size_t n = json_array_size(list);
    if (n == 0 || n > MAX_CHOICES)
        return jl_fail(err, JL_INVALID, "schema: anyOf and oneOf need 1 to %d schemas",
                       MAX_CHOICES);
    for (size_t i = 0; i < n; i++)
        JL_TRY(write_schema(w, json_array_get(list, i), &rules[i], err));
    return write_choice(w, rules, n, rule, err);
}

static jl_status write_enum(writer *w, const json_t *values, int *rule, jl_error *err)
{
    if (json_array_size(values) == 0)
        return jl_fail(err, JL_INVALID, "schema: \"enum\" must be a list with at least one value");
    JL_TRY(begin_rule(w, rule, err));
    for (size_t i = 0; i < json_array_size(values); i++) {
        JL_TRY(put(w, i ? " | " : "", err));
        JL_TRY(put_constant(w, json_array_get(values, i), 0, err));
    }
    return put(w, "\n", err);
}

/* ---- references ------------------------------------------------------------------------- */

static const json_t *follow(const json_t *root, const char *path)
{
    const json_t *v = root;
    if (path[0] != '#' || (path[1] && path[1] != '/'))
        return NULL;
    for (const char *p = path + 1; v && *p;) {
        char name[128];
        const size_t n = strcspn(++p, "/");
        if (n >= sizeof name)
            return NULL;
        memcpy(name, p, n);
        name[n] = 0;
        v = json_object_get(v, name);
        p += n;
    }
    return v;
}

static jl_status write_ref(writer *w, const char *path, int *rule, jl_error *err)
{
    const json_t *target = follow(w->root, path);
    int inner;
    if (!target)
        return jl_fail(err, JL_INVALID, "schema: \"$ref\": \"%.80s\" leads nowhere", path);
    for (int i = 0; i < w->n_refs; i++)
        if (w->refs[i].schema == target) {
            *rule = w->refs[i].rule;
            return JL_OK;
        }
    if (w->n_refs == MAX_REFS)
        return jl_fail(err, JL_TOO_LARGE, "schema: more than %d references", MAX_REFS);
    const int own = w->n_rules++; /* known before its text is written,
        so that it can be used in it */
    w->refs[w->n_refs++] = (ref){target, own};
    JL_TRY(write_schema(w, target, &inner, err));
    JL_TRY(put_rule(w, "", own, err));
    JL_TRY(put_rule(w, " ::= ", inner, err));
    *rule = own;
    return put(w, "\n", err);
}

/* ---- the whole -------------------------------------------------------------------------- */

static jl_status write_plain(writer *w, const json_t *schema, int *rule, jl_error *err)
{
    const json_t *type = json_object_get(schema, "type");
    const json_t *reference = json_object_get(schema, "$ref");
    const json_t *any = json_object_get(schema, "anyOf");
    const json_t *all = json_object_get(schema, "allOf");
    if (!any)
        any = json_object_get(schema, "oneOf");
    if (json_is_string(reference))
        return write_ref(w, json_string_value(reference), rule, err);
    if (json_object_get(schema, "const")) {
        JL_TRY(begin_rule(w, rule, err));
        JL_TRY(put_constant(w, json_object_get(schema, "const"), 0, err));
        return put(w, "\n", err);
    }
    if (json_object_get(schema, "enum"))
        return write_enum(w, json_object_get(schema, "enum"), rule, err);
    if (any)
        return write_union(w, any, rule, err);
    if (json_array_size(all) == 1)
        return write_schema(w, json_array_get(all, 0), rule, err);
    if (all && w->strict)
        return jl_fail(err, JL_UNSUPPORTED, "schema: allOf of several schemas cannot be enforced");
    if (json_is_string(type))
        return write_type(w, schema, json_string_value(type), rule, err);
    if (type)
        return write_types(w, schema, type, rule, err);
    return write_base(w, json_object_get(schema, "properties") ? "object" : "value", rule, err);
}

static jl_status write_schema(writer *w, const json_t *schema, int *rule, jl_error *err)
{
    if (++w->depth > MAX_DEPTH)
        return jl_fail(err, JL_INVALID, "schema: nested deeper than %d levels", MAX_DEPTH);
    jl_status status;
    if (json_is_true(schema)) {
        status = write_base(w, "value", rule, err);
    } else if (!json_is_object(schema)) {
        status = jl_fail(err, JL_INVALID, "schema: a schema must be an object or true");
    } else {
        JL_TRY(check_keywords(w, schema, err));
        const bool untyped_object = !json_object_get(schema, "type") &&
                                    json_is_object(json_object_get(schema, "properties")) &&
                                    !json_object_get(schema, "$ref");
        status = untyped_object ? write_object(w, schema, rule, err)
                                : write_plain(w, schema, rule, err);
    }
    if (status == JL_OK && json_is_true(json_object_get(schema, "nullable"))) {
        int null_rule;
        JL_TRY(write_base(w, "null", &null_rule, err));
        const int both[] = {*rule, null_rule};
        JL_TRY(write_choice(w, both, 2, rule, err));
    }
    w->depth--;
    return status;
}

jl_status jl_schema_to_gbnf(const json_t *schema, jl_buf *out, jl_error *err)
{
    writer w = {.root = schema, .out = out, .strict = true};
    int rule;
    JL_TRY(write_schema(&w, schema, &rule, err));
    JL_TRY(put_rule(&w, "root ::= ", rule, err));
    JL_TRY(put(&w, "\n", err));
    JL_TRY(put(&w, json_base, err));
    return put(&w, common_base, err);
}

static jl_status write_tool(writer *w, const json_t *tool, int *rule, jl_error *err)
{
    const json_t *fn = json_object_get(tool, "function");
    const json_t *params = json_object_get(fn, "parameters");
    const char *name = json_string_value(json_object_get(fn, "name"));
    int arguments;
    if (!name)
        return jl_fail(err, JL_INVALID, "tools: a function has no name");
    w->root = params;
    w->n_refs = 0;
    if (json_object_size(params) > 0)
        JL_TRY(write_object(w, params, &arguments, err));
    else
        JL_TRY(write_base(w, "open-object close-object", &arguments, err));
    JL_TRY(begin_rule(w, rule, err));
    JL_TRY(put_literal(w->out, name, strlen(name), err));
    JL_TRY(put_rule(w, "", arguments, err));
    return put(w, "\n", err);
}

jl_status jl_tools_to_gbnf(const json_t *tools, bool many, bool after_mark, jl_buf *out,
                           jl_error *err)
{
    writer w = {.out = out, .call = true};
    const size_t n = json_array_size(tools);
    if (n == 0)
        return jl_fail(err, JL_INVALID, "tools: there is none to call");
    int *rules = jl_calloc(n, sizeof *rules);
    if (!rules)
        return jl_fail(err, JL_NO_MEMORY, "no memory for %zu tools", n);
    jl_status status = JL_OK;
    for (size_t i = 0; i < n && status == JL_OK; i++)
        status = write_tool(&w, json_array_get(tools, i), &rules[i], err);
    int any = 0;
    if (status == JL_OK)
        status = write_choice(&w, rules, n, &any, err);
    jl_free(rules);
    JL_TRY(status);
    char text[200];
    snprintf(text, sizeof text, "body ::= \"call:\" r%d %%\"<tool_call|>\"\ncall ::= "
             "%%\"<|tool_call>\" body\nroot ::= %s%s\n", any, after_mark ? "body" : "call",
             many ? " call*" : "");
    JL_TRY(put(&w, text, err));
    JL_TRY(put(&w, call_base, err));
    return put(&w, common_base, err);
}
