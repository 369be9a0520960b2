/* What a JSON schema says of a value, as far as repairs of tool calls need it. */
#ifndef JL_CHAT_SCHEMA_H
#define JL_CHAT_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    JL_SCHEMA_STRING = 1,
    JL_SCHEMA_NUMBER = 2, /* integers too */
    JL_SCHEMA_BOOLEAN = 4,
    JL_SCHEMA_NULL = 8,
    JL_SCHEMA_OBJECT = 16,
    JL_SCHEMA_ARRAY = 32
};

/* Types the schema allows, 0 when it does not say. root is the document that "$ref" points into. */
unsigned jl_schema_types(const json_t *root, const json_t *schema);
/* Schema of a member, NULL if it has none. Looks into $ref, anyOf, oneOf, allOf. */
const json_t *jl_schema_property(const json_t *root, const json_t *schema, const char *key);
/* Whether the schema declares the member by name. */
bool jl_schema_declares(const json_t *root, const json_t *schema, const char *key);
/* Schema of an array's items, NULL if it has none. */
const json_t *jl_schema_items(const json_t *root, const json_t *schema);
/* The parameters of a declared tool, NULL if there is no such tool. tools may be NULL. */
const json_t *jl_schema_of_tool(const json_t *tools, const char *name);

#endif
