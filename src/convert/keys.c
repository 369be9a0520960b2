/* Writing metadata keys. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "convert/convert.h"

/* "llama.block_count" for "block_count"; keys with "general." or "tokenizer." stay. */
static const char *full_key(const jl_keys *k, const char *key, char out[96])
{
    const bool whole = strncmp(key, "general.", 8) == 0 || strncmp(key, "tokenizer.", 10) == 0;

    snprintf(out, 96, "%s%s%s", whole ? "" : k->c->arch, whole ? "" : ".", key);
    return out;
}

static void put(jl_keys *k, const char *key, jl_gguf_type type, const void *value)
{
    char name[96];

    if (k->status == JL_OK)
        k->status = jl_gguf_put_scalar(k->w, full_key(k, key, name), type, value, k->err);
}

void jl_keys_u32(jl_keys *k, const char *key, uint32_t value)
{
    put(k, key, JL_GGUF_U32, &value);
}

void jl_keys_i32(jl_keys *k, const char *key, int32_t value)
{
    put(k, key, JL_GGUF_I32, &value);
}

void jl_keys_f32(jl_keys *k, const char *key, double value)
{
    const float f = (float)value;
    put(k, key, JL_GGUF_F32, &f);
}

void jl_keys_bool(jl_keys *k, const char *key, bool value)
{
    const uint8_t b = value;
    put(k, key, JL_GGUF_BOOL, &b);
}

void jl_keys_str(jl_keys *k, const char *key, const char *value)
{
    char name[96];

    if (k->status == JL_OK)
        k->status = jl_gguf_put_str(k->w, full_key(k, key, name), value, strlen(value), k->err);
}

void jl_keys_array(jl_keys *k, const char *key, jl_gguf_type type, const void *items, uint64_t n)
{
    char name[96];

    if (k->status == JL_OK)
        k->status = jl_gguf_put_array(k->w, full_key(k, key, name), type, items, n, k->err);
}

void jl_keys_strs(jl_keys *k, const char *key, const jl_str *items, uint64_t n)
{
    char name[96];

    if (k->status == JL_OK)
        k->status = jl_gguf_put_str_array(k->w, full_key(k, key, name), items, n, k->err);
}

void jl_keys_fail(jl_keys *k, jl_status status, const char *fmt, ...)
{
    char text[240];
    va_list ap;

    if (k->status != JL_OK)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    k->status = jl_fail(k->err, status, "%s", text);
}
