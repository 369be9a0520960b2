/* Fields of requests, checked; what is wrong with a request. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "server/internal.h"

jl_status jl_fault_set(jl_fault *f, int http, const char *code, const char *param, const char *fmt,
                       ...)
{
    char text[sizeof f->err.text];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    f->http = http;
    f->code = code;
    f->param = param;
    return jl_fail(&f->err, JL_INVALID, "%s", text);
}

int jl_fault_http(const jl_fault *f)
{
    return f->http ? f->http : jl_status_http(f->err.status);
}

static jl_status wrong_type(jl_fault *f, const char *name, const char *what)
{
    return jl_fault_set(f, 400, "invalid_type", name, "%s must be %s", name, what);
}

jl_status jl_field_bool(const json_t *o, const char *name, bool *out, jl_fault *f)
{
    const json_t *v = json_object_get(o, name);

    if (!v || json_is_null(v))
        return JL_OK;
    if (!json_is_boolean(v))
        return wrong_type(f, name, "true or false");
    *out = json_is_true(v);
    return JL_OK;
}

jl_status jl_field_int(const json_t *o, const char *name, json_int_t min, json_int_t max,
                       json_int_t *out, jl_fault *f)
{
    const json_t *v = json_object_get(o, name);
    json_int_t value;

    if (!v || json_is_null(v))
        return JL_OK;
    if (json_is_integer(v))
        value = json_integer_value(v);
    else if (json_is_real(v) && fabs(json_real_value(v)) < 9e15 &&
             json_real_value(v) == floor(json_real_value(v)))
        value = (json_int_t)json_real_value(v);
    else
        return wrong_type(f, name, "a whole number");
    if (value < min || value > max)
        return jl_fault_set(f, 400, "out_of_range", name, "%s is %lld; it must be %lld to %lld",
                            name, (long long)value, (long long)min, (long long)max);
    *out = value;
    return JL_OK;
}

jl_status jl_field_float(const json_t *o, const char *name, double min, double max, float *out,
                         jl_fault *f)
{
    const json_t *v = json_object_get(o, name);

    if (!v || json_is_null(v))
        return JL_OK;
    if (!json_is_number(v))
        return wrong_type(f, name, "a number");
    const double value = json_number_value(v);
    if (!(value >= min && value <= max))
        return jl_fault_set(f, 400, "out_of_range", name, "%s is %g; it must be %g to %g", name,
                            value, min, max);
    *out = (float)value;
    return JL_OK;
}

jl_status jl_field_string(const json_t *o, const char *name, const char **out, jl_fault *f)
{
    const json_t *v = json_object_get(o, name);

    if (!v || json_is_null(v))
        return JL_OK;
    if (!json_is_string(v))
        return wrong_type(f, name, "a string");
    *out = json_string_value(v);
    return JL_OK;
}
