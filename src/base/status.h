/* Raising and forwarding errors inside the library. */
#ifndef JL_BASE_STATUS_H
#define JL_BASE_STATUS_H

#include <stdint.h>

#include "joule/status.h"

/* Fill *err (if not NULL) and return the status. The text says what, where and what to do. Control
 * bytes and invalid UTF-8 in the arguments come out as '?'; err->text may be an argument. */
jl_status jl_fail(jl_error *err, jl_status status, const char *fmt, ...) JL_PRINTF(3, 4);
/* As jl_fail, with the byte offset into the input. */
jl_status jl_fail_at(jl_error *err, jl_status status, uint64_t offset, const char *fmt, ...)
    JL_PRINTF(4, 5);

#define JL_TRY(call)                     \
    do {                                 \
        const jl_status jl_try_ = (call); \
        if (jl_try_ != JL_OK)            \
            return jl_try_;              \
    } while (0)

#endif
