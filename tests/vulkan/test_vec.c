/* Element-wise operations and norms of the Vulkan backend against the scalar CPU backend. */
#include "pair.h"

/* Odd lengths: below, at and above a work group, and widths of real models. */
static const uint32_t lengths[] = {1, 31, 64, 100, 255, 256, 257, 704, 2816};
enum { N_LENGTHS = sizeof lengths / sizeof *lengths };
static const uint32_t rows[] = {1, 3, 17};
enum { N_ROWS = sizeof rows / sizeof *rows };

typedef void check_fn(pair *p, uint32_t n, uint32_t n_rows);

static void each_shape(check_fn *fn)
{
    const jl_backend_limits limits = pair_limits();
    pair p;

    pair_open(&p, &limits);
    for (size_t i = 0; i < N_LENGTHS; i++)
        for (size_t j = 0; j < N_ROWS; j++)
            fn(&p, lengths[i], rows[j]);
    pair_close(&p);
}

static void check_add_scale(pair *p, uint32_t n, uint32_t n_rows)
{
    both x = pair_f32(p, n, n_rows, 3);
    both y = pair_f32(p, n, n_rows, 0);

    p->cpu->ops->add_scale(p->cpu, &x.cpu, &y.cpu, 0.7f);
    p->gpu->ops->add_scale(p->gpu, &x.gpu, &y.gpu, 0.7f);
    pair_same(p, "add_scale", &x);
    p->cpu->ops->add_scale(p->cpu, &x.cpu, NULL, 1.1f);
    p->gpu->ops->add_scale(p->gpu, &x.gpu, NULL, 1.1f);
    pair_same(p, "add_scale without y", &x);
    pair_free(&x);
    pair_free(&y);
}

static void test_add_scale(void **state)
{
    (void)state;
    each_shape(check_add_scale);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add_scale),
    };

    return cmocka_run_group_tests_name("vulkan_vec", tests, NULL, NULL);
}
