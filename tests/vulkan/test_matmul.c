/* Matrix products of every weight type against the scalar CPU backend, bit by bit: few columns and
 * many, rows and widths that do not fill a work group, several outputs of one input. */
#include <math.h>

#include "pair.h"

static const jl_type types[] = {
#define WEIGHT(name, id, len, bytes) JL_TYPE_##name,
    JL_WEIGHT_TYPE_LIST(WEIGHT)
#undef WEIGHT
};
enum { N_TYPES = sizeof types / sizeof *types };

/* Columns on both sides of every border between kernels and of a tile. */
static const uint32_t columns[] = {1, 3, 8, 9, 65};
enum { N_COLUMNS = sizeof columns / sizeof *columns };

/* Widths in blocks of the type, rows in its groups: less than a chunk of 1024 columns, more than
 * one, and no multiple of the blocks that are unpacked together. */
typedef struct {
    uint32_t n_in, n_rows;
} shape;

static shape shape_of(jl_type type, int i)
{
    static const shape blocks32[] = {{32, 1}, {704, 67}, {1056, 17}};
    static const shape blocks256[] = {{256, 3}, {768, 66}, {1280, 9}};
    static const shape floats[] = {{1, 1}, {100, 67}, {257, 18}};
    static const shape jq4[] = {{32, 16}, {704, 80}, {1056, 32}};
    const uint32_t len = jl_type_get((uint32_t)type)->block_len;

    return type == JL_TYPE_JQ4 ? jq4[i] : len == 1 ? floats[i] : len == 32 ? blocks32[i]
                                                                           : blocks256[i];
}
enum { N_SHAPES = 3 };

static void check(pair *p, const jl_tensor *w, uint32_t n_cols)
{
    char what[96];
    both x = pair_f32(p, w->ne[0], n_cols, 0);
    both y = pair_f32(p, w->ne[1], n_cols, 5);

    p->cpu->ops->matmul(p->cpu, &x.cpu, &(jl_matmul_out){w, y.cpu}, 1);
    p->gpu->ops->matmul(p->gpu, &x.gpu, &(jl_matmul_out){w, y.gpu}, 1);
    snprintf(what, sizeof what, "%s [%u][%u], %u columns", jl_type_name(w->type), w->ne[1],
             w->ne[0], n_cols);
    pair_same(p, what, &y);
    pair_free(&x);
    pair_free(&y);
}

static void test_types(void **state)
{
    const jl_backend_limits limits = pair_limits();
    pair p;

    (void)state;
    pair_open(&p, &limits);
    for (int t = 0; t < N_TYPES; t++)
        for (int s = 0; s < N_SHAPES; s++) {
            const shape at = shape_of(types[t], s);
            jl_tensor w = pair_weight(&p, types[t], at.n_in, at.n_rows, 1);
            for (int c = 0; c < N_COLUMNS; c++)
                check(&p, &w, columns[c]);
            pair_free_weight(&w);
        }
    pair_close(&p);
}

/* Enough rows that a work group takes two at a time, in every kind of kernel for few columns. */
static void test_many_rows(void **state)
{
    const jl_backend_limits limits = pair_limits();
    pair p;

    (void)state;
    pair_open(&p, &limits);
    for (uint32_t n_cols = 1; n_cols <= 5; n_cols += 4) {
        jl_tensor w = pair_weight(&p, JL_TYPE_Q4_K, 256, 16390, 1);
        check(&p, &w, n_cols);
        pair_free_weight(&w);
    }
    pair_close(&p);
}

/* Query, key and value: types that take different activations, one input. */
static void test_outputs(void **state)
{
    static const jl_type mixed[] = {JL_TYPE_Q8_0, JL_TYPE_JQ4, JL_TYPE_BF16, JL_TYPE_Q6_K};
    enum { N = sizeof mixed / sizeof *mixed };
    const jl_backend_limits limits = pair_limits();
    jl_matmul_out cpu[N];
    jl_matmul_out gpu[N];
    jl_tensor w[N];
    both y[N];
    pair p;

    (void)state;
    pair_open(&p, &limits);
    both x = pair_f32(&p, 512, 7, 0);
    for (int i = 0; i < N; i++) {
        w[i] = pair_weight(&p, mixed[i], 512, 48, 1);
        y[i] = pair_f32(&p, 48, 7, 0);
        cpu[i] = (jl_matmul_out){&w[i], y[i].cpu};
        gpu[i] = (jl_matmul_out){&w[i], y[i].gpu};
    }
    pair_weights(&p, w, N);
    p.cpu->ops->matmul(p.cpu, &x.cpu, cpu, N);
    p.gpu->ops->matmul(p.gpu, &x.gpu, gpu, N);
    for (int i = 0; i < N; i++) {
        pair_same(&p, jl_type_name(mixed[i]), &y[i]);
        pair_free(&y[i]);
        pair_free_weight(&w[i]);
    }
    pair_free(&x);
    pair_close(&p);
}

/* Zeros, numbers too small for a scale, infinities and NaN in the input. */
static void test_unusual_input(void **state)
{
    static const float unusual[] = {0.0f, -0.0f, 1e-38f, 0x1p-149f, INFINITY, NAN};
    enum { N = sizeof unusual / sizeof *unusual, WIDTH = 512 };
    const jl_backend_limits limits = pair_limits();
    float values[2 * N][WIDTH];
    pair p;

    (void)state;
    pair_open(&p, &limits);
    for (int r = 0; r < 2 * N; r++)
        for (int i = 0; i < WIDTH; i++)
            values[r][i] = i / 32 == 5 || r < N ? unusual[r % N] : pair_unit(&p);
    both x = pair_values(&p, values, WIDTH, 2 * N);
    for (int t = 0; t < N_TYPES; t++) {
        jl_tensor w = pair_weight(&p, types[t], WIDTH, 16, 1);
        both y = pair_f32(&p, 16, 2 * N, 0);
        p.cpu->ops->matmul(p.cpu, &x.cpu, &(jl_matmul_out){&w, y.cpu}, 1);
        p.gpu->ops->matmul(p.gpu, &x.gpu, &(jl_matmul_out){&w, y.gpu}, 1);
        pair_same(&p, jl_type_name(types[t]), &y);
        pair_free(&y);
        pair_free_weight(&w);
    }
    pair_free(&x);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_many_rows),
        cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_unusual_input),
    };

    return cmocka_run_group_tests_name("vulkan_matmul", tests, NULL, NULL);
}
