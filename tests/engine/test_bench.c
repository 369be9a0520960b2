/* What a benchmark says a test needs: bytes and operations counted one by one. */
#include <math.h>

#include "../golden/golden.h"
#include "joule/bench.h"
#include "model/model.h"
#include "test.h"

static const char *golden_folder, *work_folder;
static golden_case gc;
static jl_model *model;

static int open_model(void **state)
{
    (void)state;
    golden_open_model(&gc, golden_folder, "26b-a4b", work_folder, "bench-model.gguf", &model);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    jl_model_close(model);
    golden_close(&gc);
    return 0;
}

/* Multiplications of q with keys and of weights with values, and bytes of the cells, one key at a
 * time. */
static void count(uint32_t depth, uint32_t n, double cell, double *f32_ops, double *bytes)
{
    *f32_ops = *bytes = 0;
    for (uint32_t il = 0; il < model->hp.n_layer; il++) {
        const jl_layer *l = &model->layers[il];
        for (uint32_t pos = depth; pos < depth + n; pos++)
            for (uint32_t key = 0; key <= pos; key++) {
                if (l->is_swa && pos - key >= model->hp.n_swa)
                    continue;
                *f32_ops += 2.0 * 2 * model->hp.n_head * l->head_dim;
                *bytes += 2.0 * cell * l->n_head_kv * l->head_dim;
            }
    }
}

static void check(jl_bench *b, uint32_t depth, uint32_t n, double cell)
{
    jl_bench_work work;
    jl_model_info info;
    double f32_ops, bytes;
    jl_error err;

    jl_model_get_info(model, &info);
    assert_ok(jl_bench_set_depth(b, depth, &err));
    count(depth, n, cell, &f32_ops, &bytes);
    jl_bench_get_work(b, true, n, &work);
    assert_true(fabs(work.f32_ops * n - f32_ops) < 1);
    assert_true(fabs((work.bytes - (double)info.bytes_per_token) * n - bytes) < 1);
    assert_true(work.int8_ops == 2.0 * (double)info.n_params_active);
    jl_bench_get_work(b, false, n, &work);
    assert_true(fabs(work.f32_ops * n - f32_ops) < 1);
    const double head = (double)info.n_vocab * info.n_embd; /* for the last token alone */
    const double want = 2.0 * ((double)info.n_params_active * n - head * (n - 1));
    assert_true(fabs(work.int8_ops * n - want) < 1);
}

static void test_work(void **state)
{
    static const struct {
        jl_kv_type type;
        double cell;
    } types[] = {{JL_KV_F16, 2}, {JL_KV_F32, 4}, {JL_KV_Q8_0, 34.0 / 32}};
    (void)state;

    for (size_t i = 0; i < 3; i++) {
        jl_bench_params p = {.struct_size = sizeof p, .n_max = 40, .depth_max = 300};
        jl_bench *b;
        jl_error err;

        p.session = (jl_session_params){.struct_size = sizeof p.session,
                                        .n_threads = 2,
                                        .type_k = types[i].type,
                                        .type_v = types[i].type};
        assert_ok(jl_bench_create(model, &p, &b, &err));
        check(b, 0, 1, types[i].cell);
        check(b, 0, 40, types[i].cell);
        check(b, 290, 7, types[i].cell); /* behind the window */
        jl_bench_destroy(b);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_work)};

    if (argc != 3)
        return 2;
    golden_folder = argv[1];
    work_folder = argv[2];
    return cmocka_run_group_tests(tests, open_model, close_model);
}
