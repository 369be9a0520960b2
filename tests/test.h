/* What every cmocka suite includes. */
#ifndef JL_TESTS_TEST_H
#define JL_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"

/* Fails with the message of the error, so that a log says what went wrong. */
#define assert_ok(call)                                                                   \
    do {                                                                                  \
        const jl_status st_ = (call);                                                     \
        if (st_ != JL_OK)                                                                 \
            fail_msg("%s: %s: %s", #call, jl_status_name(st_), (err).text);               \
    } while (0)

/* Without a GPU or a driver a test of one is skipped, and says why; JOULE_VULKAN_TEST makes that a
 * failure. */
static inline void need_vulkan(jl_status found, const jl_error *err)
{
    if (found == JL_UNSUPPORTED && !getenv("JOULE_VULKAN_TEST")) {
        print_message("no Vulkan device to test: %s\n", err->text);
        skip();
    }
    if (found != JL_OK)
        fail_msg("%s", err->text);
}

/* Fails unless the call returned `status` with a message that contains `part`. */
#define assert_fails(call, expected, part)                                                \
    do {                                                                                  \
        const jl_status st_ = (call);                                                     \
        if (st_ != (expected))                                                            \
            fail_msg("%s: got \"%s\", expected \"%s\"", #call, jl_status_name(st_),       \
                     jl_status_name(expected));                                           \
        if (!strstr((err).text, (part)))                                                  \
            fail_msg("%s: message \"%s\" lacks \"%s\"", #call, (err).text, (part));       \
    } while (0)

#endif
