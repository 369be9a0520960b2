/* Harness for kernels: the instruction-set bundles of the host, guarded buffers, comparison by
 * bits. */
#ifndef JL_TESTS_KERNELS_KCHECK_H
#define JL_TESTS_KERNELS_KCHECK_H

#include "backend/cpu/kernels.h"
#include "test.h"

enum { KCHECK_MAX_BUNDLES = 16 };

/* Kernel tables to compare with the scalar one: one for every bundle of this processor that changes
 * anything. */
typedef struct {
    jl_cpu_kernels scalar;
    size_t n;
    const char *bundle[KCHECK_MAX_BUNDLES];
    jl_cpu_kernels kernels[KCHECK_MAX_BUNDLES];
} kcheck_tables;

/* JOULE_CPU_MASK restricts the bundles, as in the program. */
void kcheck_tables_init(kcheck_tables *t);

/* Where a buffer lies. Bytes around it are filled with a pattern that kbuf_check looks at. */
typedef enum {
    KBUF_END,        /* its last byte is followed by an inaccessible page */
    KBUF_START,      /* its first byte follows one; the address is a multiple of 4096 */
    KBUF_MISALIGNED, /* one unit after a multiple of 64 */
    KBUF_N_PLACES
} kbuf_place;

typedef struct {
    uint8_t *map;
    size_t map_bytes;
    uint8_t *data; /* the buffer */
    size_t n_bytes;
} kbuf;

/* unit: alignment in bytes that the kernel may count on (n_bytes is a multiple of it). */
void *kbuf_open(kbuf *b, size_t n_bytes, size_t unit, kbuf_place place);
/* Fails the test if a byte around the buffer has changed. */
void kbuf_check(const kbuf *b, const char *what);
void kbuf_close(kbuf *b);

/* Index of the first float whose bits differ, n if none does. All NaNs are equal. */
size_t kcheck_diff(const float *a, const float *b, size_t n);

/* Floats for adversarial rows. */
typedef enum {
    KFILL_RANDOM,   /* spread over a few powers of two */
    KFILL_ZERO,     /* zeros of both signs */
    KFILL_DENORMAL, /* denormals and values whose products vanish */
    KFILL_MAX,      /* one magnitude, random signs */
    KFILL_SAME,     /* one value */
    KFILL_WILD,     /* any bits: NaNs, infinities, everything */
    KFILL_N
} kfill;

void kcheck_fill(float *x, size_t n, kfill fill, uint64_t seed);
const char *kfill_name(kfill fill);

/* A row of n weights (16 rows of a type that stores them together). RANDOM: sensible weights; WILD:
 * any bits, so NaN and infinite scales too;
 * DENORMAL: random codes with denormal scales; the others repeat one byte (0x00, 0x80, 0xff, by
 * seed) with finite scales, which drives the integers to their extremes. */
void kcheck_fill_weights(jl_type type, void *row, size_t n, kfill fill, uint64_t seed);

#endif
