/* For scripts/count-arm, which counts the instructions of one product: makes it so many times.
 * Weights and activations are zeros, since no kernel's path depends on their values. mm_work
 * BUNDLE TYPE ROWS WEIGHTS COLUMNS TIMES; weights per row. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/kernels.h"
#include "base/cpu.h"
#include "quant/quant.h"

static void *zeros(size_t n_bytes)
{
    const size_t whole = (n_bytes + 63) / 64 * 64;
    void *p = aligned_alloc(64, whole);

    if (!p) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return memset(p, 0, whole);
}

/* One call of the kernel, as the engine makes it: tile_rows rows of the matrix, all columns. */
static void product(const jl_cpu_kernels *k, jl_type type, jl_mm_args a)
{
    const size_t n_rows = a.n_rows;
    const size_t each = a.n_cols == 1 ? k->mm_tile_rows_1 : k->mm_tile_rows;

    for (size_t r = 0; r < n_rows; r += each) {
        jl_mm_args part = a;
        part.w += r * a.w_stride;
        part.y += r;
        part.n_rows = n_rows - r < each ? n_rows - r : each;
        k->mm[type](&part);
    }
}

int main(int argc, char **argv)
{
    uint32_t type = 0;
    jl_cpu_kernels k;

    if (argc != 7) {
        fprintf(stderr, "usage: mm_work BUNDLE TYPE ROWS WEIGHTS COLUMNS TIMES\n");
        return 2;
    }
    while (type < JL_TYPE_MAX &&
           !(jl_type_get(type)->is_weight && strcmp(jl_type_name(type), argv[2]) == 0))
        type++;
    jl_cpu_kernels_init(&k, jl_cpu_mask(jl_cpu_features(), argv[1], NULL));
    if (type == JL_TYPE_MAX || strcmp(k.name, argv[1]) != 0) {
        fprintf(stderr, "mm_work: no such type, or no such kernels here\n");
        return 1;
    }
    const size_t rows = strtoul(argv[3], NULL, 10);
    const size_t n = strtoul(argv[4], NULL, 10);
    const size_t cols = strtoul(argv[5], NULL, 10);
    const size_t stride = (size_t)jl_row_bytes(type, n);
    const jl_mm_args args = {.w = zeros(rows * stride),
                             .w_stride = stride,
                             .n_rows = rows,
                             .n_in = n,
                             .q = zeros(cols * n),
                             .d = zeros(cols * (n / 32 + 1) * sizeof(float)),
                             .sum = zeros(cols * (n / 16 + 1) * sizeof(int16_t)),
                             .x = zeros(cols * n * sizeof(float)),
                             .n_cols = cols,
                             .y = zeros(rows * cols * sizeof(float)),
                             .y_stride = rows,
                             .scratch = zeros(k.mm_scratch)};
    for (unsigned long i = strtoul(argv[6], NULL, 10); i > 0; i--)
        product(&k, (jl_type)type, args);
    return 0;
}
