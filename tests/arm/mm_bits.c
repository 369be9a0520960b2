/* Products of every weight type against the scalar definition, bit for bit: a few shapes, quick
 * enough for an emulator. tests/kernels is thorough. mm_bits BUNDLE...: those bundles, which the
 * processor must have; without any, all that it has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "act.h"
#include "backend/cpu/kernels.h"
#include "base/cpu.h"
#include "quant/quant.h"
#include "quant/random.h"

/* rows, weights per row, columns; more blocks than a tile, odd edges, one column */
static const size_t shapes[][3] = {{9, 256, 1}, {19, 3328, 7}, {3, 512, 2}, {70, 256, 5}};
/* of JQ4 alone, whose rows need not be whole super-blocks: more rows and columns than a tile of
 * SME, an odd end; more columns of weights than a tile */
static const size_t jq4_shapes[][3] = {
    {544, 160, 37}, {48, 4448, 34}, {16, 352, 16}, {528, 2816, 65}};
static const char *const all_bundles[] = {"neon", "dotprod", "i8mm", "sme", "sme2"};
enum {
    N_SHAPES = sizeof shapes / sizeof *shapes,
    N_JQ4_SHAPES = sizeof jq4_shapes / sizeof *jq4_shapes,
    N_BUNDLES = sizeof all_bundles / sizeof *all_bundles
};

typedef struct {
    jl_mm_args args;
    uint8_t *w;
    float *x, *d, *expected, *y;
    int8_t *q;
    int16_t *sum;
} problem;

static void *need(size_t n_bytes)
{
    void *p = aligned_alloc(64, (n_bytes + 63) / 64 * 64);

    if (!p) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return p;
}

static void problem_new(problem *p, jl_type type, const size_t shape[3])
{
    const size_t group = jl_type_get((uint32_t)type)->group_rows;
    const size_t rows = (shape[0] + group - 1) / group * group;
    const size_t n = shape[1];
    const size_t cols = shape[2];
    const size_t stride = (size_t)jl_row_bytes((uint32_t)type, n);

    p->w = need(rows * stride);
    p->x = need(cols * n * sizeof *p->x);
    p->q = need(cols * n);
    p->d = need(cols * n / 32 * sizeof *p->d);
    p->sum = need(cols * n / 16 * sizeof *p->sum);
    p->expected = need(rows * cols * sizeof *p->expected);
    p->y = need(rows * cols * sizeof *p->y);
    jl_fill_random_rows(type, 7, 0, 0.5f, p->w, n, rows);
    for (size_t i = 0; i < cols * n; i++)
        p->x[i] = (float)(int32_t)(jl_random_u64(3, i) >> 32) * 0x1p-31f;
    act_rows(type, p->x, n, cols, p->q, p->d, p->sum);
    p->args = (jl_mm_args){.w = p->w, .w_stride = stride, .n_rows = rows, .n_in = n, .q = p->q,
                           .d = p->d, .sum = p->sum, .x = p->x, .n_cols = cols, .y = p->expected,
                           .y_stride = rows};
}

static void problem_free(problem *p)
{
    free(p->w);
    free(p->x);
    free(p->q);
    free(p->d);
    free(p->sum);
    free(p->expected);
    free(p->y);
}

static bool same(problem *p, jl_type type, const jl_cpu_kernels *k)
{
    const size_t n_bytes = p->args.n_rows * p->args.n_cols * sizeof *p->y;

    memset(p->y, 0x55, n_bytes);
    p->args.y = p->y;
    p->args.scratch = need(k->mm_scratch);
    k->mm[type](&p->args);
    free(p->args.scratch);
    return memcmp(p->y, p->expected, n_bytes) == 0;
}

/* The kernels of a bundle, false if this processor or this build lacks it. */
static bool has(const char *bundle, jl_cpu_kernels *k)
{
    jl_cpu_kernels_init(k, jl_cpu_mask(jl_cpu_features(), bundle, NULL));
    return strcmp(k->name, bundle) == 0;
}

/* One product with every bundle; how many were made and how many differ is added to n and bad. */
static void compare(jl_type type, const size_t shape[3], const char *const *bundles,
                    size_t n_bundles, int *n, int *bad)
{
    jl_cpu_kernels scalar;
    jl_cpu_kernels k;
    problem p;

    jl_cpu_kernels_scalar(&scalar);
    problem_new(&p, type, shape);
    scalar.mm[type](&p.args);
    for (size_t b = 0; b < n_bundles; b++) {
        if (!has(bundles[b], &k))
            continue;
        ++*n;
        if (same(&p, type, &k))
            continue;
        ++*bad;
        printf("%s %s, %zu x %zu x %zu: other bits than the definition\n", bundles[b],
               jl_type_name((uint32_t)type), shape[0], shape[1], shape[2]);
    }
    problem_free(&p);
}

int main(int argc, char **argv)
{
    jl_cpu_kernels k;
    const char *const *bundles = argc > 1 ? (const char *const *)argv + 1 : all_bundles;
    const size_t n_bundles = argc > 1 ? (size_t)argc - 1 : (size_t)N_BUNDLES;
    int n = 0;
    int bad = 0;

    for (size_t b = 0; argc > 1 && b < n_bundles; b++)
        if (!has(bundles[b], &k)) {
            printf("%s is not here\n", bundles[b]);
            return 1;
        }
    for (uint32_t t = 0; t < JL_TYPE_MAX; t++)
        for (size_t s = 0; s < N_SHAPES && jl_type_get(t)->is_weight; s++)
            compare((jl_type)t, shapes[s], bundles, n_bundles, &n, &bad);
    for (size_t s = 0; s < N_JQ4_SHAPES; s++)
        compare(JL_TYPE_JQ4, jq4_shapes[s], bundles, n_bundles, &n, &bad);
    printf("%d products, %d differ\n", n, bad);
    return bad > 0 || n == 0;
}
