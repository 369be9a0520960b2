/* Which kernels this machine would get, in words. */
#ifndef JL_BACKEND_DESCRIBE_H
#define JL_BACKEND_DESCRIBE_H

#include <stddef.h>

/* "avx512vnni" and the like; returns the length. */
size_t jl_cpu_describe_kernels(char *text, size_t cap);
/* What this processor could do and the kernels above do not use, with the reason; "" if nothing. A
 * line each. */
size_t jl_cpu_describe_unused(char *text, size_t cap);

#endif
