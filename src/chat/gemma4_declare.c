/* Values and tool declarations. The format has traps that are reproduced on purpose: a property
 * that is not an object is written with an empty type, a list of types in Python's notation, and
 * an object without "properties" lists its own other keys as properties. */
#include <string.h>

#include "base/mem.h"
#include "chat/gemma4.h"

static jl_status put_key(jl_marked *out, const char *key, bool quoted, jl_error *err)
{
    if (quoted)
        return jl_marked_quoted(out, jl_chat_str(key), err);
    return jl_marked_puts(out, key, err);
}

static jl_status put_object(jl_marked *out, const json_t *v, bool quote_keys, int depth,
                            jl_error *err)
{
    jl_text_item *items;
    size_t n;
    JL_TRY(jl_text_dictsort(v, &items, &n, err));
    jl_status status = JL_OK;
    for (size_t i = 0; i < n && status == JL_OK; i++) {
        if (i)
            status = jl_marked_puts(out, ",", err);
        if (status == JL_OK)
            status = put_key(out, items[i].key, quote_keys, err);
        if (status == JL_OK)
            status = jl_marked_puts(out, ":", err);
        if (status == JL_OK)
            status = jl_gemma4_value(out, items[i].value, quote_keys, depth + 1, err);
    }
    jl_free(items);
    return status;
}

static jl_status put_array(jl_marked *out, const json_t *v, bool quote_keys, int depth,
                           jl_error *err)
{
    JL_TRY(jl_marked_puts(out, "[", err));
    for (size_t i = 0; i < json_array_size(v); i++) {
        if (i)
            JL_TRY(jl_marked_puts(out, ",", err));
        JL_TRY(jl_gemma4_value(out, json_array_get(v, i), quote_keys, depth + 1, err));
    }
    return jl_marked_puts(out, "]", err);
}

jl_status jl_gemma4_value(jl_marked *out, const json_t *v, bool quote_keys, int depth,
                          jl_error *err)
{
    if (depth > JL_CHAT_MAX_DEPTH)
        return jl_fail(err, JL_INVALID, "JSON nested deeper than %d levels", JL_CHAT_MAX_DEPTH);
    switch (json_typeof(v)) {
    case JSON_NULL: return jl_marked_puts(out, "null", err);
    case JSON_TRUE: return jl_marked_puts(out, "true", err);
    case JSON_FALSE: return jl_marked_puts(out, "false", err);
    case JSON_STRING:
        return jl_marked_quoted(out, (jl_chat_text){json_string_value(v), json_string_length(v)},
                                err);
    case JSON_OBJECT:
        JL_TRY(jl_marked_puts(out, "{", err));
        JL_TRY(put_object(out, v, quote_keys, depth, err));
        return jl_marked_puts(out, "}", err);
    case JSON_ARRAY: return put_array(out, v, quote_keys, depth, err);
    default: return jl_text_put_str(&out->text, v, err);
    }
}

jl_status jl_gemma4_members(jl_marked *out, const json_t *object, jl_error *err)
{
    return put_object(out, object, false, 0, err);
}

/* ---- declarations ----------------------------------------------------------------------- */

static bool is_type(const json_t *type, const char *upper)
{
    const char *s = json_string_value(type);
    if (!s || strlen(s) != strlen(upper))
        return false;
    for (size_t i = 0; upper[i]; i++)
        if (s[i] != upper[i] && s[i] != upper[i] - 'A' + 'a')
            return false;
    return true;
}

/* A value as text between quote marks. */
static jl_status put_quoted_str(jl_marked *out, const json_t *v, bool upper, jl_error *err)
{
    jl_buf text;
    jl_buf_init(&text, out->text.max);
    jl_status status = jl_text_put_str(&text, v, err);
    if (upper)
        jl_text_upper(&text);
    if (status == JL_OK)
        status = jl_marked_quoted(out, (jl_chat_text){jl_buf_str(&text), text.len}, err);
    jl_buf_free(&text);
    return status;
}

/* `required:[...]` */
static jl_status put_required(jl_marked *out, const json_t *v, jl_error *err)
{
    if (!json_is_array(v))
        return jl_fail(err, JL_INVALID, "tool schema: \"required\" must be an array of names");
    JL_TRY(jl_marked_puts(out, "required:[", err));
    for (size_t i = 0; i < json_array_size(v); i++) {
        if (i)
            JL_TRY(jl_marked_puts(out, ",", err));
        JL_TRY(put_quoted_str(out, json_array_get(v, i), false, err));
    }
    return jl_marked_puts(out, "]", err);
}

static jl_status put_properties(jl_marked *out, const json_t *v, bool skip_standard, int depth,
                                jl_error *err);

/* `type:` inside items: one name, or a list of them. */
static jl_status put_item_type(jl_marked *out, const json_t *v, jl_error *err)
{
    JL_TRY(jl_marked_puts(out, "type:", err));
    if (json_is_string(v))
        return put_quoted_str(out, v, true, err);
    if (!json_is_array(v))
        return jl_fail(err, JL_INVALID, "tool schema: items.type must be a name or an array of "
                       "names");
    JL_TRY(jl_marked_puts(out, "[", err));
    for (size_t i = 0; i < json_array_size(v); i++) {
        if (i)
            JL_TRY(jl_marked_puts(out, ",", err));
        JL_TRY(put_quoted_str(out, json_array_get(v, i), true, err));
    }
    return jl_marked_puts(out, "]", err);
}

static jl_status put_item(jl_marked *out, const jl_text_item *item, int depth, jl_error *err)
{
    if (strcmp(item->key, "properties") == 0) {
        JL_TRY(jl_marked_puts(out, "properties:{", err));
        if (json_is_object(item->value))
            JL_TRY(put_properties(out, item->value, false, depth + 1, err));
        return jl_marked_puts(out, "}", err);
    }
    if (strcmp(item->key, "required") == 0)
        return put_required(out, item->value, err);
    if (strcmp(item->key, "type") == 0)
        return put_item_type(out, item->value, err);
    JL_TRY(jl_marked_puts(out, item->key, err));
    JL_TRY(jl_marked_puts(out, ":", err));
    return jl_gemma4_value(out, item->value, true, depth + 1, err);
}

static jl_status put_items(jl_marked *out, const json_t *v, int depth, jl_error *err)
{
    jl_text_item *items;
    size_t n;
    bool first = true;
    JL_TRY(jl_marked_puts(out, "items:{", err));
    JL_TRY(jl_text_dictsort(v, &items, &n, err));
    jl_status status = JL_OK;
    for (size_t i = 0; i < n && status == JL_OK; i++) {
        if (json_is_null(items[i].value))
            continue;
        if (!first)
            status = jl_marked_puts(out, ",", err);
        first = false;
        if (status == JL_OK)
            status = put_item(out, &items[i], depth, err);
    }
    jl_free(items);
    JL_TRY(status);
    return jl_marked_puts(out, "}", err);
}

/* Writes a comma before every field of a property but the first. */
static jl_status comma(jl_marked *out, bool *first, jl_error *err)
{
    const bool was_first = *first;
    *first = false;
    return was_first ? JL_OK : jl_marked_puts(out, ",", err);
}

static jl_status put_object_fields(jl_marked *out, const json_t *v, bool *first, int depth,
                                   jl_error *err)
{
    const json_t *properties = json_object_get(v, "properties");
    const bool own = json_is_object(properties);
    JL_TRY(comma(out, first, err));
    JL_TRY(jl_marked_puts(out, "properties:{", err));
    JL_TRY(put_properties(out, own ? properties : v, !own, depth + 1, err));
    JL_TRY(jl_marked_puts(out, "}", err));
    if (!jl_text_truthy(json_object_get(v, "required")))
        return JL_OK;
    JL_TRY(comma(out, first, err));
    return put_required(out, json_object_get(v, "required"), err);
}

/* The inside of one property; v may be any JSON value. */
static jl_status put_property(jl_marked *out, const json_t *v, int depth, jl_error *err)
{
    const json_t *type = json_object_get(v, "type");
    const json_t *items = json_object_get(v, "items");
    bool first = true;
    if (jl_text_truthy(json_object_get(v, "description"))) {
        JL_TRY(comma(out, &first, err));
        JL_TRY(jl_marked_puts(out, "description:", err));
        JL_TRY(put_quoted_str(out, json_object_get(v, "description"), false, err));
    }
    if (is_type(type, "STRING") && jl_text_truthy(json_object_get(v, "enum"))) {
        JL_TRY(comma(out, &first, err));
        JL_TRY(jl_marked_puts(out, "enum:", err));
        JL_TRY(jl_gemma4_value(out, json_object_get(v, "enum"), true, depth + 1, err));
    }
    if (is_type(type, "ARRAY") && json_object_size(items) > 0) {
        JL_TRY(comma(out, &first, err));
        JL_TRY(put_items(out, items, depth + 1, err));
    }
    if (jl_text_truthy(json_object_get(v, "nullable"))) {
        JL_TRY(comma(out, &first, err));
        JL_TRY(jl_marked_puts(out, "nullable:true", err));
    }
    if (is_type(type, "OBJECT"))
        JL_TRY(put_object_fields(out, v, &first, depth, err));
    JL_TRY(comma(out, &first, err));
    JL_TRY(jl_marked_puts(out, "type:", err));
    return put_quoted_str(out, type, true, err);
}

static bool is_standard_key(const char *key)
{
    static const char *const keys[] = {"description", "type", "properties", "required", "nullable"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

static jl_status put_properties(jl_marked *out, const json_t *v, bool skip_standard, int depth,
                                jl_error *err)
{
    jl_text_item *items;
    size_t n;
    bool first = true;
    if (depth > JL_CHAT_MAX_DEPTH)
        return jl_fail(err, JL_INVALID, "tool schema nested deeper than %d levels",
                       JL_CHAT_MAX_DEPTH);
    JL_TRY(jl_text_dictsort(v, &items, &n, err));
    jl_status status = JL_OK;
    for (size_t i = 0; i < n && status == JL_OK; i++) {
        if (skip_standard && is_standard_key(items[i].key))
            continue;
        status = comma(out, &first, err);
        if (status == JL_OK)
            status = jl_marked_puts(out, items[i].key, err);
        if (status == JL_OK)
            status = jl_marked_puts(out, ":{", err);
        if (status == JL_OK)
            status = put_property(out, items[i].value, depth, err);
        if (status == JL_OK)
            status = jl_marked_puts(out, "}", err);
    }
    jl_free(items);
    return status;
}

/* The closing brace comes with the type: a schema without one is left open, as in the template. */
static jl_status put_parameters(jl_marked *out, const json_t *params, jl_error *err)
{
    const json_t *properties = json_object_get(params, "properties");
    const json_t *required = json_object_get(params, "required");
    const json_t *type = json_object_get(params, "type");
    JL_TRY(jl_marked_puts(out, ",parameters:{", err));
    if (jl_text_truthy(properties)) {
        if (!json_is_object(properties))
            return jl_fail(err, JL_INVALID, "tool schema: \"properties\" must be an object");
        JL_TRY(jl_marked_puts(out, "properties:{", err));
        JL_TRY(put_properties(out, properties, false, 0, err));
        JL_TRY(jl_marked_puts(out, "},", err));
    }
    if (jl_text_truthy(required)) {
        JL_TRY(put_required(out, required, err));
        JL_TRY(jl_marked_puts(out, ",", err));
    }
    if (!jl_text_truthy(type))
        return JL_OK;
    JL_TRY(jl_marked_puts(out, "type:", err));
    JL_TRY(put_quoted_str(out, type, true, err));
    return jl_marked_puts(out, "}", err);
}

static jl_status put_response(jl_marked *out, const json_t *response, jl_error *err)
{
    const json_t *description = json_object_get(response, "description");
    JL_TRY(jl_marked_puts(out, ",response:{", err));
    if (jl_text_truthy(description)) {
        JL_TRY(jl_marked_puts(out, "description:", err));
        JL_TRY(put_quoted_str(out, description, false, err));
        JL_TRY(jl_marked_puts(out, ",", err));
    }
    if (!is_type(json_object_get(response, "type"), "OBJECT"))
        return JL_OK;
    JL_TRY(jl_marked_puts(out, "type:", err));
    JL_TRY(jl_marked_quoted(out, jl_chat_str("OBJECT"), err));
    return jl_marked_puts(out, "}", err);
}

jl_status jl_gemma4_declaration(jl_marked *out, const json_t *tool, jl_error *err)
{
    const json_t *fn = json_object_get(tool, "function");
    JL_TRY(jl_marked_puts(out, "declaration:", err));
    JL_TRY(jl_marked_puts(out, json_string_value(json_object_get(fn, "name")), err));
    JL_TRY(jl_marked_puts(out, "{description:", err));
    JL_TRY(put_quoted_str(out, json_object_get(fn, "description"), false, err));
    if (jl_text_truthy(json_object_get(fn, "parameters")))
        JL_TRY(put_parameters(out, json_object_get(fn, "parameters"), err));
    if (json_object_get(fn, "response"))
        JL_TRY(put_response(out, json_object_get(fn, "response"), err));
    return jl_marked_puts(out, "}", err);
}
