#include "chat/schema.h"

#include <string.h>

/* Schemas may refer to themselves: beyond so many references or alternatives they say nothing. */
enum { MAX_HOPS = 16, MAX_VISITS = 500 };

static const char *const unions[] = {"anyOf", "oneOf", "allOf"};
enum { N_UNIONS = sizeof unions / sizeof *unions };

/* Follows "#/a/b" through objects; ~0 and ~1 escapes do not occur in tool schemas and do not
 * match. */
static const json_t *follow(const json_t *root, const char *ref)
{
    if (strncmp(ref, "#/", 2) != 0)
        return NULL;
    const json_t *at = root;
    for (const char *p = ref + 2; at && *p;) {
        char name[128];
        const size_t n = strcspn(p, "/");
        if (n >= sizeof name)
            return NULL;
        memcpy(name, p, n);
        name[n] = 0;
        at = json_object_get(at, name);
        p += n + (p[n] == '/');
    }
    return at;
}

static const json_t *resolve(const json_t *root, const json_t *schema)
{
    for (int hop = 0; hop < MAX_HOPS; hop++) {
        const char *ref = json_string_value(json_object_get(schema, "$ref"));
        if (!ref)
            return schema;
        schema = follow(root, ref);
    }
    return NULL;
}

static unsigned type_by_name(const char *name)
{
    static const struct {
        const char *name;
        unsigned bit;
    } types[] = {{"string", JL_SCHEMA_STRING}, {"number", JL_SCHEMA_NUMBER},
                 {"integer", JL_SCHEMA_NUMBER}, {"boolean", JL_SCHEMA_BOOLEAN},
                 {"null", JL_SCHEMA_NULL}, {"object", JL_SCHEMA_OBJECT},
                 {"array", JL_SCHEMA_ARRAY}};
    for (size_t i = 0; name && i < sizeof types / sizeof *types; i++)
        if (strcmp(name, types[i].name) == 0)
            return types[i].bit;
    return 0;
}

static unsigned type_of_value(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_STRING: return JL_SCHEMA_STRING;
    case JSON_INTEGER:
    case JSON_REAL: return JL_SCHEMA_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE: return JL_SCHEMA_BOOLEAN;
    case JSON_NULL: return JL_SCHEMA_NULL;
    case JSON_OBJECT: return JL_SCHEMA_OBJECT;
    case JSON_ARRAY: return JL_SCHEMA_ARRAY;
    }
    return 0;
}

static unsigned own_types(const json_t *schema)
{
    const json_t *type = json_object_get(schema, "type");
    const json_t *values = json_object_get(schema, "enum");
    const json_t *constant = json_object_get(schema, "const");
    unsigned mask = 0;
    if (json_is_string(type))
        return type_by_name(json_string_value(type));
    for (size_t i = 0; i < json_array_size(type); i++)
        mask |= type_by_name(json_string_value(json_array_get(type, i)));
    if (mask)
        return mask;
    for (size_t i = 0; i < json_array_size(values); i++)
        mask |= type_of_value(json_array_get(values, i));
    return constant ? mask | type_of_value(constant) : mask;
}

static unsigned types(const json_t *root, const json_t *schema, int *visits)
{
    schema = resolve(root, schema);
    if (!json_is_object(schema) || ++*visits > MAX_VISITS)
        return 0;
    unsigned mask = own_types(schema);
    for (int u = 0; u < N_UNIONS && !mask; u++) {
        const json_t *list = json_object_get(schema, unions[u]);
        for (size_t i = 0; i < json_array_size(list); i++) {
            const unsigned m = types(root, json_array_get(list, i), visits);
            if (!m && u < 2)
                return 0; /* one alternative allows anything */
            mask |= m;
        }
    }
    if (json_is_true(json_object_get(schema, "nullable")) && mask)
        mask |= JL_SCHEMA_NULL;
    return mask;
}

unsigned jl_schema_types(const json_t *root, const json_t *schema)
{
    int visits = 0;
    return types(root, schema, &visits);
}

typedef enum { FIND_PROPERTY, FIND_ADDITIONAL, FIND_ITEMS } what_to_find;

static const json_t *find(const json_t *root, const json_t *schema, what_to_find what,
                          const char *key, int *visits)
{
    schema = resolve(root, schema);
    if (!json_is_object(schema) || ++*visits > MAX_VISITS)
        return NULL;
    const json_t *found = NULL;
    if (what == FIND_PROPERTY)
        found = json_object_get(json_object_get(schema, "properties"), key);
    else
        found = json_object_get(schema, what == FIND_ITEMS ? "items" : "additionalProperties");
    if (found && (what == FIND_PROPERTY || json_is_object(found)))
        return found;
    for (int u = 0; u < N_UNIONS; u++) {
        const json_t *list = json_object_get(schema, unions[u]);
        for (size_t i = 0; i < json_array_size(list); i++) {
            found = find(root, json_array_get(list, i), what, key, visits);
            if (found)
                return found;
        }
    }
    return NULL;
}

const json_t *jl_schema_property(const json_t *root, const json_t *schema, const char *key)
{
    int visits = 0;
    const json_t *found = find(root, schema, FIND_PROPERTY, key, &visits);
    visits = 0;
    return found ? found : find(root, schema, FIND_ADDITIONAL, key, &visits);
}

bool jl_schema_declares(const json_t *root, const json_t *schema, const char *key)
{
    int visits = 0;
    return find(root, schema, FIND_PROPERTY, key, &visits) != NULL;
}

const json_t *jl_schema_items(const json_t *root, const json_t *schema)
{
    int visits = 0;
    return find(root, schema, FIND_ITEMS, NULL, &visits);
}

const json_t *jl_schema_of_tool(const json_t *tools, const char *name)
{
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *fn = json_object_get(json_array_get(tools, i), "function");
        const char *s = json_string_value(json_object_get(fn, "name"));
        if (s && strcmp(s, name) == 0)
            return json_object_get(fn, "parameters");
    }
    return NULL;
}
