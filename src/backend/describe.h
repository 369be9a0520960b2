/* Which kernels this machine would get, in words. */
#ifndef JL_BACKEND_DESCRIBE_H
#define JL_BACKEND_DESCRIBE_H

#include <stddef.h>

#include "base/status.h"
#include "joule/joule.h"

/* "avx512vnni" and the like; returns the length. */
size_t jl_cpu_describe_kernels(char *text, size_t cap);
/* What this processor could do and the kernels above do not use, with the reason; "" if nothing. A
 * line each. */
size_t jl_cpu_describe_unused(char *text, size_t cap);

/* The Vulkan device of a number (-1: the best). Without compiling or computing anything. */
#ifdef JL_HAVE_VULKAN
jl_status jl_vulkan_find(int which, jl_device_info *out, jl_error *err);
#endif

#endif
