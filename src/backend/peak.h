/* The fastest int8 multiply-accumulate loop of this machine's kernels, for the roofline. */
#ifndef JL_BACKEND_PEAK_H
#define JL_BACKEND_PEAK_H

#include <stdint.h>

/* Runs n rounds on this thread, all data in registers; returns the operations done (a multiply and
 * an add are two), 0 if no instruction set of this machine has such a loop. */
uint64_t jl_cpu_int8_peak(uint64_t n);
/* "avx512vnni" and the like, "none". */
const char *jl_cpu_int8_peak_name(void);

#endif
