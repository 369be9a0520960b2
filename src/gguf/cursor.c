/* Checked reading of little-endian fields. */
#include "gguf/internal.h"

uint16_t jl_load_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t jl_load_u32(const uint8_t *p)
{
    return (uint32_t)jl_load_u16(p) | (uint32_t)jl_load_u16(p + 2) << 16;
}

uint64_t jl_load_u64(const uint8_t *p)
{
    return (uint64_t)jl_load_u32(p) | (uint64_t)jl_load_u32(p + 4) << 32;
}

jl_status jl_cursor_take(jl_cursor *c, uint64_t n, const char *what, const uint8_t **out,
                         jl_error *err)
{
    const uint64_t left = c->n_bytes - c->pos;
    if (n > left)
        return jl_fail_at(err, JL_FORMAT, c->pos,
                          "the file ends inside %s at byte %llu (%llu bytes needed, %llu left): "
                          "it is cut off or damaged, download it again",
                          what, (unsigned long long)c->pos, (unsigned long long)n,
                          (unsigned long long)left);
    *out = c->data + c->pos;
    c->pos += n;
    return JL_OK;
}

jl_status jl_cursor_u32(jl_cursor *c, const char *what, uint32_t *out, jl_error *err)
{
    const uint8_t *p = NULL;
    JL_TRY(jl_cursor_take(c, 4, what, &p, err));
    *out = jl_load_u32(p);
    return JL_OK;
}

jl_status jl_cursor_u64(jl_cursor *c, const char *what, uint64_t *out, jl_error *err)
{
    const uint8_t *p = NULL;
    JL_TRY(jl_cursor_take(c, 8, what, &p, err));
    *out = jl_load_u64(p);
    return JL_OK;
}

jl_status jl_cursor_str(jl_cursor *c, const char *what, jl_str *out, jl_error *err)
{
    uint64_t len = 0;
    const uint8_t *p = NULL;
    JL_TRY(jl_cursor_u64(c, what, &len, err));
    JL_TRY(jl_cursor_take(c, len, what, &p, err));
    *out = (jl_str){(const char *)p, (size_t)len};
    return JL_OK;
}
