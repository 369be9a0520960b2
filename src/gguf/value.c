/* Metadata values as numbers and strings. A conversion that would lose something is refused. */
#include <math.h>
#include <string.h>

#include "gguf/internal.h"

/* An item of a scalar or array: an integer (sign and magnitude), or a floating value. */
typedef struct {
    bool is_integer, is_bool, negative;
    uint64_t magnitude;
    double value;
} number;

static number from_signed(int64_t v)
{
    return (number){true, false, v < 0, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, (double)v};
}

static number from_unsigned(uint64_t v)
{
    return (number){true, false, false, v, (double)v};
}

static number from_floating(double v)
{
    return (number){false, false, false, 0, v};
}

static bool load_number(const jl_gguf_kv *kv, uint64_t index, number *out)
{
    const size_t n_bytes = jl_gguf_type_bytes(kv->item_type);
    if (n_bytes == 0 || index >= kv->count)
        return false;
    const uint8_t *p = kv->raw + index * n_bytes;
    uint32_t bits32;
    uint64_t bits64;
    float f;
    double d;
    switch (kv->item_type) {
    case JL_GGUF_U8: *out = from_unsigned(p[0]); return true;
    case JL_GGUF_I8: *out = from_signed((int8_t)p[0]); return true;
    case JL_GGUF_U16: *out = from_unsigned(jl_load_u16(p)); return true;
    case JL_GGUF_I16: *out = from_signed((int16_t)jl_load_u16(p)); return true;
    case JL_GGUF_U32: *out = from_unsigned(jl_load_u32(p)); return true;
    case JL_GGUF_I32: *out = from_signed((int32_t)jl_load_u32(p)); return true;
    case JL_GGUF_U64: *out = from_unsigned(jl_load_u64(p)); return true;
    case JL_GGUF_I64: *out = from_signed((int64_t)jl_load_u64(p)); return true;
    case JL_GGUF_F32:
        bits32 = jl_load_u32(p);
        memcpy(&f, &bits32, sizeof f);
        *out = from_floating((double)f);
        return true;
    case JL_GGUF_F64:
        bits64 = jl_load_u64(p);
        memcpy(&d, &bits64, sizeof d);
        *out = from_floating(d);
        return true;
    case JL_GGUF_BOOL:
        *out = from_unsigned(p[0]);
        out->is_bool = true;
        return true;
    default:
        return false;
    }
}

bool jl_gguf_kv_u64(const jl_gguf_kv *kv, uint64_t index, uint64_t *out)
{
    number n;
    if (!load_number(kv, index, &n) || !n.is_integer || n.is_bool || n.negative)
        return false;
    *out = n.magnitude;
    return true;
}

bool jl_gguf_get_u64(const jl_gguf *g, const char *key, uint64_t index, uint64_t *out)
{
    const jl_gguf_kv *kv = jl_gguf_find(g, key);
    return kv && jl_gguf_kv_u64(kv, index, out);
}

bool jl_gguf_get_i64(const jl_gguf *g, const char *key, uint64_t index, int64_t *out)
{
    number n;
    const jl_gguf_kv *kv = jl_gguf_find(g, key);
    if (!kv || !load_number(kv, index, &n) || !n.is_integer || n.is_bool)
        return false;
    if (n.magnitude > (uint64_t)INT64_MAX + (n.negative ? 1 : 0))
        return false;
    *out = n.negative ? (int64_t)(0 - n.magnitude) : (int64_t)n.magnitude;
    return true;
}

bool jl_gguf_get_f32(const jl_gguf *g, const char *key, uint64_t index, float *out)
{
    number n;
    const jl_gguf_kv *kv = jl_gguf_find(g, key);
    if (!kv || !load_number(kv, index, &n) || n.is_bool)
        return false;
    if (n.is_integer && n.magnitude > 1u << 24) /* beyond it F32 has gaps */
        return false;
    if (isnan(n.value)) {
        *out = NAN;
        return true;
    }
    if (!isinf(n.value) && fabs(n.value) > 3.4028234663852886e38)
        return false;
    const float f = (float)n.value;
    if ((double)f < n.value || (double)f > n.value)
        return false;
    *out = f;
    return true;
}

bool jl_gguf_get_bool(const jl_gguf *g, const char *key, uint64_t index, bool *out)
{
    number n;
    const jl_gguf_kv *kv = jl_gguf_find(g, key);
    if (!kv || !load_number(kv, index, &n) || !n.is_bool)
        return false;
    *out = n.magnitude != 0;
    return true;
}

bool jl_gguf_next_str(const jl_gguf_kv *kv, jl_gguf_iter *it, jl_str *out)
{
    if (kv->item_type != JL_GGUF_STRING || it->index >= kv->count || kv->raw_bytes - it->pos < 8)
        return false;
    const uint64_t len = jl_load_u64(kv->raw + it->pos);
    if (len >
        kv->raw_bytes - it->pos - 8) /* checked at open; holds even if the file changes since */
        return false;
    *out = (jl_str){(const char *)kv->raw + it->pos + 8, (size_t)len};
    it->index++;
    it->pos += 8 + len;
    return true;
}

bool jl_gguf_get_str(const jl_gguf *g, const char *key, jl_str *out)
{
    jl_gguf_iter it = {0, 0};
    const jl_gguf_kv *kv = jl_gguf_find(g, key);
    return kv && kv->type == JL_GGUF_STRING && jl_gguf_next_str(kv, &it, out);
}
