/* A model variant on the Vulkan device: the reference's logits within the same error as on the CPU,
 * the CPU's logits bit by bit, for several weight types and caches, and the same bits in any
 * pieces. Usage: test_golden_gpu DATA SCRATCH CASE */
#include <math.h>
#include <unistd.h>

#include "golden.h"
#include "test.h"

static const double max_logit_error = 1e-3; /* derived in test_golden.c */

static const char *data_folder, *scratch_folder, *case_name;

static void need_device(void)
{
    jl_device_info device;
    jl_error err = {0};

    need_vulkan(jl_device_find("vulkan", &device, &err), &err);
}

/* Against the reference: what the CPU is held to. */
static void check_reference(const golden_case *c, const float *logits)
{
    double worst = 0;

    for (size_t i = 0; i < c->n_tokens * c->n_vocab; i++) {
        if (isinf(logits[i]) && logits[i] < 0)
            continue; /* masked */
        const double d = fabs((double)logits[i] - c->logits[i]);
        if (!(d <= max_logit_error))
            fail_msg("%s: token %zu: a logit is wrong by %.3g", c->name, i / c->n_vocab, d);
        worst = d > worst ? d : worst;
    }
    print_message("# %s: largest error of a logit on the GPU %.2g\n", c->name, worst);
}

static void check_type(const golden_case *c, jl_type type, jl_kv_type kv, size_t n_tokens)
{
    const golden_plan plans[] = {
        {.n_threads = 2, .kv = kv},
        {.n_ubatch = 100, .kv = kv, .device = "vulkan"},
        {.piece = 23, .n_ubatch = 7, .kv = kv, .device = "vulkan"},
    };
    const size_t n_cut = n_tokens < 70 ? n_tokens : 70; /* 7 at a time is slow on a software GPU */
    char path[512];
    char what[64];
    jl_model *model;
    jl_error err;

    snprintf(path, sizeof path, "%s/golden-gpu-%s.tmp", scratch_folder, c->name);
    snprintf(what, sizeof what, "%s, %s, cache %d", c->name, jl_type_name(type), (int)kv);
    golden_write_model(c, path, type);
    assert_ok(jl_model_open(path, NULL, &model, &err));

    float *cpu = golden_run(model, c->tokens, n_tokens, &plans[0]);
    float *gpu = golden_run(model, c->tokens, n_tokens, &plans[1]);
    float *cut = golden_run(model, c->tokens, n_cut, &plans[2]);
    if (n_tokens == c->n_tokens)
        check_reference(c, gpu);
    golden_assert_same(cpu, gpu, n_tokens, c->n_vocab, what);
    golden_assert_same(cpu, cut, n_cut, c->n_vocab, what);
    free(cpu);
    free(gpu);
    free(cut);
    jl_model_close(model);
    (void)unlink(path);
}

static void test_reference(void **state)
{
    golden_case c;

    (void)state;
    need_device();
    golden_open(&c, data_folder, case_name);
    check_type(&c, JL_TYPE_F32, JL_KV_F32, c.n_tokens);
    golden_close(&c);
}

static void test_types(void **state)
{
    static const struct {
        jl_type type;
        jl_kv_type kv;
    } kinds[] = {
        {JL_TYPE_Q8_0, JL_KV_F16}, {JL_TYPE_Q4_K, JL_KV_Q8_0}, {JL_TYPE_IQ4_XS, JL_KV_F16}};
    golden_case c;

    (void)state;
    need_device();
    golden_open(&c, data_folder, case_name);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        check_type(&c, kinds[i].type, kinds[i].kv, 40);
    golden_close(&c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_types),
    };

    if (argc != 4) {
        fprintf(stderr, "usage: test_golden_gpu DATA SCRATCH CASE\n");
        return 2;
    }
    data_folder = argv[1];
    scratch_folder = argv[2];
    case_name = argv[3];
    return cmocka_run_group_tests_name(argv[3], tests, NULL, NULL);
}
