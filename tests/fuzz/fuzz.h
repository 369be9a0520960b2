/* Entry point of a fuzz target: libFuzzer calls it with mutated inputs (make fuzz), replay.c with
 * the committed corpus (every test run). It returns 0 and aborts on a finding. */
#ifndef JL_TESTS_FUZZ_H
#define JL_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As assert, in every build. */
#define fuzz_require(condition)                                                          \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
            abort();                                                                     \
        }                                                                                \
    } while (0)

#endif
