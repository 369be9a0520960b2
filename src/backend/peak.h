/* Loops that do nothing but one thing as fast as this machine can, for the roofline: reading
 * memory, int8 and F32 multiply-accumulate. */
#ifndef JL_BACKEND_PEAK_H
#define JL_BACKEND_PEAK_H

#include <stddef.h>
#include <stdint.h>

enum {
    JL_PEAK_LOOPS = 8,
    JL_READ_GRAIN = 1 << 16 /* bytes that parts to read are a multiple of */
};

/* n rounds on this thread, all data in registers; returns the operations done (a multiplication and
 * an addition are two). *sum: the sum of all accumulators, which start at 0 and grow by 1 with
 * every multiplication; exact for n <= 64, so that a test can see that none was left out. */
typedef struct {
    const char *name; /* of the instruction set: "avx2", "avx512vnni", "amx", ... */
    uint64_t (*run)(uint64_t n, int64_t *sum);
} jl_peak_loop;

/* Multiply-accumulate of bytes, one loop per instruction set in `features` (base/cpu.h) whose
 * kernels use it, the narrowest first; returns how many, at most JL_PEAK_LOOPS, 0 if there is none.
 */
size_t jl_cpu_int8_peaks(unsigned features, jl_peak_loop *out);
/* Fused multiply-add of F32, which attention is made of; run NULL if there is none. */
jl_peak_loop jl_cpu_f32_peak(unsigned features);

/* The widest loads. Reads n bytes, a multiple of JL_READ_GRAIN, as 1, 2, 4, 8 or 16 neighbouring
 * streams of 4 KiB, fetching `ahead` bytes ahead (0: not), and returns the sum of all 64-bit words.
 * p: aligned to 64 bytes. */
typedef struct {
    const char *name;
    uint64_t (*run)(const uint8_t *p, size_t n, size_t streams, size_t ahead);
} jl_read_loop;
jl_read_loop jl_cpu_read_loop(unsigned features);

#endif
