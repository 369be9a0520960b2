/* Status codes and error detail shared by every joule function that can fail. */
#ifndef JL_JOULE_STATUS_H
#define JL_JOULE_STATUS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define JL_API __attribute__((visibility("default")))
#define JL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define JL_MUST_CHECK __attribute__((warn_unused_result))
#else
#define JL_API
#define JL_PRINTF(fmt, args)
#define JL_MUST_CHECK
#endif

/* One line per status: enumerator, wire name, HTTP status the server answers. */
#define JL_STATUS_LIST(X)                      \
    X(OK,          "ok",                  200) \
    X(INVALID,     "invalid argument",    400) \
    X(FORMAT,      "malformed file",      422) \
    X(UNSUPPORTED, "unsupported",         501) \
    X(TOO_LARGE,   "limit exceeded",      413) \
    X(NO_MEMORY,   "out of memory",       503) \
    X(IO,          "i/o error",           500) \
    X(DEVICE,      "device error",        500) \
    X(CANCELLED,   "cancelled",           499)

typedef enum {
#define JL_STATUS_ENUM(name, text, http) JL_##name,
    JL_STATUS_LIST(JL_STATUS_ENUM)
#undef JL_STATUS_ENUM
} jl_status;

/* Detail for people; programs branch on jl_status. */
typedef struct {
    jl_status status;
    uint64_t offset; /* byte offset into the input, UINT64_MAX if none */
    char text[400];  /* NUL-terminated UTF-8, no trailing newline */
} jl_error;

/* Name of a status, e.g. "malformed file". Never NULL. */
JL_API const char *jl_status_name(jl_status status);

/* HTTP status code a server answers for a status, e.g. 422. */
JL_API int jl_status_http(jl_status status);

#ifdef __cplusplus
}
#endif
#endif
